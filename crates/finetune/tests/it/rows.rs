//! Rows have the tokens, and the mask of what is learnt, that transformers and TRL give them.

use std::fs;
use std::path::Path;

use finetune::{Reader, TrainOn, Words};
use serde_json::{Value, json};

/// A tokenizer that puts these tokens around every text: `none`, `bos` before it, or `both`.
fn words(around: &str, template: Option<&str>, special: &Value) -> Words {
    let llama = Path::new(env!("CARGO_MANIFEST_DIR")).join("../llama/tests/golden/tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&fs::read(llama).unwrap()).unwrap();
    match around {
        "none" => tokenizer["post_processor"] = Value::Null,
        "both" => {
            let single = tokenizer["post_processor"]["single"].as_array_mut().unwrap();
            single.push(json!({"SpecialToken": {"id": "</s>", "type_id": 0}}));
            let tokens = &mut tokenizer["post_processor"]["special_tokens"];
            tokens["</s>"] = json!({"id": "</s>", "ids": [2], "tokens": ["</s>"]});
        }
        _ => {}
    }
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    write("tokenizer.json", tokenizer.to_string());
    write("special_tokens_map.json", special.to_string());
    if let Some(template) = template {
        write("chat_template.jinja", template.to_owned());
    }
    Words::Tokenizer(Box::new(llama::Tokenizer::from_folder(folder.path()).unwrap().unwrap()))
}

fn read(rows: &[Value], words: &Words, train_on: TrainOn) -> finetune::Result<finetune::Rows> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    fs::write(&path, rows.iter().map(|row| format!("{row}\n")).collect::<String>()).unwrap();
    Reader { train_on, context: 1000, ..Reader::default() }.read(&path, words)
}

#[test]
fn rows_are_those_of_transformers_and_trl() {
    let document: Value = serde_json::from_str(include_str!("../golden/rows.json")).unwrap();
    let cases = document["cases"].as_array().unwrap();
    assert!(cases.len() >= 50);
    for case in cases {
        let words = words(
            case["around"].as_str().unwrap(),
            case["template"].as_str(),
            &document["special"],
        );
        let train_on = match case["train_on"].as_str().unwrap() {
            "all" => TrainOn::All,
            "last" => TrainOn::Last,
            _ => TrainOn::Assistant,
        };
        let rows = read(&[case["row"].clone()], &words, train_on).unwrap();
        let example = &rows.examples[0];
        let learnt: Vec<u8> = example.learnt.iter().map(|&learnt| learnt.into()).collect();
        assert_eq!(json!(example.tokens), case["tokens"], "{case}");
        assert_eq!(json!(learnt), case["learnt"], "{case}");
        assert_eq!(!rows.notes.is_empty(), case["shifted"] == true, "{case}: {:?}", rows.notes);
    }
}

/// One note counts the rows whose prompt is no prefix.
#[test]
fn shifted_rows_are_counted() {
    let words = words("bos", None, &json!({"eos_token": "</s>"}));
    let [shifted, plain] = [("the", "n"), ("2+2=", "2")]
        .map(|(prompt, completion)| json!({"prompt": prompt, "completion": completion}));
    let shifted =
        json!({"prompt": format!("{}t", shifted["prompt"].as_str().unwrap()), "completion": "he"});
    let rows = read(&[plain.clone(), shifted.clone(), plain, shifted], &words, TrainOn::Assistant);
    let notes = rows.unwrap().notes;
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("in 2 of 4 rows"), "{notes:?}");
}

