//! Runs that are followed: what is wrong with a step is found at that step, whatever came before it.

use std::fs;
use std::path::Path;

use ndarray::ArrayD;
use oracle::{Error, Options, Parting, Profile, Run, Tensor, TensorFile, follow, part};

use crate::common::{emitted, file, matrix, text};

const ADAMW: &str = r#"{"name":"adamw","lr":0.125,"betas":[0.75,0.9375],"eps":0.25}"#;

/// What goes wrong in a run, and at which step.
type Fault<'a> = &'a dyn Fn(u64, &mut TensorFile);

/// Four steps of LoRA on the oracle's own values; the third to sixth of a longer training.
fn record(folder: &Path, fault: Fault) {
    let put = |file: &mut TensorFile, name: &str, value: Tensor| {
        file.tensors.insert(name.to_owned(), value);
    };
    let mut state = vec![
        ("lora_A".to_owned(), Tensor::f64(&matrix(2, 5, 2))),
        ("lora_B".to_owned(), Tensor::f64(&matrix(4, 2, 3))),
    ];
    fs::create_dir_all(folder).unwrap();
    for number in 2..6 {
        let case = |op: &str, params: &str| {
            format!(
                r#"{{"schema":"lowrank-case/1","method":"lora","op":"{op}","params":{{{params}}}}}"#
            )
        };
        let x = matrix(3, 5, 20 + number);
        let grad_y = matrix(3, 4, 30 + number);
        let inputs = [("in.weight", matrix(4, 5, 1)), ("in.x", x), ("in.grad_y", grad_y)];
        let mut passes = file(&case("backward", r#""alpha":5"#), &inputs);
        let params = format!(r#""alpha":5,"start":{number},"optimizer":{ADAMW}"#);
        let mut update = file(&case("step", &params), &[]);
        for (name, tensor) in &state {
            put(&mut update, &format!("in.{name}"), tensor.clone());
            if !name.starts_with("exp_avg") {
                put(&mut passes, &format!("in.{name}"), tensor.clone());
            }
        }
        let passes = emitted(&passes);
        for name in ["lora_A", "lora_B"] {
            let gradient = passes.tensors[&format!("out.grad_{name}")].clone();
            put(&mut update, &format!("in.grad_{name}"), gradient);
        }
        let mut update = emitted(&update);
        fault(number, &mut update);
        let outputs = update.tensors.iter().filter_map(|(name, tensor)| {
            Some((name.strip_prefix("out.")?.to_owned(), tensor.clone()))
        });
        state = outputs.collect();
        for (op, made) in [("backward", passes), ("step", update)] {
            let path = folder.join(format!("{number}-{op}.safetensors"));
            fs::write(path, made.to_bytes().unwrap()).unwrap();
        }
    }
}

fn change(file: &mut TensorFile, name: &str, change: impl Fn(f64) -> f64) {
    let tensor = file.tensors.get_mut(name).unwrap();
    let numbers: ArrayD<f64> = tensor.to_f64().unwrap();
    *tensor = Tensor::f64(&numbers.mapv(change));
}

fn opened(folder: &Path) -> Run {
    Run::open(folder).unwrap()
}

fn parted(first: &Path, second: &Path) -> Option<Parting> {
    part(&opened(first), &opened(second), Options::default()).unwrap()
}

/// From step 4 on the update takes twice the learning rate.
fn doubled(number: u64, update: &mut TensorFile) {
    if number >= 4 {
        let given = update.tensors["in.lora_B"].to_f64().unwrap();
        let moved = update.tensors["out.lora_B"].to_f64().unwrap();
        let twice = 2.0 * &moved - &given;
        update.tensors.insert("out.lora_B".into(), Tensor::f64(&twice));
    }
}

#[test]
fn a_right_run_is_right_at_every_step() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), &|_, _| {});
    let followed = follow(&opened(folder.path()), Options::default()).unwrap();
    assert_eq!(followed.steps.len(), 8);
    let wrong = followed.first_wrong();
    assert!(wrong.is_none(), "{wrong:?}");
    assert_eq!(parted(folder.path(), folder.path()), None);
}

