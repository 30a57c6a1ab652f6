use live::telescope::{Question, Telescope};
use live::{Experiment, telescope};

fn ask(rank: usize, lambda: f64, start_step: u64) -> telescope::Answer {
    let mut telescope = Telescope::start(telescope::Settings {}, &[]).unwrap();
    telescope.ask(Question { rank, lambda, start_step }).unwrap()
}

fn rank_of(sigma: &[f64]) -> usize {
    sigma.iter().filter(|&&value| value > 1e-10 * sigma[0]).count()
}

#[test]
fn moving_from_the_start_is_lora() {
    let answer = ask(2, 2.0, 0);
    assert!(answer.delta_lora.iter().zip(&answer.lora).all(|(a, b)| (a - b).abs() / a < 1e-9));
    assert!(answer.lora[200] < 0.9 * answer.lora[0], "it learns");
    assert_eq!(rank_of(&answer.singular_values), 2);
}

#[test]
fn moving_later_is_not() {
    let answer = ask(2, 2.0, 50);
    assert!((answer.delta_lora[100] / answer.lora[100] - 1.0).abs() > 1e-3);
    assert_eq!(rank_of(&answer.singular_values), 4);
}

#[test]
fn never_moving_leaves_nothing() {
    assert_eq!(ask(2, 2.0, 200).singular_values, [0.0; 12]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut telescope = Telescope::start(telescope::Settings {}, &[]).unwrap();
    for (rank, lambda) in [(0, 2.0), (13, 2.0), (2, -1.0), (2, f64::NAN)] {
        assert!(
            telescope.ask(Question { rank, lambda, start_step: 0 }).is_err(),
            "{rank} {lambda}"
        );
    }
}
