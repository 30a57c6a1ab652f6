//! The toy model: its three parts are all of an update.

use lora_plus::toy::Toy;
use ndarray::array;

/// On integers and powers of two, where nothing rounds.
#[test]
fn the_parts_add_up_to_what_a_step_changes() {
    let mut toy = Toy { a: array![1.0, -2.0, 3.0], b: 2.0, x: array![2.0, 1.0, 1.0], y: 7.0 };
    let (before, rates) = (toy.f(), [0.5, 2.0]);
    let deltas = toy.deltas(rates);
    assert_eq!(deltas, [12.0, 18.0, 36.0]); // the book's chapter has them
    toy.step(rates);
    assert_eq!(toy.f() - before, deltas.iter().sum::<f64>());
}
