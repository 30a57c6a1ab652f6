//! Text to tokens and back: a `tokenizer.json`, or the vocabulary inside a GGUF file. The `tokenizers` crate does the
//! work; this says which of its parts a model wants.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value, json};
use tokenizers::decoders::{
    DecoderWrapper, byte_fallback::ByteFallback, fuse::Fuse, sequence::Sequence as Decoders,
    strip::Strip,
};
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::{NormalizerWrapper, Prepend, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, SplitDelimiterBehavior};

use crate::chat::{self, Message};
use crate::{Error, Result};

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
        let bytes =
            std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(|error| Error::File {
            path: path.to_owned(),
            reason: format!("not a tokenizer: {error}"),
        })?;
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
            let text = std::fs::read_to_string(&path)
                .map_err(|source| Error::Io { path: path.clone(), source })?;
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
        let encoding = encoding.map_err(|error| Error::Data(format!("tokenizer: {error}")))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of tokens, special ones included.
    ///
    /// # Errors
    /// The tokenizer's decoder fails.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        let text = self.inner.decode(tokens, false);
        text.map_err(|error| Error::Data(format!("tokenizer: {error}")))
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
        let tokenizer = tokenizer.map_err(|error| Error::Data(format!("tokenizer: {error}")))?;
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

const ROLES: [&str; 4] = ["bos_token", "eos_token", "unk_token", "pad_token"];

/// The object in a file; empty if there is no such file.
fn read_json(path: &Path) -> Result<Map<String, Value>> {
    if !path.is_file() {
        return Ok(Map::new());
    }
    let bytes =
        std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    serde_json::from_slice(&bytes).map_err(|error| Error::File {
        path: path.to_owned(),
        reason: format!("not a JSON object: {error}"),
    })
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

/// The tokenizer of a GGUF file, by llama.cpp's names.
pub(crate) struct Vocabulary {
    /// `gpt2` (byte-level BPE) or `llama` (SentencePiece BPE).
    pub model: String,
    /// Which rule splits text into words before BPE.
    pub pre: Option<String>,
    pub tokens: Vec<String>,
    pub scores: Option<Vec<f64>>,
    pub types: Option<Vec<f64>>,
    pub merges: Option<Vec<String>>,
    /// `bos`, `eos`, `eot`, `eom`, `unknown`, `padding`.
    pub ids: BTreeMap<&'static str, u32>,
    pub add_bos: Option<bool>,
    pub add_eos: Option<bool>,
    pub add_space_prefix: Option<bool>,
    pub chat_template: Option<String>,
}

/// llama.cpp's token types: never made from text unless spelled out whole, and hidden from readers.
const CONTROL: f64 = 3.0;
/// Made from text that spells it out, before anything else.
const USER_DEFINED: f64 = 4.0;

impl Tokenizer {
    /// Build the tokenizer that a GGUF file describes, or say what about it is unknown.
    pub(crate) fn from_vocabulary(vocabulary: Vocabulary) -> Result<Self, String> {
        for (name, length) in [
            ("scores", vocabulary.scores.as_ref().map(Vec::len)),
            ("token_type", vocabulary.types.as_ref().map(Vec::len)),
        ] {
            if let Some(length) = length.filter(|&length| length != vocabulary.tokens.len()) {
                let tokens = vocabulary.tokens.len();
                return Err(format!(
                    "tokenizer.ggml.{name} has {length} entries for {tokens} tokens"
                ));
            }
        }
        let mut inner = match vocabulary.model.as_str() {
            "gpt2" => byte_level(&vocabulary)?,
            "llama" => sentence_piece(&vocabulary)?,
            other => {
                return Err(format!(
                    "tokenizer.ggml.model {other:?} is unknown: only \"gpt2\" and \"llama\" are read"
                ));
            }
        };
        let types = vocabulary.types.as_deref().unwrap_or_default();
        let of_type = |kind: f64, special: bool| -> Vec<AddedToken> {
            let tokens = vocabulary.tokens.iter().zip(types).filter(|(_, t)| **t == kind);
            tokens.map(|(text, _)| AddedToken::from(text, special).normalized(false)).collect()
        };
        inner.add_special_tokens(&of_type(CONTROL, true));
        inner.add_tokens(&of_type(USER_DEFINED, false));

        let mut special = BTreeMap::new();
        for (role, name) in ROLES.into_iter().zip(["bos", "eos", "unknown", "padding"]) {
            if let Some(&id) = vocabulary.ids.get(name) {
                let text = vocabulary.tokens.get(id as usize);
                let text = text.ok_or_else(|| {
                    format!(
                        "{name}_token_id is {id} and there are {} tokens",
                        vocabulary.tokens.len()
                    )
                })?;
                special.insert(role.to_owned(), text.clone());
            }
        }
        let around = |role: &str, add: bool| special.get(role).filter(|_| add).cloned();
        let bos_by_default = vocabulary.model == "llama"
            || Words::of(vocabulary.pre.as_deref()) == Ok(Words::Llama3);
        let bos = around("bos_token", vocabulary.add_bos.unwrap_or(bos_by_default));
        let eos = around("eos_token", vocabulary.add_eos.unwrap_or(false));
        if bos.is_some() || eos.is_some() {
            let id = |text: &String| (text.clone(), inner.token_to_id(text).unwrap_or_default());
            let special: Vec<(String, u32)> = bos.iter().chain(&eos).map(id).collect();
            let template: Vec<String> =
                [bos, Some("$A".to_owned()), eos].into_iter().flatten().collect();
            let template: Vec<&str> = template.iter().map(String::as_str).collect();
            let processor = TemplateProcessing::builder()
                .try_single(template)
                .map_err(|error| format!("the tokens around a text: {error}"))?
                .special_tokens(special)
                .build()
                .map_err(|error| format!("the tokens around a text: {error}"))?;
            inner.with_post_processor(Some(processor));
        }
        let stops = ["eos", "eot", "eom"];
        let stops = stops.iter().filter_map(|name| vocabulary.ids.get(name).copied()).collect();
        Ok(Self { special, stops, template: vocabulary.chat_template, ..Self::new(inner) })
    }
}

/// How text is split into words before BPE merges bytes within them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Words {
    /// GPT-2's rule: letters, digits and the rest apart, a space goes with what follows.
    Gpt2,
    /// The same, and every digit is a word.
    Gpt2Digits,
    /// Llama 3's rule: up to three digits, line breaks stay together.
    Llama3,
    /// What llama.cpp does when a file does not say.
    Default,
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";
const LLAMA3: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

impl Words {
    /// By `tokenizer.ggml.pre`.
    fn of(name: Option<&str>) -> Result<Self, String> {
        match name {
            None | Some("default") => Ok(Self::Default),
            Some("gpt-2") => Ok(Self::Gpt2),
            Some("smollm" | "starcoder" | "refact" | "command-r") => Ok(Self::Gpt2Digits),
            Some("llama-bpe" | "llama3" | "llama-v3") => Ok(Self::Llama3),
            Some(other) => Err(format!(
                "tokenizer.ggml.pre {other:?} is unknown: give the Hugging Face folder, whose tokenizer.json says all"
            )),
        }
    }

    fn pre_tokenizer(self) -> Result<PreTokenizerWrapper, String> {
        let split = |pattern: &str| {
            let pattern = SplitPattern::Regex(pattern.to_owned());
            Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
                .map(PreTokenizerWrapper::from)
                .map_err(|error| error.to_string())
        };
        let bytes = |words: bool| PreTokenizerWrapper::from(ByteLevel::new(false, true, words));
        let parts = match self {
            Self::Gpt2 => return Ok(bytes(true)),
            Self::Gpt2Digits => vec![Digits::new(true).into(), bytes(true)],
            Self::Llama3 => vec![split(LLAMA3)?, bytes(false)],
            Self::Default => vec![
                split(r"[\p{P}\$\+<=>\^~\|]+")?,
                split(GPT2)?,
                split(r"\p{N}+")?,
                split("[0-9][0-9][0-9]")?,
                bytes(false),
            ],
        };
        Ok(PreTokenizers::new(parts).into())
    }
}

fn ids(tokens: &[String]) -> Vocab {
    tokens.iter().cloned().zip(0..).collect()
}

/// BPE over bytes, written as printable characters.
fn byte_level(vocabulary: &Vocabulary) -> Result<tokenizers::Tokenizer, String> {
    let words = Words::of(vocabulary.pre.as_deref())?;
    let merges = vocabulary.merges.as_ref().ok_or("tokenizer.ggml.merges is missing")?;
    let pair = |merge: &String| match merge.split_once(' ') {
        Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
        None => Err(format!("the merge {merge:?} is not two tokens with a space between")),
    };
    let merges: Merges = merges.iter().map(pair).collect::<Result<_, _>>()?;
    let model = BPE::builder()
        .vocab_and_merges(ids(&vocabulary.tokens), merges)
        .ignore_merges(words == Words::Llama3)
        .build()
        .map_err(|error| format!("tokenizer.ggml.merges: {error}"))?;
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(words.pre_tokenizer()?));
    tokenizer.with_decoder(Some(ByteLevel::new(false, true, true)));
    Ok(tokenizer)
}

