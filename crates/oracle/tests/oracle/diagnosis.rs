//! One diagnosis for a whole submission: right, or silent.

use std::fs;
use std::path::Path;

use ndarray::ArrayD;
use oracle::selftest::submission;
use oracle::{
    Case, Class, Mutant, Options, Profile, Tally, Tensor, TensorFile, Verdict, cases_under,
    check_all, mutants, read_case,
};

use crate::common::vectors;

/// Right results for all cases below `places`, in this precision, changed by a fault.
fn judged(
    places: &[&str],
    precision: Profile,
    change: impl Fn(&Case, &TensorFile, &mut TensorFile),
) -> Tally {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = places.iter().map(|place| vectors().join(place)).collect();
    for path in paths.iter().flat_map(|path| cases_under(path).unwrap()) {
        let (case, file) = read_case(&path).unwrap();
        let mut made = submission(&file, None, precision).unwrap().unwrap();
        if case.class != Some(Class::Reject) {
            change(&case, &file, &mut made);
        }
        write(folder.path(), case.id.as_ref().unwrap(), &made);
    }
    check_all(&paths, folder.path(), (&[], &[]), Options::default()).unwrap()
}

fn write(folder: &Path, id: &str, made: &TensorFile) {
    let path = folder.join(format!("{id}.safetensors"));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, made.to_bytes().unwrap()).unwrap();
}

fn mutant(name: &str) -> &'static Mutant {
    mutants().find(|mutant| mutant.name == name).unwrap()
}

/// A tensor changed, in the type of the submission.
fn put(made: &mut TensorFile, name: &str, change: impl FnOnce(&mut ArrayD<f64>)) {
    let Some(tensor) = made.tensors.get_mut(name) else { return };
    let mut numbers = tensor.to_f64().unwrap();
    change(&mut numbers);
    let bf16 = |x: &f64| half::bf16::from_f64(*x).to_le_bytes();
    match tensor.dtype.to_string().as_str() {
        "BF16" => tensor.data = numbers.iter().flat_map(bf16).collect(),
        _ => *tensor = Tensor::f32(&numbers),
    }
}

#[test]
fn right_results_need_none() {
    let tally = judged(&["lora/merge", "vera/forward"], Profile::Bf16, |_, _, _| {});
    let text = tally.diagnosis.to_string();
    assert!(text.starts_with("PASS: all ") && tally.diagnosis.mistakes.is_empty(), "{text}");
}

/// In bf16 this was once called "the frozen term scaled by s too" in 138 cases.
#[test]
fn one_element_is_called_by_no_name() {
    for precision in [Profile::F32, Profile::Bf16] {
        let tally = judged(&["lora/backward"], precision, |_, _, made| {
            put(made, "out.grad_lora_B", |grad| {
                let middle = grad.len() / 2;
                grad.iter_mut().nth(middle).into_iter().for_each(|x| *x *= 1.05);
            });
        });
        let diagnosis = &tally.diagnosis;
        assert!(diagnosis.mistakes.is_empty() && diagnosis.failed > 50, "{diagnosis}");
        assert_eq!(diagnosis.left.len(), 1, "{diagnosis}");
        assert_eq!(diagnosis.left[0].kind, "grad_lora_B: one element");
        for report in tally.reports.iter().filter(|report| report.verdict == Verdict::Fail) {
            assert_eq!(report.hypothesis.as_deref(), Some("grad_lora_B: one element"));
        }
    }
}

/// A mistake that is made in one tensor only.
#[test]
fn s_missing_in_one_gradient() {
    for precision in [Profile::F32, Profile::Bf16] {
        let tally = judged(&["lora/backward", "lora/forward"], precision, |_, file, made| {
            let wrong = submission(file, Some(mutant("scale-missing")), precision).unwrap();
            let name = "out.grad_lora_A";
            if let Some(gradient) = wrong.and_then(|wrong| wrong.tensors.get(name).cloned()) {
                made.tensors.insert(name.into(), gradient);
            }
        });
        let text = tally.diagnosis.to_string();
        let all = format!("one mistake explains all {}: ", tally.diagnosis.failed);
        assert!(text.contains(&all), "{text}");
        assert!(text.ends_with("s not applied, only in ∂L/∂A"), "{text}");
    }
}

/// Where the mask is multiplied, NaN · 0 is NaN. A case that allows this is no reason against a mistake made elsewhere.
#[test]
fn what_a_case_allows_speaks_against_no_mistake() {
    let tally = judged(&["lora/backward"], Profile::F32, |case, file, made| {
        let wrong = submission(file, Some(mutant("keep-scale-missing")), Profile::F32).unwrap();
        made.tensors.extend(wrong.map(|wrong| wrong.tensors).unwrap_or_default());
        if case.flags.iter().any(|flag| flag.ends_with("TimesDropped")) {
            put(made, "out.y", |y| y.fill(f64::NAN));
        }
    });
    let text = tally.diagnosis.to_string();
    assert!(text.contains("kept values not divided by 1 − p"), "{text}");
}

