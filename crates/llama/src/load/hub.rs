//! A model by its hub id, through `hf-hub`: the files land in the cache that every Hugging Face library shares.

use std::path::{Path, PathBuf};

use hf_hub::Cache;
use hf_hub::api::sync::{Api, ApiBuilder};

use crate::Result;
use crate::error::{Cause, bad, refused};

/// The folder with the model's files, downloaded unless the cache has them.
///
/// # Errors
/// The hub cannot be reached, does not know the id, or does not let us in.
pub(super) fn fetch(id: &str) -> Result<PathBuf> {
    let api = ApiBuilder::from_env().build();
    let api = api.map_err(refused(format!("{id}: the hub's cache")))?;
    fetch_from(&api, &Cache::from_env(), id)
}

fn fetch_from(api: &Api, cache: &Cache, id: &str) -> Result<PathBuf> {
    let repository = api.model(id.to_owned());
    let files = match repository.info() {
        Ok(info) => info.siblings.into_iter().map(|file| file.rfilename),
        // Without a network, what was downloaded before will do.
        Err(error) => {
            let folder = cache.model(id.to_owned()).get("config.json").and_then(parent);
            return folder.ok_or_else(|| unreachable_hub(id, error));
        }
    };
    let mut folder = None;
    let wanted: Vec<String> = files.filter(|name| is_part_of_a_model(name)).collect();
    // Many repositories hold the same weights twice, whole and in shards.
    let whole = wanted.iter().any(|name| name == "model.safetensors");
    for name in &wanted {
        if whole && name != "model.safetensors" && name.contains(".safetensors") {
            continue;
        }
        let path = repository.get(name).map_err(|error| unreachable_hub(id, error))?;
        folder = folder.or(parent(path));
    }
    folder.ok_or_else(|| bad(Path::new(id), "it has no config.json and no safetensors on the hub"))
}

fn is_part_of_a_model(name: &str) -> bool {
    const BESIDE: [&str; 6] = [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "chat_template.jinja",
    ];
    let weights = name.starts_with("model")
        && (name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json"));
    !name.contains('/') && (weights || BESIDE.contains(&name))
}

fn parent(path: PathBuf) -> Option<PathBuf> {
    path.parent().map(Path::to_owned)
}

fn unreachable_hub(id: &str, error: impl Into<Cause>) -> crate::Error {
    let hint = "download the model's folder and give its path, or set HF_TOKEN for a model behind a licence";
    refused(format!("{id}: no such folder, and the hub did not give it: {hint}"))(error)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// Answers one request as the hub does: a list of files, or (a range of) one.
    fn answer(mut stream: TcpStream, files: &BTreeMap<&str, Vec<u8>>) -> std::io::Result<()> {
        let lines: Vec<String> = BufReader::new(stream.try_clone()?)
            .lines()
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty())
            .collect();
        let path = lines[0].split(' ').nth(1).unwrap_or_default();
        if path.starts_with("/api/models/owner/name") {
            let names: Vec<String> =
                files.keys().map(|name| format!(r#"{{"rfilename":"{name}"}}"#)).collect();
            let body = format!(r#"{{"siblings":[{}],"sha":"abc"}}"#, names.join(","));
            let length = body.len();
            return write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        let Some(contents) = files.get(name) else {
            return write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        };
        let range = lines.iter().find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned)
        });
        let range = range.unwrap_or("0-".into());
        let (from, to) = range.split_once('-').unwrap_or_default();
        let from: usize = from.parse().unwrap_or(0);
        let to = to.parse().map_or(contents.len(), |to: usize| contents.len().min(to + 1));
        write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{to}/{}\r\n\
             ETag: \"{name}\"\r\nX-Repo-Commit: abc\r\n\r\n",
            to - from,
            contents.len()
        )?;
        stream.write_all(&contents[from..to])
    }

    fn api(endpoint: &str, cache: &Cache) -> Api {
        let builder = ApiBuilder::from_cache(cache.clone()).with_endpoint(endpoint.to_owned());
        builder.with_progress(false).build().unwrap()
    }

    #[test]
    fn a_model_is_downloaded_once_and_then_needs_no_network() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("model");
        let config = crate::Config { num_hidden_layers: 1, ..crate::tiny::config() };
        let model =
            crate::Llama::<f32>::build(config, |_, shape| Ok(vec![0.5; shape.iter().product()]));
        crate::save::save(&model.unwrap(), &folder).unwrap();
        let read = |name| std::fs::read(folder.join(name)).unwrap();
        let files: BTreeMap<&str, Vec<u8>> = [
            ("config.json", read("config.json")),
            ("model.safetensors", read("model.safetensors")),
            // Not asked for: the weights once more, in shards and in another format.
            ("model-00001-of-00001.safetensors", b"not asked for".to_vec()),
            ("model.safetensors.index.json", b"not asked for".to_vec()),
            ("pytorch_model.bin", b"not asked for".to_vec()),
        ]
        .into();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = answer(stream.unwrap(), &files);
            }
        });
        let cache = Cache::new(temporary.path().join("cache"));
        let fetched = fetch_from(&api(&endpoint, &cache), &cache, "owner/name").unwrap();
        let mut names: Vec<_> =
            std::fs::read_dir(&fetched).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["config.json", "model.safetensors"]);
        assert_eq!(crate::load::load::<f32>(&fetched).unwrap().model.layers.len(), 1);

        // A port where nobody answers.
        let nobody = api("http://127.0.0.1:1", &cache);
        assert_eq!(fetch_from(&nobody, &cache, "owner/name").unwrap(), fetched);
        let error = fetch_from(&nobody, &cache, "owner/other").unwrap_err().to_string();
        assert!(error.contains("owner/other") && error.contains("give its path"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
