//! What we write, we read: any ranks, scales, shapes and numbers, bit for bit.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use adapter::Real;
use lora::{Lora, Scaling};
use ndarray::Array2;
use peft::{
    LoraConfig, LoraFolder, MethodNote, StorageDtype, VeraConfig, VeraFolder, read, read_vera,
    write, write_vera,
};
use proptest::prelude::*;
use serde_json::Value;
use vera::{Pool, Projections, Sharing, Vera};

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

fn round_trip<T: Real>(seeds: &[Seed], use_rslora: bool, note: &Option<MethodNote>) {
    let config = LoraConfig {
        use_rslora,
        lora_dropout: 0.25,
        lowrank_method: note.clone(),
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

/// A method and its settings, of any type and name but `method`.
fn notes() -> impl Strategy<Value = Option<MethodNote>> {
    let number = prop::num::f64::NORMAL.prop_map(Value::from);
    let text = ".*".prop_map(Value::from);
    let values = prop_oneof![Just(Value::Null), any::<u64>().prop_map(Value::from), number, text];
    let settings = prop::collection::btree_map("[a-z_]{0,5}", values, 0..4);
    prop::option::of(
        (".+", settings).prop_map(|(method, settings)| MethodNote { method, settings }),
    )
}

/// Outs, ins, the rank, the key, and numbers to fill b and d with.
type VeraSeed = (Vec<[usize; 2]>, usize, u64, Vec<f32>);

fn vera_seeds() -> impl Strategy<Value = VeraSeed> {
    let numbers = prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL, 1..9);
    let shapes = prop::collection::vec(prop::array::uniform2(0..6usize), 1..6);
    (shapes, 1..5usize, any::<u64>(), numbers)
}

fn vera_round_trip<T: Real>(seed: &VeraSeed, sharing: Sharing, save_projection: bool) {
    let (shapes, rank, key, numbers) = seed;
    let mut next = numbers.iter().cycle().map(|&number| T::from_f64(number.into()));
    let mut fill = |shape| Array2::from_shape_simple_fn(shape, || next.next().unwrap());
    // From the key, or of the given numbers and so different for each shape.
    let pool = Pool::new(shapes.clone(), sharing, |[out, inputs]| match save_projection {
        true => Projections::new(fill((*rank, inputs)), fill((out, *rank))),
        false => Projections::peft(*key, *rank, [out, inputs]),
    });
    let pool = pool.unwrap();
    let mut module = |[out, inputs]: [usize; 2]| {
        let [b, d] = [out, *rank].map(|length| fill((1, length)).row(0).to_owned());
        Vera::new(b, d, inputs, pool.get([out, inputs]).unwrap()).unwrap()
    };
    let modules = shapes.iter().enumerate();
    let modules = modules.map(|(i, shape)| (format!("layers.{i}.q"), module(*shape))).collect();
    let config = VeraConfig {
        r: *rank,
        d_initial: 1e-7,
        projection_prng_key: *key,
        save_projection,
        vera_dropout: 0.25,
        target_modules: vec!["q".into()],
        base_model_name_or_path: Some("base".into()),
        revision: Some("main".into()),
        task_type: Some("CAUSAL_LM".into()),
        sharing,
    };
    let folder = VeraFolder { config, modules };
    let directory = tempfile::tempdir().unwrap();
    write_vera(directory.path(), &folder).unwrap();
    let shape = |name: &str| {
        let i: usize = name.strip_prefix("layers.")?.strip_suffix(".q")?.parse().ok()?;
        shapes.get(i).copied()
    };
    assert_eq!(read_vera::<T>(directory.path(), shape).unwrap(), folder);
}

proptest! {
    // A case writes four files and waits until the disk has them.
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]
    #[test]
    fn what_we_write_reads_back(seeds in seeds(), use_rslora in any::<bool>(), note in notes()) {
        round_trip::<f32>(&seeds, use_rslora, &note);
        round_trip::<f64>(&seeds, use_rslora, &note);
    }

    #[test]
    fn vera_reads_back(seed in vera_seeds(), kind in 0..3) {
        let (sharing, save) = match kind {
            0 => (Sharing::MaxSlice, true),
            1 => (Sharing::MaxSlice, false),
            _ => (Sharing::PerShape, true),
        };
        vera_round_trip::<f32>(&seed, sharing, save);
        vera_round_trip::<f64>(&seed, sharing, save);
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
    let config = String::from_utf8_lossy(&first[0]);
    // α is a whole number, as PEFT writes it.
    assert!(config.contains("\"lora_alpha\": 16,\n"));
    assert!(!config.contains("lowrank_method"), "no note: nothing that PEFT warns of");
}

/// The size of what a VeRA folder holds: with the key, b and d only.
#[test]
fn a_key_stands_for_the_projections() {
    let projections = Arc::new(Projections::<f32>::peft(3, 16, [40, 30]).unwrap());
    let modules = ["a", "b"].map(|name| {
        let vera = Vera::init([40, 30], 0.1, Arc::clone(&projections)).unwrap();
        (name.to_owned(), vera)
    });
    let config = VeraConfig { r: 16, projection_prng_key: 3, ..VeraConfig::default() };
    let mut folder = VeraFolder { config, modules: modules.into() };
    let directory = tempfile::tempdir().unwrap();
    let mut numbers = |save_projection| {
        folder.config.save_projection = save_projection;
        write_vera(directory.path(), &folder).unwrap();
        let bytes = std::fs::read(directory.path().join(FILES[1])).unwrap();
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        (bytes.len() - 8 - header) / 4
    };
    assert_eq!(numbers(false), 2 * (40 + 16));
    assert_eq!(numbers(true), 2 * (40 + 16) + 16 * (40 + 30));
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

/// Each number rounded once, as small as the type says, and known again; a number that does not fit leaves nothing.
#[test]
fn a_folder_can_be_stored_in_less() {
    let a = ndarray::array![[1.0, 1.0 + 2f64.powi(-9), 0.1]];
    let lora = Lora::new(a.clone(), ndarray::array![[3.0], [4.0]], 0.5).unwrap();
    let config = LoraConfig::default();
    let folder = LoraFolder::new(config, [("q_proj".to_owned(), lora)].into()).unwrap();
    for dtype in StorageDtype::ALL {
        let directory = tempfile::tempdir().unwrap();
        peft::write_as(directory.path(), &folder, dtype).unwrap();
        assert_eq!(peft::storage_dtype(directory.path()).unwrap(), dtype);
        let got = read::<f64>(directory.path()).unwrap();
        assert_eq!(got.modules["q_proj"].a, a.mapv(|number| dtype.round(number)), "{dtype}");
    }
    let mut large = folder;
    large.modules.get_mut("q_proj").unwrap().a[[0, 2]] = 1e5;
    let directory = tempfile::tempdir().unwrap();
    let error = peft::write_as(directory.path(), &large, StorageDtype::F16).unwrap_err();
    let expected = "base_model.model.q_proj.lora_A.weight holds a number too large for f16";
    assert!(error.to_string().contains(expected), "{error}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}
