//! Both ways: we read what PEFT wrote (tests/golden), and PEFT loads what we write.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use adapter::{Adapter, Real};
use dora::Dora;
use lora::{Lora, Scaling};
use ndarray::{Array1, Array2};
use peft::{DoraFolder, Extras, Kind, LoraConfig, LoraFolder, MethodNote, VeraConfig, VeraFolder};
use vera::{Projections, Sharing, Vera};

const LORA: [&str; 2] = ["alpha_over_r", "rslora"];
const VERA: [&str; 2] = ["vera_saved", "vera_key"];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// \[out, in\] of the modules of tests/make_golden.py's model.
fn shape(module: &str) -> Option<[usize; 2]> {
    match module.strip_prefix("layers.0.").or(module.strip_prefix("layers.1."))? {
        "q_proj" => Some([6, 4]),
        "v_proj" => Some([3, 4]),
        "up" => Some([5, 7]),
        "down" => Some([7, 5]),
        _ => None,
    }
}

/// ΔW by module. Both sides have the same numbers to the last bit, and are compared with `==`:
///
/// - LoRA: A and B are multiples of 1/64 below 8. B A is exact, and the scale adds the same one rounding to both.
/// - VeRA: b and d have two bits, A and B at most the 24 of an f32. So b·B·d·A has 52, which is exact in whatever order
///   it is made. There are r = 2 such products in an entry, and their sum is rounded once.
/// - DoRA: W, A and B are multiples of 1/64 and the scales of 1/2, so that V and the sums of its squares are exact. A root,
///   a quotient, a product and a difference follow, each rounded once.
type Deltas = BTreeMap<String, Vec<Vec<f64>>>;

fn deltas<T: Real, A: Adapter<T>>(
    modules: &BTreeMap<String, A>,
    shape: fn(&A) -> (usize, usize),
) -> Deltas {
    let rows = |adapter: &A| {
        let delta = adapter.delta_weight(Array2::zeros(shape(adapter)).view()).unwrap();
        delta.outer_iter().map(|row| row.iter().map(|x| x.to_f64()).collect()).collect()
    };
    modules.iter().map(|(module, adapter)| (module.clone(), rows(adapter))).collect()
}

/// ΔW of DoRA, which depends on W: by module too.
fn dora_deltas<T: Real>(modules: &BTreeMap<String, Dora<T>>, weights: &Deltas) -> Deltas {
    let delta = |module: &String, dora: &Dora<T>| {
        let rows = &weights[module];
        let weight = Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap();
        let delta = dora.delta_weight(weight.mapv(T::from_f64).view()).unwrap();
        delta.outer_iter().map(|row| row.iter().map(|x| x.to_f64()).collect()).collect()
    };
    modules.iter().map(|(module, dora)| (module.clone(), delta(module, dora))).collect()
}

/// \[out, in\] of the weight that it adapts.
fn of_lora<T: Real>(lora: &Lora<T>) -> (usize, usize) {
    lora.shape().into()
}

/// \[out, in\] of the weight that it adapts.
fn of_vera<T: Real>(vera: &Vera<T>) -> (usize, usize) {
    (vera.lambda_b.len(), vera.a().ncols())
}

fn expected(name: &str) -> Deltas {
    matrices(&golden(name).join("delta_weight.json"))
}

