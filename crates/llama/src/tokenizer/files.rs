//! The files of a Hugging Face folder that describe a tokenizer.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::{ROLES, Tokenizer};
use crate::chat::Templates;
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
        check_parts(&bytes).map_err(|error| error.in_file(path))?;
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
            if let Some(templates) = json.get("chat_template").map(Templates::from_json)
                && !templates.is_empty()
            {
                tokenizer.templates = templates;
            }
            if let Some(added) = json.get("added_tokens_decoder") {
                tokenizer.add_said(added).map_err(|reason| bad(&folder.join(name), reason))?;
            }
        }
        let templates = Templates::from_folder(folder)?;
        if !templates.is_empty() {
            tokenizer.templates = templates;
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

    /// Add the tokens of `added_tokens_decoder` that `tokenizer.json` lacks or has otherwise, as transformers does.
    fn add_said(&mut self, added: &Value) -> Result<(), String> {
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
            let token = tokenizers::AddedToken::from(entry.content.clone(), entry.special)
                .single_word(entry.single_word)
                .lstrip(entry.lstrip)
                .rstrip(entry.rstrip)
                .normalized(entry.normalized);
            if self.inner.get_added_tokens_decoder().get(&id) == Some(&token) {
                continue;
            }
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

/// The library panics on a decoder that is no JSON or cuts off more than there is, on a special token around texts that is
/// not explained, and on merges that lack the prefix of what continues a word.
fn check_parts(tokenizer: &[u8]) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Parts {
        #[serde(default)]
        decoder: Value,
        #[serde(default)]
        post_processor: Value,
        #[serde(default)]
        model: Model,
    }
    #[derive(Default, serde::Deserialize)]
    struct Model {
        #[serde(default)]
        continuing_subword_prefix: Option<String>,
    }
    #[derive(serde::Deserialize)]
    struct WithMerges {
        model: Merges,
    }
    #[derive(serde::Deserialize)]
    struct Merges {
        #[serde(default)]
        merges: Vec<Value>,
    }
    let wrong = |reason: String| Err(Error::Config(reason));
    let parts: Parts = serde_json::from_slice(tokenizer).map_err(refused(NO_TOKENIZER))?;
    if strips_from_ends(&parts.decoder) {
        return wrong("its decoder strips from the end of tokens".into());
    }
    if let Some(token) = unexplained(&parts.post_processor) {
        return wrong(format!(
            "its post_processor has {token} and no such entry in special_tokens"
        ));
    }
    let prefix = parts.model.continuing_subword_prefix.unwrap_or_default();
    if !prefix.is_empty() {
        let with: WithMerges = serde_json::from_slice(tokenizer).map_err(refused(NO_TOKENIZER))?;
        for merge in &with.model.merges {
            let pair = merge.as_str().and_then(|pair| pair.split_once(' ')).map(|(_, last)| last);
            let last = pair.or(merge[1].as_str()).unwrap_or_default();
            if !last.starts_with(&prefix) {
                return wrong(format!("its merge {merge} does not go on with {prefix:?}"));
            }
        }
    }
    Ok(())
}

const NO_TOKENIZER: &str = "not a tokenizer";

/// A special token of a post-processor's templates that its `special_tokens` lacks.
fn unexplained(processor: &Value) -> Option<&Value> {
    let pieces = ["single", "pair"].into_iter().filter_map(|name| processor[name].as_array());
    let mut tokens = pieces.flatten().map(|piece| &piece["SpecialToken"]["id"]);
    let missing =
        |id: &&Value| id.as_str().is_some_and(|id| processor["special_tokens"].get(id).is_none());
    let inner = processor["processors"].as_array();
    tokens.find(missing).or_else(|| inner.into_iter().flatten().find_map(unexplained))
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
