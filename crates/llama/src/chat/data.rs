//! JSON as the values of a template: lists and dictionaries that print as Python's do, wherever they are printed.

use std::fmt;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr};
use serde_json::{Map, Value as Json};

use super::python;

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
    pub fn written(&self) -> Result<String, minijinja::Error> {
        let list = python::repr_list(self.items.iter())?;
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
pub(super) struct Dict(Vec<(Value, Value)>);

/// The values of a row by their names.
pub(super) fn variables(map: &Map<String, Json>) -> Value {
    map.iter().map(|(name, json)| (name.as_str(), value(json))).collect()
}

/// The messages of a conversation. What an assistant thought has several names, and templates know one or another: as in
/// transformers it is there under `reasoning_content` and `thinking`.
pub(super) fn messages(messages: &[Json]) -> Value {
    let names = ["reasoning_content", "thinking", "reasoning"];
    let named = |message: &Json| {
        let thought =
            names.iter().find_map(|name| message.get(name).filter(|json| !json.is_null()));
        let (Some(thought), Some(map)) = (thought, message.as_object()) else {
            return value(message);
        };
        let mut all = Map::from_iter([("thinking".to_owned(), thought.clone())]);
        all.extend(map.clone());
        all.insert("reasoning_content".to_owned(), thought.clone());
        value(&Json::Object(all))
    };
    Sequence::value(Kind::List, messages.iter().map(named).collect())
}

fn list(values: &[Json]) -> Value {
    Sequence::value(Kind::List, values.iter().map(value).collect())
}

fn value(json: &Json) -> Value {
    match json {
        Json::Array(values) => list(values),
        Json::Object(map) => {
            let entries = map.iter().map(|(key, json)| (Value::from(key.as_str()), value(json)));
            Value::from_object(Dict(entries.collect()))
        }
        plain => Value::from_serialize(plain),
    }
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
        f.write_str(&python::repr_dict(entries).map_err(|_| fmt::Error)?)
    }
}
