//! The task of the landscape: what makes no sense is refused, and what overflows looks like nothing else.

use lora_plus::task::Task;

#[test]
fn what_makes_no_sense_is_refused() {
    let error = Task::new(0, 3).err().expect("narrower than the rank").to_string();
    assert!(error.contains("width is 3"), "{error}");
    let task = Task::new(0, 16).unwrap();
    for (lr_a, lr_b) in
        [(0.0, 0.1), (0.1, 0.0), (-1.0, -2.0), (f64::NAN, 0.1), (0.1, f64::INFINITY)]
    {
        assert!(task.train(lr_a, lr_b).is_err(), "{lr_a}, {lr_b}");
    }
}

/// relu makes no 0 of a NaN, which would be the loss of a layer that predicts 0.
#[test]
fn a_run_that_overflows_has_no_finite_loss() {
    let loss = Task::new(0, 16).unwrap().train(1e150, 1e150).unwrap();
    assert!(!loss.is_finite(), "{loss}");
}
