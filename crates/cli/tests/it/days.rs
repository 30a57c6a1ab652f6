//! Ordinary days: folders that hold something, runs that end too early, data that is not the same any more.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{error, lines, lowrank, path, sorted_down};

/// All files below a folder, by name.
fn contents(folder: &str) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.to_str().unwrap().to_owned();
        if path.is_dir() {
            all.extend(contents(&name));
        } else {
            all.insert(name, fs::read(path).unwrap());
        }
    }
    all
}

fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// It is there until its successor is.
#[test]
fn a_result_survives_a_run_that_was_to_replace_it() {
    let directory = tempfile::tempdir().unwrap();
    let out = path(directory.path(), "out");
    let data = sorted_down(directory.path(), 4);
    let run = ["finetune", "--data", &data, "--steps", "3", "--format", "json", "--out", &out];
    lines(&lowrank(&run));
    let weights = |folder: &Path| fs::read(folder.join("adapter_model.safetensors")).unwrap();
    let before = weights(Path::new(&out));
    let diverges = [&run[..], &["--overwrite", "--lr", "1e39"]].concat();
    let output = lowrank(&diverges);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains(".replaced-1 until the last step"), "{text}");
    let aside = Path::new(&out).join(".replaced-1");
    assert!(weights(&aside) == before);
    lines(&lowrank(&[&run[..], &["--overwrite", "--seed", "1"]].concat()));
    assert!(weights(Path::new(&out)) != before && !aside.exists());
}

/// Every way to write a result over something else is refused, and what was there is as it was.
#[test]
fn a_result_is_never_mixed_with_something_else() {
    let directory = tempfile::tempdir().unwrap();
    let [base, adapter, other, merged] =
        ["base", "adapter", "other", "merged"].map(|name| path(directory.path(), name));
    let full = ["finetune", "--method", "full", "--steps", "0", "--format", "json", "--out", &base];
    lines(&lowrank(&full));
    let data = sorted_down(directory.path(), 4);
    let run = ["finetune", "--model", &base, "--data", &data, "--steps", "1", "--format", "json"];
    lines(&lowrank(&[&run[..], &["--out", &adapter]].concat()));
    fs::create_dir(&other).unwrap();
    fs::write(path(Path::new(&other), "notes.txt"), "mine").unwrap();
    let merge = ["merge", "--model", &base, "--adapter", &adapter];
    assert!(lowrank(&[&merge[..], &["--out", &merged]].concat()).status.success());

    let before = contents(directory.path().to_str().unwrap());
    let again = [&run[..], &["--init-adapter", &adapter]].concat();
    let merge_again = ["merge", "--model", &merged, "--adapter", &adapter, "--overwrite"];
    for (arguments, out, expected) in [
        (&merge[..], &base, "is the folder of --model"),
        (&merge, &adapter, "is the folder of --adapter"),
        (&merge, &other, "holds notes.txt"),
        (&merge, &merged, "--overwrite"),
        // ΔW would be added twice.
        (&merge_again, &merged, "is the folder of --model"),
        (&run, &base, "is the folder of --model"),
        (&again, &adapter, "is the folder of --init-adapter"),
        (&run, &adapter, "--overwrite"),
        (&run, &other, "holds notes.txt"),
        (&run, &merged, "lowrank merge wrote it"),
        (&full[..7], &adapter, "--overwrite"),
        (&["compare", "--steps", "1", "--seeds", "1"], &other, "holds notes.txt"),
    ] {
        let arguments = [arguments, &["--out", out]].concat();
        let text = error(&arguments);
        assert!(text.contains(expected), "{arguments:?}: {text}");
        assert!(before == contents(directory.path().to_str().unwrap()), "{arguments:?}");
    }
    // What the same command wrote may give way to a new result, as a whole.
    fs::write(path(Path::new(&merged), "tokenizer.model"), "of another model").unwrap();
    assert!(lowrank(&[&merge[..], &["--out", &merged, "--overwrite"]].concat()).status.success());
    assert!(!names(&merged).contains(&"tokenizer.model".to_owned()));
    lines(&lowrank(&[&run[..], &["--out", &adapter, "--overwrite", "--rank", "2"]].concat()));
    let config = fs::read_to_string(path(Path::new(&adapter), "adapter_config.json")).unwrap();
    assert!(config.contains("\"r\": 2"), "{config}");
}

