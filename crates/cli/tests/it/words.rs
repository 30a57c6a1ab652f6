//! From a user's rows to tokens, and from tokens to what a user reads.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::json;

use crate::{error, lines, lowrank, path, remarks};

/// The number of the byte C3, with which no character ends, in the small tokenizer.
const C3: usize = 3 + 0xc3;

/// A model folder with the small tokenizer: it always finds the byte C3 likeliest.
fn stutterer(folder: &Path, template: Option<&str>) -> String {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../llama/tests/golden/tokenizer.json");
    let config = llama::Config {
        vocab_size: 364,
        max_position_embeddings: 16,
        tie_word_embeddings: false,
        ..llama::tiny::config()
    };
    let width = config.hidden_size;
    let model = llama::Llama::<f32>::build(config, |name, shape| {
        let count: usize = shape.iter().product();
        Ok(match name {
            "lm_head.weight" => {
                (0..count).map(|i| if i / width == C3 { 0.1 } else { 0.0 }).collect()
            }
            name if name.contains("norm") || name.contains("embed") => vec![1.0; count],
            _ => vec![0.0; count],
        })
    });
    let out = folder.join("model");
    llama::save::save(&model.unwrap(), &out).unwrap();
    std::fs::copy(golden, out.join("tokenizer.json")).unwrap();
    let special = json!({"bos_token": "<s>", "eos_token": "</s>"});
    std::fs::write(out.join("special_tokens_map.json"), special.to_string()).unwrap();
    if let Some(template) = template {
        std::fs::write(out.join("chat_template.jinja"), template).unwrap();
    }
    out.to_str().unwrap().to_owned()
}

fn stdout(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn stderr(output: Output) -> String {
    assert!(output.status.success());
    remarks(output)
}

/// What is held back in the hope of a whole character comes when nothing more does.
#[test]
fn an_answer_that_ends_inside_a_character_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let model = stutterer(directory.path(), None);
    let generate = |more: &[&str]| {
        lowrank(&[&["generate", "--model", &model, "--prompt", "on"], more].concat())
    };
    assert_eq!(stdout(generate(&["--tokens", "2"])), "\u{fffd}\u{fffd}\n");

    let text = stderr(generate(&["--tokens", "20"]));
    assert!(text.contains("have 23 tokens, more than the model's context of 16"), "{text}");
    assert_eq!(stderr(generate(&["--tokens", "2"])), "");

    // The likeliest token has a probability of 0.97: alone it is the nucleus of 0.5.
    let drawn = |top_p: &str| {
        stdout(generate(&["--tokens", "100", "--temperature", "1.5", "--top-p", top_p]))
    };
    assert_eq!(drawn("0.5"), format!("{}\n", "\u{fffd}".repeat(100)));
    assert_ne!(drawn("1"), drawn("0.5"));
    for (arguments, expected) in [
        (&["--top-p", "0.5"][..], "--top-p is for drawing at random"),
        (&["--top-p", "1.5", "--temperature", "1"], "top_p is 1.5"),
        (&["--system", "Be short."], "a system prompt needs a chat template"),
    ] {
        let text = error(&[&["generate", "--model", &model, "--prompt", "on"], arguments].concat());
        assert!(text.contains(expected), "{text}");
    }
}

/// A system prompt reaches the template, and so does the date.
#[test]
fn a_system_prompt_is_a_turn() {
    let directory = tempfile::tempdir().unwrap();
    let template = "{{ raise_exception(messages[0].role ~ ': ' ~ messages[0].content ~ strftime_now(' %d.%m.%Y')) }}";
    let model = stutterer(directory.path(), Some(template));
    let text = error(&[
        "generate",
        "--model",
        &model,
        "--prompt",
        "x",
        "--system",
        "Be short.",
        "--date",
        "2024-07-26",
    ]);
    assert!(text.contains("system: Be short. 26.07.2024"), "{text}");
    let text = error(&["generate", "--model", &model, "--prompt", "x", "--date", "today"]);
    assert!(text.contains("--date") && text.contains("2024-07-26"), "{text}");
}

/// Conversations train: on what the assistant says, on everything, and on the last turn there are other losses.
#[test]
fn rows_of_messages_train() {
    let directory = tempfile::tempdir().unwrap();
    let template = "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<s>assistant: {% endif %}";
    let model = stutterer(directory.path(), Some(template));
    let data = path(directory.path(), "rows.json");
    let say = |role: &str, content: &str| json!({"role": role, "content": content});
    let turns = [
        say("user", "a"),
        say("assistant", "\u{c3}\u{c3}\u{c3}"),
        say("user", "b"),
        say("assistant", "the"),
    ];
    std::fs::write(&data, json!([{"messages": turns, "id": 1}]).to_string()).unwrap();
    let loss = |train_on: &str| {
        let arguments =
            ["finetune", "--model", &model, "--data", &data, "--steps", "1", "--format", "json"];
        let output = lowrank(&[&arguments[..], &["--train-on", train_on]].concat());
        lines(&output)[0]["loss"].as_f64().unwrap()
    };
    let [all, assistant, last] = ["all", "assistant", "last"].map(loss);
    // The model is right about half of the bytes of the first answer, and about nothing else.
    assert!(assistant < last && assistant < all, "{all} {assistant} {last}");
}

#[test]
fn rows_come_from_standard_input_too() {
    let row = "{\"prompt\": \"31415926>\", \"completion\": \"96543211\"}\n";
    let run = |input: &str| {
        let mut run = Command::new(env!("CARGO_BIN_EXE_lowrank"))
            .args(["finetune", "--data", "-", "--steps", "1", "--format", "json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        run.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        run.wait_with_output().unwrap()
    };
    assert!(lines(&run(row))[0]["loss"].as_f64().unwrap() > 1.0);
    let text = String::from_utf8(run("").stderr).unwrap();
    assert!(text.contains("standard input: it is empty"), "{text}");
}

/// Held-out rows are read as training rows are: without a target there is no score.
#[test]
fn held_out_rows_need_a_target() {
    let directory = tempfile::tempdir().unwrap();
    let data = path(directory.path(), "held-out.jsonl");
    let row =
        |completion: &str| format!("{{\"prompt\": \"123>\", \"completion\": \"{completion}\"}}\n");
    std::fs::write(&data, row("321") + &row("")).unwrap();
    let text = error(&["finetune", "--steps", "1", "--eval-data", &data]);
    assert!(text.contains("held-out.jsonl: line 2: it has nothing to predict"), "{text}");
}

#[test]
fn long_rows_are_counted_once() {
    let directory = tempfile::tempdir().unwrap();
    let data = path(directory.path(), "rows.csv");
    let row = |length: usize| format!("{}>,1\n", "1".repeat(length));
    std::fs::write(&data, format!("question,answer\n{}{}{}", row(80), row(8), row(70))).unwrap();
    let fields = "prompt=question,completion=answer";
    let text = stderr(lowrank(&[
        "finetune", "--data", &data, "--fields", fields, "--steps", "1", "--format", "json",
    ]));
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.contains(
            "2 of 3 examples are longer than the model's context of 64 tokens; the longest has 82"
        ),
        "{text}"
    );
    let text =
        String::from_utf8(lowrank(&["finetune", "--fields", "promt=question"]).stderr).unwrap();
    assert!(text.contains("\"promt\" is none of prompt, completion"), "{text}");
}
