//! A row as tokens, of which some are to be learnt.

use std::ops::Range;

use llama::data::Example;
#[cfg(feature = "tokenizer")]
use serde_json::{Map, Value, json};

use super::TrainOn;
use super::row::Row;
use crate::words::no_template;
use crate::{Error, Result, Words};

/// An example.
pub(super) struct Made {
    pub example: Example,
    /// The prompt's own tokens are not those that the example begins with.
    pub shifted: bool,
}

/// The tokens of a row. A pair is a conversation of two turns where the model has a chat template.
pub(super) fn of(row: &Row, words: &Words, train_on: TrainOn) -> Result<Made> {
    match row {
        Row::Text(text) => Ok(after(words.encode_closed(text)?, &[], train_on)),
        Row::Pair { prompt, between, completion } if !words.has_template() => {
            let given = format!("{prompt}{between}");
            let whole = words.encode_closed(&format!("{given}{completion}"))?;
            Ok(after(whole, &words.encode_open(&given)?, train_on))
        }
        #[cfg(feature = "tokenizer")]
        row => match words {
            Words::Tokenizer(tokenizer) if tokenizer.has_template() => {
                chat(row, tokenizer, train_on)
            }
            _ => Err(no_template("a row of messages")),
        },
        #[cfg(not(feature = "tokenizer"))]
        _ => Err(no_template("a row of messages")),
    }
}

/// What comes after the prompt is learnt: as many tokens as the prompt has are given, as in TRL.
fn after(whole: Vec<u32>, prompt: &[u32], train_on: TrainOn) -> Made {
    let shifted = !whole.starts_with(prompt);
    let given = if train_on == TrainOn::All { 0 } else { prompt.len() };
    Made { example: Example::new(whole, given), shifted }
}

#[cfg(feature = "tokenizer")]
fn chat(row: &Row, tokenizer: &llama::Tokenizer, train_on: TrainOn) -> Result<Made> {
    let none = Map::new();
    let pair;
    let (messages, prompt, more) = match row {
        Row::Chat { messages, prompt, more } => (messages, *prompt, more),
        Row::Pair { prompt, completion, .. } => {
            let turn = |role: &str, content: &str| json!({"role": role, "content": content});
            pair = vec![turn("user", prompt), turn("assistant", completion)];
            (&pair, Some(1), &none)
        }
        Row::Text(_) => return Err(Error::Option("a text is no conversation".into())),
    };
    let conversation = Conversation { tokenizer, messages, more };
    if let Some(prompt) = prompt {
        let whole = tokenizer.encode(&conversation.render(messages.len(), false)?.text)?;
        let prompt = tokenizer.encode(&conversation.render(prompt, true)?.text)?;
        return Ok(after(whole, &prompt, train_on));
    }
    conversation.example(train_on)
}

#[cfg(feature = "tokenizer")]
struct Conversation<'a> {
    tokenizer: &'a llama::Tokenizer,
    messages: &'a [Value],
    more: &'a Map<String, Value>,
}

/// Where in a text a turn of the assistant's is.
#[cfg(feature = "tokenizer")]
enum Turn {
    Bytes(Range<usize>),
    /// After this many tokens: the text before it is not how the conversation begins.
    After(usize),
}

#[cfg(feature = "tokenizer")]
impl Conversation<'_> {
    fn render(&self, messages: usize, open: bool) -> Result<llama::Rendered> {
        let rendered = self.tokenizer.render(&self.messages[..messages], open, self.more)?;
        rendered.ok_or_else(|| no_template("a row of messages"))
    }

    /// The assistant's turns are learnt: where the template says they are, or else what comes between the prompt that
    /// asks for a turn and the end of that turn.
    fn example(&self, train_on: TrainOn) -> Result<Made> {
        let whole = self.render(self.messages.len(), false)?;
        let (tokens, places) = self.tokenizer.encode_with_places(&whole.text)?;
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
        let asked = self.render(i, true)?.text;
        let is_last = i + 1 == self.messages.len();
        if !whole.starts_with(&asked) {
            return match is_last {
                true => Ok(Turn::After(self.tokenizer.encode(&asked)?.len())),
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
#[cfg(feature = "tokenizer")]
fn tokens_of(bytes: &Range<usize>, places: &[Range<usize>]) -> Range<usize> {
    let inside = |place: &Range<usize>| place.start < bytes.end && place.end > bytes.start;
    let first = places.iter().position(inside);
    let last = places.iter().rposition(inside);
    first.zip(last).map_or(0..0, |(first, last)| first..last + 1)
}
