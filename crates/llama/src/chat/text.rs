//! Python's methods of texts.

use minijinja::value::from_args;
use minijinja::{Error, Value};

use super::python::{Kind, Sequence, check_width, invalid};

/// Python's `str` methods that `minijinja-contrib` lacks, or has with other results (it counts bytes, and takes an empty
/// text for a number).
pub(super) fn method(text: &str, name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let all = |test: fn(char) -> bool| -> Result<Value, Error> {
        let () = from_args(args)?;
        Ok(Value::from(!text.is_empty() && text.chars().all(test)))
    };
    // Cased letters are all of one case, and there is one.
    let cased = |wrong: fn(&char) -> bool, right: fn(&char) -> bool| -> Result<Value, Error> {
        let () = from_args(args)?;
        Ok(Value::from(!text.chars().any(|c| wrong(&c)) && text.chars().any(|c| right(&c))))
    };
    let pad = |side: Side| -> Result<Value, Error> {
        let (width, fill): (usize, Option<char>) = from_args(args)?;
        Ok(Value::from(padded(text, width, fill.unwrap_or(' '), side)?))
    };
    let place = |found: Option<usize>| found.map(|byte| text[..byte].chars().count());
    Ok(Some(match name {
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            Value::from(text.strip_prefix(prefix).unwrap_or(text))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            Value::from(text.strip_suffix(suffix).unwrap_or(text))
        }
        "partition" => {
            let (separator,): (&str,) = from_args(args)?;
            let (left, right) = text.split_once(not_empty(separator)?).unzip();
            let middle = if left.is_some() { separator } else { "" };
            texts(Kind::Tuple, [left.unwrap_or(text), middle, right.unwrap_or("")])
        }
        "rpartition" => {
            let (separator,): (&str,) = from_args(args)?;
            let (left, right) = text.rsplit_once(not_empty(separator)?).unzip();
            let middle = if left.is_some() { separator } else { "" };
            texts(Kind::Tuple, [left.unwrap_or(""), middle, right.unwrap_or(text)])
        }
        "rsplit" => {
            let (separator, most): (Option<&str>, Option<i64>) = from_args(args)?;
            let Some(separator) = separator else {
                return Err(invalid("rsplit without a separator is not supported"));
            };
            let most = usize::try_from(most.unwrap_or(-1)).map_or(usize::MAX, |most| most + 1);
            let mut parts: Vec<&str> = text.rsplitn(most, not_empty(separator)?).collect();
            parts.reverse();
            texts(Kind::List, parts)
        }
        "zfill" => {
            let (width,): (usize,) = from_args(args)?;
            let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
            let sign = &text[..text.len() - digits.len()];
            let width = width.saturating_sub(sign.len());
            Value::from(format!("{sign}{}", padded(digits, width, '0', Side::Left)?))
        }
        "ljust" => pad(Side::Right)?,
        "rjust" => pad(Side::Left)?,
        "center" => pad(Side::Both)?,
        "swapcase" => {
            let () = from_args(args)?;
            let swap = |c: char| -> String {
                if c.is_uppercase() {
                    c.to_lowercase().collect()
                } else {
                    c.to_uppercase().collect()
                }
            };
            Value::from(text.chars().map(swap).collect::<String>())
        }
        "capitalize" => {
            let () = from_args(args)?;
            Value::from(capitalised(text))
        }
        "title" => {
            let () = from_args(args)?;
            Value::from(titled(text))
        }
        "find" | "index" => {
            let (part,): (&str,) = from_args(args)?;
            found(name, place(text.find(part)))?
        }
        "rfind" | "rindex" => {
            let (part,): (&str,) = from_args(args)?;
            found(name, place(text.rfind(part)))?
        }
        "count" => {
            let (part,): (&str,) = from_args(args)?;
            Value::from(text.matches(part).count())
        }
        "isdigit" | "isdecimal" => {
            // Which of the other numerals are digits, Rust does not say.
            match text.chars().find(|c| !c.is_ascii() && c.is_numeric()) {
                Some(c) => return Err(invalid(&format!("{name} of {c:?} is not supported"))),
                None => all(|c| c.is_ascii_digit())?,
            }
        }
        "isnumeric" => all(char::is_numeric)?,
        "isalpha" => all(char::is_alphabetic)?,
        "isalnum" => all(char::is_alphanumeric)?,
        "isspace" => all(char::is_whitespace)?,
        "islower" => cased(|c| c.is_uppercase(), |c| c.is_lowercase())?,
        "isupper" => cased(|c| c.is_lowercase(), |c| c.is_uppercase())?,
        _ => return Ok(None),
    }))
}

fn texts<'a>(kind: Kind, parts: impl IntoIterator<Item = &'a str>) -> Value {
    Sequence::value(kind, parts.into_iter().map(Value::from).collect())
}

/// Where something is; `find` says −1 for nowhere, and `index` refuses.
fn found(name: &str, place: Option<usize>) -> Result<Value, Error> {
    match place {
        Some(place) => Ok(Value::from(place)),
        None if name.ends_with("find") => Ok(Value::from(-1)),
        None => Err(invalid("index: it is not in the text")),
    }
}

fn not_empty(separator: &str) -> Result<&str, Error> {
    if separator.is_empty() { Err(invalid("the separator is empty")) } else { Ok(separator) }
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Side {
    Left,
    Right,
    Both,
}

/// A text filled up to `width` characters at one side, or at both as Python's `str.center` does.
pub(super) fn padded(text: &str, width: usize, fill: char, side: Side) -> Result<String, Error> {
    check_width(width)?;
    let missing = width.saturating_sub(text.chars().count());
    let left = match side {
        Side::Left => missing,
        Side::Right => 0,
        Side::Both => missing / 2 + (missing & width & 1),
    };
    let fill = |count: usize| fill.to_string().repeat(count);
    Ok(format!("{}{text}{}", fill(left), fill(missing - left)))
}

pub(super) fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters.as_str().to_lowercase().chars()).collect()
}

/// Python's `str.title`: a letter after no letter is a capital.
fn titled(text: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase())
        } else {
            out.extend(c.to_uppercase())
        }
        inside = c.is_alphabetic();
    }
    out
}

pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}
