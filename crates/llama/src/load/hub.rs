//! A model by its hub id, through `hf-hub`: the files land in the cache that every Hugging Face library shares.

mod settings;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;

use hf_hub::api::Progress;
use hf_hub::api::sync::{Api, ApiBuilder, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use indicatif::{ProgressBar, ProgressStyle};

use self::settings::Settings;
use crate::Result;
use crate::checkpoint::is_template;
use crate::error::{Cause, bad, refused};
use crate::save::WEIGHTS;

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
    let listed = match list(&api, settings, id) {
        Ok(listed) => listed,
        // Without a network, what was downloaded before will do.
        Err(error) => return cached().ok_or_else(|| unreachable_hub(id, error)),
    };
    let fail = |reason: String| bad(Path::new(id), reason);
    check_holds_a_model(&listed.siblings).map_err(fail)?;
    let repository = settings.cache.join(Repo::model(id.to_owned()).folder_name());
    let snapshot = repository.join("snapshots").join(&listed.sha);
    let wanted = listed.siblings.iter().filter(|file| is_part_of_a_model(&file.rfilename));
    // Many repositories hold the same weights twice, whole and in shards.
    let whole = listed.siblings.iter().any(|file| file.rfilename == WEIGHTS);
    for file in wanted {
        let name = &file.rfilename;
        if whole && name != WEIGHTS && name.contains(".safetensors") {
            continue;
        }
        let path = snapshot.join(name);
        if path.is_file() || file.blob().is_some_and(|blob| link(&repository, blob, &path)) {
            continue;
        }
        // By its revision: `main` in the cache stays at one that is whole.
        let revision = Repo::with_revision(id.to_owned(), RepoType::Model, listed.sha.clone());
        download(api.repo(revision), settings, name).map_err(|error| match cached() {
            None => unreachable_hub(id, error),
            Some(_) => refused(format!(
                "{id}: a newer revision did not come; HF_HUB_OFFLINE=1 takes the one that is there"
            ))(error),
        })?;
        keep_as_blob(&repository, file, &path);
    }
    // Without a network it is this revision that is found. A cache that cannot be written has it all the same.
    if cached().as_ref() != Some(&snapshot) {
        let _ = cache.model(id.to_owned()).create_ref(&listed.sha);
    }
    Ok(snapshot)
}

/// What the hub says of a repository, at its newest revision.
#[derive(serde::Deserialize)]
struct Listed {
    sha: String,
    siblings: Vec<Listing>,
}

#[derive(serde::Deserialize)]
struct Listing {
    rfilename: String,
    #[serde(rename = "blobId")]
    blob: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(serde::Deserialize)]
struct Lfs {
    sha256: String,
}

impl Listing {
    /// The name of its contents in the cache.
    fn blob(&self) -> Option<&str> {
        self.lfs.as_ref().map(|lfs| &lfs.sha256).or(self.blob.as_ref()).map(String::as_str)
    }
}

/// The model's files.
fn list(api: &Api, settings: &Settings, id: &str) -> Result<Listed, Cause> {
    let request = api.model(id.to_owned()).info_request().query("blobs", "true");
    let request = request.timeout(settings.patience);
    let listed: Listed = serde_json::from_str(&request.call()?.into_string()?)?;
    // They become names of files.
    let plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric());
    let names = listed.siblings.iter().filter_map(Listing::blob).chain([listed.sha.as_str()]);
    for name in names {
        if name.is_empty() || !plain(name) {
            return Err(format!("the hub names a revision or a file {name:?}").into());
        }
    }
    if let Some(file) = listed.siblings.iter().find(|file| file.rfilename.contains(['\\', ':'])) {
        return Err(format!("the hub names a file {:?}", file.rfilename).into());
    }
    Ok(listed)
}

/// Where links to contents are not to be had, `hf-hub` leaves nothing under their own name, by which a later revision looks
/// for them.
fn keep_as_blob(repository: &Path, file: &Listing, path: &Path) {
    if let Some(blob) = file.blob().map(|blob| repository.join("blobs").join(blob))
        && !blob.exists()
    {
        // Else they are downloaded again one day.
        let _ = std::fs::hard_link(path, blob);
    }
}

/// Puts contents that an earlier revision had too in their place in this one.
fn link(repository: &Path, blob: &str, path: &Path) -> bool {
    let (blobs, folder) = (Path::new("blobs"), path.parent().unwrap_or(repository));
    if !repository.join(blobs).join(blob).is_file() || std::fs::create_dir_all(folder).is_err() {
        return false;
    }
    #[cfg(unix)]
    let linked = {
        // As the hub's own library has it: the cache can be moved.
        let inside = folder.strip_prefix(repository).unwrap_or(folder);
        let up: PathBuf = inside.components().map(|_| "..").collect();
        std::os::unix::fs::symlink(up.join(blobs).join(blob), path)
    };
    #[cfg(not(unix))]
    let linked = std::fs::hard_link(repository.join(blobs).join(blob), path);
    // Another program may have been quicker.
    linked.is_ok() || path.is_file()
}