#[test]
fn the_first_wrong_step_is_named_and_the_later_ones_are_judged_from_their_own_state() {
    let folder = tempfile::tempdir().unwrap();
    let [right, mine] = ["right", "mine"].map(|name| folder.path().join(name));
    record(&right, &|_, _| {});
    record(&mine, &doubled);
    let followed = follow(&opened(&mine), Options::default()).unwrap();
    let first = followed.first_wrong().unwrap();
    assert_eq!(first.id.to_string(), "step 4, update");
    assert_eq!(first.report.divergence().unwrap().tensor, "lora_B");
    // The passes of step 5 begin with a wrong B, and are right all the same.
    let wrong: Vec<_> = followed.steps.iter().filter(|step| step.right() == Some(false)).collect();
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(wrong.iter().all(|step| step.breaks.is_empty()));

    let parting = parted(&right, &mine).unwrap();
    assert_eq!(parting.id, first.id);
    let (tensor, ratio) = parting.output.unwrap();
    assert!(tensor == "lora_B" && ratio > 1e6, "{tensor} {ratio}");
    assert!(parting.params.is_empty() && parting.inputs.is_empty());
}

#[test]
fn a_state_that_changes_between_two_steps_is_a_break() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), &|_, _| {});
    // The moments were not in the checkpoint, and the count of updates neither.
    let path = folder.path().join("4-step.safetensors");
    let mut lost = TensorFile::read(&path).unwrap();
    lost.tensors.retain(|name, _| !name.starts_with("in.exp_avg") && !name.starts_with("out."));
    let case = lost.metadata["case"].replace(r#""start":4"#, r#""start":0"#);
    lost.metadata.insert("case".into(), case);
    fs::write(&path, emitted(&lost).to_bytes().unwrap()).unwrap();
    let followed = follow(&opened(folder.path()), Options::default()).unwrap();
    let first = followed.first_wrong().unwrap();
    assert_eq!(first.id.to_string(), "step 4, update");
    assert_eq!(first.report.verdict, oracle::Verdict::Pass, "the update itself is right");
    let breaks = first.breaks.join("\n");
    assert!(breaks.contains("`start` is 0; it was 3 in step 3"), "{breaks}");
    assert!(breaks.contains("in.exp_avg_sq.lora_A is not what step 3 left: it is 0"), "{breaks}");
    assert_eq!(first.breaks.len(), 5, "{breaks}");
}

#[test]
fn where_steps_were_not_recorded_nothing_is_known() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), &|_, _| {});
    for op in ["backward", "step"] {
        fs::remove_file(folder.path().join(format!("4-{op}.safetensors"))).unwrap();
    }
    let followed = follow(&opened(folder.path()), Options::default()).unwrap();
    assert!(followed.steps.len() == 6 && followed.first_wrong().is_none());
}

#[test]
fn runs_of_other_settings_part_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    record(&first, &|_, _| {});
    record(&second, &|number, update| {
        if number == 3 {
            let case = update.metadata["case"].replace(r#""lr":0.125"#, r#""lr":0.25"#);
            update.metadata.insert("case".into(), case);
            update.tensors.retain(|name, _| name.starts_with("in."));
            *update = emitted(update);
        }
    });
    let parting = parted(&first, &second).unwrap();
    assert_eq!(parting.id.to_string(), "step 3, update");
    assert_eq!(parting.params, [("optimizer.lr".into(), 0.125.into(), 0.25.into())]);
    // Both are right: each did what it was told.
    for run in [&first, &second] {
        assert!(follow(&opened(run), Options::default()).unwrap().first_wrong().is_none());
    }
}

/// A default that one of them spells out is no setting, and what a wider bound explains is no difference.
#[test]
fn runs_that_say_and_do_the_same_do_not_part() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    record(&first, &|_, _| {});
    record(&second, &|_, update| {
        let case = &update.metadata["case"];
        let case =
            case.replace(r#""alpha":5"#, r#""alpha":5,"dropout_p":0,"scaling":"alpha_over_r""#);
        update.metadata.insert("case".into(), case);
    });
    assert_eq!(parted(&first, &second), None);
    record(&second, &|_, update| change(update, "out.lora_A", |x| x * (1.0 + 1e-4)));
    assert_eq!(parted(&first, &second).unwrap().id.to_string(), "step 2, update");
    let options = Options { profile: Some(Profile::Bf16) };
    assert_eq!(part(&opened(&first), &opened(&second), options).unwrap(), None);
}

