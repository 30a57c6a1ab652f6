//! The tokenizer inside a GGUF file, rebuilt from the parts of the `tokenizers` crate.

use std::collections::BTreeMap;

use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as Decoders;
use tokenizers::decoders::{DecoderWrapper, strip::Strip};
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::{NormalizerWrapper, Prepend, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, SplitDelimiterBehavior};

use super::{ROLES, Tokenizer};
use crate::chat::Template;
use crate::error::refused;
use crate::{Error, Result};

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
    pub(crate) fn from_vocabulary(vocabulary: Vocabulary) -> Result<Self> {
        for (name, length) in [
            ("scores", vocabulary.scores.as_ref().map(Vec::len)),
            ("token_type", vocabulary.types.as_ref().map(Vec::len)),
        ] {
            if let Some(length) = length.filter(|&length| length != vocabulary.tokens.len()) {
                let tokens = vocabulary.tokens.len();
                return wrong(format!(
                    "tokenizer.ggml.{name} has {length} entries for {tokens} tokens"
                ));
            }
        }
        let mut inner = match vocabulary.model.as_str() {
            "gpt2" => byte_level(&vocabulary)?,
            "llama" => sentence_piece(&vocabulary)?,
            other => {
                return wrong(format!(
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
                let Some(text) = text else {
                    let tokens = vocabulary.tokens.len();
                    return wrong(format!("{name}_token_id is {id} and there are {tokens} tokens"));
                };
                special.insert(role.to_owned(), text.clone());
            }
        }
        let around = |role: &str, add: bool| special.get(role).filter(|_| add).cloned();
        let bos_by_default = vocabulary.model == "llama"
            || matches!(Words::of(vocabulary.pre.as_deref()), Ok(Words::Llama3));
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
                .map_err(refused("the tokens around a text"))?
                .special_tokens(special)
                .build()
                .map_err(refused("the tokens around a text"))?;
            inner.with_post_processor(Some(processor));
        }
        let stops = ["eos", "eot", "eom"];
        let stops = stops.iter().filter_map(|name| vocabulary.ids.get(name).copied()).collect();
        let template = vocabulary.chat_template.map(Template::new);
        Ok(Self { special, stops, template, ..Self::new(inner)? })
    }
}

/// What a regular expression of this file is, should the library refuse it.
const RULE: &str = "a rule of the tokenizer";

/// What is wrong with a vocabulary; the reader of its file says which file it is.
fn wrong<V>(reason: impl Into<String>) -> Result<V> {
    Err(Error::Config(reason.into()))
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
    fn of(name: Option<&str>) -> Result<Self> {
        match name {
            None | Some("default") => Ok(Self::Default),
            Some("gpt-2") => Ok(Self::Gpt2),
            Some("smollm" | "starcoder" | "refact" | "command-r") => Ok(Self::Gpt2Digits),
            Some("llama-bpe" | "llama3" | "llama-v3") => Ok(Self::Llama3),
            Some(other) => wrong(format!(
                "tokenizer.ggml.pre {other:?} is unknown: give the Hugging Face folder, whose tokenizer.json says all"
            )),
        }
    }

    fn pre_tokenizer(self) -> Result<PreTokenizerWrapper> {
        let split = |pattern: &str| {
            let pattern = SplitPattern::Regex(pattern.to_owned());
            Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
                .map(PreTokenizerWrapper::from)
                .map_err(refused(RULE))
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
fn byte_level(vocabulary: &Vocabulary) -> Result<tokenizers::Tokenizer> {
    let words = Words::of(vocabulary.pre.as_deref())?;
    let merges = vocabulary.merges.as_ref();
    let merges = merges.map_or_else(|| wrong("tokenizer.ggml.merges is missing"), Ok)?;
    let pair = |merge: &String| match merge.split_once(' ') {
        Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
        None => wrong(format!("the merge {merge:?} is not two tokens with a space between")),
    };
    let merges: Merges = merges.iter().map(pair).collect::<Result<_, _>>()?;
    let model = BPE::builder()
        .vocab_and_merges(ids(&vocabulary.tokens), merges)
        .ignore_merges(words == Words::Llama3)
        .build()
        .map_err(refused("tokenizer.ggml.merges"))?;
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(words.pre_tokenizer()?));
    tokenizer.with_decoder(Some(ByteLevel::new(false, true, true)));
    Ok(tokenizer)
}

/// SentencePiece's BPE: spaces are `▁`, characters that are no token fall apart into bytes, and of two neighbours whose
/// union is a token those merge first whose union has the highest score.
fn sentence_piece(vocabulary: &Vocabulary) -> Result<tokenizers::Tokenizer> {
    let scores = vocabulary.scores.as_ref();
    let scores = scores.map_or_else(|| wrong("tokenizer.ggml.scores is missing"), Ok)?;
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
    let model =
        model.vocab_and_merges(ids, merges).build().map_err(refused("tokenizer.ggml.tokens"))?;
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    let replace = |from: &str, to: &str| Replace::new(from, to).map_err(refused(RULE));
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