/// A merge that was not turned back: off by a bound, and by what the bound of its own place is.
#[test]
fn a_transposed_weight_is_called_so() {
    let tally = judged(&["lora/merge"], Profile::F32, |_, _, made| {
        put(made, "out.weight", |weight| {
            let side = weight.shape()[0];
            if weight.shape() == [side, side] {
                *weight = weight.t().to_owned();
            }
        });
    });
    let square = |report: &&oracle::Report| {
        report.verdict == Verdict::Fail && report.case.contains("square")
    };
    let reports: Vec<_> = tally.reports.iter().filter(square).collect();
    assert!(!reports.is_empty(), "{}", tally.diagnosis);
    for report in reports {
        assert_eq!(report.hypothesis.as_deref(), Some("weight: transposed"), "{}", report.case);
    }
}

/// A mistake in one op, where the other is right; and one in the other op at the same time.
#[test]
fn two_mistakes_in_two_places() {
    let of = |names: [&str; 2]| {
        let names = names.map(str::to_owned);
        judged(&["lora/merge", "lora/forward"], Profile::F32, move |case, file, made| {
            let name = &names[usize::from(case.op.to_string() == "forward")];
            let mutant = mutants().find(|mutant| mutant.name == name);
            let other = mutant.and_then(|it| submission(file, Some(it), Profile::F32).unwrap());
            *made = other.unwrap_or_else(|| made.clone());
        })
        .diagnosis
    };
    let diagnosis = of(["scale-missing", "none"]);
    assert_eq!(diagnosis.mistakes.len(), 1, "{diagnosis}");
    assert_eq!(diagnosis.mistakes[0].names, [["scale-missing"]]);
    let text = of(["scale-missing", "bias-missing"]).to_string();
    assert!(text.contains("two mistakes explain all "), "{text}");
    assert!(text.contains("s not applied (") && text.contains("the bias left out ("), "{text}");
}

/// A branch of the code that is wrong where the others are right.
#[test]
fn a_mistake_in_one_variant_of_adamw() {
    for (name, variant) in [("bias-correction-missing", "torch"), ("betas-swapped", "hf")] {
        let tally = judged(&["lora/step", "lora/trajectory"], Profile::F32, |case, file, made| {
            let adamw = case.params().unwrap().optimizer.adamw;
            if adamw.is_some_and(|(of, ..)| format!("{of:?}").to_lowercase() == variant) {
                let wrong = submission(file, Some(mutant(name)), Profile::F32).unwrap();
                made.tensors.extend(wrong.map(|wrong| wrong.tensors).unwrap_or_default());
            }
        });
        let text = tally.diagnosis.to_string();
        let all = format!("one mistake explains all {}: ", tally.diagnosis.failed);
        assert!(text.contains(&all), "{text}");
        assert!(text.ends_with(&format!("only in AdamW's variant {variant}")), "{text}");
    }
}

/// It was once called "W starts to move one update late", which is a part of it.
#[test]
fn t_one_too_small_in_delta_lora() {
    for precision in [Profile::F64, Profile::F32, Profile::Bf16] {
        let tally = judged(&["delta-lora/step"], precision, |_, file, made| {
            let wrong = submission(file, Some(mutant("t-too-small")), precision).unwrap();
            made.tensors.extend(wrong.map(|wrong| wrong.tensors).unwrap_or_default());
        });
        let names: Vec<_> = tally.diagnosis.mistakes.iter().map(|one| &one.names[0]).collect();
        assert_eq!(names, [&["t-too-small"]], "{precision}: {}", tally.diagnosis);
    }
}

/// The last token in forward, where nothing but that is known.
#[test]
fn the_last_row_is_a_kind_and_no_mistake() {
    let tally = judged(&["lora/forward"], Profile::F32, |_, _, made| {
        put(made, "out.y", |y| {
            let rows = y.shape()[0];
            if rows > 1 {
                y.index_axis_mut(ndarray::Axis(0), rows - 1).fill(0.0);
            }
        });
    });
    let text = tally.diagnosis.to_string();
    assert!(text.contains("no mistake of the catalogue explains them; in "), "{text}");
    assert!(text.ends_with("y: the last row"), "{text}");
}

/// What is missing is said to be missing.
#[test]
fn nothing_but_y() {
    let tally = judged(&["vera/backward"], Profile::F32, |_, _, made| {
        made.tensors.retain(|name, _| name == "out.y");
    });
    assert!(tally.diagnosis.mistakes.is_empty(), "{}", tally.diagnosis);
    let kind = &tally.diagnosis.left[0].kind;
    assert!(kind.contains("grad_x") && kind.contains("missing"), "{kind}");
}
