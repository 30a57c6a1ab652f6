//! What must hold for any bytes: no panic, errors of one line, and what is accepted holds together.

use oracle::{
    Case, Class, Op, Options, Profile, Tally, TensorFile, Verdict, check, emit, json, junit,
};

macro_rules! shipped {
    ($($id:literal),* $(,)?) => {
        [$(($id, include_bytes!(concat!("../../../../tests/vectors/", $id, ".safetensors")))),*]
    };
}

/// The cases that a submission is judged against: every op, class, and method.
pub const CASES: [(&str, &[u8]); 20] = shipped![
    "lora/forward/plain-bounded",
    "lora/backward/dropout-bias-fan-bounded",
    "lora/backward/no-g",
    "lora/step/adamw-hf-later-bounded",
    "lora/step/ftz-f32-acceptable",
    "lora/merge/plain-exact",
    "lora/init/gaussian-square",
    "lora-fa/backward/projected-plain",
    "lora-fa/backward/inf-in-a",
    "lora-fa/step/projected-four-adamw-3-bounded",
    "lora-fa/trajectory/sgd-1-exact",
    "vera/forward/slice-fan-bounded",
    "vera/backward/inf-dropped",
    "vera/unmerge/plain-bounded",
    "vera/init/kaiming-normal-tall",
    "delta-lora/backward/plain-exact",
    "delta-lora/step/after-adamw-bounded",
    "delta-lora/trajectory/sgd-1-exact",
    "lora-plus/step/sgd-decay-b-exact",
    "lora-plus/backward/nan-in-x",
];

/// A file of a few kilobytes may honestly ask for gigabytes: 2¹⁴ tokens of no input make 2¹⁴ rows of output. Those are left
/// out to stay fast; what is above the documented limit must be refused and stays in.
fn honest_but_large(file: &TensorFile) -> bool {
    let sizes = || file.tensors.values().flat_map(|tensor| &tensor.shape);
    sizes().any(|size| (257..1 << 29).contains(size))
}

fn one_line<T>(result: oracle::Result<T>) -> Option<T> {
    let error = match result {
        Ok(value) => return Some(value),
        Err(error) => error.to_string(),
    };
    assert!(!error.is_empty() && !error.contains('\n'), "{error:?}");
    None
}

/// Bytes as a case: read, emitted, and judged against itself.
pub fn case(bytes: &[u8]) {
    let Some(file) = one_line(TensorFile::parse(bytes)) else { return };
    let again = TensorFile::parse(&file.to_bytes().expect("was read")).expect("was written");
    assert_eq!(again, file);
    if honest_but_large(&file) {
        return;
    }
    one_line(check(&file, Some(&file), Options::default()));
    let Some(made) = one_line(emit(&file)) else { return };
    let case = Case::of(&made).expect("was emitted");
    // A trajectory follows the states it is given, and those are what was emitted.
    if case.op != Op::Trajectory {
        let twice = emit(&made).expect("was emitted").to_bytes().expect("was emitted");
        assert_eq!(made.to_bytes().expect("was emitted"), twice);
    }
    let Some(report) = one_line(check(&made, Some(&made), Options::default())) else {
        assert!(case.id.is_none(), "emitted and not judged");
        return;
    };
    let passes = report.verdict != Verdict::Fail || case.class == Some(Class::Reject);
    assert!(passes, "the expected values fail: {report:?}");
    one_line(check(&made, Some(&file), Options::default()));
}

/// Bytes as a submission to the shipped case that the first byte chooses, in the units that its upper bits choose.
pub fn submission(bytes: &[u8]) {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    let (id, case) = CASES[usize::from(choice & 31) % CASES.len()];
    let Some(submission) = one_line(TensorFile::parse(bytes)) else { return };
    let profile = match choice >> 5 {
        1 => Some(Profile::F64),
        2 => Some(Profile::F32),
        3 => Some(Profile::Tf32),
        4 => Some(Profile::Bf16),
        5 => Some(Profile::Fp16),
        _ => None,
    };
    let case = TensorFile::parse(case).expect("is shipped");
    // Whatever is wrong with a submission is a verdict.
    let report = check(&case, Some(&submission), Options { profile }).expect("is shipped");
    assert_eq!(report.case, id);
    for line in json(&report) {
        let line = line.to_string();
        assert!(!line.contains('\n'), "{line}");
    }
    // XML 1.0 has no other control characters.
    let xml = junit(&Tally { reports: vec![report], ..Tally::default() });
    assert!(xml.chars().all(|c| c >= ' ' || matches!(c, '\n' | '\t' | '\r')), "{xml:?}");
}