/// Killed without warning, a run goes on from its last checkpoint and ends where it would have ended.
#[cfg(unix)]
#[test]
fn a_killed_run_goes_on_from_its_last_checkpoint() {
    use std::io::{BufRead, BufReader};

    let directory = tempfile::tempdir().unwrap();
    let [whole, killed] = ["whole", "killed"].map(|name| path(directory.path(), name));
    let data = sorted_down(directory.path(), 7);
    let arguments = |out: &str| -> Vec<String> {
        let fixed = "--batch 2 --schedule constant --dropout 0.25 --steps 12 --format json";
        let every = "--save-every 4 --eval-every 3 --eval-data";
        let list = ["finetune", "--data", &data].into_iter().chain(fixed.split(' '));
        let list = list.chain(every.split(' ')).chain([data.as_str(), "--out", out]);
        list.map(str::to_owned).collect()
    };
    let run = |arguments: &[String]| {
        lines(&lowrank(&arguments.iter().map(String::as_str).collect::<Vec<_>>()))
    };
    run(&arguments(&whole));

    let mut child = Command::new(env!("CARGO_BIN_EXE_lowrank"))
        .args(arguments(&killed))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut steps = BufReader::new(child.stdout.take().unwrap()).lines();
    steps.nth(5).expect("the sixth step").unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(names(&killed).contains(&"checkpoint-000004".to_owned()), "{:?}", names(&killed));

    // It may have been writing.
    fs::create_dir(Path::new(&killed).join(".writing-abcdef")).unwrap();
    let resumed = run(&[arguments(&killed), vec!["--resume".to_owned(), killed.clone()]].concat());
    let first = resumed[0]["step"].as_u64().unwrap();
    assert!([4, 6, 8].contains(&first), "{first}");
    for file in ["adapter_model.safetensors", "training_state.safetensors", "adapter_config.json"] {
        let read = |folder: &str| fs::read(Path::new(folder).join(file)).unwrap();
        assert!(read(&whole) == read(&killed), "{file} differs");
    }
    let log = |folder: &str| -> Vec<[Value; 3]> {
        let text = fs::read_to_string(Path::new(folder).join("log.jsonl")).unwrap();
        let entry = |line: &str| {
            let entry: Value = serde_json::from_str(line).unwrap();
            assert!(entry["grad_norm"].as_f64().unwrap() > 0.0 && entry["lr"] == 0.01, "{line}");
            assert!(entry["tokens_per_second"].as_f64().unwrap() > 0.0, "{line}");
            ["step", "loss", "held_out"].map(|name| entry[name].clone())
        };
        text.lines().map(entry).collect()
    };
    assert_eq!(log(&whole).len(), 12);
    assert_eq!(log(&whole), log(&killed), "every step once, and the same");
    // The two youngest, and the best by the held-out loss, which still falls at the end.
    for folder in [&whole, &killed] {
        let names = names(folder);
        let folders: Vec<&str> =
            names.iter().map(String::as_str).filter(|name| name.contains('-')).collect();
        assert_eq!(folders, ["best-000012", "checkpoint-000008", "checkpoint-000012"]);
    }

    // Back to an earlier checkpoint, but not in a folder that has gone further.
    let early = path(Path::new(&whole), "checkpoint-000008");
    let back = [arguments(&whole), vec!["--resume".to_owned(), early.clone()]].concat();
    let text = error(&back.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(text.contains("beyond the step 8"), "{text}");
    let branch = path(directory.path(), "branch");
    let steps = run(&[arguments(&branch), vec!["--resume".to_owned(), early]].concat());
    assert_eq!(steps[0]["step"], 8);
    assert_eq!(log(&branch), log(&whole));
}

/// A system that shuts down asks first: the run ends in order, as after Ctrl-C.
#[cfg(unix)]
#[test]
fn a_run_that_is_asked_to_end_saves_first() {
    use std::io::{BufRead, BufReader};

    let directory = tempfile::tempdir().unwrap();
    for signal in ["-TERM", "-HUP"] {
        let out = path(directory.path(), signal);
        let mut child = Command::new(env!("CARGO_BIN_EXE_lowrank"))
            .args(["finetune", "--batch", "2", "--steps", "100000", "--format", "json"])
            .args(["--schedule", "constant", "--out", &out])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut steps = BufReader::new(child.stdout.take().unwrap()).lines();
        steps.nth(1).expect("the second step").unwrap();
        assert!(
            Command::new("kill")
                .args([signal, &child.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
        let last = steps.last().unwrap().unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{signal}: {text}");
        assert!(text.contains("error: interrupted after step"), "{signal}: {text}");
        assert!(last.contains("trainable"), "{signal}: {last}");
        assert!(names(&out).contains(&"training_state.safetensors".to_owned()), "{signal}");
    }
}

/// A run goes on with its own model and its own data, or not at all.
#[test]
fn a_run_is_not_resumed_on_something_else() {
    let directory = tempfile::tempdir().unwrap();
    let [out, base, other] = ["out", "base", "other"].map(|name| path(directory.path(), name));
    let full = ["finetune", "--method", "full", "--format", "json"];
    lines(&lowrank(&[&full[..], &["--steps", "0", "--out", &base]].concat()));
    lines(&lowrank(&[&full[..], &["--steps", "1", "--out", &other]].concat()));
    let data = sorted_down(directory.path(), 7);
    let run = |model: &str, data: &str, more: &[&str]| {
        let run = ["finetune", "--model", model, "--data", data, "--format", "json"];
        lowrank(&[&run[..], more].concat())
    };
    lines(&run(&base, &data, &["--steps", "1", "--out", &out]));
    let shorter = path(directory.path(), "shorter.jsonl");
    let text = fs::read_to_string(&data).unwrap();
    fs::write(&shorter, text.lines().take(6).map(|line| format!("{line}\n")).collect::<String>())
        .unwrap();
    for (model, data, expected) in [
        (&base, &shorter, "--data holds other examples"),
        (&other, &data, "--model has other weights"),
    ] {
        let output = run(model, data, &["--steps", "2", "--resume", &out]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(text.contains(expected), "{text}");
    }
    for (option, value, before) in [
        ("method", "full", "\"lora\""),
        ("optimizer", "sgd", "\"AdamW(Torch)\""),
        ("dtype", "f64", "\"F32\""),
        ("train-on", "all", "\"Assistant\""),
    ] {
        let option = format!("--{option}");
        let output = run(&base, &data, &["--steps", "2", "--resume", &out, &option, value]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(&format!("{option} is ")), "{text}");
        assert!(text.contains(&format!("the run to be resumed had {before}")), "{text}");
    }
    assert_eq!(lines(&run(&base, &data, &["--steps", "2", "--resume", &out]))[0]["step"], 1);
}

/// The embedded model's examples follow from the settings, and it is these that the error names.
#[test]
fn a_run_of_the_embedded_model_is_not_resumed_with_other_settings() {
    let directory = tempfile::tempdir().unwrap();
    let out = path(directory.path(), "out");
    let run = ["finetune", "--steps", "1", "--batch", "1", "--format", "json"];
    lines(&lowrank(&[&run[..], &["--out", &out]].concat()));
    for (option, value, expected) in [
        ("--steps", "2", "--steps is 2, and the run to be resumed had 1: another number needs"),
        ("--batch", "2", "--batch is 2, and the run to be resumed had 1"),
        ("--seed", "2", "--seed is 2, and the run to be resumed had 0"),
    ] {
        let mut arguments = vec!["finetune", "--resume", &out];
        for (name, before) in [("--steps", "1"), ("--batch", "1"), ("--seed", "0")] {
            arguments.extend([name, if name == option { value } else { before }]);
        }
        let output = lowrank(&arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(expected) && !text.contains("--data holds"), "{text}");
    }
}

/// An update that overflows is noticed even if no step comes after it, and nothing is written.
#[test]
fn the_last_update_is_checked() {
    let directory = tempfile::tempdir().unwrap();
    for method in ["full", "lora", "delta-lora"] {
        let out = path(directory.path(), method);
        let arguments = ["finetune", "--method", method, "--steps", "1", "--lr", "1e39"];
        let text = error(&[&arguments[..], &["--out", &out, "--format", "json"]].concat());
        assert!(text.contains("not finite") && text.contains("smaller learning rate"), "{text}");
        assert!(!names(&out).iter().any(|name| name.ends_with(".safetensors")), "{method}");
    }
}

/// What full fine-tuning leaves is a model with all that belongs to it.
#[test]
fn a_model_that_was_trained_in_full_can_be_used() {
    let directory = tempfile::tempdir().unwrap();
    let [once, twice] = ["once", "twice"].map(|name| path(directory.path(), name));
    let full = ["finetune", "--method", "full", "--format", "json", "--steps"];
    lines(&lowrank(&[&full[..], &["100", "--lr", "0.003", "--out", &once]].concat()));
    let generate = |model: &str| {
        let output =
            lowrank(&["generate", "--model", model, "--prompt", "31415926>", "--tokens", "8"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = generate(&once);
    assert!(text.starts_with('9') && text.trim().len() == 8, "{text}");
    // Once more from there: the tokenizer goes with it.
    let data = sorted_down(directory.path(), 4);
    let more = ["0", "--model", &once, "--data", &data, "--out", &twice];
    lines(&lowrank(&[&full[..], &more].concat()));
    assert_eq!(generate(&twice), text);
}

/// An adapter of some layers stays one of these layers, to its configuration too.
#[test]
fn an_adapter_of_one_layer_stays_one() {
    let directory = tempfile::tempdir().unwrap();
    let [one, out] = ["one", "out"].map(|name| path(directory.path(), name));
    let module = "model.layers.1.self_attn.q_proj".to_owned();
    let lora = lora::Lora::new(
        ndarray::Array2::from_elem((4, 96), 0.01_f32),
        ndarray::Array2::zeros((96, 4)),
        2.0,
    );
    let modules = [(module.clone(), lora.unwrap())].into();
    let folder = peft::LoraFolder::new(peft::LoraConfig::default(), modules).unwrap();
    peft::write(Path::new(&one), &folder).unwrap();
    let arguments = ["finetune", "--steps", "1", "--init-adapter", &one, "--out", &out];
    lines(&lowrank(&[&arguments[..], &["--format", "json"]].concat()));
    let read = peft::read::<f32>(Path::new(&out)).unwrap();
    assert_eq!(read.modules.keys().collect::<Vec<_>>(), [&module]);
    assert_eq!(read.config.target_modules, [module]);
}

/// The folder says how it was made, and that makes it again; what is said beside it counts more.
#[test]
fn a_run_can_be_made_again_from_its_folder() {
    let directory = tempfile::tempdir().unwrap();
    let [first, again, third] =
        ["first", "again", "third"].map(|name| path(directory.path(), name));
    let data = sorted_down(directory.path(), 7);
    let run = "--batch 2 --epochs 2 --method vera --rank 16 --save-projections --betas 0.8,0.99 \
               --targets v_proj,q_proj --schedule constant";
    let arguments: Vec<&str> = ["finetune", "--data", &data, "--format", "json", "--out", &first]
        .into_iter()
        .chain(run.split(' '))
        .collect();
    let steps = lines(&lowrank(&arguments));
    assert_eq!(steps.len(), 7 + 1, "two passes through 7 rows, 2 a step");
    let config = path(Path::new(&first), "run.toml");
    let made = lines(&lowrank(&["finetune", "--config", &config, "--out", &again]));
    for (one, other) in steps[..7].iter().zip(&made[..7]) {
        assert_eq!(one["loss"], other["loss"]);
    }
    let adapter =
        |folder: &str| fs::read(Path::new(folder).join("adapter_model.safetensors")).unwrap();
    assert!(adapter(&first) == adapter(&again));
    let other = ["finetune", "--config", &config, "--epochs", "1", "--out", &third, "--rank=8"];
    assert_eq!(lines(&lowrank(&other)).len(), 4 + 1);

    // It goes on where it is, with the options that its folder has and in the place of one of them another.
    let rest = ["finetune", "--config", &config, "--resume", &first, "--steps", "9"];
    assert_eq!(lines(&lowrank(&rest)).len(), 2 + 1);
    let text = fs::read_to_string(&config).unwrap();
    assert!(
        text.contains("steps = \"9\"") && !text.contains("epochs") && !text.contains("resume"),
        "{text}"
    );
    let whole = ["finetune", "--config", &config, "--out", &again, "--overwrite"];
    assert_eq!(lines(&lowrank(&whole)).len(), 9 + 1);
    assert!(adapter(&first) == adapter(&again));

    // What its folder knows need not be said again, and is still said in it.
    let rest =
        ["finetune", "--data", &data, "--method", "vera", "--batch", "2", "--betas", "0.8,0.99"];
    let rest = [
        &rest[..],
        &[
            "--schedule",
            "constant",
            "--save-projections",
            "--format",
            "json",
            "--resume",
            &first,
            "--steps",
            "10",
        ],
    ]
    .concat();
    assert!(lowrank(&rest).status.success());
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("rank = \"16\"") && text.contains("v_proj,q_proj"), "{text}");
    let whole = ["finetune", "--config", &config, "--out", &again, "--overwrite"];
    assert!(lowrank(&whole).status.success());
    assert!(adapter(&first) == adapter(&again));

    // What a run was started from goes on to belong to it.
    let start = ["finetune", "--config", &config, "--init-adapter", &first, "--steps", "1"];
    let started = path(directory.path(), "started");
    assert!(lowrank(&[&start[..], &["--out", &started]].concat()).status.success());
    let config = path(Path::new(&started), "run.toml");
    let rest = ["finetune", "--config", &config, "--resume", &started, "--steps", "2"];
    assert_eq!(lines(&lowrank(&rest)).len(), 1 + 1);
    assert!(fs::read_to_string(&config).unwrap().contains("init-adapter = "));

    let wrong = path(directory.path(), "wrong.toml");
    for (text, expected) in [
        ("rank = 8", "no `command`"),
        ("command = \"merge\"\n[options]\n", "it is for lowrank merge"),
        ("command = \"finetune\"\n", "no table `[options]`"),
        ("command = ", "wrong.toml"),
    ] {
        fs::write(&wrong, text).unwrap();
        let message = error(&["finetune", "--config", &wrong]);
        assert!(message.contains(expected) && message.contains("--config"), "{text}: {message}");
    }

    let picture = path(directory.path(), "loss.svg");
    let output = lowrank(&["plot", &first, &third, "--out", &picture, "--window", "2"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("first") && text.contains("best held-out loss"), "{text}");
    assert!(fs::read_to_string(&picture).unwrap().contains("<svg"));
    let message = error(&["plot", directory.path().to_str().unwrap(), "--out", &picture]);
    assert!(message.contains("log.jsonl"), "{message}");
}

/// What is said of the threads is what ran.
#[test]
fn the_threads_that_are_reported_are_those_that_ran() {
    let threads = |variables: &[(&str, &str)], more: &[&str]| -> u64 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lowrank"));
        command.args(["finetune", "--steps", "0", "--format", "json"]).args(more);
        command.env_remove("OMP_NUM_THREADS").envs(variables.iter().copied());
        lines(&command.output().unwrap()).last().unwrap()["threads"].as_u64().unwrap()
    };
    let all = std::thread::available_parallelism().unwrap().get() as u64;
    assert_eq!(threads(&[], &[]), all);
    assert_eq!(threads(&[("OMP_NUM_THREADS", "1")], &[]), 1);
    assert_eq!(threads(&[("OMP_NUM_THREADS", "1")], &["--threads", "2"]), 2);
    assert_eq!(threads(&[("OPENBLAS_NUM_THREADS", "1000")], &[]), all);
}

/// An OpenBLAS too old for this processor takes it for one of 2004, unless it is told otherwise.
#[cfg(all(target_os = "linux", target_arch = "x86_64", feature = "blas"))]
#[test]
fn openblas_gets_the_kernels_that_the_processor_can_run() {
    let core = |variable: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lowrank"));
        command.args(["finetune", "--steps", "0"]).env("OPENBLAS_VERBOSE", "2");
        command.env_remove(openblas::CORE).envs(variable.map(|core| (openblas::CORE, core)));
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{text}");
        // The program starts itself again: the last is what computes.
        let mut cores = text.lines().filter_map(|line| line.strip_prefix("Core: "));
        cores.next_back().map(str::to_owned)
    };
    let Some(chosen) = core(None) else {
        println!("SKIPPED: this OpenBLAS was built for one processor");
        return;
    };
    if std::arch::is_x86_feature_detected!("avx2") {
        assert_ne!(chosen, "Prescott");
    }
    // What the user has chosen stands.
    assert_eq!(core(Some("Nehalem")).as_deref(), Some("Nehalem"));
}

#[test]
fn options_that_would_not_be_read_are_refused() {
    for (arguments, expected) in [
        (&["--optimizer", "sgd", "--betas", "0.9,0.99"][..], "--betas is for --optimizer adamw"),
        (&["--optimizer", "sgd", "--adam", "hf"], "--adam is for --optimizer adamw"),
        (&["--optimizer", "sgd", "--eps", "1e-6"], "--eps is for --optimizer adamw"),
    ] {
        let text = error(&[&["finetune", "--steps", "1"], arguments].concat());
        assert!(text.contains(expected), "{arguments:?}: {text}");
    }
    let all = ["finetune", "--steps", "0", "--format", "json", "--targets"];
    let names = "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj";
    let trainable = |targets: &str| {
        lines(&lowrank(&[&all[..], &[targets]].concat())).last().unwrap()["trainable"].clone()
    };
    assert_eq!(trainable("all-linear"), trainable(names));
}

#[test]
fn shells_can_complete_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = lowrank(&["completions", shell]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("finetune"), "{shell}: {text}");
    }
}
