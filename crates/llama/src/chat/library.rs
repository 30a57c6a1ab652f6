//! Python's methods and Jinja2's filters and tests, where `minijinja` has none or does otherwise.

use minijinja::value::{Kwargs, Rest, ValueKind, from_args};
use minijinja::{Environment, Error, State, Value};

use super::python::{self, Dict, Kind, Sequence, invalid, pair};
use super::source;
use super::text::{self, Side};
use super::tojson::tojson;

pub(super) fn add(environment: &mut Environment<'_>) {
    environment.set_unknown_method_callback(method);
    // They are not Jinja2's.
    for name in ["bool", "chain", "lines", "split", "zip"] {
        environment.remove_filter(name);
    }
    environment.add_function(source::EACH, each);
    environment.add_filter("tojson", |value: &Value, options: Kwargs| tojson(value, options));
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
    environment.add_filter("wordcount", |text: &str| text::words(text).count());
    environment.add_filter("capitalize", |text: &str| text::capitalised(text));
    environment.add_filter("title", |text: &str| {
        text.split_inclusive(|c: char| c.is_whitespace() || "-({[<".contains(c))
            .map(text::capitalised)
            .collect::<String>()
    });
    environment.add_filter("center", |text: &str, width: Option<usize>| {
        text::padded(text, width.unwrap_or(80), ' ', Side::Both)
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
        ValueKind::String => text::method(value.as_str().unwrap_or_default(), name, args)?,
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
        // Below the 300th digit an f64 has none.
        ("common", Ok(digits)) if digits <= 300 => {
            Ok(format!("{value:.digits$}").parse().unwrap_or(value))
        }
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
    let space = width.map_or_else(|| Ok(" ".repeat(4)), |width| python::space(&width))?;
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