/// A file into the cache. `hf-hub` waits for ever for a server that has stopped answering, so it does that in a thread of
/// its own, which is left behind if nothing comes any more.
fn download(repository: ApiRepo, settings: &Settings, name: &str) -> Result<PathBuf, Cause> {
    let (sender, received) = channel();
    let file = name.to_owned();
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
fn check_holds_a_model(files: &[Listing]) -> Result<(), String> {
    let names = files.iter().map(|file| file.rfilename.as_str());
    let first = |wanted: &dyn Fn(&str) -> bool| names.clone().find(|name| wanted(name));
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
    !name.contains('/') && (weights || BESIDE.contains(&name)) || is_template(name)
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
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;

    /// Contents that are listed, and cannot be had.
    const GONE: &[u8] = b"gone";

    type Files = BTreeMap<&'static str, Vec<u8>>;

    /// Answers one request as the hub does: a list of files, or (a range of) one. Only to those with the token.
    fn answer(mut stream: TcpStream, sha: &str, files: &Files) -> std::io::Result<()> {
        // Equal contents have equal names, and these are enough to tell them apart.
        let tag = |contents: &[u8]| {
            format!("{:x}", contents.iter().map(|&byte| byte as u64).sum::<u64>())
        };
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
            let named = files.iter().map(|(name, contents)| {
                format!(r#"{{"rfilename":"{name}","blobId":"{}"}}"#, tag(contents))
            });
            let named: Vec<String> = named.collect();
            let body = format!(r#"{{"siblings":[{}],"sha":"{sha}"}}"#, named.join(","));
            let length = body.len();
            return write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        let Some(contents) = files.get(name).filter(|contents| *contents != GONE) else {
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
             ETag: \"{}\"\r\nX-Repo-Commit: {sha}\r\n\r\n",
            to - from,
            contents.len(),
            tag(contents)
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
        let files: Files = [
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
        let repository = Arc::new(Mutex::new(("abc", files)));
        let served = repository.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (sha, files) = &*served.lock().unwrap();
                let _ = answer(stream.unwrap(), sha, files);
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

        // A new revision with the same weights, which are not sent again.
        let weights = fetched.join("model.safetensors").canonicalize().unwrap();
        let last_sent = std::fs::metadata(&weights).unwrap().modified().unwrap();
        {
            let mut now = repository.lock().unwrap();
            now.0 = "def";
            let mut config: serde_json::Value =
                serde_json::from_slice(&now.1["config.json"]).unwrap();
            config["rope_theta"] = 5e5.into();
            now.1.insert("config.json", serde_json::to_vec(&config).unwrap());
        }
        let newer = fetch_with(&hub, "owner/name").unwrap();
        assert_ne!(newer, fetched);
        assert_eq!(std::fs::metadata(&weights).unwrap().modified().unwrap(), last_sent);
        assert_eq!(crate::load::load::<f32>(&newer).unwrap().model.config.rope_theta, 5e5);
        let fetched = newer;

        // One whose weights do not come: without a network it is still the last whole one.
        {
            let mut now = repository.lock().unwrap();
            now.0 = "ghi";
            now.1.insert("config.json", read("config.json"));
            now.1.insert("model.safetensors", GONE.to_vec());
        }
        let error = fetch_with(&hub, "owner/name").unwrap_err().to_string();
        assert!(error.contains("HF_HUB_OFFLINE=1"), "{error}");

        // A port where nobody answers.
        let nobody = settings("http://127.0.0.1:1", &cache);
        assert_eq!(fetch_with(&nobody, "owner/name").unwrap(), fetched);
        let error = fetch_with(&nobody, "owner/other").unwrap_err().to_string();
        assert!(error.contains("owner/other") && error.contains("give its path"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }

    fn listings(names: &[&str]) -> Vec<Listing> {
        let file = |name: &&str| Listing { rfilename: (*name).to_owned(), blob: None, lfs: None };
        names.iter().map(file).collect()
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
            let error = check_holds_a_model(&listings(files)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let sharded = ["config.json", "model-00001-of-00002.safetensors", "adapter_config.json"];
        assert_eq!(check_holds_a_model(&listings(&sharded)), Ok(()));
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
        let error =
            download(api.model("owner/name".into()), &hub, "model.safetensors").unwrap_err();
        assert!(error.to_string().contains("nothing came for 200ms"), "{error}");

        let before = asked.load(Ordering::SeqCst);
        let error = fetch_with(&Settings { offline: true, ..hub }, "owner/name").unwrap_err();
        assert!(error.to_string().contains("HF_HUB_OFFLINE is set"), "{error}");
        assert_eq!(asked.load(Ordering::SeqCst), before, "nobody is asked");
    }
}
