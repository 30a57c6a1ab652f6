//! Values as Python writes them: `str`, `repr` and `json.dumps`.

use std::borrow::Borrow;
use std::fmt::Write;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

use super::data::{self, Sequence};

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
fn number(value: &Value) -> String {
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

/// transformers' filter `tojson`: Python's `json.dumps` with `ensure_ascii=False`.
pub(super) fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<Value> = options.get("indent")?;
    let indent = match indent.filter(|indent| !indent.is_none()) {
        None => None,
        Some(indent) => Some(space(&indent)?),
    };
    let separators: Option<Vec<String>> = options.get("separators")?;
    let [item, key] = match separators.as_deref() {
        None if indent.is_some() => [",", ": "].map(str::to_owned),
        None => [", ", ": "].map(str::to_owned),
        Some([item, key]) => [item.clone(), key.clone()],
        Some(_) => return Err(invalid("tojson: separators are two texts")),
    };
    let json = Json {
        item,
        key,
        indent,
        ensure_ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        sort_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
    };
    options.assert_all_used()?;
    let mut out = String::new();
    json.write(value, 0, &mut out)?;
    Ok(out)
}

struct Json {
    item: String,
    key: String,
    indent: Option<String>,
    ensure_ascii: bool,
    sort_keys: bool,
}

impl Json {
    fn write(&self, value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => {
                let text = number(value);
                let text = text.replace("inf", "Infinity").replace("nan", "NaN");
                out.push_str(&text);
            }
            ValueKind::String => self.write_string(value.as_str().unwrap_or_default(), out),
            ValueKind::Seq | ValueKind::Iterable if !data::is_view(value) => {
                let values: Vec<Value> = value.try_iter()?.collect();
                self.write_items(['[', ']'], values, depth, out, |json, value, out| {
                    json.write(&value, depth + 1, out)
                })?;
            }
            ValueKind::Map => {
                let mut entries = entries(value)?;
                if self.sort_keys {
                    entries.sort_by(|a, b| a.0.cmp(&b.0));
                }
                self.write_items(['{', '}'], entries, depth, out, |json, (key, value), out| {
                    match key.kind() {
                        ValueKind::String => json.write(&key, depth, out)?,
                        _ => json.write(&Value::from(str(&key)?), depth, out)?,
                    }
                    out.push_str(&json.key);
                    json.write(&value, depth + 1, out)
                })?;
            }
            kind => return Err(invalid(&format!("tojson: JSON has no {kind}"))),
        }
        Ok(())
    }

    fn write_items<V>(
        &self,
        [open, close]: [char; 2],
        items: Vec<V>,
        depth: usize,
        out: &mut String,
        write: impl Fn(&Self, V, &mut String) -> Result<(), Error>,
    ) -> Result<(), Error> {
        out.push(open);
        let empty = items.is_empty();
        for (i, item) in items.into_iter().enumerate() {
            if i > 0 {
                out.push_str(&self.item);
            }
            self.new_line(depth + 1, out);
            write(self, item, out)?;
        }
        if !empty {
            self.new_line(depth, out);
        }
        out.push(close);
        Ok(())
    }

    fn new_line(&self, depth: usize, out: &mut String) {
        if let Some(indent) = &self.indent {
            out.push('\n');
            out.push_str(&indent.repeat(depth));
        }
    }

    fn write_string(&self, text: &str, out: &mut String) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                c if c < ' ' || (self.ensure_ascii && c > '~') => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(out, "\\u{unit:04x}");
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
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