fn matrices(path: &Path) -> Deltas {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// ΔW of every module, with patterns and both scalings, as PEFT computes it in f64.
#[test]
fn reads_the_lora_that_peft_wrote() {
    for name in LORA {
        assert_eq!(peft::kind(&golden(name)).unwrap(), Kind::Lora);
        let folder = peft::read::<f64>(&golden(name)).unwrap();
        assert_eq!(deltas(&folder.modules, of_lora), expected(name), "{name}");
        assert_eq!(folder.config.lora_dropout, 0.1);
        assert_eq!(folder.config.lowrank_method, None);
    }
    let targets = |name| peft::read::<f32>(&golden(name)).unwrap().config.target_modules;
    assert_eq!(targets("alpha_over_r"), ["down", "v_proj", "q_proj"]);
    // A regular expression: only the model can say which modules it means.
    assert_eq!(targets("rslora"), [""; 0]);
}

/// The same adapter as adapter_model.bin.
#[test]
fn reads_the_pickle_that_peft_wrote() {
    let folder = peft::read::<f64>(&golden("pickled")).unwrap();
    assert_eq!(deltas(&folder.modules, of_lora), expected("pickled"));
    assert_eq!(folder, peft::read(&golden("alpha_over_r")).unwrap());
    let dtype = |name| peft::storage_dtype(&golden(name)).unwrap();
    assert_eq!(dtype("pickled"), dtype("alpha_over_r"));
}

/// ΔW of every module, with ranks and scales by pattern, as PEFT's merge computes it in f64.
#[test]
fn reads_the_dora_that_peft_wrote() {
    assert_eq!(peft::kind(&golden("dora")).unwrap(), Kind::Dora);
    let folder = peft::read_dora::<f64>(&golden("dora")).unwrap();
    let weights = matrices(&golden("dora/weight.json"));
    assert_eq!(dora_deltas(&folder.modules, &weights), expected("dora"));
    assert_eq!((folder.config.r, folder.config.lora_dropout), (2, 0.1));
}

/// ΔW of every module, with A and B from the folder and from the key, as PEFT computes it in f64.
#[test]
fn reads_the_vera_that_peft_wrote() {
    for (name, save_projection) in VERA.into_iter().zip([true, false]) {
        assert_eq!(peft::kind(&golden(name)).unwrap(), Kind::Vera);
        let VeraFolder { mut config, modules } =
            peft::read_vera::<f64>(&golden(name), shape).unwrap();
        assert_eq!(deltas(&modules, of_vera), expected(name), "{name}");
        let mut projections = modules.values().map(Vera::projections);
        let first = projections.next().unwrap();
        assert_eq!((first.a().dim(), first.b().dim()), ((2, 7), (6, 2)));
        assert!(projections.all(|other| Arc::ptr_eq(first, other)), "{name}: held once");
        config.target_modules.sort();
        let listed = if save_projection { &["q_proj", "up", "v_proj"][..] } else { &[] };
        let want = VeraConfig {
            r: 2,
            d_initial: 0.25,
            projection_prng_key: (1 << 32) + 5,
            save_projection,
            vera_dropout: 0.1,
            target_modules: listed.iter().map(|&name| name.to_owned()).collect(),
            ..VeraConfig::default()
        };
        assert_eq!(config, want);
    }
}

#[test]
fn the_defaults_are_peft_s() {
    let text = |name| std::fs::read_to_string(golden(name).join("adapter_config.json")).unwrap();
    let [lora, vera] = ["lora_defaults", "vera_defaults"].map(text);
    assert_eq!(LoraConfig::parse(&lora).unwrap(), LoraConfig::default());
    assert_eq!(VeraConfig::parse(&vera).unwrap(), VeraConfig::default());
}

/// Modules of tests/make_golden.py's model, each with a rank and an α of its own, exact in f32.
fn mixed(scaling: Scaling) -> BTreeMap<String, Lora<f64>> {
    let number = |(i, j): (usize, usize)| (i as f64 - 2.0 * j as f64) / 8.0 + 0.5;
    let cases = [
        ("layers.0.q_proj", 2, 3.0),
        ("layers.0.up", 3, 3.0),
        ("layers.1.up", 2, -0.3),
        ("layers.1.down", 1, 16.0),
    ];
    let lora = |module, rank, alpha| {
        let [out, inputs] = shape(module).unwrap();
        let (a, b) = (
            Array2::from_shape_fn((rank, inputs), number),
            Array2::from_shape_fn((out, rank), number),
        );
        Lora::new(a, b, scaling.scale(alpha, rank).unwrap()).unwrap()
    };
    cases.map(|(module, rank, alpha)| (module.to_owned(), lora(module, rank, alpha))).into()
}

/// Folders under one roof, each with the ΔW it should give, or the words with which PEFT should refuse it.
struct Folders {
    directory: tempfile::TempDir,
    paths: Vec<PathBuf>,
}

impl Folders {
    fn add(&mut self, name: &str, file: &str, text: String) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join(file), text).unwrap();
        self.paths.push(path.clone());
        path
    }

    fn lora<T: Real>(&mut self, name: &str, folder: &LoraFolder<T>, want: Deltas) {
        let want = serde_json::to_string(&want).unwrap();
        peft::write(&self.add(name, "delta_weight.json", want), folder).unwrap();
    }

    fn dora<T: Real>(&mut self, name: &str, folder: &DoraFolder<T>) {
        let want = serde_json::to_string(&expected("dora")).unwrap();
        let path = self.add(name, "delta_weight.json", want);
        std::fs::copy(golden("dora/weight.json"), path.join("weight.json")).unwrap();
        peft::write_dora(&path, folder).unwrap();
    }

    fn vera<T: Real>(&mut self, name: &str, folder: &VeraFolder<T>, want: Deltas) {
        let want = serde_json::to_string(&want).unwrap();
        peft::write_vera(&self.add(name, "delta_weight.json", want), folder).unwrap();
    }
}

