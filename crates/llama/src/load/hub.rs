//! A model by its hub id, through `hf-hub`: the files land in the cache that every Hugging Face library shares.

mod settings;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;

use hf_hub::Cache;
use hf_hub::api::sync::{Api, ApiBuilder};
use hf_hub::api::{Progress, RepoInfo};
use indicatif::{ProgressBar, ProgressStyle};

use self::settings::Settings;
use crate::Result;
use crate::error::{Cause, bad, refused};

/// The folder with the model's files, downloaded unless the cache has them.
///
/// # Errors
/// The hub cannot be reached or is silent, does not know the id, or does not let us in.
pub(super) fn fetch(id: &str) -> Result<PathBuf> {
    fetch_with(&Settings::from_env(), id)
}

fn fetch_with(settings: &Settings, id: &str) -> Result<PathBuf> {
    let cache = Cache::new(settings.cache.clone());
    let cached = || cache.model(id.to_owned()).get("config.json").and_then(parent);
    if settings.offline {
        let reason = format!(
            "no such folder, HF_HUB_OFFLINE is set, and {} does not have this model",
            settings.cache.display()
        );
        return cached().ok_or_else(|| bad(Path::new(id), reason));
    }
    let builder = ApiBuilder::from_cache(cache.clone()).with_token(settings.token.clone());
    let builder = match &settings.endpoint {
        Some(endpoint) => builder.with_endpoint(endpoint.clone()),
        None => builder,
    };
    let api = builder.build().map_err(refused(format!("{id}: the hub's cache")))?;
    let files = match list(&api, settings, id) {
        Ok(files) => files,
        // Without a network, what was downloaded before will do.
        Err(error) => return cached().ok_or_else(|| unreachable_hub(id, error)),
    };
    check_holds_a_model(&files).map_err(|reason| bad(Path::new(id), reason))?;
    let mut folder = None;
    let wanted: Vec<String> = files.into_iter().filter(|name| is_part_of_a_model(name)).collect();
    // Many repositories hold the same weights twice, whole and in shards.
    let whole = wanted.iter().any(|name| name == "model.safetensors");
    for name in &wanted {
        if whole && name != "model.safetensors" && name.contains(".safetensors") {
            continue;
        }
        let path = match cache.model(id.to_owned()).get(name) {
            Some(path) => path,
            None => {
                download(&api, settings, id, name).map_err(|error| unreachable_hub(id, error))?
            }
        };
        folder = folder.or(parent(path));
    }
    folder.ok_or_else(|| bad(Path::new(id), "it has no config.json and no safetensors on the hub"))
}

/// The names of the model's files.
fn list(api: &Api, settings: &Settings, id: &str) -> Result<Vec<String>, Cause> {
    let request = api.model(id.to_owned()).info_request().timeout(settings.patience);
    let info: RepoInfo = serde_json::from_str(&request.call()?.into_string()?)?;
    Ok(info.siblings.into_iter().map(|file| file.rfilename).collect())
}

/// A file into the cache. `hf-hub` waits for ever for a server that has stopped answering, so it does that in a thread of
/// its own, which is left behind if nothing comes any more.
fn download(api: &Api, settings: &Settings, id: &str, name: &str) -> Result<PathBuf, Cause> {
    let (sender, received) = channel();
    let (repository, file) = (api.model(id.to_owned()), name.to_owned());
    thread::spawn(move || {
        let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {eta}");
        let bar = ProgressBar::new(0).with_style(style.expect("a valid template"));
        let progress = Shown { bar, sender: sender.clone() };
        let path = repository.download_with_progress(&file, progress);
        // Nobody may be waiting any more.
        let _ = sender.send(Some(path));
    });
    loop {
        match received.recv_timeout(settings.patience) {
            Ok(None) => {}
            Ok(Some(path)) => return Ok(path?),
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!("{name}: nothing came for {:?}", settings.patience).into());
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(format!("{name}: no download").into());
            }
        }
    }
}

/// A download's bar on the terminal, and a sign of life for whoever waits.
struct Shown<P> {
    bar: ProgressBar,
    sender: Sender<Option<P>>,
}

impl<P> Progress for Shown<P> {
    fn init(&mut self, size: usize, filename: &str) {
        self.bar.set_length(size as u64);
        self.bar.set_message(filename.to_owned());
        let _ = self.sender.send(None);
    }

    fn update(&mut self, size: usize) {
        self.bar.inc(size as u64);
        let _ = self.sender.send(None);
    }