/// SentencePiece's BPE: spaces are `▁`, characters that are no token fall apart into bytes, and of two neighbours whose
/// union is a token those merge first whose union has the highest score.
fn sentence_piece(vocabulary: &Vocabulary) -> Result<tokenizers::Tokenizer, String> {
    let scores = vocabulary.scores.as_ref().ok_or("tokenizer.ggml.scores is missing")?;
    let ids = ids(&vocabulary.tokens);
    let mut merges: Vec<(f64, &str, &str)> = Vec::new();
    for (token, &score) in vocabulary.tokens.iter().zip(scores) {
        let borders = token.char_indices().skip(1).map(|(i, _)| token.split_at(i));
        let parts =
            borders.filter(|(left, right)| ids.contains_key(*left) && ids.contains_key(*right));
        merges.extend(parts.map(|(left, right)| (score, left, right)));
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0));
    let merges: Merges =
        merges.into_iter().map(|(_, left, right)| (left.to_owned(), right.to_owned())).collect();
    let mut model = BPE::builder().fuse_unk(true).byte_fallback(true);
    if let Some(unknown) =
        vocabulary.ids.get("unknown").and_then(|&id| vocabulary.tokens.get(id as usize))
    {
        model = model.unk_token(unknown.clone());
    }
    let model = model
        .vocab_and_merges(ids, merges)
        .build()
        .map_err(|error| format!("tokenizer.ggml.tokens: {error}"))?;
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    let replace = |from: &str, to: &str| Replace::new(from, to).map_err(|error| error.to_string());
    let prefix = vocabulary.add_space_prefix.unwrap_or(true);
    let mut normalizers: Vec<NormalizerWrapper> = Vec::new();
    let mut decoders: Vec<DecoderWrapper> =
        vec![replace("▁", " ")?.into(), ByteFallback::new().into(), Fuse::new().into()];
    if prefix {
        normalizers.push(Prepend::new("▁".to_owned()).into());
        decoders.push(Strip::new(' ', 1, 0).into());
    }
    normalizers.push(replace(" ", "▁")?.into());
    tokenizer.with_normalizer(Some(Normalizers::new(normalizers)));
    tokenizer.with_decoder(Some(Decoders::new(decoders)));
    Ok(tokenizer)
}
