use live::Experiment;
use live::judge::{Judge, Question, Settings};
use oracle::TensorFile;

const CASE: &[u8] =
    include_bytes!("../../../../tests/vectors/lora/forward/all-one-bounded.safetensors");

fn judged(answer: &[u8]) -> anyhow::Result<live::judge::Answer> {
    let file = [CASE, answer].concat();
    Judge::start(Settings { case_bytes: CASE.len() }, &file)?.ask(Question::Verdict)
}

#[test]
fn the_cases_own_outputs_pass_and_others_fail() {
    let mut answer = TensorFile::parse(CASE).unwrap();
    let passed = judged(&answer.to_bytes().unwrap()).unwrap();
    assert_eq!(passed.verdict, "PASS", "{}", passed.report);
    assert!(!passed.tensors.is_empty());

    let y = answer.tensors["out.y"].to_f64().unwrap();
    answer.tensors.insert("out.y".into(), oracle::Tensor::f64(&(y + 1.0)));
    let failed = judged(&answer.to_bytes().unwrap()).unwrap();
    assert_eq!(failed.verdict, "FAIL");
    assert!(failed.report.contains("first divergence"), "{}", failed.report);
}

#[test]
fn files_that_lie_are_refused() {
    let mut long = CASE.to_vec();
    long[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    for answer in [&b""[..], b"text", &long, &CASE[..CASE.len() - 1]] {
        let error = format!("{:#}", judged(answer).unwrap_err());
        assert!(error.starts_with("the answer: "), "{error}");
    }
    let error = Judge::start(Settings { case_bytes: 9 }, b"12345678").map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "8 bytes hold no case of 9");
}
