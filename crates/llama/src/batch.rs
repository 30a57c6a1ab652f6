//! Token sequences of unequal lengths, laid end to end.

use adapter::check_shape;

use crate::data::Example;
use crate::{Error, Result};

/// Several sequences, one after the other, with what each token should predict.
///
/// Instead of padding short sequences and masking the padding away, sequences are packed: every row of every
/// activation is a real token, and attention looks at one sequence at a time (a block-diagonal causal mask). The
/// result is that of padding with an attention mask, without computing the padding.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    tokens: Vec<u32>,
    targets: Vec<Option<u32>>,
    lengths: Vec<usize>,
}

impl Batch {
    /// No sequences yet.
    pub fn new() -> Self {
        Self { tokens: Vec::new(), targets: Vec::new(), lengths: Vec::new() }
    }

    /// Each token of each sequence predicts the next; the last one predicts nothing.
    ///
    /// # Errors
    /// A sequence is empty.
    pub fn next_token<'a>(sequences: impl IntoIterator<Item = &'a [u32]>) -> Result<Self> {
        let mut batch = Self::new();
        for sequence in sequences {
            batch.push(sequence, 0)?;
        }
        Ok(batch)
    }

    /// Add a sequence whose first `prompt` tokens are given and not to be learnt: the loss counts predictions of
    /// the tokens after them only.
    ///
    /// # Errors
    /// The sequence is empty.
    pub fn push(&mut self, sequence: &[u32], prompt: usize) -> Result<()> {
        self.push_where(sequence, |i| i >= prompt)
    }

    /// Add a sequence whose loss counts the predictions of the tokens to be learnt, wherever they are.
    ///
    /// # Errors
    /// The sequence is empty, or does not say of each token whether it is learnt.
    pub fn push_example(&mut self, example: &Example) -> Result<()> {
        let Example { tokens, learnt } = example;
        check_shape("learnt", &[learnt.len()], &[tokens.len()], "one for each token")?;
        self.push_where(tokens, |i| learnt[i])
    }

    fn push_where(&mut self, sequence: &[u32], learnt: impl Fn(usize) -> bool) -> Result<()> {
        if sequence.is_empty() {
            return Err(Error::Data("a sequence is empty: each needs at least one token".into()));
        }
        self.tokens.extend(sequence);
        let next = |i: usize| sequence.get(i).copied().filter(|_| learnt(i));
        self.targets.extend((1..=sequence.len()).map(next));
        self.lengths.push(sequence.len());
        Ok(())
    }

    /// The tokens of all sequences.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// What each token predicts; `None` where nothing is to be learnt.
    pub fn targets(&self) -> &[Option<u32>] {
        &self.targets
    }

    /// How many tokens each sequence has.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// How many predictions the loss counts.
    pub fn predictions(&self) -> usize {
        self.targets.iter().flatten().count()
    }

    /// Replace what is predicted: one entry a token.
    ///
    /// # Errors
    /// Not as many targets as tokens.
    pub fn with_targets(mut self, targets: Vec<Option<u32>>) -> Result<Self> {
        check_shape("targets", &[targets.len()], &[self.tokens.len()], "one for each token")?;
        self.targets = targets;
        Ok(self)
    }

    /// Where each sequence lies in the rows of an activation.
    pub(crate) fn spans(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        self.lengths.iter().scan(0, |end, length| {
            let start = *end;
            *end += length;
            Some(start..*end)
        })
    }

    /// The place of each token in its own sequence, from 0.
    pub(crate) fn positions(&self) -> Vec<usize> {
        self.lengths.iter().flat_map(|&length| 0..length).collect()
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}
