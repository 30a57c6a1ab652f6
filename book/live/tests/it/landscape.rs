use live::Experiment;
use live::landscape::{Answer, Landscape, Question, Settings};

/// `cargo run -p lowrank-lora-plus --example rates` printed it.
const TABLE: &str = include_str!("../../../src/generated/lora-plus-rates.txt");

#[test]
fn a_cell_is_that_of_the_chapters_table() {
    let mut landscape = Landscape::start(Settings { width: 256, tasks: 3 }, &[]).unwrap();
    // Rows and columns are 2^-11, 2^-9, …
    let rows: Vec<Vec<&str>> = TABLE
        .lines()
        .skip(2)
        .take(6)
        .map(|line| line.split_whitespace().skip(1).collect())
        .collect();
    for (row, column) in [(1, 3), (2, 2)] {
        let rate = |place: usize| 2f64.powi(2 * place as i32 - 11);
        let question = Question { lr_a: rate(row), lr_b: rate(column) };
        let printed: f64 = rows[row][column].trim_matches(['[', ']']).parse().unwrap();
        let loss = landscape.ask(question).unwrap().loss;
        assert!((loss - printed).abs() <= 5e-5, "{loss} {printed}");
    }
}

/// The chapter says so.
#[test]
fn in_a_narrow_layer_one_rate_is_nearly_enough() {
    let mut landscape = Landscape::start(Settings { width: 32, tasks: 3 }, &[]).unwrap();
    let (mut pair, mut single) = (f64::INFINITY, f64::INFINITY);
    for a in -11..=-1 {
        for b in -11..=-1 {
            let question = Question { lr_a: 2f64.powi(a), lr_b: 2f64.powi(b) };
            let loss = landscape.ask(question).unwrap().loss;
            pair = pair.min(loss);
            if a == b {
                single = single.min(loss);
            }
        }
    }
    assert_eq!(format!("{:.2}", pair / single), "0.96");
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (width, tasks) in [(0, 1), (8, 1), (1024, 1), (64, 0), (64, 4)] {
        let refused = Landscape::start(Settings { width, tasks }, &[]).map(|_| ()).unwrap_err();
        assert!(refused.to_string().starts_with(&format!("width {width}")), "{refused}");
    }
    let mut landscape = Landscape::start(Settings { width: 16, tasks: 1 }, &[]).unwrap();
    for (lr_a, lr_b) in [(0.0, 1.0), (1.0, 0.0), (f64::NAN, 1.0), (-1.0, 1.0)] {
        assert!(landscape.ask(Question { lr_a, lr_b }).is_err(), "{lr_a} {lr_b}");
    }
}

#[test]
fn rates_that_blow_up_are_no_error() {
    let mut landscape = Landscape::start(Settings { width: 16, tasks: 1 }, &[]).unwrap();
    let loss = landscape.ask(Question { lr_a: 1e100, lr_b: 1e100 }).unwrap().loss;
    assert!(!(loss < 1.0), "{loss}");
    // The page is told null.
    let overflowed = serde_json::to_string(&Answer { loss: f64::INFINITY }).unwrap();
    assert_eq!(overflowed, r#"{"loss":null}"#);
}