    fn finish(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// What the repository is instead of a model that is read, and the way out.
fn check_holds_a_model(files: &[String]) -> Result<(), String> {
    let first = |wanted: &dyn Fn(&str) -> bool| files.iter().find(|name| wanted(name));
    if first(&|name| is_part_of_a_model(name) && name.contains(".safetensors")).is_some() {
        return Ok(());
    }
    Err(if first(&|name| name == "adapter_config.json").is_some() {
        "this is an adapter on the hub: download its folder and give that as --adapter, and its base as --model".into()
    } else if let Some(name) = first(&|name| name.ends_with(".gguf")) {
        format!("it has GGUF files on the hub: download one, such as {name}, and give its path")
    } else if let Some(name) = first(&|name| name.starts_with("pytorch_model")) {
        format!(
            "it has no safetensors on the hub but {name}, a pickle, which can run any program and is not read: transformers' \
             from_pretrained and save_pretrained make safetensors of it"
        )
    } else {
        "it has no config.json and no safetensors on the hub".into()
    })
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    /// Answers one request as the hub does: a list of files, or (a range of) one. Only to those with the token.
    fn answer(mut stream: TcpStream, files: &BTreeMap<&str, Vec<u8>>) -> std::io::Result<()> {
        let lines: Vec<String> = BufReader::new(stream.try_clone()?)
            .lines()
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty())
            .collect();
        let path = lines[0].split(' ').nth(1).unwrap_or_default();
        if !lines.iter().any(|line| line.eq_ignore_ascii_case("authorization: bearer secret")) {
            return write!(stream, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
        }
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

    fn settings(endpoint: &str, cache: &Path) -> Settings {
        Settings {
            endpoint: Some(endpoint.to_owned()),
            cache: cache.to_owned(),
            token: Some("secret".to_owned()),
            offline: false,
            patience: Duration::from_secs(5),
        }
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
        thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = answer(stream.unwrap(), &files);
            }
        });
        let cache = temporary.path().join("cache");
        let hub = settings(&endpoint, &cache);
        let stranger = Settings { token: None, ..hub.clone() };
        let error = fetch_with(&stranger, "owner/name").unwrap_err().to_string();
        assert!(error.contains("HF_TOKEN"), "{error}");
        let fetched = fetch_with(&hub, "owner/name").unwrap();
        let mut names: Vec<_> =
            std::fs::read_dir(&fetched).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["config.json", "model.safetensors"]);
        assert_eq!(crate::load::load::<f32>(&fetched).unwrap().model.layers.len(), 1);

        // A port where nobody answers.
        let nobody = settings("http://127.0.0.1:1", &cache);
        assert_eq!(fetch_with(&nobody, "owner/name").unwrap(), fetched);
        let error = fetch_with(&nobody, "owner/other").unwrap_err().to_string();
        assert!(error.contains("owner/other") && error.contains("give its path"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }

    #[test]
    fn a_repository_without_a_model_is_said_to_be_what_it_is() {
        for (files, expected) in [
            (
                &["adapter_config.json", "adapter_model.safetensors"][..],
                "this is an adapter on the hub",
            ),
            (
                &["README.md", "m.Q4_K_M.gguf"],
                "download one, such as m.Q4_K_M.gguf, and give its path",
            ),
            (
                &["config.json", "pytorch_model.bin"],
                "no safetensors on the hub but pytorch_model.bin",
            ),
            (&["README.md"], "it has no config.json and no safetensors on the hub"),
        ] {
            let files: Vec<String> = files.iter().map(|name| (*name).to_owned()).collect();
            let error = check_holds_a_model(&files).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let sharded = ["config.json", "model-00001-of-00002.safetensors", "adapter_config.json"];
        assert_eq!(check_holds_a_model(&sharded.map(str::to_owned)), Ok(()));
    }

    /// One that takes a request and says nothing, or stops in the middle of a file.
    #[test]
    fn a_silent_hub_is_not_waited_for() {
        let temporary = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let seen = asked.clone();
        thread::spawn(move || {
            let mut open = Vec::new();
            for stream in listener.incoming() {
                seen.fetch_add(1, Ordering::SeqCst);
                open.push(stream);
            }
        });
        let patience = Duration::from_millis(200);
        let hub = Settings { patience, ..settings(&endpoint, &temporary.path().join("cache")) };
        let error = fetch_with(&hub, "owner/name").unwrap_err().to_string();
        assert!(error.contains("owner/name"), "{error}");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        let api = ApiBuilder::from_cache(Cache::new(hub.cache.clone()));
        let api = api.with_endpoint(endpoint).build().unwrap();
        let error = download(&api, &hub, "owner/name", "model.safetensors").unwrap_err();
        assert!(error.to_string().contains("nothing came for 200ms"), "{error}");

        let before = asked.load(Ordering::SeqCst);
        let error = fetch_with(&Settings { offline: true, ..hub }, "owner/name").unwrap_err();
        assert!(error.to_string().contains("HF_HUB_OFFLINE is set"), "{error}");
        assert_eq!(asked.load(Ordering::SeqCst), before, "nobody is asked");
    }
}
