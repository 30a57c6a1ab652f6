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

/// Columns that go to the chat template.
const TEMPLATE: [&str; 2] = ["tools", "documents"];
const KWARGS: &str = "chat_template_kwargs";

impl Row {
    /// The first form whose columns are there; other columns are not looked at. `names` says what the file calls them.
    pub fn of(
        mut record: Map<String, Value>,
        names: &BTreeMap<String, String>,
    ) -> Result<Self, String> {
        // All are looked up before one takes its place: two columns may change names.
        let named = names.iter().map(|(name, theirs)| match record.get(theirs) {
            Some(value) => Ok((name.clone(), value.clone())),
            None => Err(format!("--fields names the column {theirs:?}, which is missing")),
        });
        let named: Map<String, Value> = named.collect::<Result<_, String>>()?;
        record.extend(named);
        let mut columns = Columns { record, read: Vec::new() };
        let row = Self::of_columns(&mut columns)?;
        // What was named by hand is not left out without a word.
        match names.iter().find(|(name, _)| !columns.read.contains(&name.as_str())) {
            None => Ok(row),
            Some((name, theirs)) => Err(format!(
                "--fields names the column {theirs:?} as {name}, which is not read beside {}",
                columns.read.join(", ")
            )),
        }
    }

    fn of_columns(columns: &mut Columns) -> Result<Self, String> {
        if let Some(messages) = columns.take("messages") {
            let messages = turns(messages, "messages")?;
            return Ok(Self::Chat { messages, prompt: None, more: columns.more()? });
        }
        if let Some(turns) = columns.take("conversations") {
            let mut messages = sharegpt(turns)?;
            if let Some(system) = columns.take("system").filter(|system| system != "") {
                messages.insert(0, turn("system", system));
            }
            return Ok(Self::Chat { messages, prompt: None, more: columns.more()? });
        }
        if let Some(prompt) = columns.take("prompt") {
            let Some(completion) = columns.take("completion") else {
                return Err(columns.lack("a row with a prompt has a completion"));
            };
            return match (prompt, completion) {
                (Value::String(prompt), Value::String(completion)) => {
                    Ok(Self::Pair { prompt, between: "", completion })
                }
                (prompt @ Value::Array(_), completion @ Value::Array(_)) => {
                    let mut messages = turns(prompt, "prompt")?;
                    let prompt = Some(messages.len());
                    messages.extend(turns(completion, "completion")?);
                    Ok(Self::Chat { messages, prompt, more: columns.more()? })
                }
                _ => Err("prompt and completion are both texts or both lists of messages".into()),
            };
        }
        if let Some(instruction) = columns.take("instruction") {
            let Some(output) = columns.take("output") else {
                return Err(columns.lack("a row with an instruction has an output"));
            };
            let none = [json!([]), "[]".into(), "".into()];
            if columns.take("history").is_some_and(|history| !none.contains(&history)) {
                return Err(
                    "Alpaca rows with a history are not read: write them as messages".into()
                );
            }
            let mut prompt = text(instruction, "instruction")?;
            let input = columns.take("input");
            let input = input.map_or(Ok(String::new()), |input| text(input, "input"))?;
            if !input.is_empty() {
                prompt = format!("{prompt}\n\n{input}");
            }
            let completion = text(output, "output")?;
            let Some(system) = columns.take("system").filter(|system| system != "") else {
                return Ok(Self::Pair { prompt, between: "\n\n", completion });
            };
            let messages = vec![
                turn("system", system),
                turn("user", prompt.into()),
                turn("assistant", completion.into()),
            ];
            return Ok(Self::Chat { messages, prompt: Some(2), more: columns.more()? });
        }
        if let Some(value) = columns.take("text") {
            return Ok(Self::Text(text(value, "text")?));
        }
        Err(columns.lack(
            "a row is prompt and completion, messages, conversations, instruction and output, or text",
        ))
    }
}

/// A row's columns, and which of them were asked for.
struct Columns {
    record: Map<String, Value>,
    read: Vec<&'static str>,
}

impl Columns {
    fn take(&mut self, name: &'static str) -> Option<Value> {
        let value = self.record.get_mut(name)?.take();
        self.read.push(name);
        Some(value).filter(|value| !value.is_null())
    }

    /// What goes to the chat template beside the messages.
    fn more(&mut self) -> Result<Map<String, Value>, String> {
        let mut more = Map::new();
        // An empty cell of a table is none.
        let mut given = |name| {
            let value = self.take(name).filter(|value| value != "");
            value.map(|value| parsed(value, name)).transpose()
        };
        for name in TEMPLATE {
            match given(name)? {
                None | Some(Value::Null) => {}
                Some(value @ Value::Array(_)) => more.extend([(name.to_owned(), value)]),
                Some(_) => return Err(format!("{name} is no list: write one, or leave it out")),
            }
        }
        match given(KWARGS)? {
            None | Some(Value::Null) => {}
            Some(Value::Object(map)) => more.extend(map),
            Some(_) => return Err(format!("{KWARGS} is no object")),
        }
        Ok(more)
    }

    /// What the columns are, and what they should be.
    fn lack(&self, wanted: &str) -> String {
        let names: Vec<&str> = self.record.keys().map(String::as_str).collect();
        format!(
            "{wanted}; its columns are {}: --fields says which is which, as in --fields prompt=question,completion=answer",
            names.join(", ")
        )
    }
}

/// A list or an object; a table's cell holds it as JSON.
fn parsed(value: Value, name: &str) -> Result<Value, String> {
    match value {
        Value::String(text) => {
            let parsed = serde_json::from_str(&text);
            parsed.map_err(|_| {
                format!("{name} is a text, and not of JSON: write JSON, or leave it out")
            })
        }
        other => Ok(other),
    }
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

/// Messages with a role each.
fn turns(value: Value, name: &str) -> Result<Vec<Value>, String> {
    let Value::Array(messages) = parsed(value, name)? else {
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
    let Value::Array(list) = parsed(value, "conversations")? else {
        return Err("conversations is no list of turns".into());
    };
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
