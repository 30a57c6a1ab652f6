//! Chat templates render as transformers renders them.
#![cfg(feature = "tokenizer")]

use std::fs;
use std::path::Path;

use llama::{Rendered, Tokenizer};
use serde_json::{Value, json};

/// A tokenizer folder whose chat template is this one.
fn tokenizer(template: &str, document: &Value) -> Tokenizer {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    fs::copy(golden.join("tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
    write("special_tokens_map.json", document["special"].to_string());
    write("chat_template.jinja", template.to_owned());
    let mut tokenizer = Tokenizer::from_folder(folder.path()).unwrap().unwrap();
    tokenizer.set_date(document["date"].as_str().unwrap()).unwrap();
    tokenizer
}

fn render(tokenizer: &Tokenizer, conversation: &Value) -> llama::Result<Rendered> {
    let messages = conversation["messages"].as_array().unwrap();
    let more = conversation["more"].as_object().cloned().unwrap_or_default();
    let rendered = tokenizer.render(messages, conversation["open"] == true, &more)?;
    Ok(rendered.unwrap())
}

/// What is wrong with a rendering, or nothing.
fn difference(got: llama::Result<Rendered>, expected: &Value) -> Option<String> {
    match (got, expected["text"].as_str()) {
        (Ok(got), Some(text)) => {
            let generated: Vec<[usize; 2]> =
                got.generated.iter().map(|span| [span.start, span.end]).collect();
            let same = got.text == text && json!(generated) == expected["generated"];
            (!same).then(|| format!("got {:?} {generated:?}\n  expected {expected}", got.text))
        }
        (Err(error), Some(_)) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            Some(format!("got {error}: {cause:?}\n  expected {expected}"))
        }
        (Ok(got), None) => Some(format!("got {:?}\n  expected {expected}", got.text)),
        (Err(_), None) => None,
    }
}

#[test]
fn templates_render_as_in_transformers() {
    let document: Value = serde_json::from_str(include_str!("../golden/chat.json")).unwrap();
    let templates = document["templates"].as_array().unwrap();
    assert!(templates.len() >= 60);
    let mut wrong = Vec::new();
    for row in templates {
        let tokenizer = tokenizer(row["template"].as_str().unwrap(), &document);
        let conversations = document["conversations"].as_array().unwrap();
        for (i, conversation) in conversations.iter().enumerate() {
            let difference = difference(render(&tokenizer, conversation), &row["rendered"][i]);
            wrong.extend(difference.map(|text| format!("{}, {i}: {text}", row["name"])));
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}

/// What `minijinja` cannot do is refused, and never rendered otherwise.
#[test]
fn expressions_are_those_of_jinja_or_refused() {
    let document: Value = serde_json::from_str(include_str!("../golden/chat.json")).unwrap();
    let conversation = &document["conversations"][4];
    let (mut wrong, mut refused, mut count) = (Vec::new(), Vec::new(), 0);
    for row in document["expressions"].as_array().unwrap() {
        let template = row["template"].as_str().unwrap();
        count += 1;
        let got = render(&tokenizer(template, &document), conversation);
        if got.is_err() && row["rendered"][0]["text"].is_string() {
            refused.push(template);
        } else {
            let difference = difference(got, &row["rendered"][0]);
            wrong.extend(difference.map(|text| format!("{template}: {text}")));
        }
    }
    assert!(wrong.is_empty(), "{} of {count} differ\n{}", wrong.len(), wrong.join("\n"));
    let expected = [
        r"'%r' % 'a'",
        "'½'.isdigit()",
        "[1, 2] + [3]",
        "'x' | int",
        r"'a\u2028\u200b\u00a0b' | pprint",
        "namespace(a=1) | attr('a')",
        "[1, 2, 3][1:]",
        "'abc'.encode()",
        r"'tab\tx'.expandtabs(4)",
    ];
    assert_eq!(refused, expected.map(|text| format!("{{{{ {text} }}}}")));
}
