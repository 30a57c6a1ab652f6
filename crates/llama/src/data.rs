//! Training data: token sequences, and the order they come in.

use rand::seq::SliceRandom;

use crate::error::refused;
use crate::random::{Purpose, random};
use crate::{Batch, Error, Result};

/// A token sequence; its first `prompt` tokens are given and not learnt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// All tokens.
    pub tokens: Vec<u32>,
    /// How many of them are the prompt.
    pub prompt: usize,
}

/// Examples and the order in which training takes them.
///
/// The order is a function of the seed and the position alone, so a resumed run goes on where it stopped.
#[derive(Clone, Debug)]
pub struct Dataset {
    examples: Vec<Example>,
    shuffle: Option<u64>,
}

impl Dataset {
    /// With a seed the examples are shuffled anew for each pass through them; without, they come as they are.
    ///
    /// # Errors
    /// There is no example, or one has nothing to predict.
    pub fn new(examples: Vec<Example>, shuffle: Option<u64>) -> Result<Self> {
        if examples.is_empty() {
            return Err(Error::Data("there is nothing to train on".into()));
        }
        if let Some(i) = examples.iter().position(|e| e.tokens.len() <= e.prompt.max(1)) {
            return Err(Error::Data(format!(
                "example {} has nothing to predict: it needs a completion, and two tokens in all",
                i + 1
            )));
        }
        Ok(Self { examples, shuffle })
    }

    /// The examples, in the order they were given.
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }

    /// The examples at positions `start..start + count` of the endless sequence of passes.
    ///
    /// # Errors
    /// Never for a `Dataset` made by [`new`](Self::new).
    pub fn batch(&self, start: usize, count: usize) -> Result<Batch> {
        let mut batch = Batch::new();
        let mut pass = (usize::MAX, Vec::new());
        for position in start..start + count {
            let (number, place) = (position / self.examples.len(), position % self.examples.len());
            if pass.0 != number {
                pass = (number, self.order(number));
            }
            let example = &self.examples[pass.1[place]];
            batch.push(&example.tokens, example.prompt)?;
        }
        Ok(batch)
    }

    fn order(&self, pass: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.examples.len()).collect();
        if let Some(seed) = self.shuffle {
            order.shuffle(&mut random(seed, Purpose::Order, pass as u64));
        }
        order
    }
}

/// Cut tokens into blocks of `length`; also returns how many at the end are left over.
///
/// # Errors
/// There are not enough tokens for one block, or the blocks are shorter than 2.
pub fn blocks(tokens: &[u32], length: usize) -> Result<(Vec<Example>, usize)> {
    if length < 2 {
        return Err(Error::Data(format!("blocks of {length} tokens have nothing to predict")));
    }
    if tokens.len() < length {
        return Err(Error::Data(format!(
            "the text has {} tokens, less than one block of {length}: give more text or a smaller --seq-len",
            tokens.len()
        )));
    }
    let blocks = tokens.chunks_exact(length);
    let rest = blocks.remainder().len();
    Ok((blocks.map(|block| Example { tokens: block.to_vec(), prompt: 0 }).collect(), rest))
}

/// A row of a `.jsonl` file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// What is given.
    pub prompt: String,
    /// What is to be learnt.
    pub completion: String,
}

/// The rows of a `.jsonl` text: one JSON object a line, empty lines skipped.
///
/// # Errors
/// A line is not `{"prompt": …, "completion": …}`, by its number.
pub fn rows(text: &str) -> Result<Vec<Row>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let row =
        |(i, line)| serde_json::from_str(line).map_err(refused(format!("data: line {}", i + 1)));
    lines.map(row).collect()
}
