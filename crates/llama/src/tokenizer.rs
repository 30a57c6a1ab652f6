//! Text to tokens and back: a `tokenizer.json`, or the vocabulary inside a GGUF file. The `tokenizers` crate does the
//! work.

mod vocabulary;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value, json};

pub(crate) use self::vocabulary::Vocabulary;
use crate::Result;
use crate::chat::{self, Message};
use crate::error::{io, refused};

/// A tokenizer, its special tokens and its chat template.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// `bos_token`, `eos_token`, … and their texts.
    special: BTreeMap<String, String>,
    stops: BTreeSet<u32>,
    template: Option<String>,
}

impl Tokenizer {
    /// Read a `tokenizer.json` alone: no special tokens are known by their role, and there is no chat template.
    ///
    /// # Errors
    /// It cannot be read, or is no such file.
    pub fn from_file(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(io(path))?;
        let inner = tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(refused(format!("{}: not a tokenizer", path.display())))?;
        Ok(Self::new(inner))
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
            tokenizer.template = template.map(str::to_owned).or(tokenizer.template);
        }
        let path = folder.join("chat_template.jinja");
        if path.is_file() {
            let text = std::fs::read_to_string(&path).map_err(io(&path))?;
            tokenizer.template = Some(text);
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

    fn new(mut inner: tokenizers::Tokenizer) -> Self {
        // A file may ask for texts to be cut or filled up to some length; here a text is all of its tokens.
        inner.with_truncation(None).expect("no truncation is always possible");
        inner.with_padding(None);
        Self { inner, special: BTreeMap::new(), stops: BTreeSet::new(), template: None }
    }

    /// The tokens of a text as it is. Special tokens that the text spells out (`<|im_end|>`) are recognised; none is
    /// added.
    ///
    /// # Errors
    /// The tokenizer cannot represent the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.tokens(text, false)
    }

    /// The tokens of a text, and those that the model expects around it, such as one that begins every text.
    ///
    /// # Errors
    /// The tokenizer cannot represent the text.
    pub fn encode_with_special(&self, text: &str) -> Result<Vec<u32>> {
        self.tokens(text, true)
    }

    fn tokens(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, special);
        let encoding = encoding.map_err(refused(TOKENIZER))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of tokens, special ones included.
    ///
    /// # Errors
    /// The tokenizer's decoder fails.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        let text = self.inner.decode(tokens, false);
        text.map_err(refused(TOKENIZER))
    }

    /// The token that begins a text, if the model has one.
    pub fn bos(&self) -> Option<u32> {
        self.inner.token_to_id(self.special.get("bos_token")?)
    }

    /// The token that ends a text, if the model has one.
    pub fn eos(&self) -> Option<u32> {
        self.inner.token_to_id(self.special.get("eos_token")?)
    }

    /// All tokens at which generation ends: [`eos`](Self::eos), and for some chat models others.
    pub fn stops(&self) -> impl Iterator<Item = u32> {
        self.stops.iter().copied()
    }

    /// Tokens in the vocabulary.
    pub fn vocabulary(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// A prompt in the model's chat template: up to where the model answers, or with its answer. `None` if it has no
    /// template.
    ///
    /// # Errors
    /// The template is wrong or refuses the conversation.
    pub fn chat(&self, prompt: &str, completion: Option<&str>) -> Result<Option<String>> {
        let user = Message { role: "user", content: prompt };
        let assistant = completion.map(|content| Message { role: "assistant", content });
        let messages: Vec<Message<'_>> = [Some(user), assistant].into_iter().flatten().collect();
        let render =
            |template| chat::render(template, &self.special, &messages, completion.is_none());
        self.template.as_deref().map(render).transpose()
    }

    /// The files of a Hugging Face folder that describe this tokenizer, by name.
    ///
    /// # Errors
    /// Never for a tokenizer that was read.
    pub(crate) fn files(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        let tokenizer = self.inner.to_string(true);
        let tokenizer = tokenizer.map_err(refused(TOKENIZER))?;
        let mut config: Map<String, Value> =
            self.special.iter().map(|(role, text)| (role.clone(), json!(text))).collect();
        config.insert("tokenizer_class".into(), json!("PreTrainedTokenizerFast"));
        config.insert("clean_up_tokenization_spaces".into(), json!(false));
        config.extend(self.template.iter().map(|text| ("chat_template".to_owned(), json!(text))));
        let pad = self.special.get("pad_token").and_then(|text| self.inner.token_to_id(text));
        let stops: Vec<u32> = self.stops().collect();
        let generation =
            json!({"bos_token_id": self.bos(), "eos_token_id": stops, "pad_token_id": pad});
        let text = |json: Value| serde_json::to_vec_pretty(&json).expect("plain data");
        Ok([
            ("tokenizer.json", tokenizer.into_bytes()),
            ("tokenizer_config.json", text(Value::Object(config))),
            ("generation_config.json", text(generation)),
        ]
        .map(|(name, bytes)| (name.to_owned(), bytes))
        .into())
    }
}

/// What errors of the library are about.
const TOKENIZER: &str = "data: tokenizer";

const ROLES: [&str; 4] = ["bos_token", "eos_token", "unk_token", "pad_token"];

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
