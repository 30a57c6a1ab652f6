//! The turns of a conversation in its tokens.

use std::ops::Range;

use llama::data::Example;
use serde_json::{Map, Value};

use super::TrainOn;
use crate::words::Rendered;
use crate::{Error, Result, Words};

/// Messages, and what turns them into tokens.
pub(super) struct Conversation<'a> {
    pub words: &'a Words,
    pub messages: &'a [Value],
    /// Other variables of the chat template.
    pub more: &'a Map<String, Value>,
}

/// The example that is made of it.
pub(super) struct Made {
    pub example: Example,
    /// The prompt's own tokens are not those that the example begins with.
    pub shifted: bool,
}

/// Where in a text a turn of the assistant's is.
enum Turn {
    Bytes(Range<usize>),
    /// After this many tokens: the text before it is not how the conversation begins.
    After(usize),
}

impl Conversation<'_> {
    /// The first `messages` as the model reads them, to their end or up to where it answers.
    pub fn render(&self, messages: usize, open: bool) -> Result<Rendered> {
        self.words.render(&self.messages[..messages], open, self.more)
    }

    /// The assistant's turns are learnt: where the template says they are, or else what comes between the prompt that
    /// asks for a turn and the end of that turn.
    pub fn example(&self, train_on: TrainOn) -> Result<Made> {
        let whole = self.render(self.messages.len(), false)?;
        let (tokens, places) = self.words.encode_rendered(&whole.text)?;
        if train_on == TrainOn::All {
            return Ok(Made { example: Example::new(tokens, 0), shifted: false });
        }
        let mut turns: Vec<Turn> = whole.generated.iter().cloned().map(Turn::Bytes).collect();
        let first =
            |count: usize| if train_on == TrainOn::Last { count.saturating_sub(1) } else { 0 };
        turns.drain(..first(turns.len()));
        if turns.is_empty() {
            let messages = self.messages.iter().enumerate();
            let spoken = messages.filter(|(_, message)| message["role"] == "assistant");
            let spoken: Vec<usize> = spoken.map(|(i, _)| i).collect();
            let turn = |&i: &usize| self.turn(i, &whole.text);
            turns = spoken[first(spoken.len())..].iter().map(turn).collect::<Result<_>>()?;
        }
        let mut learnt = vec![false; tokens.len()];
        for turn in &turns {
            let range = match turn {
                Turn::Bytes(bytes) => tokens_of(bytes, &places),
                Turn::After(count) => *count..tokens.len(),
            };
            learnt[range.start.min(tokens.len())..range.end].fill(true);
        }
        let shifted = turns.iter().any(|turn| matches!(turn, Turn::After(_)));
        Ok(Made { example: Example { tokens, learnt }, shifted })
    }

    /// Where message `i`, which is the assistant's, is in the whole text.
    fn turn(&self, i: usize, whole: &str) -> Result<Turn> {
        let unknown = || {
            Error::Option(format!(
                "the chat template writes message {} otherwise once later ones follow, so that what is to be learnt cannot be \
                 found: --train-on all or last, or a template with {{% generation %}}",
                i + 1
            ))
        };
        let asked = match self.render(i, true) {
            Ok(rendered) => rendered.text,
            // Templates look at the first message, and there is none.
            Err(_) if i == 0 => {
                return Err(Error::Option(
                    "message 1 is the assistant's and answers nothing: --train-on all or last, or begin with a user's \
                     message"
                        .into(),
                ));
            }
            Err(error) => return Err(error),
        };
        let is_last = i + 1 == self.messages.len();
        if !whole.starts_with(&asked) {
            return match is_last {
                true => Ok(Turn::After(self.words.encode_rendered(&asked)?.0.len())),
                false => Err(unknown()),
            };
        }
        if is_last {
            return Ok(Turn::Bytes(asked.len()..whole.len()));
        }
        let answered = self.render(i + 1, false)?.text;
        if answered.starts_with(&asked) && whole.starts_with(&answered) {
            return Ok(Turn::Bytes(asked.len()..answered.len()));
        }
        // Qwen 3 writes an empty thought before the last answer only: the words and what closes them are the same.
        let words = self.messages[i]["content"].as_str().unwrap_or_default().trim();
        let closing =
            answered.rsplit_once(words).filter(|_| !words.is_empty()).ok_or_else(unknown)?.1;
        let rest = &whole[asked.len()..];
        let start = rest.len() - rest.trim_start().len();
        match rest[start..].strip_prefix(words).is_some_and(|rest| rest.starts_with(closing)) {
            true => Ok(Turn::Bytes(asked.len()..asked.len() + start + words.len() + closing.len())),
            false => Err(unknown()),
        }
    }
}

/// The tokens that stand for any of these bytes, and those between them.
fn tokens_of(bytes: &Range<usize>, places: &[Range<usize>]) -> Range<usize> {
    let inside = |place: &Range<usize>| place.start < bytes.end && place.end > bytes.start;
    let first = places.iter().position(inside);
    let last = places.iter().rposition(inside);
    first.zip(last).map_or(0..0, |(first, last)| first..last + 1)
}
