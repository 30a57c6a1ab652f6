//! The example runners in other languages say what `lowrank check` says: of right submissions and of wrong ones.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use ndarray::{ArrayD, IxDyn};
use oracle::selftest::submission;
use oracle::{
    Class, Mutant, Options, Profile, Tensor, TensorFile, Verdict, cases_under, check, mutants,
    read_case,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::Dtype;

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors")
}

/// The runners that this machine can run.
fn runners() -> Vec<(&'static str, Command)> {
    let examples = vectors().join("examples");
    let mut found = Vec::new();
    // The tools of `cargo xtask parity` have NumPy where the system's Python has none.
    let venv = vectors().join("../../.cache/venv/bin/python");
    let pythons = [Path::new("python3"), venv.as_path()];
    let with_numpy = pythons.into_iter().find(|python| {
        let output = Command::new(python).args(["-c", "import numpy"]).output();
        output.is_ok_and(|output| output.status.success())
    });
    let node = Command::new("node").arg("--version").output().is_ok().then_some(Path::new("node"));
    for (program, runner) in [
        (with_numpy, "runner.py"),
        (with_numpy, "exact.py"),
        (node, "runner.mjs"),
        (node, "exact.mjs"),
    ] {
        match program {
            Some(program) => {
                let mut command = Command::new(program);
                command.arg(examples.join(runner));
                found.push((runner, command));
            }
            None => println!("SKIPPED: {runner} needs python3 with NumPy, or node"),
        }
    }
    // Cargo builds the examples of a package before it runs the tests.
    let tests = std::env::current_exe().unwrap();
    let built = tests.ancestors().nth(2).unwrap().join("examples/runner");
    let mut command = Command::new(built.with_extension(std::env::consts::EXE_EXTENSION));
    command.current_dir(vectors().join("../.."));
    found.push(("runner.rs", command));
    found
}

/// `samples` draws of each parameter of an `init` case, a factor too large.
fn draws(file: &TensorFile, case: &oracle::Case, factor: f64) -> TensorFile {
    let init = &case.params().unwrap().init;
    let [r, n, m] = [init.rank, init.inputs, init.outputs];
    let mut generator = ChaCha8Rng::seed_from_u64(case.source.seed);
    let mut made = TensorFile::default();
    let parameters = file.tensors.keys().filter_map(|name| name.strip_suffix(".support"));
    for name in parameters.map(|name| name.strip_prefix("out.").unwrap()) {
        let shape = match name {
            "lora_A" | "vera_A" => vec![init.samples, r, n],
            "lora_B" | "vera_B" => vec![init.samples, m, r],
            "vera_lambda_b" => vec![init.samples, m],
            _ => vec![init.samples, r],
        };
        let read = |kind: &str| file.tensors[&format!("out.{name}.{kind}")].to_f64().unwrap();
        let (support, moments) = (read("support"), read("moments"));
        let draw = || {
            let [a, b]: [f64; 2] = [generator.random(), generator.random()];
            factor
                * if support[[0]].is_finite() {
                    support[[0]] + (support[[1]] - support[[0]]) * a
                } else {
                    // Box and Muller
                    let radius = (-2.0 * (1.0 - a).ln()).sqrt();
                    moments[[1]].sqrt() * radius * (std::f64::consts::TAU * b).cos()
                }
        };
        let array = ArrayD::from_shape_simple_fn(IxDyn(&shape), draw);
        let data = array.iter().flat_map(|&number| (number as f32).to_le_bytes()).collect();
        let tensor = Tensor { dtype: Dtype::F32, shape, data };
        made.tensors.insert(format!("out.{name}"), tensor);
    }
    made
}

