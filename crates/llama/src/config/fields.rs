//! The fields of a JSON object, each read as what it must be.

use serde_json::{Map, Value};

use crate::{Error, Result};

/// The fields of a `config.json`; `null` is the same as not there.
#[derive(Clone, Copy)]
pub struct Fields<'a>(pub &'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Is it there, and is it `null`?
    pub fn is_null(self, name: &str) -> bool {
        self.0.get(name).is_some_and(Value::is_null)
    }

    pub fn optional_size(self, name: &str) -> Result<Option<usize>> {
        self.read(name, "a whole number", whole)
    }

    pub fn size(self, name: &str) -> Result<usize> {
        self.optional_size(name)?.ok_or_else(|| Error::Config(format!("{name} is missing")))
    }

    /// `None` where it is `null`; `absent` where it is not there.
    pub fn size_or(self, name: &str, absent: Option<usize>) -> Result<Option<usize>> {
        let absent = if self.is_null(name) { None } else { absent };
        Ok(self.optional_size(name)?.or(absent))
    }

    pub fn number(self, name: &str) -> Result<Option<f64>> {
        self.read(name, "a number", Value::as_f64)
    }

    /// `None` where it is `null`; `absent` where it is not there.
    pub fn number_or(self, name: &str, absent: f64) -> Result<Option<f64>> {
        let absent = Some(absent).filter(|_| !self.is_null(name));
        Ok(self.number(name)?.or(absent))
    }

    pub fn flag(self, name: &str, absent: bool) -> Result<bool> {
        Ok(self.read(name, "true or false", Value::as_bool)?.unwrap_or(absent))
    }

    pub fn text(self, name: &str) -> Result<Option<&'a str>> {
        self.read(name, "a text", Value::as_str)
    }

    pub fn texts(self, name: &str) -> Result<Option<Vec<&'a str>>> {
        let texts = |value: &'a Value| value.as_array()?.iter().map(Value::as_str).collect();
        self.read(name, "a list of texts", texts)
    }

    pub fn sizes(self, name: &str) -> Result<Option<Vec<usize>>> {
        let sizes = |value: &Value| value.as_array()?.iter().map(whole).collect();
        self.read(name, "a list of whole numbers", sizes)
    }

    pub fn numbers(self, name: &str) -> Result<Option<Vec<f64>>> {
        let numbers = |value: &Value| value.as_array()?.iter().map(Value::as_f64).collect();
        self.read(name, "a list of numbers", numbers)
    }

    pub fn object(self, name: &str) -> Result<Option<&'a Map<String, Value>>> {
        self.read(name, "an object", Value::as_object)
    }

    fn read<V>(
        self,
        name: &str,
        kind: &str,
        convert: impl FnOnce(&'a Value) -> Option<V>,
    ) -> Result<Option<V>> {
        let wrong = |value| Error::Config(format!("{name} is {value}: it must be {kind}"));
        let read = |value| convert(value).ok_or_else(|| wrong(value));
        self.get(name).map(read).transpose()
    }
}

fn whole(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|size| usize::try_from(size).ok())
}
