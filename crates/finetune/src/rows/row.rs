//! A record as one of the forms that people write.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A row.
#[derive(Debug)]
pub(super) enum Row {
    /// A text, all of which is to be learnt.
    Text(String),
    /// What is given and what follows it. Without a chat template they are one text, with `between` between them.
    Pair { prompt: String, between: &'static str, completion: String },
    /// A conversation.
    Chat {
        messages: Vec<Value>,
        /// How many of the messages are the prompt; `None` if what the assistant says is to be learnt, wherever it is.
        prompt: Option<usize>,
        /// Other variables of the chat template, such as `tools`.
        more: Map<String, Value>,
    },
}

/// Columns that go to the chat template as they are.
const TEMPLATE: [&str; 2] = ["tools", "documents"];

impl Row {
    /// The first form whose columns are there; other columns are not looked at. `names` says what the file calls them.
    pub fn of(
        mut record: Map<String, Value>,
        names: &BTreeMap<String, String>,
    ) -> Result<Self, String> {
        for (name, theirs) in names {
            let value = record.get(theirs);
            let value = value
                .ok_or_else(|| format!("--fields names the column {theirs:?}, which is missing"))?;
            record.insert(name.clone(), value.clone());
        }
        let more = more(&record)?;
        let mut take =
            |name: &str| record.get_mut(name).map(Value::take).filter(|value| !value.is_null());
        if let Some(messages) = take("messages") {
            return Ok(Self::Chat { messages: turns(messages, "messages")?, prompt: None, more });
        }
        if let Some(turns) = take("conversations") {
            let mut messages = sharegpt(turns)?;
            if let Some(system) = take("system").filter(|system| system != "") {
                messages.insert(0, turn("system", system));
            }
            return Ok(Self::Chat { messages, prompt: None, more });
        }
        if let Some(prompt) = take("prompt") {
            let Some(completion) = take("completion") else {
                return Err(lacks(&record, "a row with a prompt has a completion"));
            };
            return match (prompt, completion) {
                (Value::String(prompt), Value::String(completion)) => {
                    Ok(Self::Pair { prompt, between: "", completion })
                }
                (prompt @ Value::Array(_), completion @ Value::Array(_)) => {
                    let mut messages = turns(prompt, "prompt")?;
                    let prompt = Some(messages.len());
                    messages.extend(turns(completion, "completion")?);
                    Ok(Self::Chat { messages, prompt, more })
                }
                _ => Err("prompt and completion are both texts or both lists of messages".into()),
            };
        }
        if let Some(instruction) = take("instruction") {
            let Some(output) = take("output") else {
                return Err(lacks(&record, "a row with an instruction has an output"));
            };
            if take("history").is_some_and(|history| history != json!([]) && history != "") {
                return Err(
                    "Alpaca rows with a history are not read: write them as messages".into()
                );
            }
            let mut prompt = text(instruction, "instruction")?;
            let input = take("input").map_or(Ok(String::new()), |input| text(input, "input"))?;
            if !input.is_empty() {
                prompt = format!("{prompt}\n\n{input}");
            }
            let completion = text(output, "output")?;
            let Some(system) = take("system").filter(|system| system != "") else {
                return Ok(Self::Pair { prompt, between: "\n\n", completion });
            };
            let messages = vec![
                turn("system", system),
                turn("user", prompt.into()),
                turn("assistant", completion.into()),
            ];
            return Ok(Self::Chat { messages, prompt: Some(2), more });
        }
        if let Some(value) = take("text") {
            return Ok(Self::Text(text(value, "text")?));
        }
        Err(lacks(
            &record,
            "a row is prompt and completion, messages, conversations, instruction and output, or text",
        ))
    }
}

/// What the columns are, and what they should be.
fn lacks(record: &Map<String, Value>, wanted: &str) -> String {
    let names: Vec<&str> = record.keys().map(String::as_str).collect();
    format!(
        "{wanted}; its columns are {}: --fields says which is which, as in --fields prompt=question,completion=answer",
        names.join(", ")
    )
}

fn more(record: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    let columns = TEMPLATE.into_iter().filter_map(|name| {
        let value = record.get(name).filter(|value| !value.is_null())?;
        Some((name.to_owned(), value.clone()))
    });
    let mut more: Map<String, Value> = columns.collect();
    match record.get("chat_template_kwargs") {
        None | Some(Value::Null) => {}
        Some(Value::Object(map)) => more.extend(map.clone()),
        Some(_) => return Err("chat_template_kwargs is no object".into()),
    }
    Ok(more)
}

fn text(value: Value, name: &str) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(format!("{name} is no text")),
    }
}

fn turn(role: &str, content: Value) -> Value {
    json!({"role": role, "content": content})
}

/// Messages with a role each; a table's cell holds them as JSON.
fn turns(value: Value, name: &str) -> Result<Vec<Value>, String> {
    let value = match value {
        Value::String(text) => {
            serde_json::from_str(&text).map_err(|_| format!("{name} is no list of messages"))?
        }
        other => other,
    };
    let Value::Array(messages) = value else {
        return Err(format!("{name} is no list of messages"));
    };
    if messages.is_empty() {
        return Err(format!("{name} has no messages"));
    }
    if let Some(i) = messages.iter().position(|message| !message["role"].is_string()) {
        return Err(format!("{name}: message {} has no role", i + 1));
    }
    Ok(messages)
}

/// ShareGPT's `{"from": "human", "value": …}`. Where the turns are messages already, they are taken as they are.
fn sharegpt(value: Value) -> Result<Vec<Value>, String> {
    let Value::Array(list) = value else { return Err("conversations is no list of turns".into()) };
    if list.iter().all(|entry| entry["role"].is_string()) {
        return turns(Value::Array(list), "conversations");
    }
    let message = |(i, entry): (usize, &Value)| {
        let who = entry["from"]
            .as_str()
            .ok_or_else(|| format!("turn {} does not say whom it is from", i + 1))?;
        let role = match who {
            "human" | "user" => "user",
            "gpt" | "assistant" | "chatgpt" | "model" => "assistant",
            "system" => "system",
            "tool" | "observation" => "tool",
            other => {
                return Err(format!(
                    "turn {} is from {other:?}, who is unknown: human, gpt, system or tool",
                    i + 1
                ));
            }
        };
        Ok(turn(
            role,
            text(entry["value"].clone(), &format!("the value of turn {}", i + 1))?.into(),
        ))
    };
    list.iter().enumerate().map(message).collect()
}
