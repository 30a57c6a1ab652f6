//! The files of a Hugging Face folder that describe a tokenizer.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::{ROLES, Tokenizer};
use crate::chat::Template;
use crate::error::{bad, io, refused};
use crate::{Error, Result};

impl Tokenizer {
    /// Read a `tokenizer.json` alone: no special tokens are known by their role, and there is no chat template.
    ///
    /// # Errors
    /// It cannot be read, or is no such file.
    pub fn from_file(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(io(path))?;
        let what = format!("{}: not a tokenizer", path.display());
        check_decoder(&bytes).map_err(|error| error.in_file(path))?;
        let inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(refused(what))?;
        Self::new(inner)
    }

    /// Read `tokenizer.json` and what says more about it: `tokenizer_config.json`, `special_tokens_map.json`,
    /// `generation_config.json`, `chat_template.jinja`. `None` if there is no `tokenizer.json`.
    ///
    /// # Errors
    /// One of the files is not what its name says.
    pub fn from_folder(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join("tokenizer.json");
        if !path.is_file() {
            return Ok(None);
        }
        let mut tokenizer = Self::from_file(&path)?;
        for name in ["special_tokens_map.json", "tokenizer_config.json"] {
            let json = read_json(&folder.join(name))?;
            for role in ROLES {
                // Either a text, or an object with one.
                let token = json.get(role).map(|token| token.get("content").unwrap_or(token));
                if let Some(text) = token.and_then(Value::as_str) {
                    tokenizer.special.insert(role.to_owned(), text.to_owned());
                }
            }
            let template = json.get("chat_template").and_then(default_template);
            let template = template.map(|text| Template::new(text.to_owned()));
            tokenizer.template = template.or(tokenizer.template);
            if let Some(added) = json.get("added_tokens_decoder") {
                tokenizer.add_missing(added).map_err(|reason| bad(&folder.join(name), reason))?;
            }
        }
        let path = folder.join("chat_template.jinja");
        if path.is_file() {
            let text = std::fs::read_to_string(&path).map_err(io(&path))?;
            tokenizer.template = Some(Template::new(text));
        }
        tokenizer.stops.extend(tokenizer.eos());
        for name in ["config.json", "generation_config.json"] {
            let json = read_json(&folder.join(name))?;
            let ids = json.get("eos_token_id");
            let list = ids
                .and_then(Value::as_array)
                .map_or(ids.into_iter().collect(), |ids| ids.iter().collect::<Vec<_>>());
            let ids = list.into_iter().filter_map(Value::as_u64);
            tokenizer.stops.extend(ids.filter_map(|id| u32::try_from(id).ok()));
        }
        Ok(Some(tokenizer))
    }

    /// Add the tokens of `added_tokens_decoder` that `tokenizer.json` lacks, as transformers does.
    fn add_missing(&mut self, added: &Value) -> Result<(), String> {
        #[derive(serde::Deserialize)]
        #[serde(default)]
        struct Entry {
            content: String,
            single_word: bool,
            lstrip: bool,
            rstrip: bool,
            normalized: bool,
            special: bool,
        }
        impl Default for Entry {
            fn default() -> Self {
                let (single_word, lstrip, rstrip, normalized) = (false, false, false, true);
                let content = String::new();
                Self { content, single_word, lstrip, rstrip, normalized, special: false }
            }
        }
        let wrong = |error: serde_json::Error| format!("added_tokens_decoder: {error}");
        let entries: BTreeMap<u32, Entry> = serde_json::from_value(added.clone()).map_err(wrong)?;
        for (id, entry) in entries {
            let known = self.inner.get_added_tokens_decoder();
            if known.get(&id).is_some_and(|token| token.content == entry.content) {
                continue;
            }
            let token = tokenizers::AddedToken::from(entry.content.clone(), entry.special)
                .single_word(entry.single_word)
                .lstrip(entry.lstrip)
                .rstrip(entry.rstrip)
                .normalized(entry.normalized);
            match entry.special {
                true => self.inner.add_special_tokens(&[token]),
                false => self.inner.add_tokens(&[token]),
            };
            let got = self.inner.token_to_id(&entry.content);
            if got != Some(id) {
                let got = got.map_or("none".to_owned(), |got| got.to_string());
                return Err(format!(
                    "added_tokens_decoder gives {:?} the number {id}, and after tokenizer.json it has {got}: the two files \
                     are not of the same model",
                    entry.content
                ));
            }
        }
        Ok(())
    }
}

/// What is inside `decoder` must be JSON and must not cut off more than there is: the library panics on both.
fn check_decoder(tokenizer: &[u8]) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Parts {
        #[serde(default)]
        decoder: Value,
    }
    let parts: Parts = serde_json::from_slice(tokenizer).map_err(refused("not a tokenizer"))?;
    if strips_from_ends(&parts.decoder) {
        return Err(Error::Config("its decoder strips from the end of tokens".into()));
    }
    Ok(())
}

fn strips_from_ends(decoder: &Value) -> bool {
    let strips = decoder["type"] == "Strip" && decoder["stop"].as_u64().unwrap_or(0) > 0;
    let inner = decoder["decoders"].as_array();
    strips || inner.is_some_and(|decoders| decoders.iter().any(strips_from_ends))
}

/// The object in a file; empty if there is no such file.
fn read_json(path: &Path) -> Result<Map<String, Value>> {
    if !path.is_file() {
        return Ok(Map::new());
    }
    let bytes = std::fs::read(path).map_err(io(path))?;
    serde_json::from_slice(&bytes)
        .map_err(refused(format!("{}: not a JSON object", path.display())))
}

/// A template, or of several named ones the one called `default`.
fn default_template(json: &Value) -> Option<&str> {
    let named = |list: &'_ Vec<Value>| {
        list.iter().position(|entry| entry["name"] == "default").unwrap_or_default()
    };
    match json {
        Value::Array(list) => list.get(named(list))?["template"].as_str(),
        other => other.as_str(),
    }
}
