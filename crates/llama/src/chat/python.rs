//! Values as Python has them and writes them: its sequences and dictionaries, `str` and `repr`.

use std::borrow::Borrow;
use std::fmt::{self, Write};
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};
use minijinja::{Error, ErrorKind, Value};

/// A list of a conversation, or another of Python's sequences that prints differently.
#[derive(Debug)]
pub(super) struct Sequence {
    kind: Kind,
    items: Vec<Value>,
}

/// What a sequence is in Python.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// `[1, 2]`
    List,
    /// `(1, 2)`
    Tuple,
    /// What a method of a dictionary returns, by its name: `dict_keys([1, 2])`.
    View(&'static str),
}

impl Sequence {
    pub fn value(kind: Kind, items: Vec<Value>) -> Value {
        Value::from_object(Self { kind, items })
    }

    /// Python's `repr`.
    pub fn written(&self) -> Result<String, Error> {
        let list = repr_list(self.items.iter())?;
        Ok(match self.kind {
            Kind::List => list,
            Kind::Tuple if self.items.len() == 1 => format!("({},)", &list[1..list.len() - 1]),
            Kind::Tuple => format!("({})", &list[1..list.len() - 1]),
            Kind::View(name) => format!("{name}({list})"),
        })
    }
}

/// Is it what a method of a dictionary returns, which Python's JSON does not write?
pub(super) fn is_view(value: &Value) -> bool {
    let sequence = value.downcast_object_ref::<Sequence>();
    sequence.is_some_and(|sequence| matches!(sequence.kind, Kind::View(_)))
}

/// A key and its value.
pub(super) fn pair(key: Value, value: Value) -> Value {
    Sequence::value(Kind::Tuple, vec![key, value])
}

/// A dictionary of a conversation, in its own order.
#[derive(Debug)]
pub(super) struct Dict(pub Vec<(Value, Value)>);

/// What `{{ value }}` prints.
pub(super) fn str(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Undefined => Ok(String::new()),
        ValueKind::String => Ok(value.to_string()),
        _ => repr(value),
    }
}

/// Python's `repr`.
pub(super) fn repr(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Undefined => Ok("Undefined".to_owned()),
        ValueKind::None => Ok("None".to_owned()),
        ValueKind::Bool => Ok(if value.is_true() { "True" } else { "False" }.to_owned()),
        ValueKind::Number => Ok(number(value)),
        ValueKind::String => Ok(quoted(value.as_str().unwrap_or_default())),
        ValueKind::Seq => match value.downcast_object_ref::<Sequence>() {
            Some(sequence) => sequence.written(),
            None => repr_list(value.try_iter()?),
        },
        ValueKind::Map => repr_dict(entries(value)?),
        // Python prints where in memory it is.
        _ => Err(invalid("this value has no text: an iterator needs |list before it is printed")),
    }
}

pub(super) fn repr_list<V: Borrow<Value>>(
    values: impl Iterator<Item = V>,
) -> Result<String, Error> {
    let parts: Vec<String> = values.map(|value| repr(value.borrow())).collect::<Result<_, _>>()?;
    Ok(format!("[{}]", parts.join(", ")))
}

pub(super) fn repr_dict<V: Borrow<Value>>(
    entries: impl IntoIterator<Item = (V, V)>,
) -> Result<String, Error> {
    let entry =
        |(key, value): (V, V)| Ok(format!("{}: {}", repr(key.borrow())?, repr(value.borrow())?));
    let parts: Vec<String> = entries.into_iter().map(entry).collect::<Result<_, Error>>()?;
    Ok(format!("{{{}}}", parts.join(", ")))
}

pub(super) fn entries(map: &Value) -> Result<Vec<(Value, Value)>, Error> {
    map.try_iter()?.map(|key| Ok((key.clone(), map.get_item(&key)?))).collect()
}

/// A whole number, or the shortest decimal that reads back as the same f64.
pub(super) fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    let text = format!("{:?}", f64::try_from(value.clone()).unwrap_or(f64::NAN));
    match text.split_once('e') {
        // Python writes the sign of an exponent, and two digits.
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text.replace("NaN", "nan"),
    }
}

fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            // Rust and Python find the same characters printable. The letter before it is there since Rust would not
            // print an accent alone.
            c if c > '\u{7f}' && format!("{:?}", format!("a{c}")) == format!("\"a{c}\"") => {
                out.push(c)
            }
            c => push_escaped(&mut out, c),
        }
    }
    out.push(quote);
    out
}

fn push_escaped(out: &mut String, c: char) {
    let _ = match u32::from(c) {
        code @ ..=0xff => write!(out, "\\x{code:02x}"),
        code @ ..=0xffff => write!(out, "\\u{code:04x}"),
        code => write!(out, "\\U{code:08x}"),
    };
}

impl Object for Sequence {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.items.get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.items.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written().map_err(|_| fmt::Error)?)
    }
}

impl Object for Dict {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.iter().map(|(key, _)| key.clone()).collect())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.0.iter().map(|(key, value)| (key, value));
        f.write_str(&repr_dict(entries).map_err(|_| fmt::Error)?)
    }
}

/// An indentation: a number of spaces, or a text.
pub(super) fn space(indent: &Value) -> Result<String, Error> {
    match (indent.as_usize(), indent.as_str()) {
        (Some(width), _) => {
            check_width(width)?;
            Ok(" ".repeat(width))
        }
        (None, Some(text)) => Ok(text.to_owned()),
        _ => Err(invalid("an indentation is a number or a text")),
    }
}

/// A template comes with a model: it must not be able to fill the memory.
pub(super) fn check_width(width: usize) -> Result<(), Error> {
    match width {
        ..=100_000 => Ok(()),
        _ => Err(invalid("a width of more than 100,000 characters is not supported")),
    }
}

pub(super) fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, what.to_owned())
}