#[test]
fn what_cannot_be_learnt_is_named() {
    let special = json!({"eos_token": "</s>"});
    let template = "{% for m in messages %}{{ m.role }}: {{ m.content }} {% if m.role == 'user' and not loop.last %}(of {{ messages | length }}){% endif %}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}";
    let say = |role: &str| json!({"role": role, "content": "x"});
    let turns = json!({"messages": [say("user"), say("assistant"), say("user"), say("assistant")]});
    let chat = words("bos", Some(template), &special);
    let plain = words("bos", None, &special);
    for (row, words, expected) in [
        (&turns, &chat, "line 2: the chat template writes message 2 otherwise"),
        (&turns, &plain, "line 2: a conversation needs a chat template"),
        (&json!({"messages": [say("user")]}), &chat, "line 2: it has nothing to predict"),
        (&json!({"messages": []}), &chat, "messages has no messages"),
        (&json!({"messages": [{"content": "x"}]}), &chat, "message 1 has no role"),
        (
            &json!({"conversations": [{"from": "me", "value": "x"}]}),
            &chat,
            "\"me\", who is unknown",
        ),
        (
            &json!({"question": "x", "answer": "y"}),
            &chat,
            "its columns are question, answer: --fields",
        ),
        (&json!({"prompt": "x", "chosen": "y"}), &chat, "a row with a prompt has a completion"),
        (&json!({"prompt": "x", "completion": 3}), &chat, "are both texts or both lists"),
        (
            &json!({"prompt": "x", "completion": null}),
            &chat,
            "a row with a prompt has a completion",
        ),
        (&json!({"instruction": "x", "output": "y", "history": [["a", "b"]]}), &chat, "history"),
        (&json!({"text": 3}), &chat, "text is no text"),
    ] {
        let good = json!({"text": "a good one"});
        let error = read(&[good, row.clone()], words, TrainOn::Assistant).unwrap_err().to_string();
        assert!(error.contains("rows.jsonl: line 2: ") && error.contains(expected), "{error}");
    }
    let thinks = "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}<think>{% endif %}";
    let row = json!({"prompt": "x", "completion": "y"});
    let error = read(&[row], &words("bos", Some(thinks), &special), TrainOn::Assistant);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("line 1: it has nothing to predict: its prompt alone"), "{error}");
    let strict = "{% if messages[0].role == 'system' %}!{% endif %}{% for m in messages %}{{ m.content }}{% endfor %}";
    let first = json!({"messages": [say("assistant"), say("user"), say("assistant")]});
    let error = read(&[first], &words("bos", Some(strict), &special), TrainOn::Assistant);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("message 1 is the assistant's and answers nothing"), "{error}");
    // The last answer is found where the first is not.
    assert!(read(&[turns], &chat, TrainOn::Last).is_ok());
}

/// What a template needs beside the messages comes from the row.
#[test]
fn tools_reach_the_template() {
    let template =
        "{{ tools | tojson }}{{ mood }}{% for m in messages %}{{ m.content }}{% endfor %}";
    let words = words("none", Some(template), &json!({}));
    let row = json!({
        "messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}],
        "tools": [{"b": 1, "a": 2}], "chat_template_kwargs": {"mood": "!"},
    });
    let rows = read(&[row], &words, TrainOn::All).unwrap();
    let text = words.decode(&rows.examples[0].tokens).unwrap();
    assert_eq!(text, "[{\"b\": 1, \"a\": 2}]!ua");

    // In a table's cell all of it is JSON in a text, or nothing.
    let cell = |value: Value| Value::String(value.to_string());
    let messages = json!([{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]);
    let turns = json!([{"from": "human", "value": "u"}, {"from": "gpt", "value": "a"}]);
    for row in [
        json!({"messages": cell(messages.clone()), "tools": cell(json!([{"b": 1, "a": 2}])), "chat_template_kwargs": cell(json!({"mood": "!"}))}),
        json!({"conversations": cell(turns), "tools": cell(json!([{"b": 1, "a": 2}])), "chat_template_kwargs": {"mood": "!"}, "documents": "null"}),
    ] {
        let rows = read(&[row], &words, TrainOn::All).unwrap();
        assert_eq!(words.decode(&rows.examples[0].tokens).unwrap(), text);
    }
    for (tools, expected) in
        [(json!("a hammer"), "not of JSON"), (json!({"a": 2}), "tools is no list")]
    {
        let row = json!({"messages": messages, "tools": tools});
        let error = read(&[row], &words, TrainOn::All).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
