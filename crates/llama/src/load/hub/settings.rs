//! Where the hub is, what is kept of it and who asks: the environment variables of every Hugging Face library.

use std::path::PathBuf;
use std::time::Duration;

/// What the environment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// Another hub than Hugging Face's.
    pub endpoint: Option<String>,
    /// The folder that has what was downloaded.
    pub cache: PathBuf,
    /// Who asks: models behind a licence are for those who accepted it.
    pub token: Option<String>,
    /// Ask nobody: what was downloaded before will do.
    pub offline: bool,
    /// How long the hub may be silent.
    pub patience: Duration,
}

const PATIENCE: Duration = Duration::from_secs(60);

impl Settings {
    /// From the environment of this process.
    pub fn from_env() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    /// The first of the variables that is set decides, as in `huggingface_hub`.
    fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let path = |name: &str| variable(name).map(PathBuf::from);
        let user = || path("HOME").or_else(|| path("USERPROFILE")).unwrap_or_default();
        let caches = path("XDG_CACHE_HOME").unwrap_or_else(|| user().join(".cache"));
        let home = path("HF_HOME").unwrap_or_else(|| caches.join("huggingface"));
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        let token = variable("HF_TOKEN").or_else(|| variable("HUGGING_FACE_HUB_TOKEN"));
        let file = path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        let yes =
            |value: String| ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str());
        Self {
            endpoint: variable("HF_ENDPOINT").map(|url| url.trim_end_matches('/').to_owned()),
            cache: cache.unwrap_or_else(|| home.join("hub")),
            token: token
                .or_else(|| std::fs::read_to_string(file).ok())
                .map(|token| token.trim().to_owned())
                .filter(|token| !token.is_empty()),
            offline: variable("HF_HUB_OFFLINE").is_some_and(yes),
            patience: PATIENCE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Settings {
        Settings::read(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_cache_is_where_the_other_libraries_have_it() {
        let cache = |variables: &[(&str, &str)]| read(variables).cache;
        let home = ("HOME", "/home/me");
        assert_eq!(cache(&[home]), PathBuf::from("/home/me/.cache/huggingface/hub"));
        let xdg = ("XDG_CACHE_HOME", "/xdg");
        assert_eq!(cache(&[home, xdg]), PathBuf::from("/xdg/huggingface/hub"));
        let hf_home = ("HF_HOME", "/hf");
        assert_eq!(cache(&[home, xdg, hf_home]), PathBuf::from("/hf/hub"));
        let old = ("HUGGINGFACE_HUB_CACHE", "/old");
        assert_eq!(cache(&[home, hf_home, old]), PathBuf::from("/old"));
        assert_eq!(cache(&[hf_home, old, ("HF_HUB_CACHE", "/new")]), PathBuf::from("/new"));
        assert_eq!(cache(&[hf_home, ("HF_HUB_CACHE", "")]), PathBuf::from("/hf/hub"));
    }

    #[test]
    fn the_token_is_the_variables_or_the_files() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "of the file\n").unwrap();
        let home = ("HF_HOME", folder.path().to_str().unwrap());
        let token = |variables: &[(&str, &str)]| read(variables).token;
        assert_eq!(token(&[home]).as_deref(), Some("of the file"));
        assert_eq!(token(&[home, ("HF_TOKEN", "mine")]).as_deref(), Some("mine"));
        assert_eq!(token(&[home, ("HF_TOKEN_PATH", "/nowhere/token")]), None);
        assert_eq!(
            token(&[("HUGGING_FACE_HUB_TOKEN", "old"), ("HF_TOKEN", "new")]).as_deref(),
            Some("new")
        );
    }

    #[test]
    fn offline_is_what_the_other_libraries_take_for_it() {
        for (value, offline) in
            [("1", true), ("true", true), ("ON", true), ("0", false), ("", false)]
        {
            assert_eq!(read(&[("HF_HUB_OFFLINE", value)]).offline, offline, "{value}");
        }
        assert_eq!(read(&[("HF_ENDPOINT", "http://hub/")]).endpoint.as_deref(), Some("http://hub"));
    }
}
