//! The tokenizer inside a GGUF file, rebuilt from the parts of the `tokenizers` crate.

mod words;

use std::collections::{BTreeMap, BTreeSet};

use tokenizers::AddedToken;
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as Decoders;
use tokenizers::decoders::{DecoderWrapper, strip::Strip};
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::{NFC, NormalizerWrapper, Prepend, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::template::TemplateProcessing;

use self::words::Words;
use super::{ROLES, Tokenizer};
use crate::chat::{DEFAULT, TOOL_USE, Templates};
use crate::error::refused;
use crate::{Error, Result};

/// The tokenizer of a GGUF file, by llama.cpp's names.
pub(crate) struct Vocabulary {
    /// The model's, such as `phi3`.
    pub architecture: String,
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
    /// The one for conversations with tools.
    pub tool_template: Option<String>,
}

/// llama.cpp's token types: never made from text unless spelled out whole, and hidden from readers.
const CONTROL: f64 = 3.0;
/// Made from text that spells it out, before anything else.
const USER_DEFINED: f64 = 4.0;

/// What ends a turn, by its text, as llama.cpp knows it (`special_eog_ids`): where a model has several tokens that end
/// something, a GGUF file names the end of a text alone.
const TURN_ENDS: [&str; 4] = ["<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>"];

/// The special tokens of Phi-3 that leave the space after them; the others swallow it, as llama.cpp has it too. No key of a
/// GGUF file says so.
const PHI3_LEAVE_SPACE: [&str; 3] = ["<unk>", "<s>", "<|endoftext|>"];

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
        // Phi-4 has the architecture too, and a vocabulary of bytes.
        let phi3 = vocabulary.architecture == "phi3" && vocabulary.model == "llama";
        let of_type = |kind: f64, special: bool| -> Vec<AddedToken> {
            let tokens = vocabulary.tokens.iter().zip(types).filter(|(_, t)| **t == kind);
            let added = |(text, _): (&String, _)| {
                let swallows = phi3 && !PHI3_LEAVE_SPACE.contains(&text.as_str());
                AddedToken::from(text, special).normalized(false).rstrip(swallows)
            };
            tokens.map(added).collect()
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
        let bos_by_default = match vocabulary.model.as_str() {
            "llama" => true,
            _ => Words::of(vocabulary.pre.as_deref())?.begins,
        };
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
        let named = ["eos", "eot", "eom"];
        let mut stops: BTreeSet<u32> =
            named.iter().filter_map(|name| vocabulary.ids.get(name).copied()).collect();
        for ((text, kind), id) in vocabulary.tokens.iter().zip(types).zip(0..) {
            if [CONTROL, USER_DEFINED].contains(kind) && TURN_ENDS.contains(&text.as_str()) {
                stops.insert(id);
            }
        }
        let mut templates = Templates::default();
        templates.extend(vocabulary.chat_template.as_deref().map(|text| (DEFAULT, text)));
        templates.extend(vocabulary.tool_template.as_deref().map(|text| (TOOL_USE, text)));
        Ok(Self { special, stops, templates, ..Self::new(inner)? })
    }
}

/// What a regular expression of these files is, should the library refuse it.
const RULE: &str = "a rule of the tokenizer";

/// What is wrong with a vocabulary; the reader of its file says which file it is.
fn wrong<V>(reason: impl Into<String>) -> Result<V> {
    Err(Error::Config(reason.into()))
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
        .ignore_merges(words.whole)
        .build()
        .map_err(refused("tokenizer.ggml.merges"))?;
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    if words.composed {
        tokenizer.with_normalizer(Some(NFC));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer(pre: &str, tokens: &[&str], merges: &[&str]) -> Tokenizer {
        let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let vocabulary = Vocabulary {
            architecture: "llama".into(),
            model: "gpt2".into(),
            pre: Some(pre.into()),
            tokens: texts(tokens),
            scores: None,
            types: None,
            merges: Some(texts(merges)),
            ids: [("bos", 0)].into(),
            add_bos: None,
            add_eos: None,
            add_space_prefix: None,
            chat_template: None,
            tool_template: None,
        };
        Tokenizer::from_vocabulary(vocabulary).unwrap()
    }

    /// Mistral's tokenizer.json has `ignore_merges`; Qwen's has not, and composes characters and accents.
    #[test]
    fn what_else_a_rule_says() {
        let tokens = ["<s>", "a", "b", "ab", "e", "Ã", "©", "Ì", "ģ"];
        let tekken = tokenizer("tekken", &tokens, &[]);
        assert_eq!(tekken.encode("ab").unwrap(), [3]);
        assert_eq!(tekken.encode_with_special("ab").unwrap(), [0, 3]);
        assert_eq!(tekken.encode("e\u{301}").unwrap(), [4, 7, 8]);
        let qwen = tokenizer("qwen2", &tokens, &[]);
        assert_eq!(qwen.encode("ab").unwrap(), [1, 2]);
        assert_eq!(qwen.encode_with_special("ab").unwrap(), [1, 2]);
        assert_eq!(qwen.encode("e\u{301}").unwrap(), [5, 6]);
        assert_eq!(tokenizer("qwen2", &tokens, &["a b"]).encode("ab").unwrap(), [3]);
    }

    /// Of Phi-3 and of Gemma 2, as their GGUF files have it. What transformers makes of Phi-3's template:
    /// `<|user|> ▁ hi <|end|> <|assistant|>`, without the newlines between.
    #[test]
    fn turns_end_and_special_tokens_swallow_the_space_after_them() {
        let texts = [
            "<unk>",
            "<s>",
            "<|endoftext|>",
            "<|user|>",
            "<|end|>",
            "<|assistant|>",
            "▁",
            "hi",
            "<0x0A>",
            "h",
            "i",
        ];
        let read = |architecture: &str, texts: &[&str]| {
            let kind = |text: &&str| {
                if text.len() > 3 && !text.starts_with("<0x") { CONTROL } else { 1.0 }
            };
            let vocabulary = Vocabulary {
                architecture: architecture.into(),
                model: "llama".into(),
                pre: None,
                tokens: texts.iter().map(ToString::to_string).collect(),
                scores: Some(vec![0.0; texts.len()]),
                types: Some(texts.iter().map(kind).collect()),
                merges: None,
                ids: [("unknown", 0), ("bos", 1), ("eos", 2)].into(),
                add_bos: None,
                add_eos: None,
                add_space_prefix: None,
                chat_template: None,
                tool_template: None,
            };
            Tokenizer::from_vocabulary(vocabulary).unwrap()
        };
        let phi3 = read("phi3", &texts);
        assert_eq!(phi3.encode("<|user|>\nhi<|end|>\n<|assistant|>\n").unwrap(), [3, 6, 7, 4, 5]);
        assert_eq!(phi3.encode("<|endoftext|>\n").unwrap(), [2, 6, 8]);
        assert_eq!(phi3.stops().collect::<Vec<_>>(), [2, 4]);
        let llama = read("llama", &texts);
        assert_eq!(llama.encode("<|end|>\n").unwrap(), [4, 6, 8]);
        let gemma =
            read("gemma2", &["<unk>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "▁"]);
        assert_eq!(gemma.stops().collect::<Vec<_>>(), [2, 4]);
    }
}
