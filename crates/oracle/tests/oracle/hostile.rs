//! Files that somebody made to break a reader: an error in one line, at once, and no memory but the file's own.
//!
//! Cut headers, overlapping tensors, names that occur twice and the like stand in `bad_input.rs`.

use oracle::{Options, Tensor, TensorFile, Verdict, check, emit};
use safetensors::tensor::Dtype;
use std::fs::{self, File};
use std::io::Write;
use std::time::{Duration, Instant};

use crate::common::{emitted, file, in_f32, layer, matrix, step, text};

fn refused(file: &TensorFile, names: &[&str]) {
    // The file on disk, not the one in memory: what is tested is whether such bytes get through.
    let read = TensorFile::parse(&file.to_bytes().unwrap()).unwrap();
    let error = emit(&read).map(|_| ()).unwrap_err().to_string();
    for name in names {
        assert!(error.contains(name), "{name}: {error}");
    }
    assert!(!error.contains('\n'), "{error}");
    let mut named = read;
    let id = named.metadata["case"].contains("\"id\"");
    assert!(id, "judged by its id");
    named.tensors.retain(|name, _| name.starts_with("in."));
    assert!(check(&named, Some(&named), Options::default()).is_err());
}

/// No bytes, whatever the shape says beside its 0.
fn empty(shape: &[usize]) -> Tensor {
    Tensor { dtype: Dtype::F64, shape: shape.to_vec(), data: Vec::new() }
}

/// A step needs no A of LoRA-FA and no A and B of VeRA; where they would be, zeros stand. Found by fuzzing.
#[test]
fn sizes_that_only_empty_tensors_say() {
    for size in [1 << 29, 1 << 32, 1 << 62, 1 << 63, usize::MAX] {
        let mut case = file(&text("lora-fa", "step", ""), &[]);
        for name in ["in.lora_B", "in.grad_lora_B", "in.weight"] {
            case.tensors.insert(name.into(), empty(&[0, size]));
        }
        refused(&case, &[&size.to_string()]);

        let one = || Tensor { dtype: Dtype::F64, shape: vec![1], data: vec![0; 8] };
        let mut case = file(&text("vera", "step", ""), &[]);
        for name in ["in.vera_lambda_d", "in.grad_vera_lambda_d"] {
            case.tensors.insert(name.into(), one());
        }
        for name in ["in.vera_lambda_b", "in.grad_vera_lambda_b"] {
            case.tensors.insert(name.into(), empty(&[0]));
        }
        case.tensors.insert("in.weight".into(), empty(&[0, size]));
        refused(&case, &[&size.to_string()]);
    }
    // r and in are 0 and large: A needs no memory, and a product with it no sum, but a loop over its columns.
    for size in [1 << 29, 1 << 40, 1 << 62] {
        let mut case = file(&text("lora-plus", "step", ""), &[]);
        for name in ["in.lora_A", "in.grad_lora_A"] {
            case.tensors.insert(name.into(), empty(&[0, size]));
        }
        for name in ["in.lora_B", "in.grad_lora_B"] {
            case.tensors.insert(name.into(), empty(&[4, 0]));
        }
        refused(&case, &["at most 2²⁸", &size.to_string()]);
    }
    // What such a file may say: nothing of everything.
    let mut case = file(&text("lora-fa", "step", ""), &[]);
    for name in ["in.lora_B", "in.grad_lora_B", "in.weight"] {
        case.tensors.insert(name.into(), empty(&[0, 1 << 14]));
    }
    emitted(&case);
}

