//! What the experiments answer natively, to the questions of `book/live/browser/questions.json`: the pages are compared with it.
//!
//! For training, which calculates in f32, also what f64 gives.

use std::path::Path;

use anyhow::{Context, Result};
use live::{Experiment, Train};
use serde_json::{Value, json};

fn main() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let questions = std::fs::read_to_string(folder.join("browser/questions.json"))?;
    let questions: Vec<Value> = serde_json::from_str(&questions)?;
    let answers = questions.iter().map(answer).collect::<Result<Vec<_>>>()?;
    println!("{}", Value::from(answers));
    Ok(())
}

fn answer(experiment: &Value) -> Result<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let name = experiment["name"].as_str().context("a name")?;
    let settings = &experiment["settings"];
    let file = match name {
        "bf16" | "train" => {
            std::fs::read(folder.join("../../crates/llama/assets/tiny.safetensors"))?
        }
        _ => {
            let files = experiment["files"].as_array().into_iter().flatten();
            let vectors = folder.join("../../tests/vectors");
            let read = |file: &Value| std::fs::read(vectors.join(file.as_str().unwrap_or("")));
            files.map(read).collect::<Result<Vec<_>, _>>()?.concat()
        }
    };
    let asked = experiment["ask"].as_array().context("questions")?;
    let mut started = live::start(name, &settings.to_string(), &file)?;
    let answers = asked.iter().map(|question| answered(&started.ask_json(&question.to_string())?));
    let answers = answers.collect::<Result<Vec<_>>>()?;
    let exact = match name {
        "train" => {
            let mut train =
                Train::start_in::<f64>(serde_json::from_value(settings.clone())?, &file)?;
            let one = |question: &Value| {
                Ok(serde_json::to_value(train.ask(serde_json::from_value(question.clone())?)?)?)
            };
            Some(asked.iter().map(one).collect::<Result<Vec<_>>>()?)
        }
        _ => None,
    };
    Ok(json!({"answers": answers, "exact": exact}))
}

fn answered(text: &str) -> Result<Value> {
    Ok(serde_json::from_str(text)?)
}
