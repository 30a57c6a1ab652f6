//! What the contract refuses, one by one: an error that names what is wrong, and never a panic.

use oracle::{Case, Index, Options, Tally, Tensor, TensorFile, check, check_all, emit, emit_file};
use proptest::prelude::*;
use safetensors::tensor::Dtype;
use std::fs;
use std::path::Path;

use crate::common::{emitted, file, in_f32, layer, matrix, step, text, vector, with_mask};

/// The error, which names all of these.
fn refused(file: &TensorFile, names: &[&str]) {
    let error = match emit(file) {
        Ok(_) => panic!("accepted: {}", file.metadata["case"]),
        Err(error) => error.to_string(),
    };
    for name in names {
        assert!(error.contains(name), "{name}: {error}");
    }
    assert!(!error.contains('\n'), "{error}");
}

fn lora(rest: &str) -> TensorFile {
    layer("lora", "forward", rest)
}

#[test]
fn what_a_case_says() {
    let with = |text: &str| {
        let mut file = lora("");
        file.metadata.insert("case".into(), text.into());
        file
    };
    let good = text("lora", "forward", "");
    for (from, to, names) in [
        ("lowrank-case/1", "lowrank-case/2", &["schema", "lowrank-case/2", "lowrank-case/1"][..]),
        ("\"method\":\"lora\"", "\"method\":\"ia3\"", &["ia3", "lora-fa", "delta-lora"]),
        ("\"op\":\"forward\"", "\"op\":\"foward\"", &["foward", "trajectory"]),
        ("lora/forward/x", "lora/forward/../x", &["id", "lora/forward/../x"]),
        ("lora/forward/x", "../../etc/passwd", &["id", "../../etc/passwd"]),
        ("lora/forward/x", "lora/forward/X", &["id"]),
        ("lora/forward/x", "lora/forward/", &["id"]),
        ("lora/forward/x", "vera/forward/x", &["id", "lora/forward"]),
        ("lora/forward/x", "lora/backward/x", &["id", "lora/forward"]),
        ("}", ",\"clas\":\"exact\"}", &["clas"]),
        ("}", ",\"class\":\"good\"}", &["good"]),
        // Samples only: found by fuzzing, where a projection was judged as a range.
        ("}", ",\"class\":\"stat\"}", &["stat", "init", "forward"]),
        ("}", ",\"op\":\"forward\"}", &["op", "duplicate"]),
        ("}", "", &["case"]),
    ] {
        let text = good.replace(from, to);
        assert_ne!(text, good);
        refused(&with(&text), names);
    }
    let mut two = lora("");
    two.metadata.insert("format".into(), "pt".into());
    refused(&two, &["case", "format"]);
    two.metadata.clear();
    refused(&two, &["case"]);
}

