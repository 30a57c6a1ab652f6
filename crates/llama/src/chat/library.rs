//! Python's methods and Jinja2's filters and tests, where `minijinja` has none or does otherwise.

use minijinja::value::{Kwargs, Rest, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::data::{Dict, Kind, Sequence, pair};
use super::python::{self, invalid};
use super::source;

pub(super) fn add(environment: &mut Environment<'_>) {
    environment.set_unknown_method_callback(method);
    // They are not Jinja2's.
    for name in ["bool", "chain", "lines", "split", "zip"] {
        environment.remove_filter(name);
    }
    environment.add_function(source::EACH, each);
    environment
        .add_filter("tojson", |value: &Value, options: Kwargs| python::tojson(value, options));
    environment.add_filter("string", |value: &Value| python::str(value));
    environment.add_filter("attr", attr);
    environment.add_filter("round", round);
    environment.add_filter("items", |map: &Value| match map.kind() {
        ValueKind::Undefined => Ok(Value::from(Vec::<Value>::new())),
        ValueKind::Map => items(map),
        _ => Err(invalid("items: it is no dictionary")),
    });
    environment.add_filter("dictsort", |map: &Value, options: Kwargs| -> Result<Value, Error> {
        let entries = minijinja::filters::dictsort(map, options)?;
        let entry = |entry: Value| -> Result<Value, Error> {
            Ok(pair(entry.get_item(&0.into())?, entry.get_item(&1.into())?))
        };
        entries.try_iter()?.map(entry).collect::<Result<Vec<_>, _>>().map(Value::from)
    });
    environment.add_filter("pprint", |_: &Value| -> Result<Value, Error> {
        Err(invalid("the filter pprint is not supported"))
    });
    environment.add_filter("indent", indent);
    environment.add_filter("wordcount", |text: &str| words(text).count());
    environment.add_filter("capitalize", |text: &str| capitalised(text));
    environment.add_filter("title", |text: &str| {
        text.split_inclusive(|c: char| c.is_whitespace() || "-({[<".contains(c))
            .map(capitalised)
            .collect::<String>()
    });
    environment.add_filter("center", |text: &str, width: Option<usize>| {
        padded(text, width.unwrap_or(80), ' ', Side::Both)
    });
    // In Python a text and a dictionary have a length and items, and True is a whole number.
    environment.add_test("sequence", |value: &Value| {
        matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::String)
    });
    environment.add_test("number", |value: &Value| {
        matches!(value.kind(), ValueKind::Number | ValueKind::Bool)
    });
    environment.add_test("callable", |value: &Value| value.kind() == ValueKind::Plain);
}

/// A method of a text, a list or a dictionary.
fn method(
    state: &State<'_, '_>,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let found = match value.kind() {
        ValueKind::String => text_method(value.as_str().unwrap_or_default(), name, args)?,
        ValueKind::Seq => list_method(value, name, args)?,
        ValueKind::Map => map_method(value, name, args)?,
        _ => None,
    };
    match found {
        Some(value) => Ok(value),
        None => minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args),
    }
}

fn map_method(map: &Value, name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let all = |take: fn((Value, Value)) -> Value, view| -> Result<Option<Value>, Error> {
        let () = from_args(args)?;
        let values = python::entries(map)?.into_iter().map(take).collect();
        Ok(Some(Sequence::value(Kind::View(view), values)))
    };
    match name {
        "items" => all(|(key, value)| pair(key, value), "dict_items"),
        "keys" => all(|(key, _)| key, "dict_keys"),
        "values" => all(|(_, value)| value, "dict_values"),
        "copy" => Ok(Some(map.clone())),
        _ => Ok(None),
    }
}

fn items(map: &Value) -> Result<Value, Error> {
    let entries = python::entries(map)?.into_iter().map(|(key, value)| pair(key, value));
    Ok(Sequence::value(Kind::List, entries.collect()))
}

