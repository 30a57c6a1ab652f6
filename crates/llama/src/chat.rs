//! A conversation as the text that a chat model was trained on, by the model's own Jinja template.

use std::collections::BTreeMap;

use minijinja::{Environment, ErrorKind, context};

use crate::Result;
use crate::error::refused;

/// One turn.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Message<'a> {
    pub role: &'a str,
    pub content: &'a str,
}

/// Render `messages` as transformers does: block tags leave no white space behind, Python's methods on texts and
/// dictionaries exist, and `raise_exception` is a function.
///
/// `strftime_now` is not: a prompt with today's date in it would make tomorrow's run another one. Templates that ask
/// for the date check whether the function is there, and have a fixed date for when it is not.
pub(crate) fn render(
    template: &str,
    special: &BTreeMap<String, String>,
    messages: &[Message<'_>],
    add_generation_prompt: bool,
) -> Result<String> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> Result<String, _> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
    });
    let variables = context! {
        messages,
        add_generation_prompt,
        tools => (),
        documents => (),
        ..minijinja::Value::from_serialize(special)
    };
    environment.render_str(template, variables).map_err(refused("data: the model's chat template"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: Message<'_> = Message { role: "user", content: " Hi\n" };

    fn special() -> BTreeMap<String, String> {
        [("bos_token".to_owned(), "<s>".to_owned())].into()
    }

    #[test]
    fn blocks_leave_no_white_space_behind() {
        let template = "{{ bos_token }}\n{% for m in messages %}\n    {% if m.role == 'user' %}\n[{{ m['content'].strip() }}]\n    {% endif %}\n{% endfor %}\n{% if add_generation_prompt %}answer:{% endif %}";
        assert_eq!(render(template, &special(), &[USER], true).unwrap(), "<s>\n[Hi]\nanswer:");
        assert_eq!(render(template, &special(), &[USER], false).unwrap(), "<s>\n[Hi]\n");
    }

    #[test]
    fn what_a_template_refuses_is_said() {
        let template = "{% if tools is not none or messages[0].role != 'system' %}{{ raise_exception('no system turn') }}{% endif %}";
        let error = render(template, &special(), &[USER], true).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("no system turn"), "{cause}");
    }

    #[test]
    fn the_date_is_the_templates_own() {
        let template = "{% if strftime_now is defined %}{{ strftime_now('%d') }}{% else %}26 Jul 2024{% endif %}";
        assert_eq!(render(template, &special(), &[USER], true).unwrap(), "26 Jul 2024");
    }
}
