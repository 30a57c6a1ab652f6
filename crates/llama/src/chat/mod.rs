//! A conversation as the text that a chat model was trained on, by the model's own Jinja template.
//!
//! `minijinja` runs the template. What transformers' Jinja has beyond it is in five files: the source is brought into
//! `minijinja`'s language ([`source`]), values print as Python prints them ([`python`], [`data`]), and Python's
//! methods and Jinja2's filters are added ([`library`], [`text`]). What is in none of them is an error that names it. One
//! thing is known to print differently: a tuple that is written out in a template and printed as it is.

mod data;
mod library;
mod python;
mod source;
mod templates;
mod text;
mod tojson;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::OnceLock;

use jiff::civil::DateTime;
use minijinja::value::Kwargs;
use minijinja::{Environment, ErrorKind, State, Value, context};
use serde_json::{Map, Value as Json};

pub(crate) use self::templates::{DEFAULT, TOOL_USE, Templates};
use crate::error::refused;
use crate::{Error, Result};

/// A rendered conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// What the model reads.
    pub text: String,
    /// Where the template says, by `{% generation %}`, that the assistant speaks: bytes of `text`. Empty if it does not
    /// say.
    pub generated: Vec<Range<usize>>,
}

/// A chat template, compiled when it is first used.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    source: String,
    /// What `strftime_now` takes for now, if not the clock's time.
    now: Option<DateTime>,
    environment: OnceLock<Environment<'static>>,
}

const NAME: &str = "chat template";

/// Steps of the interpreter: a template comes with a downloaded model, and one that never ends would hang the program. A
/// conversation of a thousand messages takes less than a tenth of it.
const STEPS: u64 = 10_000_000;

/// Written around what a `{% generation %}` block holds, and taken out again: code points that no text has.
const GENERATION: [char; 2] = ['\u{fdd0}', '\u{fdd1}'];

impl Template {
    pub fn new(source: String) -> Self {
        Self { source, now: None, environment: OnceLock::new() }
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// Let `strftime_now` say midnight of this day.
    ///
    /// # Errors
    /// It is no date of the form 2024-07-26.
    pub fn set_date(&mut self, date: &str) -> Result<()> {
        let wrong = || Error::Data(format!("the date {date:?} is not of the form 2024-07-26"));
        let day: jiff::civil::Date = date.parse().map_err(|_| wrong())?;
        *self = Self { now: Some(day.into()), ..Self::new(self.source.clone()) };
        Ok(())
    }

    /// Render `messages` as transformers does. `special` are the special tokens by their roles, `more` the other variables
    /// of a row, such as `tools`.
    ///
    /// # Errors
    /// The template is wrong, refuses the conversation, or needs something that is not here, which is named.
    pub fn render(
        &self,
        special: &BTreeMap<String, String>,
        messages: &[Json],
        add_generation_prompt: bool,
        more: &Map<String, Json>,
    ) -> Result<Rendered> {
        let environment = match self.environment.get() {
            Some(environment) => environment,
            None => {
                let environment = self.compile().map_err(refused(ABOUT))?;
                self.environment.get_or_init(|| environment)
            }
        };
        let variables = context! {
            ..data::variables(more),
            ..context! {
                messages => data::messages(messages),
                add_generation_prompt,
                tools => (),
                documents => (),
                ..Value::from_serialize(special)
            }
        };
        let template = environment.get_template(NAME).map_err(refused(ABOUT))?;
        let text = template.render(variables).map_err(|error| match error.kind() {
            ErrorKind::OutOfFuel => Error::Data(format!(
                "the model's chat template has made {STEPS} steps for one conversation: it seems to have no end"
            )),
            _ => refused(ABOUT)(error),
        })?;
        Ok(without_marks(&text))
    }

    fn compile(&self) -> Result<Environment<'static>, minijinja::Error> {
        let mut environment = Environment::new();
        environment.set_fuel(Some(STEPS));
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_formatter(|out, _, value| {
            out.write_str(&python::str(value)?).map_err(|_| ErrorKind::WriteFailure.into())
        });
        library::add(&mut environment);
        environment.add_function("raise_exception", |message: String| -> Result<String, _> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        let now = self.now;
        environment.add_function("strftime_now", move |format: &str| {
            let now = now.unwrap_or_else(|| jiff::Zoned::now().datetime());
            let written = jiff::fmt::strtime::format(format, now);
            written.map_err(|error| {
                let what = format!("strftime_now({format:?}): {error}");
                minijinja::Error::new(ErrorKind::InvalidOperation, what)
            })
        });
        environment.add_function(source::GENERATION, |state: &State<'_, '_>, caller: Kwargs| {
            let body: Value = caller.get("caller")?;
            let body = body.call(state, &[])?;
            let [open, close] = GENERATION;
            Ok::<_, minijinja::Error>(format!("{open}{body}{close}"))
        });
        environment.add_template_owned(NAME, source::translate(&self.source))?;
        Ok(environment)
    }
}

/// What errors are about.
const ABOUT: &str = "data: the model's chat template";

/// Take the marks of `{% generation %}` out of a text, and say where they were.
fn without_marks(marked: &str) -> Rendered {
    let (mut text, mut generated, mut start) = (String::with_capacity(marked.len()), Vec::new(), 0);
    for c in marked.chars() {
        match c {
            c if c == GENERATION[0] => start = text.len(),
            c if c == GENERATION[1] => generated.push(start..text.len()),
            c => text.push(c),
        }
    }
    Rendered { text, generated }
}
