//! JSON as the values of a template: lists and dictionaries that print as Python's do, wherever they are printed.

use minijinja::Value;
use serde_json::{Map, Value as Json};

use super::python::{Dict, Kind, Sequence};

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