fn add_lora(folders: &mut Folders) {
    for name in LORA {
        let folder = peft::read::<f64>(&golden(name)).unwrap();
        folders.lora(&format!("{name}_f64"), &folder, expected(name));
        let single = peft::read::<f32>(&golden(name)).unwrap();
        folders.lora(&format!("{name}_f32"), &single, expected(name));
    }
    for use_rslora in [false, true] {
        let config = LoraConfig { use_rslora, ..LoraConfig::default() };
        let folder = LoraFolder::new(config.clone(), mixed(config.scaling())).unwrap();
        folders.lora(&format!("mixed_{use_rslora}"), &folder, deltas(&folder.modules, of_lora));
    }
    // Two patterns that fit, not in the order of the alphabet.
    let config = LoraConfig {
        alpha_pattern: vec![("up".into(), 5.0), (r"layers\.0\.up".into(), 7.0)],
        r: 2,
        ..LoraConfig::default()
    };
    let scale = config.resolve("layers.0.up").unwrap().scale;
    let a = Array2::eye(7).slice_move(ndarray::s![..2, ..]);
    let lora = Lora::new(a, Array2::ones((5, 2)), scale).unwrap();
    let modules = BTreeMap::from([("layers.0.up".to_owned(), lora)]);
    folders.lora(
        "order",
        &LoraFolder { config, modules: modules.clone(), extras: Extras::default() },
        deltas(&modules, of_lora),
    );
    // A note changes nothing.
    let mut noted = peft::read::<f64>(&golden("rslora")).unwrap();
    noted.config.lowrank_method = Some(MethodNote {
        method: "lora-fa".into(),
        settings: [("variant".to_owned(), "projected".into())].into(),
    });
    folders.lora("noted", &noted, expected("rslora"));
}

fn add_dora(folders: &mut Folders) {
    let folder = peft::read_dora::<f64>(&golden("dora")).unwrap();
    folders.dora("dora_f64", &folder);
    folders.dora("dora_f32", &peft::read_dora::<f32>(&golden("dora")).unwrap());
    // With patterns of our own.
    let config = LoraConfig::default();
    folders.dora("dora_new", &DoraFolder::new(config, folder.modules).unwrap());
}

fn add_vera(folders: &mut Folders) {
    for name in VERA {
        let folder = peft::read_vera::<f64>(&golden(name), shape).unwrap();
        folders.vera(&format!("{name}_f64"), &folder, expected(name));
        let single = peft::read_vera::<f32>(&golden(name), shape).unwrap();
        folders.vera(&format!("{name}_f32"), &single, expected(name));
    }
    // Two modules, shared per shape: PEFT has no way to say so, and must not take one pair for both.
    let config = VeraConfig { r: 2, sharing: Sharing::PerShape, ..VeraConfig::default() };
    let modules = ["layers.0.q_proj", "layers.0.up"].map(|module| {
        let [out, inputs] = shape(module).unwrap();
        let projections = Arc::new(Projections::<f64>::peft(0, 2, [out, inputs]).unwrap());
        let vera = Vera::new(Array1::ones(out), Array1::ones(2), inputs, projections).unwrap();
        (module.to_owned(), vera)
    });
    let folder = VeraFolder { config, modules: modules.into() };
    let says =
        "Specified to load vera_A and vera_B from state dictionary however they were not present";
    let path = folders.add("per_shape", "refused.txt", says.to_owned());
    peft::write_vera(&path, &folder).unwrap();
    assert_eq!(peft::read_vera(&path, shape).unwrap().modules, folder.modules);
}

/// Needs an interpreter with PEFT in the environment variable LOWRANK_PYTHON.
#[test]
fn peft_loads_what_we_write() {
    let Some(python) = std::env::var_os("LOWRANK_PYTHON") else {
        println!("SKIPPED peft_loads_what_we_write: LOWRANK_PYTHON names no Python with PEFT");
        return;
    };
    let mut folders = Folders { directory: tempfile::tempdir().unwrap(), paths: Vec::new() };
    add_lora(&mut folders);
    add_dora(&mut folders);
    add_vera(&mut folders);
    let script = golden("../load_ours.py");
    // -B: no __pycache__ in the source tree.
    let command = &mut Command::new(&python);
    let output = command.arg("-B").arg(script).args(&folders.paths).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    print!("{}", String::from_utf8_lossy(&output.stdout));
}
