//! Where the model and its words come from: the embedded tiny model, or one on disk or on the hub.

use adapter::Real;
use anyhow::{Context, Result, bail};
use llama::data::{self, Example};
use llama::{Llama, tiny};
use methods::Base;

/// A model and what turns text into its tokens.
pub struct Source<T> {
    pub model: Llama<T>,
    pub words: Words,
    /// The model's name and the files beside its weights.
    pub base: Base,
}

/// Text to tokens and back.
pub enum Words {
    /// The embedded model's: digits and `>`.
    Digits,
    /// The model's own tokenizer.
    #[cfg(feature = "tokenizer")]
    Tokenizer(Box<llama::Tokenizer>),
    /// The checkpoint has none, or this program was built without the `tokenizer` feature.
    None,
}

impl<T: Real> Source<T> {
    /// Load `--model`, or the embedded model when there is none.
    pub fn load(model: Option<&str>) -> Result<Self> {
        let Some(model) = model else {
            let base = Base { name: None, files: tiny::files() };
            return Ok(Self { model: tiny::model()?, words: Words::Digits, base });
        };
        let checkpoint = llama::load::load::<T>(model)?;
        let base = Base { name: Some(model.to_owned()), files: checkpoint.files()? };
        #[cfg(feature = "tokenizer")]
        let words = match checkpoint.tokenizer {
            Some(tokenizer) => Words::Tokenizer(Box::new(tokenizer)),
            None => Words::None,
        };
        #[cfg(not(feature = "tokenizer"))]
        let words = Words::None;
        Ok(Self { model: checkpoint.model, words, base })
    }
}

impl Words {
    /// The tokens of a plain text, with those that the tokenizer puts around every text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        match self {
            #[cfg(feature = "tokenizer")]
            Self::Tokenizer(tokenizer) => Ok(tokenizer.encode_with_special(text)?),
            _ => self.encode_part(text),
        }
    }

    /// The tokens of a text that is a part of another, or has all its special tokens written out.
    fn encode_part(&self, text: &str) -> Result<Vec<u32>> {
        match self {
            Self::Digits => Ok(tiny::encode(text)?),
            #[cfg(feature = "tokenizer")]
            Self::Tokenizer(tokenizer) => Ok(tokenizer.encode(text)?),
            Self::None => bail!("{NO_TOKENIZER}"),
        }
    }

    /// The text of tokens.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        match self {
            Self::Digits => Ok(tiny::decode(tokens)),
            #[cfg(feature = "tokenizer")]
            Self::Tokenizer(tokenizer) => Ok(tokenizer.decode(tokens)?),
            Self::None => bail!("{NO_TOKENIZER}"),
        }
    }

    /// A prompt as the model expects it: in its chat template, when it has one.
    pub fn prompt(&self, prompt: &str) -> Result<Vec<u32>> {
        match self {
            #[cfg(feature = "tokenizer")]
            Self::Tokenizer(tokenizer) => match tokenizer.chat(prompt, None)? {
                Some(text) => self.encode_part(&text),
                None => self.encode(prompt),
            },
            _ => self.encode(prompt),
        }
    }

    /// A prompt and its completion, in the chat template when there is one; else simply one after the other.
    fn example(&self, row: &data::Row) -> Result<Example> {
        let prompt = self.prompt(&row.prompt)?;
        let whole = match self {
            #[cfg(feature = "tokenizer")]
            Self::Tokenizer(tokenizer) => {
                match tokenizer.chat(&row.prompt, Some(&row.completion))? {
                    Some(text) => self.encode_part(&text)?,
                    None => self.plain(row)?,
                }
            }
            _ => self.plain(row)?,
        };
        if !whole.starts_with(&prompt) {
            bail!(
                "the tokens of the prompt change when the completion {:?} follows it",
                row.completion
            );
        }
        Ok(Example { tokens: whole, prompt: prompt.len() })
    }

    /// Tokenised apart, so that no token spans the border, and closed with the end-of-text token if there is one.
    fn plain(&self, row: &data::Row) -> Result<Vec<u32>> {
        let mut tokens = self.encode(&row.prompt)?;
        tokens.extend(self.encode_part(&row.completion)?);
        #[cfg(feature = "tokenizer")]
        if let Self::Tokenizer(tokenizer) = self {
            tokens.extend(tokenizer.eos());
        }
        Ok(tokens)
    }

    /// The tokens that end a text.
    pub fn stop(&self) -> Vec<u32> {
        match self {
            #[cfg(feature = "tokenizer")]
            Self::Tokenizer(tokenizer) => tokenizer.stops().collect(),
            _ => Vec::new(),
        }
    }

    /// Examples from a `.txt` (blocks of `length` tokens) or a `.jsonl` file (prompts and completions). What is left out
    /// is said on standard error.
    pub fn examples(&self, path: &std::path::Path, length: usize) -> Result<Vec<Example>> {
        let name = path.display();
        let bytes = std::fs::read(path).with_context(|| format!("{name}"))?;
        let text = String::from_utf8(bytes)
            .map_err(|error| anyhow::anyhow!("{name}: not UTF-8 text: {error}"))?;
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("txt") => {
                let tokens = self.encode(&text)?;
                let (blocks, rest) =
                    data::blocks(&tokens, length).with_context(|| format!("{name}"))?;
                if rest > 0 {
                    eprintln!(
                        "note: {name}: the last {rest} tokens do not fill a block of {length} and are dropped"
                    );
                }
                Ok(blocks)
            }
            Some("jsonl") => {
                let rows = data::rows(&text).with_context(|| format!("{name}"))?;
                if rows.is_empty() {
                    bail!("{name} is empty: give lines of {{\"prompt\": …, \"completion\": …}}");
                }
                let examples: Result<_> = rows.iter().map(|row| self.example(row)).collect();
                examples.with_context(|| format!("{name}"))
            }
            _ => bail!("{name}: training data ends in .txt or .jsonl"),
        }
    }
}

const NO_TOKENIZER: &str = "this model has no tokenizer: give a folder with a tokenizer.json or a .gguf file, and a \
     lowrank built with its `tokenizer` feature";
