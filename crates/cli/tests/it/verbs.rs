//! The command line as a user meets it: what it prints, what it writes, how it fails.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::{error, lines, lowrank, path, remarks, sorted_down};

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

const METHODS: [&str; 7] = ["full", "lora", "lora-fa", "vera", "delta-lora", "lora-plus", "dora"];

/// A run that stops half-way and goes on ends bit for bit where a run in one go does: moments, data order, dropout, and
/// what Delta-LoRA moved in W.
#[test]
fn a_resumed_run_equals_an_uninterrupted_one() {
    for method in METHODS {
        for dtype in ["f32", "f64"] {
            let directory = tempfile::tempdir().unwrap();
            let data = sorted_down(directory.path(), 7);
            let (whole, half) = (path(directory.path(), "whole"), path(directory.path(), "half"));
            let common = "--batch 2 --accumulate 2 --weight-decay 0.1 --schedule constant --warmup 3 --clip 1";
            let own = match method {
                "full" => "",
                // W moves once before the interruption.
                "delta-lora" => "--start-step 3",
                "lora-fa" => "--dropout 0.25 --variant projected",
                "lora-plus" => "--dropout 0.25 --lr-ratio 4",
                _ => "--dropout 0.25",
            };
            let run = |steps: &str, more: &[&str]| {
                let mut arguments = vec!["finetune", "--data", &data, "--method", method];
                arguments.extend(["--dtype", dtype, "--steps", steps, "--format", "json"]);
                arguments.extend(common.split(' ').chain(own.split_whitespace()));
                arguments.extend(more);
                lines(&lowrank(&arguments))
            };
            let all = run("9", &["--out", &whole]);
            run("4", &["--out", &half]);
            let rest = run("9", &["--resume", &half]); // in its own folder
            let losses =
                |lines: &[Value]| lines.iter().map(|l| l["loss"].clone()).collect::<Vec<_>>();
            assert_eq!(losses(&all[4..9]), losses(&rest[..5]), "{method} {dtype}");
            let weights =
                if method == "full" { "model.safetensors" } else { "adapter_model.safetensors" };
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

/// Whatever the method, the model with its folder merged in is the model that was trained: the same held-out score.
#[test]
fn merged_models_are_the_trained_ones() {
    let directory = tempfile::tempdir().unwrap();
    // A checkpoint to merge into: the embedded model, written out by a full run of no step.
    let base = path(directory.path(), "base");
    lines(&lowrank(&[
        "finetune", "--method", "full", "--steps", "0", "--format", "json", "--out", &base,
    ]));
    let questions = sorted_down(directory.path(), 100);
    for (method, own) in [
        ("lora", ""),
        ("lora-fa", "--variant projected"),
        ("vera", "--rank 32"),
        ("vera", "--rank 32 --sharing per_shape"),
        ("vera", "--rank 32 --save-projections"),
        ("delta-lora", "--start-step 5"),
        ("lora-plus", ""),
        ("dora", ""),
    ] {
        let [adapter, merged] = ["adapter", "merged"].map(|name| path(directory.path(), name));
        let mut arguments = vec!["finetune", "--method", method, "--steps", "20", "--batch", "8"];
        arguments.extend(own.split_whitespace());
        arguments.extend(["--eval-data", &questions, "--format", "json", "--out", &adapter]);
        let trained = lines(&lowrank(&arguments)).pop().unwrap();
        let loss = |line: &Value, when: &str| line[when]["loss"].as_f64().unwrap();
        assert!(loss(&trained, "after") < 0.95 * loss(&trained, "before"), "{method} {own}");

        let output = lowrank(&["merge", "--model", &base, "--adapter", &adapter, "--out", &merged]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("as f32: rounding lost 0.0% of ΔW"), "{text}");
        let model = llama::load::load::<f32>(&merged).unwrap().model;
        let reader = finetune::Reader { context: 64, ..Default::default() };
        let examples = reader.read(questions.as_ref(), &finetune::Words::Digits).unwrap().examples;
        let score = model.evaluate(&llama::Adapters::<adapter::Full>::none(), &examples).unwrap();
        // The two sum in another order, and each merged weight is rounded once: some 1e-7 through three layers.
        let difference = (score.loss - loss(&trained, "after")).abs();
        assert!(difference <= 1e-4 * score.loss, "{method} {own}: {score:?}, {trained}");

        let generate = ["generate", "--prompt", "31415926>", "--adapter", &adapter];
        let text = String::from_utf8(lowrank(&generate).stdout).unwrap();
        let prompt = llama::tiny::encode("31415926>").unwrap();
        let sampling = llama::Sampling::greedy(8, Vec::new());
        let none = llama::Adapters::<adapter::Full>::none();
        let mut rng = rand_chacha::rand_core::SeedableRng::seed_from_u64(0);
        let rng: &mut rand_chacha::ChaCha8Rng = &mut rng;
        let tokens = model.generate(&none, &prompt, &sampling, rng, |_| {}).unwrap();
        assert_eq!(text, format!("{}\n", llama::tiny::decode(&tokens)), "{method} {own}");
        for folder in [adapter, merged] {
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
}

/// An adapter of PEFT's with whole tensors beside it: merging says so, and inspecting.
#[test]
fn what_an_adapter_replaces_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let golden = |name: &str| {
        path(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../methods/tests/golden")), name)
    };
    let [base, adapter, out] = [golden("untied"), golden("saved"), path(directory.path(), "out")];
    let said = |arguments: &[&str]| {
        let output = lowrank(arguments);
        let [out, error] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.success(), out + &error)
    };
    let (success, text) = said(&["merge", "--model", &base, "--adapter", &adapter, "--out", &out]);
    let names = "lm_head.weight, model.embed_tokens.weight, model.layers.0.input_layernorm.weight";
    assert!(success && text.contains(&format!("changed as the adapter has it: {names}")), "{text}");
    let (success, text) = said(&["inspect", &adapter, "--model", &base]);
    assert!(success && text.contains(&format!("beside them it changes {names}")), "{text}");
}

/// Delta-LoRA's folder holds a rank and a scale of its own, so its α is known from the settings alone. And its K is by default
/// a quarter of the steps: of those that the run had first.
#[test]
fn an_option_that_contradicts_a_resumed_run_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let data = sorted_down(directory.path(), 7);
    for method in ["lora", "vera", "delta-lora"] {
        let out = path(directory.path(), method);
        let run = |steps: &str, more: &[&str]| -> Output {
            let arguments =
                ["finetune", "--data", &data, "--method", method, "--rank", "4", "--steps", steps];
            lowrank(&[&arguments[..], &["--format", "json"], more].concat())
        };
        let own = match method {
            "vera" => ["--d-init", "0.25"],
            _ => ["--alpha", "12"],
        };
        lines(&run("4", &[&own[..], &["--schedule", "constant", "--out", &out]].concat()));
        let again = |steps: &str, more: &[&str]| {
            let common = ["--schedule", "constant", "--resume", &out, "--out", &out];
            run(steps, &[&common[..], more].concat())
        };
        // Unsaid, it is what it was; said again, it may be so; twice over, since the second run writes it anew.
        lines(&again("8", &[]));
        lines(&again("9", &own));
        let text = String::from_utf8(again("12", &[own[0], "999"]).stderr).unwrap();
        let expected = format!("{} is 999.0", own[0]);
        assert!(text.contains(&expected) && text.contains("to be resumed had"), "{text}");
        if method == "delta-lora" {
            let text = String::from_utf8(again("12", &["--start-step", "3"]).stderr).unwrap();
            assert!(text.contains("--start-step is 3, and the run to be resumed had 1"), "{text}");
        }
    }
}

/// A folder says which method made it, and another method does not take it by mistake.
#[test]
fn a_checkpoint_of_another_method_or_rank_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let folder = |name: &str| path(directory.path(), name);
    for method in ["lora", "lora-fa", "vera", "delta-lora", "lora-plus", "dora"] {
        let out = folder(method);
        lines(&lowrank(&[
            "finetune", "--method", method, "--steps", "1", "--rank", "4", "--out", &out,
            "--format", "json",
        ]));
    }
    let start = |method: &str, from: &str, more: &[&str]| -> Output {
        let folder = folder(from);
        let arguments = ["finetune", "--steps", "0", "--method", method, "--init-adapter", &folder];
        lowrank(&[&arguments[..], more].concat())
    };
    // Plain LoRA, which is also what PEFT's LoRA-FA and LoRA+ leave, is a start for all that are built on it.
    for method in ["lora", "lora-fa", "delta-lora", "lora-plus"] {
        assert!(start(method, "lora", &[]).status.success(), "{method}");
    }
    for method in ["lora-fa", "vera", "lora-plus", "dora"] {
        assert!(start(method, method, &[]).status.success(), "{method}");
    }
    for (method, from, expected) in [
        ("lora", "lora-fa", "lora-fa made this adapter, and the method is lora"),
        ("lora-plus", "lora-fa", "lora-fa made this adapter, and the method is lora-plus"),
        ("lora-fa", "lora-plus", "lora-plus made this adapter"),
        ("lora", "delta-lora", "delta-lora made this adapter"),
        ("delta-lora", "delta-lora", "go on with --resume"),
        ("vera", "lora", "peft_type is LORA"),
        ("lora", "vera", "peft_type is VERA"),
        ("lora", "dora", "use_dora is true: this is an adapter of the method dora"),
        ("dora", "lora", "use_dora is false: this is an adapter of LoRA"),
        ("full", "lora", "no adapter to start from"),
    ] {
        let text = String::from_utf8(start(method, from, &[]).stderr).unwrap();
        assert!(text.contains(expected), "{method} from {from}: {text}");
    }
    for (method, from) in [("lora", "lora"), ("vera", "vera")] {
        let text = String::from_utf8(start(method, from, &["--rank", "5"]).stderr).unwrap();
        assert!(text.contains("--rank is 5") && text.contains("has rank 4"), "{text}");
    }
}

#[test]
fn what_is_hardly_meant_gets_a_warning() {
    let warning = |arguments: &[&str]| {
        let output =
            lowrank(&[&["finetune", "--steps", "1", "--format", "json"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        remarks(output)
    };
    let text = warning(&["--method", "lora-plus", "--lr-ratio", "0.5"]);
    assert!(text.starts_with("warning: lr-ratio is 0.5"), "{text}");
    let text = warning(&["--method", "delta-lora", "--start-step", "7"]);
    assert!(text.contains("start-step is 7 and the run has 1 steps: W never moves"), "{text}");
    assert_eq!(warning(&["--method", "delta-lora"]), "");
    assert_eq!(warning(&["--method", "lora-plus"]), "");
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
    let csv = file("data.csv", b"1,2\n3,4\n");
    let parquet = file("data.parquet", b"PAR1");
    let other = file("data.doc", b"x");
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
        (&["--eps", "0"], "eps is 0: a number whose gradient is 0"),
        (&["--clip", "0"], "clip is 0"),
        (&["--batch", "0"], "batch and accumulate are at least 1"),
        (&["--threads", "0"], "--threads is 0"),
        (&["--warmup", "9"], "warmup is 9"),
        (&["--targets", "q_proj,w_proj"], "unknown target \"w_proj\": there are q_proj, k_proj"),
        (&["--data", &empty], "the text has 0 tokens, less than one block of 192"),
        (&["--data", &short, "--seq-len", "4"], "the text has 3 tokens, less than one block of 4"),
        (&["--data", &short, "--seq-len", "1"], "nothing to predict"),
        (&["--data", &binary], "not UTF-8"),
        (&["--data", &letters], "'a' is unknown to the embedded model"),
        (&["--data", &empty_rows], "is empty"),
        (&["--data", &bad_row], "line 2"),
        (&["--data", &csv], "its columns are 1, 2"),
        (&["--data", &parquet], "ds.to_json(\"data.jsonl\")"),
        (&["--data", &other], "data ends in .txt, .jsonl"),
        (&["--data", &missing], "nowhere"),
        (&["--model", &notes, "--data", &short], "model.gguf"),
        (&["--model", &missing, "--data", &short], "nowhere"),
        (&["--model", "x.gguf"], "--data is needed"),
        (&["--init-adapter", &missing], "adapter_config.json"),
        (&["--resume", &missing], "nowhere"),
        (&["--lambda", "2"], "--lambda is for delta-lora: the method is lora"),
        (
            &["--method", "vera", "--alpha", "2"],
            "--alpha is for lora, lora-fa, delta-lora, lora-plus, dora",
        ),
        (&["--method", "full", "--rank", "2"], "--rank is for lora"),
        (&["--method", "full", "--dropout", "0.1"], "full fine-tuning has no adapter"),
        (&["--method", "delta-lora", "--dropout", "0.1"], "Delta-LoRA has no dropout"),
        (&["--method", "delta-lora", "--lambda", "-1"], "lambda is -1"),
        (&["--method", "delta-lora", "--lambda", "nan"], "lambda is NaN"),
        (&["--method", "lora-plus", "--lr-ratio", "inf"], "ratio is inf"),
        (&["--method", "lora-plus", "--lr-ratio", "-2"], "ratio is -2"),
        (
            &["--method", "lora-fa", "--variant", "projected", "--rank", "97"],
            "97 rows of length 96",
        ),
        (&["--method", "lora-fa", "--variant", "projected", "--alpha", "0"], "scale is 0"),
        (&["--method", "vera", "--d-init", "nan"], "d_init is NaN"),
        (&["--method", "vera", "--rank", "0"], "rank is 0"),
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

/// All seven rows, from the same start, at the committed rates; the plots; and finished runs are not made again.
#[test]
fn compare_shows_every_row_and_keeps_its_runs() {
    let directory = tempfile::tempdir().unwrap();
    let out = path(directory.path(), "new/folder");
    let compare = |more: &[&str]| {
        lowrank(&[&["compare", "--steps", "4", "--batch", "4", "--out", &out], more].concat())
    };
    let rows = lines(&compare(&["--seeds", "2", "--format", "json"]));
    assert_eq!(rows.len(), 2 * 8);
    for row in &rows {
        // The same model and the same data, and a start that changes nothing.
        assert_eq!(row["before"], rows[0]["before"], "{row}");
        let same_seed = rows.iter().find(|other| other["seed"] == row["seed"]).unwrap();
        assert_eq!(row["losses"][0], same_seed["losses"][0], "{row}");
        assert_eq!(row["losses"].as_array().unwrap().len(), 4);
        assert!(row["effective_rank"].as_f64().unwrap() >= 1.0, "{row}");
        assert_eq!(row["spectra"].as_object().unwrap().len(), 6);
    }
    assert_ne!(rows[0]["losses"], rows[1]["losses"], "the seed must matter");
    let of = |method: &str, what: &str| -> u64 {
        let row = rows.iter().find(|row| row["method"] == method).unwrap();
        row["bytes"][what].as_u64().or(row[what].as_u64()).unwrap()
    };
    assert_eq!(of("lora", "trainable"), 8064);
    assert_eq!(of("dora", "trainable"), 8064 + 3 * (96 + 48));
    assert_eq!(of("vera", "trainable"), 3 * (96 + 256 + 48 + 256));
    assert_eq!(of("lora-fa-plain", "trainable"), 3 * 8 * (96 + 48));
    // LoRA-FA's backward does without what q and v read: 4 sequences of 17 tokens, 3 layers.
    let spared = 4 * 4 * 17 * 96 * 3;
    assert_eq!(of("lora", "saved") - of("lora-fa-plain", "saved"), spared);

    // The table comes from the kept runs: one that is changed shows.
    let table = |output: Output| {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = table(compare(&["--seeds", "2"]));
    for label in
        ["full", "LoRA-FA, projected", "VeRA", "Delta-LoRA", "LoRA+", "DoRA", "306,336", "8,064"]
    {
        assert!(text.contains(label), "{label}: {text}");
    }
    let runs: Vec<_> = std::fs::read_dir(Path::new(&out).join("runs")).unwrap().collect();
    assert_eq!(runs.len(), 2 * 8);
    let lora = runs.iter().map(|run| run.as_ref().unwrap().path());
    let lora = lora.filter(|path| path.to_str().unwrap().contains("run-lora-lr"));
    for path in lora {
        let mut run: Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        run["trainable"] = 123_456_789.into();
        std::fs::write(path, run.to_string()).unwrap();
    }
    assert!(table(compare(&["--seeds", "2"])).contains("123,456,789"));
    for name in ["loss.svg", "bytes.svg", "spectra.svg"] {
        let svg = std::fs::read_to_string(Path::new(&out).join(name)).unwrap();
        assert!(svg.contains("<svg") && svg.contains("Delta-LoRA"), "{name}");
    }
    let text = error(&["compare", "--steps", "5", "--batch", "4", "--out", &out]);
    assert!(text.contains("steps was 4 and is 5") && text.contains("--fresh"), "{text}");

    // Other terms begin anew only when that is asked for, and what was there stays.
    let fresh = ["compare", "--steps", "5", "--batch", "4", "--seeds", "1", "--methods", "lora"];
    let text = table(lowrank(&[&fresh[..], &["--out", &out, "--fresh"]].concat()));
    assert!(text.contains("best at 400 steps of 32, r = 8"), "{text}");
    let runs = |folder: &Path| std::fs::read_dir(folder.join("runs")).unwrap().count();
    let out = Path::new(&out);
    assert_eq!([runs(out), runs(&out.join("earlier-1"))], [1, 2 * 8]);
    assert!(out.join("earlier-1/comparison.json").is_file());
}

/// Without committed rates they are found, on examples that are neither trained on nor reported.
#[test]
fn compare_finds_learning_rates() {
    let directory = tempfile::tempdir().unwrap();
    let [out, base] = ["out", "base"].map(|name| path(directory.path(), name));
    let data = sorted_down(directory.path(), 40);
    let compare = |more: &[&str]| {
        let arguments =
            ["compare", "--data", &data, "--steps", "2", "--seeds", "1", "--batch", "2"];
        lowrank(&[&arguments[..], &["--methods", "lora", "--out", &out], more].concat())
    };
    let rows = lines(&compare(&["--format", "json"]));
    assert_eq!(rows.len(), 2, "the sweep and the row");
    let trials = rows[0]["trials"]["lora"].as_array().unwrap();
    let loss = |trial: &Value| trial["loss"].as_f64().unwrap_or(f64::INFINITY);
    let best = trials.iter().min_by(|a, b| loss(a).total_cmp(&loss(b))).unwrap();
    assert_eq!(rows[1]["lr"], best["lr"]);
    // The sweep can be given, and then is not made.
    let sweep = path(Path::new(&out), "sweep.json");
    assert_eq!(lines(&compare(&["--rates", &sweep, "--format", "json"])).len(), 1);
    let text = error(&["compare", "--methods", "vera", "--rates", &sweep, "--out", &base]);
    assert!(text.contains("no learning rate is known for vera"), "{text}");
    let text = error(&["compare", "--data", &sorted_down(directory.path(), 9), "--out", &base]);
    assert!(text.contains("there are 9 examples"), "{text}");

    // The same path, and another model.
    let [model, other] = ["model", "other"].map(|name| path(directory.path(), name));
    let data = sorted_down(directory.path(), 40);
    let train = |seed: &str| {
        let full = "finetune --method full --steps 1 --overwrite --seed".split(' ');
        let full: Vec<&str> = full.chain([seed, "--out", &model]).collect();
        assert!(lowrank(&full).status.success());
    };
    train("0");
    let compare = [
        "compare",
        "--model",
        &model,
        "--data",
        &data,
        "--steps",
        "1",
        "--seeds",
        "1",
        "--methods",
        "lora",
        "--rates",
        &sweep,
        "--out",
        &other,
    ];
    assert!(lowrank(&compare).status.success());
    train("1");
    let text = error(&compare);
    assert!(text.contains("weights was "), "{text}");
}

#[test]
fn claims_are_listed() {
    let rows = lines(&lowrank(&["claims", "--format", "json"]));
    assert_eq!(rows.len(), 37);
    let output = lowrank(&["claims"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("18,874,368"), "{text}");
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
