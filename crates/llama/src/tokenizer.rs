//! Text to tokens and back: a `tokenizer.json`, or the vocabulary inside a GGUF file. The `tokenizers` crate does the
//! work.

mod files;
mod vocabulary;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_json::{Map, Value, json};

pub(crate) use self::vocabulary::Vocabulary;
use crate::Result;
use crate::chat::{Rendered, Templates};
use crate::error::refused;

/// A tokenizer, its special tokens and its chat template.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// `bos_token`, `eos_token`, … and their texts.
    special: BTreeMap<String, String>,
    stops: BTreeSet<u32>,
    templates: Templates,
    /// What the tokenizer puts before and after every text.
    around: [Vec<u32>; 2],
}

impl Tokenizer {
    fn new(mut inner: tokenizers::Tokenizer) -> Result<Self> {
        // A file may ask for texts to be cut or filled up to some length; here a text is all of its tokens.
        inner.with_truncation(None).expect("no truncation is always possible");
        inner.with_padding(None);
        let (special, stops) = (BTreeMap::new(), BTreeSet::new());
        let templates = Templates::default();
        let mut tokenizer = Self { inner, special, stops, templates, around: [vec![], vec![]] };
        if let Some((plain, whole)) = tokenizer.any_text()
            && let Some(at) = whole.windows(plain.len()).position(|part| part == plain)
        {
            tokenizer.around = [whole[..at].to_vec(), whole[at + plain.len()..].to_vec()];
        }
        Ok(tokenizer)
    }

    /// The tokens of some text, alone and with those that the tokenizer puts around every text. It has to be one that the
    /// tokenizer can represent: that of digits knows no letter.
    fn any_text(&self) -> Option<(Vec<u32>, Vec<u32>)> {
        let own = (0..64).filter_map(|id| self.inner.id_to_token(id));
        let both = |text: String| {
            let tokens = self.tokens(&text, false).ok().filter(|tokens| !tokens.is_empty())?;
            Some((tokens, self.tokens(&text, true).ok()?))
        };
        std::iter::once("a".to_owned()).chain(own).find_map(both)
    }

    /// The tokens of a text as it is. Special tokens that the text spells out (`<|im_end|>`) are recognised; none is
    /// added.
    ///
    /// # Errors
    /// The tokenizer cannot represent the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.tokens(text, false)
    }

    /// The same, and of each token which bytes of the text it stands for.
    ///
    /// # Errors
    /// The tokenizer cannot represent the text.
    pub fn encode_with_places(&self, text: &str) -> Result<(Vec<u32>, Vec<Range<usize>>)> {
        let encoding = self.inner.encode(text, false).map_err(refused(TOKENIZER))?;
        let places = encoding.get_offsets().iter().map(|&(start, end)| start..end).collect();
        Ok((encoding.get_ids().to_vec(), places))
    }

    /// The tokens of a text, and those that the tokenizer puts around every text, such as one that begins it: what
    /// transformers' tokenizers return.
    ///
    /// # Errors
    /// The tokenizer cannot represent the text.
    pub fn encode_with_special(&self, text: &str) -> Result<Vec<u32>> {
        self.tokens(text, true)
    }

    /// The tokens of a text that will go on, such as a prompt: with those that begin every text, unless the text spells
    /// them out itself, and without those that end one.
    ///
    /// # Errors
    /// The tokenizer cannot represent the text.
    pub fn encode_open(&self, text: &str) -> Result<Vec<u32>> {
        let [before, _] = &self.around;
        let tokens = self.tokens(text, false)?;
        let missing = if tokens.starts_with(before) { &[] } else { before.as_slice() };
        Ok([missing, &tokens].concat())
    }

    /// The tokens of a whole text: with those that begin and end every text and with [`eos`](Self::eos) at its end, each
    /// of them once, also where the text spells them out itself.
    ///
    /// # Errors
    /// The tokenizer cannot represent the text.
    pub fn encode_closed(&self, text: &str) -> Result<Vec<u32>> {
        let [_, after] = &self.around;
        let mut tokens = self.encode_open(text)?;
        if !tokens.ends_with(after) {
            tokens.extend(after);
        }
        let eos = self.eos();
        if eos.is_some() && tokens.last().copied() != eos {
            tokens.extend(eos);
        }
        Ok(tokens)
    }

    fn tokens(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, special);
        let encoding = encoding.map_err(refused(TOKENIZER))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of tokens, special ones included.
    ///
    /// # Errors
    /// The tokenizer's decoder fails.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        let text = self.inner.decode(tokens, false);
        text.map_err(refused(TOKENIZER))
    }

    /// The token that begins a text, if the model has one.
    pub fn bos(&self) -> Option<u32> {
        self.inner.token_to_id(self.special.get("bos_token")?)
    }

    /// The token that ends a text, if the model has one.
    pub fn eos(&self) -> Option<u32> {
        self.inner.token_to_id(self.special.get("eos_token")?)
    }

    /// All tokens at which generation ends: [`eos`](Self::eos), and for some chat models others.
    pub fn stops(&self) -> impl Iterator<Item = u32> {
        self.stops.iter().copied()
    }

    /// Tokens in the vocabulary.
    pub fn vocabulary(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Messages in the model's chat template, to its end or up to where the model answers. `more` are other variables of the
    /// template, such as `tools`. `None` if the model has no template.
    ///
    /// # Errors
    /// The template is wrong or refuses the conversation.
    pub fn render(
        &self,
        messages: &[Value],
        add_generation_prompt: bool,
        more: &Map<String, Value>,
    ) -> Result<Option<Rendered>> {
        let template = self.templates.of(more)?;
        template
            .map(|template| template.render(&self.special, messages, add_generation_prompt, more))
            .transpose()
    }

    /// Does the model have a chat template?
    pub fn has_template(&self) -> bool {
        !self.templates.is_empty()
    }

    /// Let a chat template that asks for today's date have this one, as in 2024-07-26.
    ///
    /// # Errors
    /// It is no such date.
    pub fn set_date(&mut self, date: &str) -> Result<()> {
        self.templates.set_date(date)
    }

    /// The files of a Hugging Face folder that describe this tokenizer, by name.
    ///
    /// # Errors
    /// Never for a tokenizer that was read.
    pub(crate) fn files(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        let tokenizer = self.inner.to_string(true);
        let tokenizer = tokenizer.map_err(refused(TOKENIZER))?;
        let mut config: Map<String, Value> =
            self.special.iter().map(|(role, text)| (role.clone(), json!(text))).collect();
        config.insert("tokenizer_class".into(), json!("PreTrainedTokenizerFast"));
        config.insert("clean_up_tokenization_spaces".into(), json!(false));
        let templates = self.templates.to_json();
        config.extend(templates.map(|templates| ("chat_template".to_owned(), templates)));
        let pad = self.special.get("pad_token").and_then(|text| self.inner.token_to_id(text));
        let stops: Vec<u32> = self.stops().collect();
        let generation =
            json!({"bos_token_id": self.bos(), "eos_token_id": stops, "pad_token_id": pad});
        let text = |json: Value| serde_json::to_vec_pretty(&json).expect("plain data");
        Ok([
            ("tokenizer.json", tokenizer.into_bytes()),
            ("tokenizer_config.json", text(Value::Object(config))),
            ("generation_config.json", text(generation)),
        ]
        .map(|(name, bytes)| (name.to_owned(), bytes))
        .into())
    }
}

/// What errors of the library are about.
const TOKENIZER: &str = "data: tokenizer";

const ROLES: [&str; 4] = ["bos_token", "eos_token", "unk_token", "pad_token"];
