//! The self-test: what it shows of the shipped cases, and that it fails when it should.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use oracle::selftest::{
    Called, FAULTS, Made, Outcome, SelfTest, Settings, contrast, selftest, submission, survivors,
};
use oracle::{
    Class, Index, Method, Op, Options, Profile, Verdict, cases_under, check, mutants, read_case,
};

use crate::common::vectors;

/// Without the generator, which `cargo xtask test vectors` runs.
fn settings(vectors: &Path) -> Settings {
    Settings {
        vectors: vectors.to_owned(),
        generator: None,
        no_generator: true,
        methods: Vec::new(),
        ops: Vec::new(),
    }
}

fn run(settings: &Settings) -> SelfTest {
    selftest(settings, &|_, _| {}).unwrap()
}

fn outcome<'a>(test: &'a SelfTest, part: &str) -> &'a Outcome {
    &test.parts.iter().find(|(name, _)| *name == part).unwrap().1
}

/// Some cases of the shipped ones in a folder of their own, with an index.
fn some_cases(folder: &Path, chosen: impl Fn(&str) -> bool) {
    let text = fs::read_to_string(vectors().join("index.json")).unwrap();
    let mut index: serde_json::Value = serde_json::from_str(&text).unwrap();
    let cases = index["cases"].as_array_mut().unwrap();
    cases.retain(|case| chosen(case["id"].as_str().unwrap()));
    for case in cases {
        let name = format!("{}.safetensors", case["id"].as_str().unwrap());
        fs::create_dir_all(folder.join(&name).parent().unwrap()).unwrap();
        fs::copy(vectors().join(&name), folder.join(&name)).unwrap();
    }
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
}

/// All parts of it on a few cases. Every case, every mutant and the whole generator are what `lowrank selftest` runs, and
/// with it `cargo xtask test vectors`: it fails where a mutant lives in a method or in a precision.
#[test]
fn some_cases_pass_and_are_made_again_in_exact_arithmetic() {
    let settings = Settings {
        no_generator: false,
        methods: vec![Method::LoraPlus],
        ops: vec![Op::Merge, Op::Forward],
        ..settings(&vectors())
    };
    let test = run(&settings);
    match outcome(&test, "exact arithmetic") {
        Outcome::Passed(shown) => assert!(shown.contains("cases made again"), "{shown}"),
        Outcome::Skipped(why) => println!("SKIPPED: {why}"),
        Outcome::Failed(wrong) => panic!("{}", wrong.join("\n")),
    }
    assert!(test.passed(), "{:?}", test.parts);
}

/// The matrix says of a mutant what `check` says of its submission.
#[test]
fn the_matrix_and_the_checker_agree() {
    let shipped = Index::of(&vectors()).unwrap();
    let of_op = |id: &&str| id.contains("/backward/") || id.contains("/step/");
    let chosen: BTreeSet<&str> = shipped.ids().filter(of_op).step_by(40).collect();
    let folder = tempfile::tempdir().unwrap();
    some_cases(folder.path(), |id| chosen.contains(id));
    let test = run(&settings(folder.path()));
    let mut compared = 0;
    for row in test.matrix.iter().filter(|row| row.class != Class::Reject) {
        let path = vectors().join(format!("{}.safetensors", row.id));
        let (_, file) = read_case(&path).unwrap();
        for cell in &row.cells {
            for (precision, kill) in [Profile::F32, Profile::Bf16].into_iter().zip(cell.kills) {
                let made = submission(&file, Some(cell.mutant), precision).unwrap().unwrap();
                let report = check(&file, Some(&made), Options::default()).unwrap();
                let failed = report.verdict == Verdict::Fail;
                assert_eq!(failed, kill.killed, "{} {} {report}", row.id, cell.mutant.name);
                // What is certain to fail fails rounded once, too.
                assert!(kill.killed || !kill.certain, "{} {}", row.id, cell.mutant.name);
                compared += 1;
            }
        }
    }
    println!("{compared} verdicts agree");
    assert!(compared > 300, "{compared}");
}

/// A mistake that a single case shows is called by its name, or by none: never by another's.
#[test]
fn a_single_case_names_no_other_mistake() {
    let (mut named, mut silent) = (0, 0);
    for path in cases_under(&vectors().join("lora/backward")).unwrap().iter().step_by(9) {
        let (case, file) = read_case(path).unwrap();
        if case.class != Some(Class::Bounded) {
            continue;
        }
        for mutant in mutants() {
            for precision in [Profile::F32, Profile::Bf16] {
                let Some(made) = submission(&file, Some(mutant), precision).unwrap() else {
                    continue;
                };
                let report = check(&file, Some(&made), Options::default()).unwrap();
                let text = report.hypothesis.unwrap_or_default();
                if text.contains(mutant.what) {
                    named += 1;
                } else if report.verdict == Verdict::Fail {
                    silent += 1;
                    let other = mutants().find(|other| text.contains(other.what));
                    assert!(other.is_none(), "{}: {} is called {text}", report.case, mutant.name);
                }
            }
        }
    }
    println!("{named} named, {silent} silent");
    assert!(named > silent, "{named}, {silent}");
}