/// NaN goes on as NaN: the step that made it is wrong or was given it, and none after it has changed anything.
#[test]
fn a_run_that_becomes_nan_has_not_changed_its_state() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), &|number, update| {
        if number == 3 {
            update.tensors.retain(|name, _| name.starts_with("in."));
            change(update, "in.grad_lora_A", |_| f64::NAN);
            *update = emitted(update);
        }
    });
    let followed = follow(&opened(folder.path()), Options::default()).unwrap();
    let last = TensorFile::read(&folder.path().join("5-step.safetensors")).unwrap();
    assert!(last.tensors["in.lora_A"].to_f64().unwrap().iter().all(|number| number.is_nan()));
    assert!(followed.first_wrong().is_none(), "{:?}", followed.first_wrong());
}

/// A projection of rows that are nearly the same: in bf16 nothing can be said of the update, and that is not right.
#[test]
fn what_cannot_be_judged_is_neither_right_nor_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let rest = r#""params":{"variant":"projected","alpha":2,"optimizer":{"name":"sgd","lr":0.5}}"#;
    let row = matrix(1, 5, 1);
    let mut other = row.clone();
    other[[0, 0]] *= 1.125;
    let a = ndarray::concatenate![ndarray::Axis(0), row, other];
    let inputs =
        [("in.lora_A", a), ("in.lora_B", matrix(4, 2, 3)), ("in.grad_lora_B", matrix(4, 2, 8))];
    let made = emitted(&file(&text("lora-fa", "step", rest), &inputs));
    fs::write(folder.path().join("0-step.safetensors"), made.to_bytes().unwrap()).unwrap();
    for (profile, right) in [(Profile::F32, Some(true)), (Profile::Bf16, None)] {
        let options = Options { profile: Some(profile) };
        let followed = follow(&opened(folder.path()), options).unwrap();
        assert_eq!(followed.steps[0].right(), right, "{profile}");
        assert_eq!(followed.right(&followed.steps[0].id), right);
        assert!(followed.first_wrong().is_none());
    }
}

#[test]
fn a_run_that_starts_elsewhere_says_what_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    record(&first, &|_, _| {});
    record(&second, &|number, update| {
        if number == 2 {
            change(update, "out.lora_A", |number| number * 1.5);
        }
    });
    fs::remove_file(second.join("2-step.safetensors")).unwrap();
    let parting = parted(&first, &second).unwrap();
    assert_eq!(parting.id.to_string(), "step 3, passes");
    assert_eq!(parting.inputs.len(), 1);
    assert!(parting.inputs[0].0 == "in.lora_A" && (parting.inputs[0].1 - 1.0 / 3.0).abs() < 1e-3);
}

#[test]
fn layers_have_folders_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    record(&folder.path().join("layers.0/q_proj"), &|_, _| {});
    record(&folder.path().join("layers.1/q_proj"), &doubled);
    let followed = follow(&opened(folder.path()), Options::default()).unwrap();
    assert_eq!(followed.steps.len(), 16);
    let first = followed.first_wrong().unwrap();
    assert_eq!(first.id.to_string(), "step 4, update of layers.1/q_proj");
}

#[test]
fn what_is_no_run_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let refused = |part: &str| {
        let run = Run::open(path);
        let error: Error = run.and_then(|run| follow(&run, Options::default())).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    };
    refused("no step is in it");
    let case = file(
        r#"{"schema":"lowrank-case/1","method":"lora","op":"merge"}"#,
        &[
            ("in.weight", matrix(4, 5, 1)),
            ("in.lora_A", matrix(2, 5, 2)),
            ("in.lora_B", matrix(4, 2, 3)),
        ],
    );
    let bytes = case.to_bytes().unwrap();
    fs::write(path.join("last.safetensors"), &bytes).unwrap();
    refused("no step has this name");
    fs::rename(path.join("last.safetensors"), path.join("7-step.safetensors")).unwrap();
    refused("the op of the case is merge, of the file name step");
    fs::remove_file(path.join("7-step.safetensors")).unwrap();
    record(path, &|number, update| {
        if number == 5 {
            update.tensors.retain(|name, _| name.starts_with("in.") || name.starts_with("out."));
            update.tensors.insert("out.loss".into(), Tensor::f64(&matrix(1, 1, 1)));
        }
    });
    refused("out.loss is no output of lora/step");
    let bare = TensorFile::read(&path.join("5-step.safetensors")).map(|mut file| {
        file.tensors.retain(|name, _| name.starts_with("in."));
        file
    });
    fs::write(path.join("5-step.safetensors"), bare.unwrap().to_bytes().unwrap()).unwrap();
    refused("it has no out.*");
}
