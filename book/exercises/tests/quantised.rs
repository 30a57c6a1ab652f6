//! A frozen, quantised weight: are the answers right?

use exercises::looks::{right, right_counts, right_number};
use exercises::work::quantised::{bits, block, product, unmoved};
use ndarray::{Array1, array};

/// The eight numbers of the chapter, which come out as there, and what a block must do at its ends.
#[test]
fn a_block_of_the_chapter() {
    let x = [0.31, -1.2, 0.7, 0.0, 2.1, -0.4, 1.0, -2.4];
    let numbers = |q: &[u8]| Array1::from_iter(q.iter().map(|&q| f64::from(q)));
    let (d, q) = block(&x);
    let mistakes =
        [("d is a seventh of the largest number", 2.4 / 7.0), ("its sign is lost", -0.3)];
    right_number("d", d, 0.3, &mistakes);
    let want = array![9.0, 4.0, 10.0, 8.0, 15.0, 7.0, 11.0, 0.0];
    let cut = Array1::from_iter(x.map(|x| (x / 0.3 + 8.0).floor()));
    right("q", &numbers(&q), &want, &[("it is rounded down and not to the nearest", cut)]);
    // The farthest number is positive, and as far on the other side is one too many steps.
    let (d, q) = block(&[4.0, -4.0, 1.0, 0.0]);
    right_number("d", d, -0.5, &[("its sign is lost", 0.5)]);
    let mistakes = [("a q above 15 has no room in four bits", array![0.0, 16.0, 6.0, 8.0])];
    right("q", &numbers(&q), &array![0.0, 15.0, 6.0, 8.0], &mistakes);
    let (d, q) = block(&[0.0; 4]);
    right_number("d of a block of zeros", d, 0.0, &[]);
    right("q of a block of zeros", &numbers(&q), &array![8.0, 8.0, 8.0, 8.0], &[]);
}

#[test]
fn a_product_with_a_block() {
    let (x, d, q) = ([1.0, -2.0, 0.5, 4.0], 0.25, [0, 15, 8, 9]);
    // ŵ is −2, 1.75, 0, 0.25.
    let mistakes = [
        ("8 is not subtracted", 0.25 * (-30.0 + 4.0 + 36.0)),
        ("d is missing", -18.0),
        ("8 is subtracted once and not from every q", 0.25 * (-30.0 + 4.0 + 36.0 - 8.0)),
    ];
    right_number("Σ x ŵ", product(&x, d, &q), -4.5, &mistakes);
}

/// What llama.cpp's types take, and QLoRA's NF4 with double quantisation: 0.127 bits beside the four, says its paper.
#[test]
fn bits_of_known_types() {
    let types: [(usize, usize, &[(usize, usize)], f64); 4] = [
        (32, 4, &[(1, 16)], 4.5),
        (256, 4, &[(8, 6), (8, 6), (2, 16)], 4.5),
        (256, 6, &[(16, 8), (1, 16)], 6.5625),
        (16_384, 4, &[(256, 8), (1, 32)], 4.126_953_125),
    ];
    for (numbers, of_q, beside, want) in types {
        let counted: usize = beside.iter().map(|(count, _)| count).sum();
        let mistakes = [
            ("what is stored beside the q is missing", of_q as f64),
            ("it is counted, and its bits are not", of_q as f64 + counted as f64 / numbers as f64),
        ];
        right_number("bits a number", bits(numbers, of_q, beside), want, &mistakes);
    }
}

#[test]
fn a_small_change_is_rounded_away() {
    let q = [3, 8, 15, 0];
    let cases = [
        ([0.1, -0.1, 0.1, -0.1], 4), // less than half a step
        ([0.3, -0.3, -0.3, 0.3], 0), // more
        ([0.3, 0.3, 0.3, -0.3], 2),  // the ends
        ([-0.3, 0.1, 9.0, 0.2], 3),
    ];
    for (change, want) in cases {
        let free = change.iter().filter(|change| f64::abs(*change / 0.5) < 0.5).count();
        let mistakes =
            [("a q of 0 or 15 cannot go on", [free]), ("it is those that move", [4 - want])];
        right_counts("the q that stay", [unmoved(0.5, &q, &change)], [want], &mistakes);
        // With d below zero a change goes the other way, here away from both ends.
        let negative = unmoved(-0.5, &q, &change.map(|change| -change));
        right_counts("with d below zero", [negative], [want], &mistakes);
    }
    // A block of zeros has no steps to move by.
    let mistakes = [("a change is divided by 0", [0])];
    right_counts("with d = 0", [unmoved(0.0, &[8, 8], &[0.0, 0.1])], [2], &mistakes);
}
