//! A row as tokens, of which some are to be learnt.

use llama::data::Example;
use serde_json::{Map, json};

use super::TrainOn;
use super::conversation::{Conversation, Made};
use super::row::Row;
use crate::{Result, Words};

/// The tokens of a row. A pair is a conversation of two turns where the model has a chat template.
pub(super) fn of(row: &Row, words: &Words, train_on: TrainOn) -> Result<Made> {
    match row {
        Row::Text(text) => Ok(after(words.encode_closed(text)?, &[], train_on)),
        Row::Pair { prompt, completion, .. } if words.has_template() => {
            let turn = |role: &str, content: &str| json!({"role": role, "content": content});
            let messages = [turn("user", prompt), turn("assistant", completion)];
            asked(&Conversation { words, messages: &messages, more: &Map::new() }, 1, train_on)
        }
        Row::Pair { prompt, between, completion } => {
            let given = format!("{prompt}{between}");
            let whole = words.encode_closed(&format!("{given}{completion}"))?;
            Ok(after(whole, &words.encode_open(&given)?, train_on))
        }
        Row::Chat { messages, prompt, more } => {
            let conversation = Conversation { words, messages, more };
            match prompt {
                Some(prompt) => asked(&conversation, *prompt, train_on),
                None => conversation.example(train_on),
            }
        }
    }
}

/// A conversation whose first messages are the prompt.
fn asked(conversation: &Conversation<'_>, prompt: usize, train_on: TrainOn) -> Result<Made> {
    let Conversation { words, messages, .. } = conversation;
    let whole = words.encode_rendered(&conversation.render(messages.len(), false)?.text)?.0;
    let prompt = words.encode_rendered(&conversation.render(prompt, true)?.text)?.0;
    Ok(after(whole, &prompt, train_on))
}

/// What comes after the prompt is learnt: as many tokens as the prompt has are given, as in TRL.
fn after(whole: Vec<u32>, prompt: &[u32], train_on: TrainOn) -> Made {
    let shifted = !whole.starts_with(prompt);
    let given = if train_on == TrainOn::All { 0 } else { prompt.len() };
    Made { example: Example::new(whole, given), shifted }
}
