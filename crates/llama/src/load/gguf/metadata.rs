//! Metadata by key, each value of the type that it must have.

use std::collections::BTreeMap;
#[cfg(feature = "tokenizer")]
use std::io::{Seek, SeekFrom};

#[cfg(feature = "tokenizer")]
use super::Gguf;
use super::problem::{Outcome, wrong};
use super::source::Value;
#[cfg(feature = "tokenizer")]
use super::source::{STRING, kind_name};

/// What a file says of itself.
#[derive(Default)]
pub struct Metadata(pub BTreeMap<String, Value>);

impl Metadata {
    pub fn optional_size(&self, key: &str) -> Outcome<Option<usize>> {
        match self.0.get(key) {
            None => Ok(None),
            Some(&Value::Whole(size)) if usize::try_from(size).is_ok() => Ok(Some(size as usize)),
            Some(Value::Array { .. }) => {
                wrong(format!("{key} differs by layer: all layers of a Llama have the same"))
            }
            Some(other) => wrong(format!("{key} is {other}: it must be a whole number")),
        }
    }

    pub fn float(&self, key: &str) -> Outcome<Option<f64>> {
        match self.0.get(key) {
            None => Ok(None),
            Some(&Value::Float(value)) => Ok(Some(value)),
            Some(other) => wrong(format!("{key} is {other}: it must be a float")),
        }
    }

    pub fn text(&self, key: &str) -> Outcome<Option<String>> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text.clone())),
            Some(other) => wrong(format!("{key} is {other}: it must be a text")),
        }
    }

    #[cfg(feature = "tokenizer")]
    pub fn flag(&self, key: &str) -> Outcome<Option<bool>> {
        match self.0.get(key) {
            None => Ok(None),
            Some(&Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => wrong(format!("{key} is {other}: it must be true or false")),
        }
    }
}

/// Arrays are still in the file.
#[cfg(feature = "tokenizer")]
impl Gguf {
    pub fn strings(&mut self, key: &str) -> Outcome<Option<Vec<String>>> {
        let Some((kind, count)) = self.seek_array(key)? else {
            return Ok(None);
        };
        if kind != STRING {
            return wrong(format!(
                "{key} is an array of {}: it must hold strings",
                kind_name(kind)
            ));
        }
        let mut strings = Vec::new();
        for _ in 0..count {
            strings.push(self.parts[0].source.string()?);
        }
        Ok(Some(strings))
    }

    pub fn numbers(&mut self, key: &str) -> Outcome<Option<Vec<f64>>> {
        let Some((kind, count)) = self.seek_array(key)? else {
            return Ok(None);
        };
        let mut numbers = Vec::new();
        for _ in 0..count {
            numbers.push(match self.parts[0].source.value(kind)? {
                Value::Whole(value) => value as f64,
                Value::Float(value) => value,
                _ => {
                    return wrong(format!(
                        "{key} is an array of {}: it must hold numbers",
                        kind_name(kind)
                    ));
                }
            });
        }
        Ok(Some(numbers))
    }

    fn seek_array(&mut self, key: &str) -> Outcome<Option<(u32, u64)>> {
        match self.metadata.0.get(key) {
            None => Ok(None),
            Some(&Value::Array { kind, count, at }) => {
                self.parts[0].source.reader.seek(SeekFrom::Start(at))?;
                self.parts[0].source.at = at;
                Ok(Some((kind, count)))
            }
            Some(other) => wrong(format!("{key} is {other}: it must be an array")),
        }
    }
}
