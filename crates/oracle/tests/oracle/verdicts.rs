//! What passes, what fails, and what is said about it.

use ndarray::ArrayD;
use oracle::{
    Case, Class, Options, Profile, Report, Tensor, TensorFile, Truth, Verdict, check, outputs,
};
use safetensors::tensor::Dtype;

use crate::common::{emitted, file, in_f32, layer, matrix, put, step, text, with_mask};

const SGD: &str = r#""params":{"alpha":3,"optimizer":{"name":"sgd","lr":0.25,"weight_decay":0.1}}"#;
const ADAMW: &str = r#""params":{"alpha":3,"start":2,"optimizer":{"name":"adamw","lr":0.25,"weight_decay":0.1,"eps":0.5}}"#;

/// One case of every kind that is judged by numbers.
fn cases() -> Vec<TensorFile> {
    let mut list = Vec::new();
    for method in ["lora", "lora-fa", "vera", "delta-lora", "lora-plus"] {
        for op in ["forward", "backward", "merge", "unmerge"] {
            list.push(layer(method, op, r#""params":{}"#));
        }
    }
    for method in ["lora", "delta-lora", "lora-plus"] {
        list.extend([step(method, SGD, false), step(method, ADAMW, true)]);
    }
    list.push(with_mask(layer(
        "lora",
        "backward",
        r#""params":{"dropout_p":0.3,"scaling":"rslora"}"#,
    )));
    list.push(layer("lora-fa", "backward", r#""params":{"variant":"projected","alpha":3}"#));
    list.iter().map(emitted).collect()
}

fn judge(case: &TensorFile, submission: &TensorFile) -> Report {
    check(case, Some(submission), Options::default()).unwrap()
}

fn judged_as(case: &TensorFile, submission: &TensorFile, profile: Profile) -> Report {
    check(case, Some(submission), Options { profile: Some(profile) }).unwrap()
}

#[test]
fn rounded_once_passes() {
    for case in cases() {
        let report = judge(&case, &in_f32(&case));
        assert_eq!(report.verdict, Verdict::Pass, "{report}");
        assert!(report.warnings.is_empty() && report.findings.len() == in_f32(&case).tensors.len());
    }
}

/// A truth that is computed once judges as `check` does: what is right, what is wrong, and NaN, in any units.
#[test]
fn a_truth_judges_any_number_of_submissions() {
    for case in cases() {
        let truth = Truth::of(&case).unwrap();
        let right = in_f32(&case);
        let (name, tensor) = right.tensors.first_key_value().unwrap();
        let with = |number: f64| {
            let mut numbers = tensor.to_f64().unwrap();
            *numbers.first_mut().unwrap() = number;
            let mut submission = right.clone();
            submission.tensors.insert(name.clone(), Tensor::f32(&numbers));
            submission
        };
        for (submission, verdict) in [
            (right.clone(), Verdict::Pass),
            (with(f64::NAN), Verdict::Fail),
            (with(1e9), Verdict::Fail),
        ] {
            for profile in [None, Some(Profile::F32), Some(Profile::Bf16)] {
                let options = Options { profile };
                let report = truth.judge(&submission, options);
                let checked = check(&case, Some(&submission), options).unwrap();
                assert_eq!((report.verdict, checked.verdict), (verdict, verdict), "{report}");
                let rhos = |report: &Report| -> Vec<f64> {
                    report.findings.iter().map(|finding| finding.rho).collect()
                };
                assert_eq!(rhos(&report), rhos(&checked));
            }
        }
    }
}

/// 0.99 of the bound passes and 1.01 of it does not, at every element of every output.
#[test]
fn the_bound_is_where_the_verdict_turns() {
    for case in cases() {
        let parsed = Case::of(&case).unwrap();
        for profile in [Profile::F32, Profile::Bf16, Profile::Tf32, Profile::Fp16] {
            for output in outputs(&parsed, &case).unwrap() {
                // Every input is on the grid, so no format rounds it. The reference's own bound comes on top.
                let bound = (output.bound)(&profile.units(false))
                    + (output.bound)(&Profile::F64.units(false));
                for element in 0..output.value.len() {
                    for (factor, verdict) in [(0.99, Verdict::Pass), (1.01, Verdict::Fail)] {
                        let mut submission = case.clone();
                        let mut got = output.value.clone();
                        let place = got.iter_mut().nth(element).unwrap();
                        *place += factor * bound.iter().nth(element).unwrap();
                        let name = format!("out.{}", output.name);
                        submission.tensors.insert(name, Tensor::f64(&got));
                        let report = judged_as(&case, &submission, profile);
                        assert_eq!(report.verdict, verdict, "{factor} {}: {report}", output.name);
                    }
                }
            }
        }
    }
}

#[test]
fn nan_and_infinity_fail_wherever_they_stand() {
    for case in cases() {
        let names: Vec<_> = in_f32(&case).tensors.into_keys().collect();
        for name in names {
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                for element in 0..case.tensors[&name].to_f64().unwrap().len() {
                    let mut submission = in_f32(&case);
                    put(&mut submission, &name, |mut tensor| {
                        *tensor.iter_mut().nth(element).unwrap() = bad;
                        tensor
                    });
                    let report = judge(&case, &submission);
                    assert_eq!(report.verdict, Verdict::Fail, "{name} {element} {bad}: {report}");
                    let worst = report.divergence().unwrap();
                    assert!(
                        worst.rho.is_infinite() && worst.worst.as_ref().unwrap().bound.is_finite()
                    );
                }
            }
        }
    }
}

#[test]
fn what_is_missing_misshapen_or_of_another_type_fails_and_says_so() {
    for case in cases() {
        for name in in_f32(&case).tensors.keys() {
            let mut submission = in_f32(&case);
            let tensor = submission.tensors.remove(name).unwrap();
            let report = judge(&case, &submission);
            assert_eq!(report.verdict, Verdict::Fail);
            assert!(report.to_string().contains("is missing"), "{report}");

            let mut wider = tensor.clone();
            wider.shape.push(1);
            submission.tensors.insert(name.clone(), wider.clone());
            let report = judge(&case, &submission);
            assert_eq!(report.verdict, Verdict::Fail);
            let (got, want) = (format!("{:?}", wider.shape), format!("{:?}", tensor.shape));
            let message = report.to_string();
            assert!(message.contains(&got) && message.contains(&want), "{message}");

            let integers = Tensor { dtype: Dtype::I32, ..tensor };
            submission.tensors.insert(name.clone(), integers);
            let report = judge(&case, &submission);
            assert_eq!(report.verdict, Verdict::Fail);
            assert!(report.to_string().contains("I32"), "{report}");
        }
        assert_eq!(judge(&case, &TensorFile::default()).verdict, Verdict::Fail);
        assert_eq!(check(&case, None, Options::default()).unwrap().verdict, Verdict::NotRun);
    }
}

#[test]
fn a_tensor_too_many_is_a_warning() {
    let case = emitted(&layer("lora", "merge", ""));
    let mut submission = in_f32(&case);
    submission.tensors.insert("out.debug".into(), Tensor::f64(&matrix(2, 2, 1)));
    let report = judge(&case, &submission);
    assert_eq!(report.verdict, Verdict::Pass);
    assert!(report.warnings[0].contains("out.debug"), "{:?}", report.warnings);
}

#[test]
fn what_must_be_rejected_needs_an_error_and_nothing_else_does() {
    let rest = r#""params":{"dropout_p":1.5},"class":"reject","flags":["DropoutTooLarge"]"#;
    let case = layer("lora", "forward", rest);
    let mut refused = TensorFile::default();
    refused.metadata.insert("error".into(), "p must be below 1".into());
    assert_eq!(judge(&case, &refused).verdict, Verdict::Pass);
    let numbers = in_f32(&emitted(&layer("lora", "forward", "")));
    let report = judge(&case, &numbers);
    assert_eq!(report.verdict, Verdict::Fail);
    assert!(report.to_string().contains("no error where one is expected"), "{report}");

    let report = judge(&emitted(&layer("lora", "forward", "")), &refused);
    assert_eq!(report.verdict, Verdict::Fail);
    assert!(report.to_string().contains("p must be below 1"), "{report}");
}

/// Right numbers and an error: whichever is meant, one of the two is wrong.
#[test]
fn numbers_beside_an_error_are_not_judged() {
    for case in cases() {
        let mut both = in_f32(&case);
        both.metadata.insert("error".into(), "p must be below 1".into());
        let report = judge(&case, &both);
        assert_eq!(report.verdict, Verdict::Fail, "{report}");
        assert_eq!(
            Truth::of(&case).unwrap().judge(&both, Options::default()).verdict,
            Verdict::Fail
        );
        let text = report.to_string();
        assert!(text.contains("refused: p must be below 1"), "{text}");
        assert!(text.contains("\"error\" where numbers are expected"), "{text}");
    }
    // Where an error is expected the numbers are too many, as any tensor that is not expected.
    let rest = r#""params":{"dropout_p":1.5},"class":"reject","flags":["DropoutTooLarge"]"#;
    let mut both = in_f32(&emitted(&layer("lora", "forward", "")));
    both.metadata.insert("error".into(), "p must be below 1".into());
    let report = judge(&layer("lora", "forward", rest), &both);
    assert_eq!(report.verdict, Verdict::Pass, "{report}");
    assert!(report.warnings[0].contains("out.y"), "{:?}", report.warnings);
}

/// A tensor under nearly its name is not judged, and the verdict says which name is meant.
#[test]
fn a_name_in_another_spelling_is_pointed_at() {
    let case = emitted(&layer("lora", "backward", ""));
    for (right, given) in [
        ("out.y", "y"),
        ("out.y", "out/y"),
        ("out.grad_lora_A", "grad_lora_A"),
        ("out.grad_lora_A", "out.grad_lora_a"),
    ] {
        let mut submission = in_f32(&case);
        let tensor = submission.tensors.remove(right).unwrap();
        submission.tensors.insert(given.into(), tensor);
        let report = judge(&case, &submission);
        assert_eq!(report.verdict, Verdict::Fail);
        let hint = format!("is missing; {given} is there: is {right} meant?");
        assert!(report.to_string().contains(&hint), "{report}");
        assert!(report.warnings.iter().any(|warning| warning.starts_with(given)), "{given}");
    }
    let rest = r#""class":"stat","params":{"init":"gaussian","rank":2,"in":5,"out":3,"samples":9}"#;
    let draws = emitted(&file(&text("lora", "init", rest), &[]));
    let mut submission = TensorFile::default();
    let a = Tensor::f64(&ArrayD::zeros(vec![9, 2, 5]));
    submission.tensors.insert("lora_A".into(), a);
    let report = judge(&draws, &submission).to_string();
    assert!(report.contains("lora_A is there: is out.lora_A meant?"), "{report}");
    // The inputs of the case may stay in the file, and are not taken for outputs.
    let step = emitted(&step("lora", SGD, false));
    let mut submission = step.clone();
    submission.metadata.clear();
    submission.tensors.remove("out.lora_A");
    let report = judge(&step, &submission);
    assert!(report.to_string().contains("lora_A  FAIL  is missing\n"), "{report}");
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
}

/// With inputs for two steps.
fn trajectory(method: &str, params: &str) -> TensorFile {
    let mut case = layer(method, "trajectory", &format!(r#""params":{{"steps":2{params}}}"#));
    for step in 0..2 {
        case.tensors.insert(format!("in.x.{step}"), Tensor::f64(&matrix(3, 5, 20 + step)));
        case.tensors.insert(format!("in.grad_y.{step}"), Tensor::f64(&matrix(3, 4, 30 + step)));
    }
    case
}

/// What a name leaves out may be the step of a trajectory. Nothing is said of samples there.
#[test]
fn a_name_without_its_step_is_pointed_at() {
    let case = emitted(&trajectory("lora", ""));
    let mut submission = in_f32(&case);
    let tensor = submission.tensors.remove("out.lora_A.0").unwrap();
    submission.tensors.insert("out.lora_A".into(), tensor);
    let report = judge(&case, &submission).to_string();
    let hint = "lora_A.0  FAIL  is missing; out.lora_A is there: is out.lora_A.0 meant?";
    assert!(report.contains(hint), "{report}");
}

/// What could not be judged is not among the tensors that pass.
#[test]
fn what_is_not_judged_does_not_pass() {
    let case = nearly_dependent(trajectory("lora-fa", r#","variant":"projected""#));
    let mut submission = in_f32(&case);
    put(&mut submission, "out.y.1", |y| y * 100.0);
    let report = judged_as(&case, &submission, Profile::Bf16);
    let state = report.findings.iter().find(|finding| finding.tensor == "lora_B.0").unwrap();
    assert_eq!(state.verdict, Verdict::NotRun);
    let text = report.to_string();
    assert!(text.contains("first divergence: y.1 (y.0, grad_lora_B.0 pass)"), "{text}");
}

/// W + s B A of small integers: a bound would let the last bit pass, equality does not.
#[test]
fn exact_means_equal() {
    let integers = |rows, columns| {
        ArrayD::from_shape_fn(vec![rows, columns], |at| {
            (at[0] * columns + at[1]) as f64 % 5.0 - 2.0
        })
    };
    let tensors = [
        ("in.weight", integers(4, 5)),
        ("in.lora_A", integers(2, 5)),
        ("in.lora_B", integers(4, 2)),
    ];
    for (class, verdict) in [("exact", Verdict::Fail), ("bounded", Verdict::Pass)] {
        let rest = format!(r#""params":{{"alpha":4}},"class":"{class}""#);
        let case = emitted(&file(&text("lora", "merge", &rest), &tensors));
        assert_eq!(judge(&case, &in_f32(&case)).verdict, Verdict::Pass);
        let mut submission = in_f32(&case);
        put(&mut submission, "out.weight", |mut weight| {
            let place = weight.iter_mut().find(|number| **number != 0.0).unwrap();
            *place *= 1.0 + 2.0_f64.powi(-23); // the next f32
            weight
        });
        assert_eq!(judge(&case, &submission).verdict, verdict, "{class}");
    }
}

/// The residual is small for the solution, and only for it.
#[test]
fn the_projection_is_judged_by_its_residual() {
    let rest = r#""params":{"variant":"projected","alpha":3},"class":"residual""#;
    let case = emitted(&layer("lora-fa", "backward", rest));
    let name = "out.projected_grad_lora_B";
    let finding = |submission: &TensorFile| {
        let report = judge(&case, submission);
        report
            .findings
            .into_iter()
            .find(|finding| name == format!("out.{}", finding.tensor))
            .unwrap()
    };
    let right = finding(&in_f32(&case));
    assert_eq!(right.verdict, Verdict::Pass);
    assert!(right.note.unwrap().contains("left over"));

    // One element off by 1e-5 of the largest: 100 u.
    let mut submission = in_f32(&case);
    put(&mut submission, name, |mut solution| {
        let largest = solution.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
        *solution.iter_mut().next().unwrap() += 1e-5 * largest;
        solution
    });
    assert_eq!(finding(&submission).verdict, Verdict::Fail);
    // 1/s in the place of 1/s².
    put(&mut submission, name, |solution| solution * 1.5);
    assert_eq!(finding(&submission).verdict, Verdict::Fail);
}

#[test]
fn nan_and_infinity_that_are_expected_must_be_there() {
    for (bad, other) in
        [(f64::NAN, 1.0), (f64::INFINITY, f64::from(f32::MAX)), (f64::NEG_INFINITY, f64::INFINITY)]
    {
        let mut weight = matrix(4, 5, 1);
        weight[[2, 3]] = bad;
        let mut case = layer("lora", "merge", "");
        case.tensors.insert("in.weight".into(), Tensor::f64(&weight));
        let case = emitted(&case);
        let report = judge(&case, &in_f32(&case));
        assert_eq!(report.verdict, Verdict::Pass, "{report}");
        let mut submission = in_f32(&case);
        put(&mut submission, "out.weight", |mut weight| {
            weight[[2, 3]] = other;
            weight
        });
        assert_eq!(judge(&case, &submission).verdict, Verdict::Fail, "{other} for {bad}");
    }
}

/// ∞ times a dropped 0: NaN is as good as 0 where the case says so, and nowhere else.
#[test]
fn what_is_acceptable_needs_its_flag() {
    for (rest, verdict) in [
        (r#","class":"acceptable","flags":["InfTimesDropped"]"#, Verdict::Pass),
        (r#","class":"acceptable","flags":["Other"]"#, Verdict::Fail),
        ("", Verdict::Fail),
    ] {
        let rest = format!(r#""params":{{"dropout_p":0.5}}{rest}"#);
        let mut case = with_mask(layer("lora", "backward", &rest));
        let mut x = matrix(3, 5, 6);
        x[[0, 1]] = f64::INFINITY; // dropped
        case.tensors.insert("in.x".into(), Tensor::f64(&x));
        let case = emitted(&case);
        assert_eq!(judge(&case, &in_f32(&case)).verdict, Verdict::Pass);

        let mut submission = in_f32(&case);
        put(&mut submission, "out.grad_lora_A", |mut grad| {
            grad.column_mut(1).fill(f64::NAN);
            grad
        });
        assert_eq!(judge(&case, &submission).verdict, verdict, "{rest}");
        // A column that the infinity does not reach.
        put(&mut submission, "out.grad_lora_A", |mut grad| {
            grad.column_mut(2).fill(f64::NAN);
            grad
        });
        assert_eq!(judge(&case, &submission).verdict, Verdict::Fail);
    }
}

trait Columns {
    fn column_mut(&mut self, j: usize) -> ndarray::ArrayViewMutD<'_, f64>;
}

impl Columns for ArrayD<f64> {
    fn column_mut(&mut self, j: usize) -> ndarray::ArrayViewMutD<'_, f64> {
        self.index_axis_mut(ndarray::Axis(1), j)
    }
}

/// No token: empty results, and gradients of 0.
#[test]
fn no_tokens() {
    for method in ["lora", "lora-fa", "vera", "delta-lora", "lora-plus"] {
        let mut case = layer(method, "backward", "");
        case.tensors.insert("in.x".into(), Tensor::f64(&matrix(0, 5, 1)));
        case.tensors.insert("in.grad_y".into(), Tensor::f64(&matrix(0, 4, 1)));
        let case = emitted(&case);
        assert_eq!(case.tensors["out.y"].shape, [0, 4]);
        assert_eq!(case.tensors["out.grad_x"].shape, [0, 5]);
        let report = judge(&case, &in_f32(&case));
        assert_eq!(report.verdict, Verdict::Pass, "{report}");
        let gradient = if method == "vera" { "out.grad_vera_lambda_b" } else { "out.grad_lora_B" };
        assert!(case.tensors[gradient].to_f64().unwrap().iter().all(|&number| number == 0.0));
        let mut submission = in_f32(&case);
        put(&mut submission, gradient, |gradient| gradient + f64::from(f32::MIN_POSITIVE));
        assert_eq!(judge(&case, &submission).verdict, Verdict::Fail);
    }
}

/// Another unit for a finer format: f32 is not good enough for f64, bf16 not for f32.
#[test]
fn a_profile_replaces_the_type() {
    let case = emitted(&layer("lora", "backward", ""));
    let submission = in_f32(&case);
    assert_eq!(judged_as(&case, &submission, Profile::F64).verdict, Verdict::Fail);
    assert_eq!(judged_as(&case, &submission, Profile::F32).verdict, Verdict::Pass);
    assert_eq!(judged_as(&case, &submission, Profile::Bf16).verdict, Verdict::Pass);
    let mut rough = submission.clone();
    put(&mut rough, "out.y", |y| y.mapv(|number| half::bf16::from_f64(number).to_f64()));
    assert_eq!(judge(&case, &rough).verdict, Verdict::Fail);
    assert_eq!(judged_as(&case, &rough, Profile::Bf16).verdict, Verdict::Pass);
}

/// Samples of the right law pass; another width, another mean and a NaN fail.
#[test]
fn samples_are_judged_by_their_moments_and_range() {
    let params = r#""class":"stat","params":{"init":"kaiming_uniform_a5","rank":4,"in":25,"out":3,"samples":400}"#;
    let case = emitted(&file(&text("lora", "init", params), &[]));
    // Evenly spread over ±1/√in = ±0.2: the law itself.
    let count = 400 * 4 * 25;
    let spread = |factor: f64, shift: f64| {
        let samples: Vec<f64> = (0..count)
            .map(|i| factor * 0.2 * (2.0 * (f64::from(i) + 0.5) / f64::from(count) - 1.0) + shift)
            .collect();
        ArrayD::from_shape_vec(vec![400, 4, 25], samples).unwrap()
    };
    let verdict = |a: ArrayD<f64>, b: ArrayD<f64>| {
        let mut submission = TensorFile::default();
        submission.tensors.insert("out.lora_A".into(), Tensor::f64(&a));
        submission.tensors.insert("out.lora_B".into(), Tensor::f64(&b));
        let report = judge(&case, &submission);
        assert!(report.warnings.is_empty(), "{:?}", report.warnings);
        (report.verdict, report.to_string())
    };
    let zeros = || ArrayD::zeros(vec![400, 3, 4]);
    assert_eq!(verdict(spread(1.0, 0.0), zeros()).0, Verdict::Pass);
    for (a, b) in [
        (spread(1.03, 0.0), zeros()),   // wider than the support
        (spread(0.97, 0.0), zeros()),   // narrower: the moments
        (spread(0.97, 0.005), zeros()), // shifted: the mean
        (spread(f64::NAN, 0.0), zeros()),
        (spread(1.0, 0.0), zeros() + 1e-9),
        (spread(2.5, 0.0), zeros()), // fan-in from the wrong axis: r in the place of in
    ] {
        assert_eq!(verdict(a, b).0, Verdict::Fail);
    }
    let (failed, message) = verdict(ArrayD::zeros(vec![4, 25]), zeros());
    assert_eq!(failed, Verdict::Fail);
    assert!(message.contains("[400, 4, 25]"), "{message}");
}

/// Draws are judged by their law, also where their case does not say so: none is the mean of all.
#[test]
fn draws_need_no_class() {
    let params = r#""params":{"init":"gaussian","rank":2,"in":5,"out":3,"samples":9}"#;
    let case = emitted(&file(&text("lora", "init", params), &[]));
    assert_eq!(Case::of(&case).unwrap().class, Some(Class::Stat));
    // ±1/r has the mean and the variance of the law, and its fourth power is within the error of 90 draws.
    for (size, verdict) in [(0.5, Verdict::Pass), (2.0, Verdict::Fail)] {
        let sign = |at: usize| if at.is_multiple_of(2) { size } else { -size };
        let a = ArrayD::from_shape_fn(vec![9, 2, 5], |at| sign(at[0] + at[1] + at[2]));
        let mut submission = TensorFile::default();
        submission.tensors.insert("out.lora_A".into(), Tensor::f64(&a));
        submission.tensors.insert("out.lora_B".into(), Tensor::f64(&ArrayD::zeros(vec![9, 3, 2])));
        let report = judge(&case, &submission);
        assert_eq!(report.verdict, verdict, "{report}");
    }
}

/// x̃ is x where p is 0 or left out, whatever a mask says.
#[test]
fn a_mask_without_p_drops_nothing() {
    for params in ["", r#""params":{"dropout_p":0}"#] {
        let without = emitted(&layer("lora", "backward", params));
        let with = emitted(&with_mask(layer("lora", "backward", params)));
        for (name, tensor) in without.tensors.iter().filter(|(name, _)| name.starts_with("out.")) {
            assert_eq!(with.tensors[name], *tensor, "{name}");
        }
        assert_eq!(judge(&with, &in_f32(&without)).verdict, Verdict::Pass);
    }
}

/// With two rows of A that are nearly the same.
fn nearly_dependent(mut case: TensorFile) -> TensorFile {
    let row = matrix(1, 5, 1);
    let mut other = row.clone();
    other[[0, 0]] *= 1.0 + 2.0_f64.powi(-3);
    let a = ndarray::concatenate![ndarray::Axis(0), row, other];
    case.tensors.insert("in.lora_A".into(), Tensor::f64(&a));
    emitted(&case)
}

/// Rows of A that are nearly dependent: in f32 the projection means something, in bf16 nothing, and nothing is not a pass.
#[test]
fn what_no_bound_holds_is_not_judged() {
    let rest = r#""params":{"variant":"projected","alpha":3}"#;
    let case = nearly_dependent(layer("lora-fa", "backward", rest));
    let last = |profile| {
        let report = judged_as(&case, &in_f32(&case), profile);
        assert_eq!(report.verdict, Verdict::Pass, "{report}");
        (report.findings.last().unwrap().verdict, report.warnings)
    };
    assert_eq!(last(Profile::F32), (Verdict::Pass, Vec::new()));
    let (verdict, warnings) = last(Profile::Bf16);
    assert_eq!(verdict, Verdict::NotRun);
    assert!(warnings[0].contains("projected_grad_lora_B is not judged"), "{warnings:?}");
}