/// RFC 8785 writes numbers as doubles do: 2⁵³ + 1 would come out as another number. Found by fuzzing.
#[test]
fn integers_that_canonical_json_changes() {
    for above in [(1_u64 << 53) + 1, u64::MAX] {
        let number = above.to_string();
        for (op, params) in [
            ("step", format!(r#""start_step":{above}"#)),
            ("step", format!(r#""start":{above}"#)),
            ("trajectory", format!(r#""steps":{above}"#)),
            ("init", format!(r#""init":"gaussian","rank":{above},"in":1,"out":1"#)),
            ("init", format!(r#""init":"gaussian","rank":1,"in":{above},"out":1"#)),
            ("init", format!(r#""init":"gaussian","rank":1,"in":1,"out":{above}"#)),
            ("init", format!(r#""init":"gaussian","rank":1,"in":1,"out":1,"samples":{above}"#)),
        ] {
            let key = params.rsplit('"').nth(1).unwrap().to_owned();
            let key = params
                .split(',')
                .find(|pair| pair.contains(&number))
                .map_or(key, |pair| pair.split('"').nth(1).unwrap().to_owned());
            let rest = format!("\"params\":{{{params}}}");
            refused(
                &file(&text("delta-lora", op, &rest), &[]),
                &[&format!("params.{key}"), &number],
            );
        }
        let rest = format!("\"source\":{{\"seed\":{above}}}");
        refused(&layer("lora", "merge", &rest), &["source.seed", &number]);
    }
    let most = 1_u64 << 53;
    let rest = format!("\"params\":{{\"start_step\":{most}}},\"source\":{{\"seed\":{most}}}");
    let made = emitted(&step("delta-lora", &rest, false));
    assert_eq!(made.metadata["case"].matches(&most.to_string()).count(), 2);
}

/// α = −0 is 0 in the canonical text, so it is 0 in what is computed: −0 + s B A differs. Found by fuzzing.
#[test]
fn a_negative_zero_in_the_parameters() {
    let mut case = layer("lora", "merge", r#""params":{"alpha":-0.0}"#);
    let zeros = Tensor::f64(&ndarray::ArrayD::from_elem(vec![4, 5], -0.0));
    case.tensors.insert("in.weight".into(), zeros);
    let made = emitted(&case);
    assert!(made.metadata["case"].contains(r#""alpha":0}"#), "{}", made.metadata["case"]);
    assert_eq!(emitted(&made), made);
}

/// No draw is within the bound of a mean: of another class no right generator would pass, and the range has no gauge.
#[test]
fn a_distribution_of_another_class() {
    for class in ["acceptable", "bounded", "exact", "residual"] {
        let rest = format!(
            r#""params":{{"init":"gaussian","rank":2,"in":3,"out":4}},"class":"{class}","flags":["AnyNonFinite"]"#
        );
        refused(&file(&text("lora", "init", &rest), &[]), &["class", class, "init", "stat"]);
    }
}

/// A gradient that is NaN has a projection that is NaN, row by row: that passes, and nothing else does. Found by fuzzing.
#[test]
fn a_projection_of_nan() {
    let rest = r#""params":{"variant":"projected"},"class":"residual""#;
    let mut case = layer("lora-fa", "backward", rest);
    let mut gradient = matrix(3, 4, 7);
    gradient[[1, 2]] = f64::NAN;
    case.tensors.insert("in.grad_y".into(), Tensor::f64(&gradient));
    let case = emitted(&case);
    let name = "out.projected_grad_lora_B";
    let want = case.tensors[name].to_f64().unwrap();
    assert!(want.indexed_iter().all(|(at, want)| want.is_nan() == (at[0] == 2)), "{want}");
    let verdict = |change: fn(&mut ndarray::ArrayD<f64>)| {
        let (mut submission, mut numbers) = (case.clone(), want.clone());
        change(&mut numbers);
        submission.tensors.insert(name.into(), Tensor::f64(&numbers));
        check(&case, Some(&submission), Options::default()).unwrap().verdict
    };
    assert_eq!(verdict(|_| ()), Verdict::Pass);
    assert_eq!(verdict(|numbers| numbers[[2, 1]] = 0.0), Verdict::Fail);
    assert_eq!(verdict(|numbers| numbers[[2, 0]] = f64::INFINITY), Verdict::Fail);
    assert_eq!(verdict(|numbers| numbers[[0, 0]] *= 1.001), Verdict::Fail);
    assert_eq!(verdict(|numbers| numbers[[3, 1]] = f64::NAN), Verdict::Fail);
}

/// A header at the limit of 100 MB, all of it there: read, and refused at the end.
#[test]
fn a_header_of_100_megabytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.safetensors");
    let mut long = File::create(&path).unwrap();
    long.write_all(&100_000_000_u64.to_le_bytes()).unwrap();
    long.write_all(b"{\"__metadata__\":{\"case\":\"").unwrap();
    // The file system makes the zero bytes up: none of them is written.
    long.set_len(100_000_008).unwrap();
    drop(long);
    let start = Instant::now();
    let error = TensorFile::read(&path).unwrap_err().to_string();
    assert!(error.contains("long.safetensors") && error.contains("header"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());

    // One byte more is refused unread.
    let long = File::options().write(true).open(&path).unwrap();
    long.set_len(100_000_009).unwrap();
    drop(long);
    let mut bytes = fs::read(&path).unwrap();
    bytes[..8].copy_from_slice(&100_000_001_u64.to_le_bytes());
    let error = TensorFile::parse(&bytes).unwrap_err().to_string();
    assert!(error.contains("100000001") && error.contains("limit"), "{error}");
}

/// Every length that a copy may break off at.
#[test]
fn a_file_cut_anywhere() {
    let whole = emitted(&layer("lora", "merge", "")).to_bytes().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.safetensors");
    for length in 0..whole.len() {
        let error = TensorFile::parse(&whole[..length]).unwrap_err().to_string();
        assert!(!error.contains('\n'), "{error}");
        if length % 16 == 0 {
            fs::write(&path, &whole[..length]).unwrap();
            let error = TensorFile::read(&path).unwrap_err().to_string();
            assert!(error.contains("cut.safetensors"), "{error}");
        }
    }
    TensorFile::parse(&whole).unwrap();
}

/// JSON of the wrong kind in the place of a case.
#[test]
fn a_case_that_is_no_object() {
    for text in ["", "null", "[]", "7", "\"lora\"", "{", "{}", "\u{0}", "{\"schema\":7}"] {
        let mut case = layer("lora", "merge", "");
        case.metadata.insert("case".into(), text.into());
        let error = emit(&case).unwrap_err().to_string();
        assert!(error.contains("case") && !error.contains('\n'), "{text}: {error}");
    }
    // Deeper than any stack.
    let deep = format!("{{\"params\":{}", "[".repeat(1_000_000));
    let mut case = layer("lora", "merge", "");
    case.metadata.insert("case".into(), deep);
    let error = emit(&case).unwrap_err().to_string();
    assert!(error.contains("case"), "{error}");
}

/// What a submission has too much of is named, and the rest is judged as if it were not there.
#[test]
fn a_submission_with_a_thousand_tensors_too_many() {
    let case = emitted(&layer("lora", "forward", ""));
    let mut submission = in_f32(&case);
    for number in 0..1000 {
        submission.tensors.insert(format!("out.extra.{number}"), empty(&[0, usize::MAX]));
    }
    let report = check(&case, Some(&submission), Options::default()).unwrap();
    assert_eq!(report.verdict, Verdict::Pass);
    assert_eq!(report.warnings.len(), 1000);
    assert!(report.warnings[0].contains("out.extra.0"), "{:?}", report.warnings[0]);
    // The same beside an output that is wrong.
    submission.tensors.insert("out.y".into(), empty(&[0, usize::MAX]));
    let report = check(&case, Some(&submission), Options::default()).unwrap();
    assert_eq!(report.verdict, Verdict::Fail);
}
