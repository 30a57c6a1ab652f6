//! The options that say how rows of data are read.

use std::path::Path;

use anyhow::{Context, Result};
use finetune::{Reader, TrainOn, Words};
use llama::data::Example;

use crate::output::note;

/// How rows of data are read: shared by `finetune` and `compare`.
#[derive(clap::Args, Clone, Debug)]
pub struct RowArgs {
    /// Tokens in a block of a .txt
    #[arg(long, default_value_t = 192)]
    pub seq_len: usize,
    /// Which tokens of a row are learnt: all of them; what the assistant says, or the completion; only what it says last
    #[arg(long, value_enum, default_value = "assistant")]
    pub train_on: TrainOnName,
    /// What the file calls the columns, as in prompt=question,completion=answer
    #[arg(long, value_name = "NAME=COLUMN,…", value_delimiter = ',', value_parser = pair)]
    pub fields: Vec<(String, String)>,
    /// The date for chat templates that write today's, as in 2024-07-26 [default: today]
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub date: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TrainOnName {
    All,
    Assistant,
    Last,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, column) = text.split_once('=').ok_or("it is NAME=COLUMN")?;
    let known = [
        "prompt",
        "completion",
        "messages",
        "conversations",
        "instruction",
        "input",
        "output",
        "system",
        "text",
        "tools",
    ];
    match known.contains(&name) {
        true => Ok((name.to_owned(), column.to_owned())),
        false => Err(format!("{name:?} is none of {}", known.join(", "))),
    }
}

impl RowArgs {
    /// The examples in a file, for a model of this context. What is left out or too long is said on standard error.
    ///
    /// # Errors
    /// The file is missing, empty or of no form that is known.
    pub fn read(&self, path: &Path, words: &Words, context: usize) -> Result<Vec<Example>> {
        let mut words = words.clone();
        if let Some(date) = &self.date {
            words.set_date(date).context("--date")?;
        }
        let reader = Reader {
            seq_len: self.seq_len,
            train_on: match self.train_on {
                TrainOnName::All => TrainOn::All,
                TrainOnName::Assistant => TrainOn::Assistant,
                TrainOnName::Last => TrainOn::Last,
            },
            fields: self.fields.iter().cloned().collect(),
            context,
        };
        let rows = reader.read(path, &words)?;
        for remark in rows.notes {
            note(format_args!("warning: {remark}"));
        }
        Ok(rows.examples)
    }
}
