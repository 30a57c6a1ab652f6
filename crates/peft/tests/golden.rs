//! Both ways: we read what PEFT wrote (tests/golden), and PEFT loads what we write.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use adapter::{Adapter, Real};
use lora::{Lora, Scaling};
use ndarray::Array2;
use peft::{LoraConfig, LoraFolder, read, write};

const GOLDEN: [&str; 2] = ["alpha_over_r", "rslora"];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

type Deltas = BTreeMap<String, Vec<Vec<f64>>>;

fn deltas<T: Real>(folder: &LoraFolder<T>) -> Deltas {
    let rows = |lora: &Lora<T>| {
        let delta = lora.delta_weight();
        delta.outer_iter().map(|row| row.iter().map(|x| x.to_f64()).collect()).collect()
    };
    folder.modules.iter().map(|(module, lora)| (module.clone(), rows(lora))).collect()
}

/// ΔW of every module, with patterns and both scalings, as PEFT computes it in f64.
#[test]
fn reads_what_peft_wrote() {
    for name in GOLDEN {
        let folder = read::<f64>(&golden(name)).unwrap();
        let text = std::fs::read_to_string(golden(name).join("delta_weight.json")).unwrap();
        let want: Deltas = serde_json::from_str(&text).unwrap();
        // A and B are multiples of 1/64 below 8: B A is exact, and the scale adds the same one rounding on both sides.
        assert_eq!(deltas(&folder), want, "{name}");
        assert_eq!(folder.config.lora_dropout, 0.1);
    }
    let targets = |name| read::<f32>(&golden(name)).unwrap().config.target_modules;
    assert_eq!(targets("alpha_over_r"), ["down", "v_proj", "q_proj"]);
    // A regular expression: only the model can say which modules it means.
    assert_eq!(targets("rslora"), [""; 0]);
}

/// Modules of tests/make_golden.py's model, each with a rank and an α of its own, exact in f32.
fn mixed(scaling: Scaling) -> BTreeMap<String, Lora<f64>> {
    let number = |(i, j): (usize, usize)| (i as f64 - 2.0 * j as f64) / 8.0 + 0.5;
    let cases = [
        ("layers.0.q_proj", [6, 4], 2, 3.0),
        ("layers.0.up", [5, 7], 3, 3.0),
        ("layers.1.up", [5, 7], 2, -0.3),
        ("layers.1.down", [7, 5], 1, 16.0),
    ];
    let lora = |[out, inputs]: [usize; 2], rank, alpha| {
        let (a, b) = (
            Array2::from_shape_fn((rank, inputs), number),
            Array2::from_shape_fn((out, rank), number),
        );
        Lora::new(a, b, scaling.scale(alpha, rank).unwrap()).unwrap()
    };
    cases.map(|(module, shape, rank, alpha)| (module.to_owned(), lora(shape, rank, alpha))).into()
}

/// Needs an interpreter with PEFT in the environment variable LOWRANK_PYTHON.
#[test]
fn peft_loads_what_we_write() {
    let Some(python) = std::env::var_os("LOWRANK_PYTHON") else {
        println!("SKIPPED peft_loads_what_we_write: LOWRANK_PYTHON names no Python with PEFT");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let mut folders = Vec::new();
    let mut add = |name: &str, want: Deltas| {
        let path = directory.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        let text = serde_json::to_string(&want).unwrap();
        std::fs::write(path.join("delta_weight.json"), text).unwrap();
        folders.push(path.clone());
        path
    };
    for name in GOLDEN {
        let folder = read::<f64>(&golden(name)).unwrap();
        write(&add(&format!("{name}_f64"), deltas(&folder)), &folder).unwrap();
        let single = read::<f32>(&golden(name)).unwrap();
        write(&add(&format!("{name}_f32"), deltas(&folder)), &single).unwrap();
    }
    for use_rslora in [false, true] {
        let config = LoraConfig { use_rslora, ..LoraConfig::default() };
        let folder = LoraFolder::new(config.clone(), mixed(config.scaling())).unwrap();
        write(&add(&format!("mixed_{use_rslora}"), deltas(&folder)), &folder).unwrap();
    }
    // Two patterns that fit, not in the order of the alphabet.
    let config = LoraConfig {
        alpha_pattern: vec![("up".into(), 5.0), (r"layers\.0\.up".into(), 7.0)],
        r: 2,
        ..LoraConfig::default()
    };
    let scale = config.resolve("layers.0.up").unwrap().scale;
    let lora =
        Lora::new(Array2::eye(7).slice_move(ndarray::s![..2, ..]), Array2::ones((5, 2)), scale);
    let modules = [("layers.0.up".to_owned(), lora.unwrap())].into();
    let folder = LoraFolder { config, modules };
    write(&add("order", deltas(&folder)), &folder).unwrap();

    let script = golden("../load_ours.py");
    // -B: no __pycache__ in the source tree.
    let output = Command::new(&python).arg("-B").arg(script).args(&folders).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    print!("{}", String::from_utf8_lossy(&output.stdout));
}
