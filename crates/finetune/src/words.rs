//! Text to tokens and back, as a model reads and writes.

use std::ops::Range;

use llama::tiny;
use serde_json::{Map, Value, json};

use crate::{Error, Result};

/// Text to tokens and back.
#[derive(Clone, Debug)]
pub enum Words {
    /// The embedded model's: digits and `>`.
    Digits,
    /// The model's own tokenizer.
    #[cfg(feature = "tokenizer")]
    Tokenizer(Box<llama::Tokenizer>),
    /// The checkpoint has none, or this program was built without the `tokenizer` feature.
    None,
}

/// A conversation as the model reads it.
pub(crate) struct Rendered {
    pub text: String,
    /// Where the template says that the assistant speaks, in bytes; empty if it does not say.
    pub generated: Vec<Range<usize>>,
}

impl Words {
    /// The tokens of a plain text, with those that the tokenizer puts around every text.
    ///
    /// # Errors
    /// There is no tokenizer, or it cannot represent the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        match self {
            #[cfg(feature = "tokenizer")]
            Self::Tokenizer(tokenizer) => Ok(tokenizer.encode_with_special(text)?),
            _ => self.encode_open(text),
        }
    }

    /// The tokens of a text that will go on, with those that begin every text.
    ///
    /// # Errors
    /// There is no tokenizer, or it cannot represent the text.
    pub fn encode_open(&self, text: &str) -> Result<Vec<u32>> {
        match self {
            Self::Digits => Ok(tiny::encode(text)?),
            #[cfg(feature = "tokenizer")]
            Self::Tokenizer(tokenizer) => Ok(tokenizer.encode_open(text)?),
            Self::None => Err(no_tokenizer()),
        }
    }

    /// The tokens of a whole text, with those that begin and end every text, each of them once.
    ///
    /// # Errors
    /// There is no tokenizer, or it cannot represent the text.
    pub fn encode_closed(&self, text: &str) -> Result<Vec<u32>> {
        match self {
            #[cfg(feature = "tokenizer")]
            Self::Tokenizer(tokenizer) => Ok(tokenizer.encode_closed(text)?),
            _ => self.encode_open(text),
        }
    }

    /// The text of tokens.
    ///
    /// # Errors
    /// There is no tokenizer, or its decoder fails.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        match self {
            Self::Digits => Ok(tiny::decode(tokens)),
            #[cfg(feature = "tokenizer")]
            Self::Tokenizer(tokenizer) => Ok(tokenizer.decode(tokens)?),
            Self::None => Err(no_tokenizer()),
        }
    }

    /// A prompt as the model expects it: in its chat template, when it has one.
    ///
    /// # Errors
    /// There is no tokenizer; the template refuses the conversation; or there is a system prompt and no template.
    pub fn prompt(&self, system: Option<&str>, prompt: &str) -> Result<Vec<u32>> {
        match (self.has_template(), system) {
            (true, _) => {}
            (false, None) => return self.encode_open(prompt),
            (false, Some(_)) => return Err(no_template("a system prompt")),
        }
        let turn = |role: &str, content: &str| json!({"role": role, "content": content});
        let system = system.map(|text| turn("system", text));
        let messages: Vec<Value> = system.into_iter().chain([turn("user", prompt)]).collect();
        Ok(self.encode_rendered(&self.render(&messages, true, &Map::new())?.text)?.0)
    }

    /// Messages in the model's chat template, to their end or up to where the model answers. `more` are other variables of
    /// the template.
    ///
    /// # Errors
    /// The model has no template, or it refuses the conversation.
    #[cfg_attr(not(feature = "tokenizer"), expect(unused_variables))]
    pub(crate) fn render(
        &self,
        messages: &[Value],
        add_generation_prompt: bool,
        more: &Map<String, Value>,
    ) -> Result<Rendered> {
        let rendered: Option<Rendered> = match self {
            #[cfg(feature = "tokenizer")]
            Self::Tokenizer(tokenizer) => {
                let rendered = tokenizer.render(messages, add_generation_prompt, more)?;
                rendered.map(|llama::Rendered { text, generated }| Rendered { text, generated })
            }
            _ => None,
        };
        rendered.ok_or_else(|| no_template("a conversation"))
    }

    /// The tokens of a text that has all its special tokens written out, and which of its bytes each of them stands for.
    ///
    /// # Errors
    /// There is no tokenizer, or it cannot represent the text.
    #[cfg_attr(not(feature = "tokenizer"), expect(unused_variables))]
    pub(crate) fn encode_rendered(&self, text: &str) -> Result<(Vec<u32>, Vec<Range<usize>>)> {
        match self {
            #[cfg(feature = "tokenizer")]
            Self::Tokenizer(tokenizer) => Ok(tokenizer.encode_with_places(text)?),
            _ => Err(no_tokenizer()),
        }
    }

    /// Does the model have a chat template?
    pub fn has_template(&self) -> bool {
        match self {
            #[cfg(feature = "tokenizer")]
            Self::Tokenizer(tokenizer) => tokenizer.has_template(),
            _ => false,
        }
    }

    /// Let a chat template that asks for today's date have this one, as in 2024-07-26.
    ///
    /// # Errors
    /// It is no such date.
    pub fn set_date(&mut self, date: &str) -> Result<()> {
        match self {
            #[cfg(feature = "tokenizer")]
            Self::Tokenizer(tokenizer) if tokenizer.has_template() => Ok(tokenizer.set_date(date)?),
            _ => Err(no_template(&format!("the date {date}"))),
        }
    }

    /// The tokens that end a text.
    pub fn stop(&self) -> Vec<u32> {
        match self {
            #[cfg(feature = "tokenizer")]
            Self::Tokenizer(tokenizer) => tokenizer.stops().collect(),
            _ => Vec::new(),
        }
    }
}

/// What a model without a chat template has no place for.
fn no_template(what: &str) -> Error {
    Error::Option(format!(
        "{what} needs a chat template, and the model has none: take an instruct model, or put a chat_template.jinja into \
         its folder"
    ))
}

fn no_tokenizer() -> Error {
    Error::Option(
        "this model has no tokenizer: give a folder with a tokenizer.json or a .gguf file, and a lowrank built with its \
         `tokenizer` feature"
            .into(),
    )
}