/// All mistakes and faults, as whole submissions of one method. `lowrank selftest` does it for all methods.
#[test]
fn no_whole_submission_is_called_by_a_wrong_name() {
    let test = run(&Settings { methods: vec![Method::LoraPlus], ..settings(&vectors()) });
    assert!(matches!(outcome(&test, "diagnosis"), Outcome::Passed(_)), "{:?}", test.parts[5]);
    let (mut named, mut catalogue, mut others, mut both, mut in_rules) = (0, 0, 0, 0, 0);
    for one in &test.confusion {
        assert!(!matches!(one.called, Called::Otherwise(_)), "{one}");
        let right = usize::from(matches!(one.called, Called::Right(_)));
        match one.made {
            Made::Mistake(_) => (named, catalogue) = (named + right, catalogue + 1),
            Made::Two(_) => both += right,
            Made::InRule(..) => in_rules += right,
            Made::Fault(_) => others += 1,
        }
    }
    println!(
        "{named} of {catalogue} named, {both} pairs, {in_rules} in one kind of update, {others} others silent"
    );
    assert!(in_rules >= 14, "{in_rules}");
    assert!(named * 100 >= catalogue * 90 && both >= 8, "{named} of {catalogue}, {both}");
    assert!(others >= 80 && FAULTS.len() >= 40, "{others}");
}

#[test]
fn a_changed_vector_is_corrupt_and_no_longer_exact() {
    let folder = tempfile::tempdir().unwrap();
    some_cases(folder.path(), |id| id.starts_with("vera/merge/small-"));
    assert!(matches!(outcome(&run(&settings(folder.path())), "digests"), Outcome::Passed(_)));

    // The last byte of the last tensor, an F16 or U8 input or an F64 output.
    let path = folder.path().join("vera/merge/small-bounded.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 0x10;
    fs::write(&path, bytes).unwrap();
    let test = run(&settings(folder.path()));
    let Outcome::Failed(wrong) = outcome(&test, "digests") else { panic!("{:?}", test.parts) };
    assert!(wrong.len() == 1 && wrong[0].contains("vera/merge/small-bounded"), "{wrong:?}");
    assert!(matches!(outcome(&test, "reference"), Outcome::Failed(_)), "{:?}", test.parts);

    fs::remove_file(&path).unwrap();
    let Outcome::Failed(wrong) = outcome(&run(&settings(folder.path())), "digests").clone() else {
        panic!("a missing file passes");
    };
    assert!(wrong[0].contains("there is no file"), "{wrong:?}");
}

/// Cases that do not tell right from wrong let mutants live, and the self-test says which.
#[test]
fn blind_cases_let_mutants_live() {
    let folder = tempfile::tempdir().unwrap();
    // B = 0 at the start: y does not show s.
    some_cases(folder.path(), |id| id.starts_with("lora/forward/start-"));
    let test = run(&settings(folder.path()));
    assert!(!test.passed());
    let living: BTreeSet<&str> =
        survivors(&test.matrix, true).iter().map(|survivor| survivor.mutant.name).collect();
    assert!(living.contains("alpha-for-scale") && living.contains("adapter-missing"), "{living:?}");

    // A hundredth of an update does not show in a bf16 parameter that is not 0.
    let folder = tempfile::tempdir().unwrap();
    some_cases(folder.path(), |id| id == "lora/step/adamw-later-decay-bounded");
    let test = run(&settings(folder.path()));
    let lives = |precision| {
        let survivors = survivors(&test.matrix, false);
        let mut named = survivors.iter().filter(|survivor| survivor.mutant.name == "t-off-by-one");
        named.any(|survivor| survivor.precision == Some(precision))
    };
    assert!(lives(Profile::Bf16) && !lives(Profile::F32), "{:?}", survivors(&test.matrix, false));
}

#[test]
fn nothing_to_test_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("index.json"), r#"{"cases":[]}"#).unwrap();
    let error = selftest(&settings(folder.path()), &|_, _| {}).unwrap_err().to_string();
    assert!(error.contains("nothing to test"), "{error}");
}

#[test]
fn the_usual_tolerances_miss_mutants_or_fail_right_results() {
    let [f32, bf16] = contrast().unwrap();
    // By the bound, and by allclose(1e-3), allclose(1e-4), torch.testing's defaults.
    assert_eq!(f32.refused[0] + bf16.refused[0], 0);
    // 10⁻⁶ is less than what a norm of 0.6 may be off; cases with short rows show it.
    assert_eq!(f32.missed[0], ["norm-with-epsilon"]);
    assert!((1..4).all(|rule| !f32.missed[rule].is_empty()), "{:?}", f32.missed);
    assert!((1..4).all(|rule| !bf16.missed[rule].is_empty() || bf16.refused[rule] > 0));
}
