//! The command line as a user meets it: what it prints, what it writes, how it fails.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn lowrank(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lowrank"));
    // Two runs are compared bit for bit: the same number of threads in both.
    command.env("OPENBLAS_NUM_THREADS", "1").args(arguments).output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The one line that a failure prints.
fn error(arguments: &[&str]) -> String {
    let output = lowrank(arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
    assert_eq!(text.trim_end().lines().count(), 1, "{arguments:?}: {text}");
    assert!(text.starts_with("error: "), "{text}");
    text
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

fn sorted_down(folder: &Path, rows: usize) -> String {
    let row = |i: usize| {
        let mut digits: Vec<char> = format!("{:08}", i * 7_654_321 % 100_000_000).chars().collect();
        let prompt: String = digits.iter().collect();
        digits.sort_unstable_by(|a, b| b.cmp(a));
        let completion: String = digits.into_iter().collect();
        format!("{{\"prompt\": \"{prompt}>\", \"completion\": \"{completion}\"}}\n")
    };
    let file = path(folder, "rows.jsonl");
    std::fs::write(&file, (1..=rows).map(row).collect::<String>()).unwrap();
    file
}

#[test]
fn the_embedded_model_learns_and_the_numbers_add_up() {
    let output = lowrank(&["finetune", "--steps", "60", "--format", "json"]);
    let lines = lines(&output);
    assert_eq!(lines.len(), 61);
    for (i, line) in lines[..60].iter().enumerate() {
        assert_eq!(line["step"], i);
        assert!(line["loss"].as_f64().unwrap().is_finite() && line["seconds"].is_f64());
    }
    let last = &lines[60];
    // r (in + out), q 96 → 96 and v 96 → 48, three layers.
    let trainable = 3 * 8 * (2 * 96 + 96 + 48);
    assert_eq!(last["trainable"], trainable);
    assert_eq!(last["adapter_bytes"], 4 * trainable);
    assert_eq!(last["gradient_bytes"], 4 * trainable);
    assert_eq!(last["optimizer_bytes"], 8 * trainable);
    assert!(last["saved_bytes"].as_u64() > last["adapter_saved_bytes"].as_u64());
    assert!(last["adapter_saved_bytes"].as_u64().unwrap() > 0);
    let score = |when: &str, what: &str| last[when][what].as_f64().unwrap();
    assert!(score("after", "loss") < 0.3 * score("before", "loss"), "{last}");
    assert_eq!(score("before", "exact"), 0.0);
}

/// A run that stops half-way and goes on ends bit for bit where a run in one go does: moments, data order, dropout.
#[test]
fn a_resumed_run_equals_an_uninterrupted_one() {
    for method in ["lora", "full"] {
        for dtype in ["f32", "f64"] {
            let directory = tempfile::tempdir().unwrap();
            let data = sorted_down(directory.path(), 7);
            let (whole, half) = (path(directory.path(), "whole"), path(directory.path(), "half"));
            let run = |steps: &str, more: &[&str]| {
                let mut arguments = vec![
                    "finetune",
                    "--data",
                    &data,
                    "--method",
                    method,
                    "--dtype",
                    dtype,
                    "--batch",
                    "2",
                    "--accumulate",
                    "2",
                    "--dropout",
                    "0.25",
                    "--weight-decay",
                    "0.1",
                    "--schedule",
                    "constant",
                    "--warmup",
                    "3",
                    "--clip",
                    "1",
                    "--format",
                    "json",
                    "--steps",
                    steps,
                ];
                arguments.extend(more);
                lines(&lowrank(&arguments))
            };
            let all = run("9", &["--out", &whole]);
            run("4", &["--out", &half]);
            let rest = run("9", &["--resume", &half, "--out", &half]);
            let losses =
                |lines: &[Value]| lines.iter().map(|l| l["loss"].clone()).collect::<Vec<_>>();
            assert_eq!(losses(&all[4..9]), losses(&rest[..5]), "{method} {dtype}");
            let weights =
                if method == "lora" { "adapter_model.safetensors" } else { "model.safetensors" };
            for file in [weights, "training_state.safetensors"] {
                let read = |folder: &str| std::fs::read(Path::new(folder).join(file)).unwrap();
                assert!(read(&whole) == read(&half), "{method} {dtype}: {file} differs");
            }
            let text = error(&[
                "finetune", "--data", &data, "--method", method, "--dtype", dtype, "--lr", "0.5",
                "--resume", &half,
            ]);
            assert!(text.contains("the run to be resumed had"), "{text}");
        }
    }
}

#[test]
fn an_adapter_can_be_started_from_and_generated_with() {
    let directory = tempfile::tempdir().unwrap();
    let out = path(directory.path(), "adapter");
    let run = ["finetune", "--steps", "200", "--rank", "4", "--alpha", "8", "--format", "json"];
    let first = lines(&lowrank(&[&run[..], &["--out", &out]].concat()));
    let after = first.last().unwrap()["after"].clone();
    // Its own rank and α are taken; training it for no step changes nothing.
    let again = ["finetune", "--steps", "0", "--init-adapter", &out, "--format", "json"];
    assert_eq!(lines(&lowrank(&again)).last().unwrap()["before"], after);

    let generate = |more: &[&str]| {
        let output = lowrank(&[&["generate", "--prompt", "31415926>"], more].concat());
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(generate(&[]), "11234569\n");
    let text = generate(&["--adapter", &out]);
    assert!(text.starts_with('9'), "{text}");
}

#[test]
fn merged_models_are_the_adapted_ones() {
    let directory = tempfile::tempdir().unwrap();
    let [base, adapter, merged] =
        ["base", "adapter", "merged"].map(|name| path(directory.path(), name));
    // A checkpoint to merge into: the embedded model, written out by a full run of no step.
    lines(&lowrank(&[
        "finetune", "--method", "full", "--steps", "0", "--format", "json", "--out", &base,
    ]));
    lines(&lowrank(&["finetune", "--steps", "20", "--format", "json", "--out", &adapter]));
    let output = lowrank(&["merge", "--model", &base, "--adapter", &adapter, "--out", &merged]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("as f32: rounding lost 0.0% of ΔW"), "{text}");

    // W + ΔW, by hand, rounded once.
    let of = |folder: &str| llama::load::load::<f64>(folder).unwrap().model;
    let (mut want, got) = (of(&base), of(&merged));
    for (module, lora) in peft::read::<f64>(Path::new(&adapter)).unwrap().modules {
        let found = (0..3)
            .flat_map(|layer| llama::Projection::ALL.map(|projection| (layer, projection)))
            .find(|(layer, projection)| projection.module(*layer) == module);
        let (layer, projection) = found.unwrap();
        adapter::Adapter::merge(&lora, want.layers[layer].weight_mut(projection)).unwrap();
    }
    for ((name, got), (_, want)) in got.tensors().iter().zip(want.tensors()) {
        assert!(got.iter().zip(&want).all(|(got, want)| *got == f64::from(*want as f32)), "{name}");
    }
}

#[test]
fn bad_arguments_get_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        std::fs::write(directory.path().join(name), content).unwrap();
        path(directory.path(), name)
    };
    let empty = file("empty.txt", b"");
    let short = file("short.txt", b"123");
    let binary = file("binary.txt", &[0xff, 0xfe, 0x00]);
    let letters = file("letters.txt", b"12a45");
    let empty_rows = file("empty.jsonl", b"\n");
    let bad_row =
        file("bad.jsonl", b"{\"prompt\": \"1>\", \"completion\": \"1\"}\n{\"prompt\": 3}\n");
    let csv = file("data.csv", b"1,2");
    let notes = file("model.gguf", b"not a model");
    let missing = path(directory.path(), "nowhere");
    for (arguments, expected) in [
        (&["--rank", "0"][..], "rank is 0"),
        (&["--alpha", "nan"], "alpha is NaN"),
        (&["--lr", "nan"], "lr is NaN"),
        (&["--lr", "-1"], "lr is -1"),
        (&["--weight-decay", "inf"], "weight_decay is inf"),
        (&["--dropout", "1"], "dropout is 1"),
        (&["--betas", "0.9"], "--betas takes two numbers"),
        (&["--betas", "0.9,1.5"], "beta2 is 1.5"),
        (&["--eps", "-1"], "eps is -1"),
        (&["--clip", "0"], "clip is 0"),
        (&["--batch", "0"], "--batch and --accumulate are at least 1"),
        (&["--threads", "0"], "--threads is 0"),
        (&["--warmup", "9"], "warmup is 9"),
        (
            &["--targets", "q_proj,w_proj"],
            "unknown target \"w_proj\": this model has q_proj, k_proj",
        ),
        (&["--data", &empty], "the text has 0 tokens, less than one block of 192"),
        (&["--data", &short, "--seq-len", "4"], "the text has 3 tokens, less than one block of 4"),
        (&["--data", &short, "--seq-len", "1"], "nothing to predict"),
        (&["--data", &binary], "not UTF-8"),
        (&["--data", &letters], "'a' is unknown to the embedded model"),
        (&["--data", &empty_rows], "is empty"),
        (&["--data", &bad_row], "line 2"),
        (&["--data", &csv], "ends in .txt or .jsonl"),
        (&["--data", &missing], "nowhere"),
        (&["--model", &notes, "--data", &short], "model.gguf"),
        (&["--model", &missing, "--data", &short], "nowhere"),
        (&["--model", "x.gguf"], "--data is needed"),
        (&["--init-adapter", &missing], "adapter_config.json"),
        (&["--resume", &missing], "nowhere"),
    ] {
        let text = error(&[&["finetune", "--steps", "1"], arguments].concat());
        assert!(text.contains(expected), "{arguments:?}: {text}");
    }
    let text = error(&["generate", "--prompt", ""]);
    assert!(text.contains("the prompt is empty"), "{text}");
    let text = error(&["generate", "--prompt", "1>", "--temperature", "-1"]);
    assert!(text.contains("temperature is -1"), "{text}");
}

/// `--out` where nothing can be written: said so, before any training.
#[test]
fn an_output_folder_that_cannot_be_written() {
    let directory = tempfile::tempdir().unwrap();
    let file = path(directory.path(), "file");
    std::fs::write(&file, "mine").unwrap();
    let text = error(&["finetune", "--steps", "1", "--out", &format!("{file}/adapter")]);
    assert!(text.contains("--out") && text.contains("file cannot be written"), "{text}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
fn compare_writes_a_plot_and_a_table() {
    let directory = tempfile::tempdir().unwrap();
    let out = path(directory.path(), "new/folder");
    let output = lowrank(&["compare", "--steps", "12", "--out", &out]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("306,336") && text.contains("8,064"), "{text}");
    let svg = std::fs::read_to_string(Path::new(&out).join("loss.svg")).unwrap();
    assert!(svg.contains("<svg") && svg.contains("full") && svg.contains("lora"));
    let rows = lines(&lowrank(&["compare", "--steps", "3", "--out", &out, "--format", "json"]));
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1]["losses"].as_array().unwrap().len(), 3);
    // LoRA and full start from the same model and the same data.
    assert_eq!(rows[0]["before"], rows[1]["before"]);
    assert_eq!(rows[0]["losses"][0], rows[1]["losses"][0]);
}

/// Ctrl-C in the middle of a run: its last completed step is on disk, and --resume goes on from there.
#[cfg(unix)]
#[test]
fn an_interrupted_run_keeps_its_last_step() {
    use std::io::{BufRead, BufReader};

    let directory = tempfile::tempdir().unwrap();
    let out = path(directory.path(), "out");
    let data = sorted_down(directory.path(), 7);
    let arguments = ["finetune", "--data", &data, "--batch", "2", "--schedule", "constant"];
    let mut run = Command::new(env!("CARGO_BIN_EXE_lowrank"))
        .env("OPENBLAS_NUM_THREADS", "1")
        .args(arguments)
        .args(["--steps", "1000000", "--format", "json", "--out", &out])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
    lines.nth(2).expect("the third step").unwrap();
    let interrupt = Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let last = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()).last();
    let output = run.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("error: interrupted after step"), "{text}");
    // The last line is the summary, so the run ended in order.
    assert!(last.is_some_and(|line| line["trainable"].is_u64()));

    let steps = text.split("interrupted after step ").nth(1).unwrap();
    let done: usize = steps.split([';', '\n']).next().unwrap().trim().parse().unwrap();
    let more = (done + 1).to_string();
    let resumed = lowrank(
        &[&arguments[..], &["--steps", &more, "--format", "json", "--resume", &out]].concat(),
    );
    assert_eq!(self::lines(&resumed)[0]["step"], done);
}
