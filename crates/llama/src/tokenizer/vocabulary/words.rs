//! How text is split into words before BPE merges bytes within them: `tokenizer.ggml.pre` names one of llama.cpp's rules.
//!
//! The regular expressions are those of the models' own tokenizer.json files.

use tokenizers::SplitDelimiterBehavior;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};

use super::{RULE, wrong};
use crate::Result;
use crate::error::refused;

/// A rule, and what else llama.cpp knows by its name.
#[derive(Debug)]
pub struct Words {
    names: &'static [&'static str],
    rule: Rule,
    /// Is a word that is a token that token, whatever the merges would make of it?
    pub whole: bool,
    /// Does a text begin with bos unless the file says otherwise?
    pub begins: bool,
    /// Are characters and their accents composed first (NFC)?
    pub composed: bool,
}

#[derive(Debug)]
enum Rule {
    /// GPT-2's: letters, digits and the rest apart, a space goes with what follows.
    Gpt2,
    /// The same, and every digit is a word.
    Gpt2Digits,
    /// Whatever the expression matches is a word.
    Matches(&'static str),
    /// What llama.cpp does when a file does not say.
    Default,
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";
/// Up to three digits, line breaks stay together.
const LLAMA3: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
/// The same, digit by digit.
const QWEN2: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
/// A capital begins a word.
const TEKKEN: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
/// The same, with up to three digits, and 's and the like at the end of a word.
const GPT4O: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

const fn words(names: &'static [&'static str], rule: Rule) -> Words {
    Words { names, rule, whole: false, begins: false, composed: false }
}

static WORDS: [Words; 8] = [
    words(&["default"], Rule::Default),
    words(&["gpt-2"], Rule::Gpt2),
    words(&["smollm", "starcoder", "refact", "command-r"], Rule::Gpt2Digits),
    Words {
        whole: true,
        begins: true,
        ..words(
            &["llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "midm-2.0"],
            Rule::Matches(LLAMA3),
        )
    },
    words(&["smaug-bpe", "dbrx"], Rule::Matches(LLAMA3)),
    Words {
        composed: true,
        ..words(&["qwen2", "deepseek-r1-qwen", "megrez"], Rule::Matches(QWEN2))
    },
    Words { whole: true, begins: true, ..words(&["tekken"], Rule::Matches(TEKKEN)) },
    words(&["gpt-4o"], Rule::Matches(GPT4O)),
];

impl Words {
    /// By `tokenizer.ggml.pre`.
    pub fn of(name: Option<&str>) -> Result<&'static Self> {
        let name = name.unwrap_or("default");
        match WORDS.iter().find(|words| words.names.contains(&name)) {
            Some(words) => Ok(words),
            None => wrong(format!(
                "tokenizer.ggml.pre {name:?} is unknown: give the Hugging Face folder, whose tokenizer.json says all"
            )),
        }
    }

    pub fn pre_tokenizer(&self) -> Result<PreTokenizerWrapper> {
        let split = |pattern: &str| {
            let pattern = SplitPattern::Regex(pattern.to_owned());
            Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
                .map(PreTokenizerWrapper::from)
                .map_err(refused(RULE))
        };
        let bytes = |words: bool| PreTokenizerWrapper::from(ByteLevel::new(false, true, words));
        let parts = match self.rule {
            Rule::Gpt2 => return Ok(bytes(true)),
            Rule::Gpt2Digits => vec![Digits::new(true).into(), bytes(true)],
            Rule::Matches(pattern) => vec![split(pattern)?, bytes(false)],
            Rule::Default => vec![
                split(r"[\p{P}\$\+<=>\^~\|]+")?,
                split(GPT2)?,
                split(r"\p{N}+")?,
                split("[0-9][0-9][0-9]")?,
                bytes(false),
            ],
        };
        Ok(Sequence::new(parts).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _};

    #[test]
    fn the_readme_has_every_rule() {
        let readme = include_str!("../../../README.md");
        for name in WORDS.iter().flat_map(|words| words.names) {
            assert!(readme.contains(&format!("`{name}`")), "{name}");
        }
    }

    /// As Python's `regex` splits with the expressions of transformers; see `tests/golden/golden.py`.
    #[test]
    fn texts_are_split_as_transformers_splits_them() {
        let text = include_str!("../../../tests/golden/words.json");
        let golden: Value = serde_json::from_str(text).unwrap();
        let texts: Vec<String> = serde_json::from_value(golden["texts"].clone()).unwrap();
        for (name, expected) in golden["words"].as_object().unwrap() {
            let rule = Words::of(Some(name)).unwrap().pre_tokenizer().unwrap();
            for (text, expected) in texts.iter().zip(expected.as_array().unwrap()) {
                let mut split = PreTokenizedString::from(text.as_str());
                rule.pre_tokenize(&mut split).unwrap();
                let splits = split.get_splits(OffsetReferential::Original, OffsetType::Byte);
                let words: Vec<&str> =
                    splits.iter().map(|(_, (from, to), _)| &text[*from..*to]).collect();
                let expected: Vec<&str> = expected
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|word| word.as_str().unwrap())
                    .collect();
                assert_eq!(words, expected, "{name}");
            }
        }
    }
}