/// What a loop goes through, with an end that is known.
fn each(values: &Value) -> Result<Value, Error> {
    match values.kind() {
        ValueKind::None => Err(invalid("None is no list to go through")),
        ValueKind::String => {
            let text = values.as_str().unwrap_or_default();
            Ok(text.chars().map(String::from).map(Value::from).collect())
        }
        ValueKind::Iterable => Ok(Value::from(values.try_iter()?.collect::<Vec<_>>())),
        _ => Ok(values.clone()),
    }
}

/// Jinja2's `round`: a tie goes to the even digit, as Python rounds.
fn round(value: f64, precision: Option<i32>, method: Option<&str>) -> Result<f64, Error> {
    let precision = precision.unwrap_or(0);
    let power = 10_f64.powi(precision);
    match (method.unwrap_or("common"), usize::try_from(precision)) {
        ("common", Ok(digits)) => Ok(format!("{value:.digits$}").parse().unwrap_or(value)),
        ("ceil", _) => Ok((value * power).ceil() / power),
        ("floor", _) => Ok((value * power).floor() / power),
        _ => Err(invalid("round: this method and precision are not supported")),
    }
}

fn list_method(list: &Value, name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    Ok(match name {
        "index" => {
            let (item,): (&Value,) = from_args(args)?;
            let place = list.try_iter()?.position(|other| other == *item);
            Some(place.map(Value::from).ok_or_else(|| invalid("index: it is not in the list"))?)
        }
        "copy" => Some(list.clone()),
        _ => None,
    })
}

/// Python's `str` methods that `minijinja-contrib` lacks, or has with other results (it counts bytes, and takes an empty
/// text for a number).
fn text_method(text: &str, name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
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
        Ok(Value::from(padded(text, width, fill.unwrap_or(' '), side)))
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
            Value::from(format!("{sign}{}", padded(digits, width, '0', Side::Left)))
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
enum Side {
    Left,
    Right,
    Both,
}

/// A text filled up to `width` characters at one side, or at both as Python's `str.center` does.
fn padded(text: &str, width: usize, fill: char, side: Side) -> String {
    let missing = width.saturating_sub(text.chars().count());
    let left = match side {
        Side::Left => missing,
        Side::Right => 0,
        Side::Both => missing / 2 + (missing & width & 1),
    };
    let fill = |count: usize| fill.to_string().repeat(count);
    format!("{}{text}{}", fill(left), fill(missing - left))
}

fn capitalised(text: &str) -> String {
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

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

/// Jinja2's `attr` sees attributes only, of which a dictionary has none.
fn attr(value: &Value, _name: &str) -> Result<Value, Error> {
    match value.downcast_object_ref::<Dict>() {
        Some(_) => Ok(Value::UNDEFINED),
        None => {
            Err(invalid("the filter attr is supported for the conversation's dictionaries only"))
        }
    }
}

/// Jinja2's `indent`.
fn indent(text: &str, args: Rest<Value>, options: Kwargs) -> Result<String, Error> {
    let argument = |place: usize, name: &str| -> Result<Option<Value>, Error> {
        Ok(match args.get(place) {
            Some(value) => Some(value.clone()),
            None => options.get(name)?,
        })
    };
    let width = argument(0, "width")?;
    let first = argument(1, "first")?.is_some_and(|first| first.is_true());
    let blank = argument(2, "blank")?.is_some_and(|blank| blank.is_true());
    options.assert_all_used()?;
    let space = match width {
        None => " ".repeat(4),
        Some(width) => match (width.as_usize(), width.as_str()) {
            (Some(width), _) => " ".repeat(width),
            (None, Some(text)) => text.to_owned(),
            _ => {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    "indent: width is neither a number nor a text",
                ));
            }
        },
    };
    let mut out = String::new();
    for (i, line) in text.split('\n').enumerate() {
        if i > 0 {
            out.push('\n');
        }
        if if i == 0 { first } else { blank || !line.is_empty() } {
            out.push_str(&space);
        }
        out.push_str(line);
    }
    Ok(out)
}
