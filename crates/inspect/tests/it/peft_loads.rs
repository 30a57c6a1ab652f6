//! PEFT itself, where there is one: it loads what we write, and the logits are those that it has its own way.

use std::path::Path;
use std::process::Command;

use inspect::{Budget, Folder, combine, extract, resize};
use llama::Projection;
use peft::{LoraConfig, StorageDtype};

use crate::{base, change, golden, opened};

/// Needs an interpreter with transformers and PEFT in the environment variable LOWRANK_PYTHON.
#[test]
fn logits_are_those_of_peft() {
    let Some(python) = std::env::var_os("LOWRANK_PYTHON") else {
        println!("SKIPPED logits_are_those_of_peft: LOWRANK_PYTHON names no Python with PEFT");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    write(directory.path());
    let output = Command::new(&python)
        .args([Path::new("-B"), &golden("../peft_loads.py"), &golden(""), directory.path()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    print!("{}", String::from_utf8_lossy(&output.stdout));
}

/// What peft_loads.py knows how to judge.
fn write(out: &Path) {
    let folders = ["one", "two"].map(|name| Folder::open(&golden(name), None).unwrap());
    let [one, two] = &folders;
    let terms = [(0.75, one), (-0.25, two)];
    for (name, budget) in [("combined", None), ("combined_svd", Some(Budget::Rank(2)))] {
        let (fitted, config) = combine(&terms, budget, StorageDtype::F64, |_| {}).unwrap();
        fitted.write(&out.join(name), &config).unwrap();
    }
    let fitted = resize(one, Budget::Rank(2), StorageDtype::F64, |_| {}).unwrap();
    fitted.write(&out.join("resized"), &one.config).unwrap();

    let (from, mut to) = (base(), base());
    change(&mut to);
    llama::save::save(&to, &out.join("tuned")).unwrap();
    for (name, dtype) in [("extracted", StorageDtype::F64), ("extracted_bf16", StorageDtype::Bf16)]
    {
        let whole = Budget::Energy(1.0);
        let (mut from, mut to) = (opened(&from), opened(&to));
        let (fitted, _) =
            extract(&mut from, &mut to, &Projection::ALL, whole, dtype, |_| {}).unwrap();
        let config = LoraConfig {
            base_model_name_or_path: Some("base".into()),
            task_type: Some("CAUSAL_LM".into()),
            ..LoraConfig::default()
        };
        fitted.write(&out.join(name), &config).unwrap();
    }
}
