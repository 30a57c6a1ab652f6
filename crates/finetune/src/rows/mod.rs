//! A user's file as examples to train on: plain text in blocks, or rows of prompts, conversations or texts.
//!
//! Three steps, a file each: bytes to records (`file`), a record to a row whose form is known (`row`), a row to tokens of
//! which some are to be learnt (`example`, and `conversation` for those of several turns).

mod conversation;
mod example;
mod file;
mod row;

use std::collections::BTreeMap;
use std::path::Path;

use llama::data::{self, Example};

use self::file::Content;
use crate::{Error, Result, Words};

/// Which tokens of a row are to be learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrainOn {
    /// All of them, the prompt too.
    All,
    /// What the assistant says, or the completion.
    #[default]
    Assistant,
    /// What the assistant says last, or the completion.
    Last,
}

/// How a file is read.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    /// Tokens in a block of a plain text.
    pub seq_len: usize,
    /// Which tokens of a row are to be learnt.
    pub train_on: TrainOn,
    /// Names that are expected here, and what the file calls them: `prompt` → `question`.
    pub fields: BTreeMap<String, String>,
    /// How many tokens the model was made for: its `max_position_embeddings`.
    pub context: usize,
}

/// What a file holds.
#[derive(Clone, Debug)]
pub struct Rows {
    /// An example for each row or block.
    pub examples: Vec<Example>,
    /// What the reader of a report should know: what was left out, what is longer than the model's context.
    pub notes: Vec<String>,
}

impl Reader {
    /// Read a file by the end of its name: `.txt`, `.jsonl`, `.ndjson`, `.json`, `.csv` or `.tsv`, each also as `.gz`; `-`
    /// is standard input, with rows of JSON.
    ///
    /// # Errors
    /// The file cannot be read, is in another format, or is empty; a row has no form that is known, or nothing to predict:
    /// the row is named.
    pub fn read(&self, path: &Path, words: &Words) -> Result<Rows> {
        let mut rows = match file::read(path)? {
            Content::Text(text) => self.blocks(path, &text, words)?,
            Content::Records(records) => self.rows(path, records, words)?,
        };
        let long = rows.examples.iter().filter(|example| example.tokens.len() > self.context);
        let longest = rows.examples.iter().map(|example| example.tokens.len()).max();
        match (long.count(), longest) {
            (0, _) | (_, None) => {}
            (count, Some(longest)) => rows.notes.push(format!(
                "{count} of {} examples are longer than the model's context of {} tokens; the longest has {longest}",
                rows.examples.len(),
                self.context,
            )),
        }
        for note in &mut rows.notes {
            *note = format!("{}: {note}", file::name(path));
        }
        Ok(rows)
    }

    fn blocks(&self, path: &Path, text: &str, words: &Words) -> Result<Rows> {
        let tokens = words.encode(text)?;
        let (examples, rest) = data::blocks(&tokens, self.seq_len)
            .map_err(|error| wrong(path, &strip(&error.to_string())))?;
        let note = format!(
            "the last {rest} tokens do not fill a block of {} and are dropped",
            self.seq_len
        );
        Ok(Rows { examples, notes: if rest > 0 { vec![note] } else { vec![] } })
    }

    fn rows(&self, path: &Path, records: Vec<file::Record>, words: &Words) -> Result<Rows> {
        let (mut examples, mut shifted) = (Vec::new(), 0);
        for file::Record { place, fields } in records {
            let here = |reason: String| wrong(path, &format!("{place}: {reason}"));
            let row = row::Row::of(fields, &self.fields).map_err(here)?;
            let made = example::of(&row, words, self.train_on)
                .map_err(|error| here(strip(&one_line(&error))))?;
            if made.example.predictions() == 0 {
                return Err(here(format!("it has nothing to predict: {}", why(&made))));
            }
            shifted += usize::from(made.shifted);
            examples.push(made.example);
        }
        let mut notes = Vec::new();
        if shifted > 0 {
            notes.push(format!(
                "in {shifted} of {} rows the tokens of the prompt are others once the completion follows; as many tokens as \
                 the prompt has alone count as given",
                examples.len()
            ));
        }
        Ok(Rows { examples, notes })
    }
}

/// Why nothing of an example is to be learnt.
fn why(made: &conversation::Made) -> &'static str {
    match made.shifted {
        true => {
            "its prompt alone has as many tokens as prompt and completion together, which begin otherwise"
        }
        false => "it needs a completion, and two tokens in all",
    }
}

/// A file whose content is wrong.
fn wrong(path: &Path, reason: &str) -> Error {
    Error::File { path: file::name(path).into(), reason: reason.to_owned() }
}

/// An error and its causes.
fn one_line(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// An error of the library's without the word that says it is about data: the file's name is there.
fn strip(text: &str) -> String {
    text.strip_prefix("data: ").unwrap_or(text).to_owned()
}
