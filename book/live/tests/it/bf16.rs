use live::Experiment;
use live::bf16::{Answer, Bf16, Question, Settings};

const MODEL: &[u8] = include_bytes!("../../../../crates/llama/assets/tiny.safetensors");

fn ask(question: Question) -> anyhow::Result<Answer> {
    Bf16::start(Settings {}, MODEL)?.ask(question)
}

#[test]
fn the_smaller_the_change_the_less_is_left() {
    let merge = |dtype: &str| match ask(Question::Merge { dtype: dtype.into() }).unwrap() {
        Answer::Merge { sizes, lost, unchanged } => (sizes, lost, unchanged),
        other => panic!("{other:?}"),
    };
    let (sizes, lost, unchanged) = merge("bf16");
    assert_eq!((sizes[0], sizes[16]), (2f64.powi(-16), 1.0));
    assert!(lost.is_sorted_by(|a, b| a > b) && unchanged.is_sorted_by(|a, b| a >= b));
    // Of 2^-16 of a number, 8 significant bits keep nothing: all that is lost is ΔW itself.
    assert!(unchanged[0] > 0.95 && (lost[0] - 1.0).abs() < 0.1, "{} {}", unchanged[0], lost[0]);
    assert!(lost[16] < 2f64.powi(-7));
    let (_, of_f32, _) = merge("f32");
    assert!(of_f32.iter().zip(&lost).all(|(wide, narrow)| wide < narrow));
    assert!(ask(Question::Merge { dtype: "FP8".into() }).unwrap_err().to_string().contains("FP8"));
}

#[test]
fn bytes_are_those_of_the_chapter() {
    // In f32, LoRA keeps t (d + r) numbers and LoRA-FA t r: 1/97 of it for d = 768 and r = 8.
    let kept = |tokens, inputs, rank| ask(Question::Kept { tokens, inputs, rank });
    let (lora, lora_fa) = (100 * 776 * 4, 100 * 8 * 4);
    assert_eq!(kept(100, 768, 8).unwrap(), Answer::Kept { lora, lora_fa });
    for (tokens, inputs, rank) in [(0, 8, 1), (8, 0, 0), (8, 8, 0), (8, 8, 9), (usize::MAX, 8, 1)] {
        assert!(kept(tokens, inputs, rank).is_err(), "{tokens} {inputs} {rank}");
    }
}
