//! What we write, we read: any ranks, scales and numbers, bit for bit.

use std::collections::BTreeMap;
use std::path::Path;

use adapter::Real;
use lora::{Lora, Scaling};
use ndarray::Array2;
use peft::{LoraConfig, LoraFolder, read, write};
use proptest::prelude::*;

/// Rank, out, in, α, and numbers to fill A and B with.
type Seed = (usize, usize, usize, f64, Vec<f32>);

fn seeds() -> impl Strategy<Value = Vec<Seed>> {
    let numbers = prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL, 1..9);
    prop::collection::vec((1..5usize, 1..6usize, 0..6usize, -64.0..64.0, numbers), 1..6)
}

fn modules<T: Real>(seeds: &[Seed], scaling: Scaling) -> BTreeMap<String, Lora<T>> {
    let lora = |(rank, out, inputs, alpha, numbers): &Seed| {
        let mut next = numbers.iter().cycle().map(|&number| T::from_f64(number.into()));
        let mut fill = |shape| Array2::from_shape_simple_fn(shape, || next.next().unwrap());
        let scale = T::from_f64(scaling.scale(*alpha, *rank).unwrap());
        Lora::new(fill((*rank, *inputs)), fill((*out, *rank)), scale).unwrap()
    };
    // One name is the end of another; one has what a regular expression takes for an operator.
    let names = ["q_proj", "layers.0.q_proj", "layers.10.q_proj", "a+b(c", "layers.0.m-1"];
    names.map(str::to_owned).into_iter().zip(seeds.iter().map(lora)).collect()
}

fn round_trip<T: Real>(seeds: &[Seed], use_rslora: bool) {
    let config = LoraConfig {
        use_rslora,
        lora_dropout: 0.25,
        base_model_name_or_path: Some("base".into()),
        revision: Some("main".into()),
        task_type: Some("CAUSAL_LM".into()),
        ..LoraConfig::default()
    };
    let folder = LoraFolder::new(config.clone(), modules::<T>(seeds, config.scaling())).unwrap();
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &folder).unwrap();
    let mut got = read::<T>(directory.path()).unwrap();
    let names: Vec<_> = folder.modules.keys().cloned().collect();
    assert_eq!(std::mem::take(&mut got.config.target_modules), names);
    assert_eq!(got, folder);
}

proptest! {
    // A case writes four files and waits until the disk has them.
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]
    #[test]
    fn what_we_write_reads_back(seeds in seeds(), use_rslora in any::<bool>()) {
        round_trip::<f32>(&seeds, use_rslora);
        round_trip::<f64>(&seeds, use_rslora);
    }
}

fn example() -> LoraFolder<f64> {
    let lora = Lora::new(Array2::eye(2), Array2::ones((3, 2)), 8.0).unwrap();
    let modules = [("layers.0.q_proj".to_owned(), lora)].into();
    LoraFolder::new(LoraConfig::default(), modules).unwrap()
}

fn entries(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| name(entry).into_string().unwrap())
        .collect();
    names.sort();
    names
}

const FILES: [&str; 2] = ["adapter_config.json", "adapter_model.safetensors"];

#[test]
fn the_same_bytes_again_and_strangers_stay() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("new/adapter");
    let bytes = || FILES.map(|file| std::fs::read(out.join(file)).unwrap());
    write(&out, &example()).unwrap();
    let first = bytes();
    std::fs::write(out.join("notes.txt"), "mine").unwrap();
    write(&out, &example()).unwrap();
    assert_eq!(bytes(), first);
    assert_eq!(entries(&out), [FILES[0], FILES[1], "notes.txt"]);
    assert_eq!(std::fs::read_to_string(out.join("notes.txt")).unwrap(), "mine");
    // α is a whole number, as PEFT writes it.
    assert!(String::from_utf8_lossy(&first[0]).contains("\"lora_alpha\": 16,\n"));
}

/// New files get the mode that the umask allows, not a temporary file's 0600.
#[cfg(unix)]
#[test]
fn others_may_read_what_they_may_read_elsewhere() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &example()).unwrap();
    std::fs::write(directory.path().join("plain"), "").unwrap();
    let mode = |name: &str| directory.path().join(name).metadata().unwrap().permissions().mode();
    assert_eq!(FILES.map(mode), [mode("plain"); 2]);
}

#[test]
fn the_commonest_rank_and_alpha_are_the_rule() {
    let lora = |rank, scale| {
        Lora::new(Array2::<f32>::ones((rank, 3)), Array2::ones((4, rank)), scale).unwrap()
    };
    let modules = [("a", 4, 2.0), ("b.q", 2, 2.0), ("c", 4, 2.0), ("d", 4, 0.5)];
    let modules = modules.map(|(name, rank, scale)| (name.to_owned(), lora(rank, scale)));
    let LoraConfig { r, lora_alpha, rank_pattern, alpha_pattern, .. } =
        LoraFolder::new(LoraConfig::default(), modules.into()).unwrap().config;
    assert_eq!((r, lora_alpha), (4, 8.0));
    assert_eq!(rank_pattern, [(r"^b\.q".to_owned(), 2)]);
    assert_eq!(alpha_pattern, [(r"^b\.q".to_owned(), 4.0), ("^d".to_owned(), 2.0)]);
}