/// Write what `make` submits for each case it answers, and let both judge it.
fn same_verdicts(
    what: &str,
    make: impl Fn(usize, &TensorFile, &oracle::Case) -> Option<TensorFile>,
) -> [usize; 2] {
    let folder = tempfile::tempdir().unwrap();
    let (mut judged, mut failed) = (0, BTreeSet::new());
    let (mut exact, mut exact_failed) = (0, BTreeSet::new());
    for (number, path) in cases_under(&vectors()).unwrap().iter().enumerate() {
        let (case, file) = read_case(path).unwrap();
        let Some(made) = make(number, &file, &case) else { continue };
        let id = case.id.clone().unwrap();
        let report = check(&file, Some(&made), Options::default()).unwrap();
        // Where this oracle can say nothing, another may.
        if report.findings.iter().any(|finding| finding.verdict == Verdict::NotRun) {
            continue;
        }
        judged += 1;
        if report.verdict == Verdict::Fail {
            failed.insert(id.clone());
        }
        if case.class == Some(Class::Exact) {
            exact += 1;
            exact_failed.extend((report.verdict == Verdict::Fail).then(|| id.clone()));
        }
        let path = folder.path().join(format!("{id}.safetensors"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, made.to_bytes().unwrap()).unwrap();
    }
    for (name, mut runner) in runners() {
        let output = runner.arg(folder.path()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        let said: BTreeSet<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("FAIL ")?.split(' ').next())
            .map(str::to_owned)
            .collect();
        if name.starts_with("exact") {
            let total = format!("{exact} cases judged, {} failed", exact_failed.len());
            assert_eq!(text.lines().last(), Some(total.as_str()), "{name}, {what}: {errors}");
            assert_eq!(said, exact_failed, "{name}, {what}");
            continue;
        }
        let total = format!("{judged} cases judged, {} failed", said.len());
        assert_eq!(text.lines().last(), Some(total.as_str()), "{name}, {what}: {errors}");
        let stricter: Vec<_> = said.difference(&failed).collect();
        assert!(stricter.is_empty(), "{name}, {what}: fails alone {stricter:?}");
        // A merged weight, an update and a projection have one gauge for parts that the checker looks at one by one, and
        // of a length in DoRA the simple rule says that it is off by half at most: there it is looser. Never where another
        // pass is judged, nor where numbers must be equal.
        let looser: Vec<&String> = failed.difference(&said).collect();
        let may = |id: &&&String| {
            let op = id.split('/').nth(1).unwrap_or_default();
            let passes = op == "forward" || op == "backward" && !id.contains("/projected-");
            (!passes || id.starts_with("dora/")) && !id.contains("-exact")
        };
        let rest: Vec<_> = looser.iter().filter(|id| !may(id)).collect();
        assert!(rest.is_empty(), "{name}, {what}: passes alone {rest:?}");
        assert!(looser.len() * 50 <= judged, "{name}, {what}: passes {} of {judged}", looser.len());
        println!(
            "{name}, {what}: {judged} judged, {} fail, {} less than in check",
            said.len(),
            looser.len()
        );
        assert_eq!(output.status.code(), Some(i32::from(!said.is_empty())), "{name}, {what}");
    }
    [judged, failed.len()]
}

fn honest(file: &TensorFile, case: &oracle::Case, precision: Profile) -> Option<TensorFile> {
    match case.class {
        Some(Class::Stat) => Some(draws(file, case, 1.0)),
        _ => submission(file, None, precision).unwrap(),
    }
}

#[test]
fn right_submissions_pass() {
    for precision in [Profile::F32, Profile::Bf16, Profile::Fp16, Profile::F64] {
        let what = format!("right in {precision}");
        let [judged, failed] = same_verdicts(&what, |number, file, case| {
            // All of them in f32, and of the rest enough to see each method and op.
            let chosen = precision == Profile::F32 || number % 7 == 0;
            (chosen && (case.class != Some(Class::Stat) || number % 3 == 0))
                .then(|| honest(file, case, precision))
                .flatten()
        });
        println!("{what}: {judged} judged, {failed} fail");
        assert!(judged > 300, "{what}: {judged}");
        // fp16 ends at 65504 and begins at 2⁻²⁴.
        assert!(failed == 0 || precision == Profile::Fp16, "{what}: {failed} fail");
    }
}

#[test]
fn wrong_submissions_fail_alike() {
    let catalogue: Vec<&Mutant> = mutants().collect();
    for (round, precision) in [(0, Profile::F32), (1, Profile::Bf16)] {
        let what = format!("wrong in {precision}, round {round}");
        let [judged, failed] = same_verdicts(&what, |number, file, case| {
            if case.class == Some(Class::Stat) {
                return (number % 2 == 0).then(|| draws(file, case, 1.1));
            }
            // Another mutant for every case, the next one that applies.
            let start = number * 31 + round * 17;
            let order = (0..catalogue.len()).map(|i| catalogue[(start + i) % catalogue.len()]);
            let mut order =
                order.filter(|mutant| precision != Profile::Bf16 || !mutant.honest_in_bf16);
            order.find_map(|mutant| submission(file, Some(mutant), precision).unwrap())
        });
        println!("{what}: {judged} judged, {failed} fail");
        assert!(failed > 2000, "{what}: {failed} of {judged}");
    }
}

/// A tensor of a type that holds no floats, and right numbers beside an error: a verdict in every language, and no crash.
#[test]
fn other_types_and_numbers_beside_an_error_fail_alike() {
    let what = "integers, and errors";
    let [judged, failed] = same_verdicts(what, |number, file, case| {
        let mut made = (number % 20 == 0).then(|| honest(file, case, Profile::F32)).flatten()?;
        if number % 60 == 0 {
            made.metadata.insert("error".into(), "refused".into());
        } else if let Some(tensor) = made.tensors.values_mut().next() {
            let (dtype, bytes) =
                [(Dtype::I32, 4), (Dtype::U8, 1), (Dtype::I64, 8)][number / 20 % 3];
            let count: usize = tensor.shape.iter().product();
            *tensor = Tensor { dtype, shape: tensor.shape.clone(), data: vec![0; bytes * count] };
        }
        Some(made)
    });
    // Of a case that must be refused both are right: an error, and no tensor.
    assert!(judged > 150 && failed * 10 > judged * 8, "{failed} of {judged}");
}

/// By a program that shares no code with this crate.
#[test]
fn judge_json_follows_from_bounds_json() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("exact/judge.py");
    let Ok(output) = Command::new("python3").arg(program).arg("--check").output() else {
        println!("SKIPPED: judge.json is made by python3, which is not here");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn bounds_json_has_these_constants() {
    let path = vectors().join("bounds.json");
    let there = std::fs::read_to_string(&path).unwrap();
    assert!(
        there == oracle::bounds_json(),
        "tests/vectors/bounds.json is stale: `lowrank bounds > tests/vectors/bounds.json` writes it anew"
    );
}