#[test]
fn what_parameters_say() {
    for (params, names) in [
        (r#"{"alhpa":1}"#, &["alhpa"][..]),
        (r#"{"lambda":1}"#, &["params.lambda", "lora/forward", "alpha"]),
        (r#"{"optimizer":{}}"#, &["params.optimizer", "lora/forward"]),
        (r#"{"alpha":1,"alpha":2}"#, &["alpha", "duplicate"]),
        (r#"{"alpha":"8"}"#, &["params"]),
        (r#"{"alpha":1e999}"#, &["case", "out of range"]),
        (r#"{"scaling":"none"}"#, &["none", "rslora"]),
        (r#"{"dropout_p":1}"#, &["dropout_p", "1"]),
        (r#"{"dropout_p":-0.1}"#, &["dropout_p", "-0.1"]),
        (r#"{"dropout_p":0.1}"#, &["in.dropout_mask", "missing"]),
    ] {
        refused(&lora(&format!("\"params\":{params}")), names);
    }
    refused(&layer("lora-fa", "merge", r#""params":{"dropout_p":0.1}"#), &["in.dropout_mask"]);
    for p in [0.0, 0.1] {
        let rest = format!(r#""params":{{"dropout_p":{p}}}"#);
        refused(&with_mask(layer("delta-lora", "forward", &rest)), &["dropout_p", "delta-lora"]);
    }
    refused(&with_mask(layer("delta-lora", "forward", "")), &["in.dropout_mask", "delta-lora"]);
    for (optimizer, names) in [
        (r#"{"name":"adam"}"#, &["adam", "sgd"][..]),
        (r#"{"eps":1}"#, &["params.optimizer.eps", "lora"]),
        (r#"{"lr_ratio":2}"#, &["params.optimizer.lr_ratio", "lora"]),
        (r#"{"lr":-1}"#, &["lr", "-1"]),
        (r#"{"name":"adamw","betas":[0.9,1]}"#, &["beta2", "1"]),
        (r#"{"name":"adamw","betas":[0.9]}"#, &["params"]),
        (r#"{"name":"adamw","eps":-1}"#, &["eps", "-1"]),
    ] {
        refused(&step("lora", &format!("\"params\":{{\"optimizer\":{optimizer}}}"), false), names);
    }
    refused(&step("lora-plus", r#""params":{"optimizer":{"lr_ratio":0}}"#, false), &["ratio", "0"]);
    refused(&step("delta-lora", r#""params":{"lambda":-1}"#, false), &["lambda", "-1"]);
    refused(&step("lora", r#""params":{"start":18446744073709551615}"#, false), &["start"]);
    refused(&file(&text("lora", "trajectory", ""), &[]), &["params.steps", "missing"]);
    let many = file(&text("lora", "trajectory", r#""params":{"steps":9007199254740992}"#), &[]);
    refused(&many, &["params.steps", "9007199254740992"]);
    refused(
        &file(&text("lora", "init", r#""params":{"init":"xavier","rank":1,"in":1,"out":1}"#), &[]),
        &["xavier", "gaussian"],
    );
    refused(&file(&text("lora", "init", ""), &[]), &["params.init", "missing"]);
}

#[test]
fn shapes_that_do_not_fit_are_both_named() {
    for (name, tensor, names) in [
        ("in.x", matrix(3, 6, 1), &["in.x", "[3, 6]", "[3, 5]", "in.weight [4, 5]"][..]),
        ("in.lora_A", matrix(2, 4, 1), &["in.lora_A", "[2, 4]", "[2, 5]", "in.weight [4, 5]"]),
        ("in.lora_B", matrix(4, 3, 1), &["in.lora_B", "[4, 3]", "[4, 2]", "in.lora_A [2, 5]"]),
        ("in.bias", vector(5, 1), &["in.bias", "[5]", "[4]"]),
        ("in.bias", matrix(1, 4, 1), &["in.bias", "[1, 4]", "1 dimensions"]),
        ("in.lora_a", matrix(2, 5, 1), &["in.lora_a", "in.lora_A"]),
        ("in.dropout_mask", matrix(3, 5, 1), &["in.dropout_mask", "F64", "U8"]),
        ("stray", matrix(1, 1, 1), &["stray", "in.lora_A"]),
    ] {
        let mut case = lora("");
        case.tensors.insert(name.into(), Tensor::f64(&tensor));
        refused(&case, names);
    }
    let mut case = lora("");
    let data = vec![0; 30];
    case.tensors.insert("in.x".into(), Tensor { dtype: Dtype::I16, shape: vec![3, 5], data });
    refused(&case, &["in.x", "I16", "F32"]);
    case.tensors.remove("in.x");
    refused(&case, &["in.x", "[tokens, in]", "missing"]);

    let mut case = with_mask(lora(r#""params":{"dropout_p":0.5}"#));
    case.tensors.get_mut("in.dropout_mask").unwrap().data[0] = 2;
    refused(&case, &["in.dropout_mask", "2"]);

    let mut vera = layer("vera", "forward", "");
    vera.tensors.insert("in.vera_A".into(), Tensor::f64(&matrix(2, 4, 1)));
    refused(&vera, &["in.vera_A", "[2, 4]", "at least [2, 5]"]);
    // Larger is sliced.
    vera.tensors.insert("in.vera_A".into(), Tensor::f64(&matrix(3, 7, 1)));
    vera.tensors.insert("in.vera_B".into(), Tensor::f64(&matrix(6, 5, 1)));
    emitted(&vera);

    // Rank 0, and more tokens than memory, which nothing in the file stands for.
    let empty =
        |shape: [usize; 2]| Tensor { dtype: Dtype::F64, shape: shape.into(), data: Vec::new() };
    let mut case = lora("");
    case.tensors.insert("in.lora_A".into(), empty([0, 5]));
    case.tensors.insert("in.lora_B".into(), empty([4, 0]));
    refused(&case, &["rank", "0"]);
    for tokens in [1 << 40, 1 << 63, usize::MAX] {
        let mut case = lora("");
        case.tensors.insert("in.weight".into(), empty([4, 0]));
        case.tensors.insert("in.lora_A".into(), empty([2, 0]));
        case.tensors.insert("in.x".into(), empty([tokens, 0]));
        refused(&case, &[]);
    }
}

#[test]
fn the_projection_needs_independent_rows_and_a_scale() {
    let projected = r#""params":{"variant":"projected""#;
    let zero = layer("lora-fa", "backward", &format!("{projected},\"alpha\":0}}"));
    refused(&zero, &["scale", "0"]);
    let mut twice = layer("lora-fa", "backward", &format!("{projected}}}"));
    let row = matrix(1, 5, 1);
    let rows = ndarray::concatenate![ndarray::Axis(0), row, row];
    twice.tensors.insert("in.lora_A".into(), Tensor::f64(&rows));
    refused(&twice, &["A", "row 1"]);

    // The pivot is ε² of its diagonal, and f64 knows it up to (in + r) 2⁻⁵³ = 7.8e-16. Twice that is refused.
    let nearly = |epsilon: f64| {
        let mut case = layer("lora-fa", "backward", &format!("{projected}}}"));
        let mut rows = ndarray::Array2::zeros((2, 5));
        (rows[[0, 0]], rows[[1, 0]], rows[[1, 1]]) = (1.0, 1.0, epsilon);
        case.tensors.insert("in.lora_A".into(), Tensor::f64(&rows.into_dyn()));
        case
    };
    refused(&nearly(2.0_f64.powi(-25)), &["A", "row 1"]);
    assert!(emit(&nearly(2.0_f64.powi(-23))).is_ok());
}

/// A header in front of these bytes.
fn bytes(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

#[test]
fn files() {
    let case = r#""__metadata__":{"case":"{}"}"#;
    let fails = |bytes: &[u8], name: &str| {
        let error = TensorFile::parse(bytes).unwrap_err().to_string();
        assert!(error.contains(name), "{name}: {error}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        fs::write(&path, bytes).unwrap();
        let error = TensorFile::read(&path).unwrap_err().to_string();
        assert!(error.contains("a.safetensors"), "{error}");
    };
    fails(b"", "cut off");
    fails(b"1234567", "cut off");
    fails(&bytes("[]", b""), "header");
    fails(&bytes("{", b""), "header");
    fails(&u64::MAX.to_le_bytes(), "18446744073709551615");
    fails(&100_000_001_u64.to_le_bytes(), "100000001");
    fails(&99_000_000_u64.to_le_bytes(), "cut off");
    let tensor = |shape: &str, end: usize| {
        format!(
            "{{{case},\"in.x\":{{\"dtype\":\"F64\",\"shape\":{shape},\"data_offsets\":[0,{end}]}}}}"
        )
    };
    TensorFile::parse(&bytes(&tensor("[1]", 8), &[0; 8])).unwrap();
    fails(&bytes(&tensor("[1]", 8), &[0; 7]), "");
    fails(&bytes(&tensor("[1]", 8), &[0; 9]), "");
    fails(&bytes(&tensor("[2]", 8), &[0; 8]), "header");
    fails(&bytes(&tensor("[9223372036854775808]", 8), &[0; 8]), "header");
    // 2³² · 2³² = 0 without overflow checks
    fails(&bytes(&tensor("[4294967296,4294967296]", 0), b""), "header");
    fails(&bytes(&tensor("[-1]", 8), &[0; 8]), "header");
    let x = r#""in.x":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}"#;
    let two = format!("{{{x},{x}}}");
    fails(&bytes(&two, &[0; 8]), "in.x is there twice");
    let overlap = format!("{{{x},{}}}", x.replace("in.x", "in.y"));
    fails(&bytes(&overlap, &[0; 8]), "header");
    fails(&bytes(&format!("{{{}}}", x.replace("F64", "F63")), &[0; 8]), "header");
}

/// A folder has no bytes, and a pipe has no size: it would be waited for.
#[cfg(unix)]
#[test]
fn what_is_no_regular_file() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    let pipe = made.is_ok_and(|status| status.success()).then_some(pipe);
    for path in [Some(folder.path().to_owned()), pipe].into_iter().flatten() {
        let error = TensorFile::read(&path).unwrap_err().to_string();
        assert!(error.contains("no regular file") && error.contains("write it to one"), "{error}");
    }
}

#[test]
fn what_the_case_file_itself_says_must_fit() {
    let mut case = emitted(&lora(""));
    let submission = in_f32(&case);
    case.tensors.insert("out.z".into(), Tensor::f64(&matrix(1, 1, 1)));
    let error = check(&case, Some(&submission), Options::default()).unwrap_err().to_string();
    assert!(error.contains("out.z") && error.contains("lora/forward"), "{error}");
    case.tensors.remove("out.z");
    case.tensors.insert("out.y".into(), Tensor::f64(&matrix(4, 3, 1)));
    let error = check(&case, Some(&submission), Options::default()).unwrap_err().to_string();
    assert!(error.contains("[4, 3]") && error.contains("[3, 4]"), "{error}");
    // Another number is noticed, though the file's word counts.
    case.tensors.insert("out.y".into(), Tensor::f64(&matrix(3, 4, 1)));
    let report = check(&case, Some(&submission), Options::default()).unwrap();
    assert!(report.warnings[0].contains("out.y"), "{:?}", report.warnings);

    let anonymous = lora("").metadata["case"].replace("\"id\":\"lora/forward/x\",", "");
    case.metadata.insert("case".into(), anonymous);
    let error = check(&case, None, Options::default()).unwrap_err().to_string();
    assert!(error.contains("id"), "{error}");
}

/// 2 before 4 before 1 before 3.
#[test]
fn exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let [cases, mine] = ["cases", "mine"].map(|name| folder.path().join(name));
    let write = |root: &Path, id: &str, file: &TensorFile| {
        let path = root.join(format!("{id}.safetensors"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file.to_bytes().unwrap()).unwrap();
    };
    let named = |name: &str| {
        let mut file = lora("");
        let text = file.metadata["case"].replace("forward/x", &format!("forward/{name}"));
        file.metadata.insert("case".into(), text);
        emitted(&file)
    };
    fs::create_dir_all(&mine).unwrap();
    let run =
        || check_all(std::slice::from_ref(&cases), &mine, (&[], &[]), Options::default()).unwrap();
    let code = |tally: &Tally| tally.exit_code(1);

    assert!(
        check_all(std::slice::from_ref(&cases), &mine, (&[], &[]), Options::default()).is_err()
    );
    write(&cases, "lora/forward/a", &named("a"));
    assert_eq!(code(&run()), 3);
    write(&mine, "lora/forward/a", &in_f32(&named("a")));
    assert_eq!((code(&run()), run().exit_code(2)), (0, 3));
    let other = check_all(
        std::slice::from_ref(&cases),
        &mine,
        (&[oracle::Method::Vera], &[]),
        Options::default(),
    );
    assert_eq!(code(&other.unwrap()), 3);
    write(&cases, "lora/forward/b", &named("b"));
    write(&mine, "lora/forward/b", &TensorFile::default());
    let tally = run();
    assert_eq!((code(&tally), tally.exit_code(9)), (1, 1), "{:?}", tally.errors);

    // An index that vouches for another file.
    let entry = |id: &str, digest: &str| {
        format!(r#"{{"id":"{id}","digest":"{digest}","class":"bounded"}}"#)
    };
    let right = entry("lora/forward/a", &oracle::digest(&named("a")));
    fs::write(cases.join("index.json"), format!("{{\"cases\":[{right}]}}")).unwrap();
    assert_eq!(code(&run()), 1);
    let wrong = entry("lora/forward/a", &"0".repeat(64));
    fs::write(cases.join("index.json"), format!("[{wrong}]")).unwrap();
    assert_eq!(code(&run()), 4);
    // Whatever of the folder is named; and what is named twice is judged once.
    let judged = |parts: &[&str]| {
        let paths: Vec<_> = parts.iter().map(|part| cases.join(part)).collect();
        check_all(&paths, &mine, (&[], &[]), Options::default()).unwrap()
    };
    for part in ["lora", "lora/forward", "lora/forward/a.safetensors"] {
        assert_eq!(code(&judged(&[part])), 4, "{part}");
    }
    let tally = judged(&["lora/forward/b.safetensors", "lora", "", "lora/../lora/forward"]);
    assert_eq!((tally.reports.len(), tally.corrupt.len()), (1, 1));
    fs::write(mine.join("lora/forward/b.safetensors"), "no file").unwrap();
    let tally = run();
    assert_eq!(code(&tally), 2);
    assert!(tally.errors[0].to_string().contains("b.safetensors"), "{:?}", tally.errors);
    fs::write(cases.join("index.json"), "{}").unwrap();
    let error = Index::of(&cases).unwrap_err().to_string();
    assert!(error.contains("index.json"), "{error}");
}

#[test]
fn emit_writes_the_same_bytes_every_time() {
    let folder = tempfile::tempdir().unwrap();
    let [from, to, again] = ["from", "to", "again"].map(|name| folder.path().join(name));
    let case = layer("lora", "backward", r#""params":{"alpha":1.50,"dropout_p":0.0}"#);
    fs::write(&from, case.to_bytes().unwrap()).unwrap();
    emit_file(&from, &to).unwrap();
    // A case that was emitted can be emitted again.
    emit_file(&to, &again).unwrap();
    assert_eq!(fs::read(&to).unwrap(), fs::read(&again).unwrap());
    // RFC 8785: sorted keys, shortest numbers.
    let made = TensorFile::read(&to).unwrap();
    assert_eq!(
        made.metadata["case"],
        r#"{"id":"lora/backward/x","method":"lora","op":"backward","params":{"alpha":1.5,"dropout_p":0},"schema":"lowrank-case/1"}"#
    );
    assert_eq!(Case::of(&made).unwrap().text, made.metadata["case"]);
    let error = emit_file(&folder.path().join("nothing"), &to).unwrap_err().to_string();
    assert!(error.contains("nothing"), "{error}");
}

/// Every dtype that holds the inputs gives the same values.
#[test]
fn inputs_of_every_float_type() {
    let case = layer("lora", "backward", "");
    let want = emitted(&case);
    for dtype in [Dtype::F16, Dtype::BF16, Dtype::F32] {
        let mut narrow = case.clone();
        for tensor in narrow.tensors.values_mut() {
            let numbers = tensor.to_f64().unwrap();
            tensor.data = match dtype {
                Dtype::F16 => {
                    numbers.iter().flat_map(|&x| half::f16::from_f64(x).to_le_bytes()).collect()
                }
                Dtype::BF16 => {
                    numbers.iter().flat_map(|&x| half::bf16::from_f64(x).to_le_bytes()).collect()
                }
                _ => numbers.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect(),
            };
            tensor.dtype = dtype;
        }
        let made = emitted(&narrow);
        for (name, tensor) in want.tensors.iter().filter(|(name, _)| !name.starts_with("in.")) {
            assert_eq!(&made.tensors[name], tensor, "{dtype} {name}");
        }
    }
}

/// Read, emit, check: whatever comes of it, no panic.
fn survive(bytes: &[u8]) {
    let Ok(file) = TensorFile::parse(bytes) else { return };
    let made = emit(&file);
    let _ = check(&file, Some(&file), Options::default());
    if let Ok(made) = made {
        let _ = check(&made, Some(&file), Options::default());
        let _ = made.to_bytes();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Bytes of a case changed, cut and inserted.
    #[test]
    fn mutated_files(
        which in 0_usize..4,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..3), 1..6),
    ) {
        let file = match which {
            0 => emitted(&layer("lora", "backward", r#""params":{"alpha":3}"#)),
            1 => emitted(&layer("vera", "forward", "")),
            2 => emitted(&step("delta-lora", r#""params":{"start":1}"#, false)),
            _ => with_mask(layer("lora-fa", "backward", r#""params":{"dropout_p":0.5,"variant":"projected"}"#)),
        };
        let mut bytes = file.to_bytes().unwrap();
        for (at, byte, kind) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at.max(9)),
            }
        }
        survive(&bytes);
    }

    /// Any tensor with any small shape, any case with any parameter.
    #[test]
    fn mutated_cases(
        method in prop::sample::select(&["lora", "lora-fa", "vera", "delta-lora", "lora-plus"][..]),
        op in prop::sample::select(&["forward", "backward", "step", "trajectory", "merge", "unmerge", "init"][..]),
        params in prop::sample::subsequence(vec![
            r#""alpha":0"#, r#""alpha":1e308"#, r#""scaling":"rslora""#, r#""fan_in_fan_out":true"#, r#""dropout_p":0.9"#,
            r#""variant":"projected""#, r#""lambda":1e300"#, r#""start_step":18446744073709551615"#, r#""steps":2"#,
            r#""start":9007199254740992"#, r#""init":"gaussian","rank":3,"in":2,"out":0"#, r#""samples":1000000000000"#,
            r#""optimizer":{"name":"adamw","betas":[0,0],"eps":0}"#, r#""optimizer":{"lr":1e300,"weight_decay":1e300}"#,
        ], 0..4),
        shapes in prop::collection::vec((prop::sample::select(&[
            "weight", "bias", "x", "x.0", "x.1", "grad_y", "grad_y.0", "grad_y.1", "lora_A", "lora_B", "vera_A", "vera_B",
            "vera_lambda_d", "vera_lambda_b", "grad_lora_A", "grad_lora_B", "exp_avg.lora_A", "exp_avg_sq.lora_B",
        ][..]), prop::collection::vec(0_usize..3, 0..3)), 0..14),
        special in prop::sample::select(&[1.0, 0.0, f64::NAN, f64::INFINITY, 1e308, 5e-324][..]),
    ) {
        let params = params.join(",");
        let text = text(method, op, &format!("\"params\":{{{params}}}"));
        let mut case = layer(method, op, "");
        case.metadata.insert("case".into(), text);
        for (name, shape) in shapes {
            let tensor = ndarray::ArrayD::from_elem(shape, special);
            case.tensors.insert(format!("in.{name}"), Tensor::f64(&tensor));
        }
        survive(&case.to_bytes().unwrap());
    }
}
