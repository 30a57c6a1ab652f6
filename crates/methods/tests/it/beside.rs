//! Adapters that change more than the projections (tests/golden/make.py): the logits that PEFT computes with them.

use std::path::{Path, PathBuf};

use adapter::Adapter;
use llama::{Adapters, Llama, StorageDtype};
use methods::{AdapterUser, Trained, Tunable};
use tensor_file::Staging;

const TOKENS: [u32; 8] = [3, 1, 4, 1, 5, 9, 2, 6];
/// The folders that change nothing beside the projections.
const PROJECTIONS_ALONE: [&str; 4] = ["wrapped", "pissa", "pissa_converted", "mica"];
/// Those whose start was taken out of W.
const TAKEN_OUT: [&str; 4] = ["pissa", "olora", "pissa_head", "pissa_base"];
const README: &str = include_str!("../../../peft/README.md");

/// The folders of the table of what loads, and whether each is trained further.
fn cases() -> Vec<(&'static str, bool)> {
    let table = README.lines().skip_while(|line| !line.starts_with("| beside LoRA")).skip(2);
    let rows = table.take_while(|line| line.starts_with('|'));
    let folders = rows.flat_map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells[2], "yes", "{row}");
        let names = cells[1].split(", ").map(|name| name.trim_matches('`'));
        names.map(move |name| (name, cells[3] == "yes"))
    });
    folders.collect()
}

/// The folder of its model.
fn base(name: &str) -> PathBuf {
    let tied = ["saved_embedding", "saved_head"].contains(&name) || name.ends_with("_tied");
    golden(if tied { "tied" } else { "untied" })
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn model(name: &str) -> Llama<f64> {
    llama::load::load(base(name)).unwrap().model
}

/// The scores after each token.
fn logits<A: Adapter<f64>>(model: &Llama<f64>, adapters: &Adapters<A>) -> Vec<Vec<f64>> {
    let mut cache = model.cache();
    let mut read = |token| model.read(adapters, &mut cache, &[token]).unwrap().to_vec();
    TOKENS.into_iter().map(&mut read).collect()
}

struct Logits<'a>(&'a Llama<f64>);

impl AdapterUser<f64> for Logits<'_> {
    type Output = Vec<Vec<f64>>;
    fn with<A: Adapter<f64>>(self, adapters: &Adapters<A>) -> Vec<Vec<f64>> {
        logits(self.0, adapters)
    }
}

/// Into a folder, in `f64`.
struct Merge<'a>(llama::load::Opened, &'a Path);

impl AdapterUser<f64> for Merge<'_> {
    type Output = ();
    fn with<A: Adapter<f64>>(mut self, adapters: &Adapters<A>) {
        let mut files = Staging::new(self.1).unwrap();
        llama::merge(&mut self.0, adapters, StorageDtype::F64, &mut files).unwrap();
        files.commit().unwrap();
    }
}

#[track_caller]
fn assert_near(got: &[Vec<f64>], want: &[Vec<f64>], name: &str) {
    assert_eq!(got.len(), want.len(), "{name}");
    for (got, want) in got.concat().into_iter().zip(want.concat()) {
        assert!((got - want).abs() < 1e-12, "{name}: {got} and not {want}");
    }
}

#[test]
fn logits_are_peft_s() {
    assert_eq!(cases().len(), 23);
    for (name, _) in cases() {
        let text = std::fs::read_to_string(golden(name).join("logits.json")).unwrap();
        let want: Vec<Vec<f64>> = serde_json::from_str(&text).unwrap();
        let mut changed = model(name);
        let Trained { adapters, changes } =
            Trained::load(&changed.config, &golden(name), |name| changed.matrix(name)).unwrap();
        assert_eq!(changes.is_empty(), PROJECTIONS_ALONE.contains(&name), "{name}");
        changed.change(&changes).unwrap();
        assert_near(&adapters.visit(Logits(&changed)), &want, name);

        let out = tempfile::tempdir().unwrap();
        let mut opened = llama::load::open(base(name)).unwrap();
        opened.change(changes).unwrap();
        adapters.visit(Merge(opened, out.path()));
        let merged: Llama<f64> = llama::load::load(out.path()).unwrap().model;
        assert_near(&logits(&merged, &Adapters::<adapter::Full>::none()), &want, name);
    }
}

/// What would be lost in training is named.
#[test]
fn training_goes_on_with_projections_alone() {
    for (name, is_trained) in cases() {
        let loaded = match name {
            "saved_dora" => start_from::<dora::Dora<f64>>(name),
            _ => start_from::<lora::Lora<f64>>(name),
        };
        match is_trained {
            true => assert_eq!(loaded, Ok(())),
            false if TAKEN_OUT.contains(&name) => {
                let error = loaded.unwrap_err();
                assert!(error.contains("the adapter's start was taken out of W"), "{error}");
            }
            false => assert!(loaded.unwrap_err().contains("which is not trained here"), "{name}"),
        }
    }
}

fn start_from<M: Tunable<f64>>(name: &str) -> Result<(), String> {
    let loaded = M::load(&model(name), &mut M::Options::default(), &golden(name));
    loaded.map(|_| ()).map_err(|error| error.to_string())
}
