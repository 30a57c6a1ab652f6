//! In practice: are the answers right?

use adapter::{Adapter, Ledger};
use exercises::looks::{right_counts, right_number};
use exercises::work::practice::{alpha_for, apart, kept, rank_for};
use llama::{Projection, tiny};
use lora::Lora;
use lora_fa::{LoraFa, Variant};
use ndarray::Array2;

/// On the tiny model: 8,064 numbers at rank 8 on queries and values, as the chapter has it.
#[test]
fn as_many_numbers_elsewhere() {
    let config = tiny::config();
    let shapes = |projections: &[Projection]| -> Vec<[usize; 2]> {
        projections.iter().map(|projection| projection.shape(&config)).collect()
    };
    let few = shapes(&[Projection::Q, Projection::V]);
    let attention = shapes(&[Projection::Q, Projection::K, Projection::V, Projection::O]);
    let all = shapes(&Projection::ALL);
    let areas = |shapes: &[[usize; 2]]| -> usize { shapes.iter().map(|[o, i]| o * i).sum() };
    for (shapes, rank, want) in [(&attention, 8, 4), (&all, 8, 1), (&all, 16, 3), (&few, 5, 5)] {
        let mistakes = [
            ("it is by how many matrices there are", [rank * few.len() / shapes.len()]),
            ("it is by the numbers of the weights", [rank * areas(&few) / areas(shapes)]),
            ("it is rounded up, and trains more", [want + 1]),
        ];
        right_counts("the rank", [rank_for(&few, rank, shapes)], [want], &mistakes);
    }
}

#[test]
fn the_same_scale_at_another_rank() {
    for (alpha, from, to) in [(16.0, 8, 32), (4.0, 16, 4)] {
        let ratio = f64::from(to) / f64::from(from);
        let mistakes =
            [("α stays, and s does not", alpha), ("it is the other way round", alpha / ratio)];
        let got = alpha_for(alpha, from as usize, to as usize, false);
        right_number("α", got, alpha * ratio, &mistakes);
        let mistakes =
            [("s is taken to be α/r", alpha * ratio), ("α stays, and s does not", alpha)];
        let got = alpha_for(alpha, from as usize, to as usize, true);
        right_number("α of rsLoRA", got, alpha * ratio.sqrt(), &mistakes);
    }
}

/// Counted from what the crates keep when the seven read the four arrays of a layer.
#[test]
fn kept_by_a_layer() {
    for (tokens, width, inner, rank) in [(10, 32, 80, 4), (3, 8, 20, 2)] {
        let array = |columns| Array2::<f64>::zeros((tokens, columns)).into_shared();
        let inputs = [array(width), array(width), array(width), array(inner)];
        let (mut loras, mut others) = (Vec::new(), Vec::new());
        for (of, x) in [0, 0, 0, 1, 2, 2, 3].map(|i: usize| (i, &inputs[i])) {
            let out = if of == 2 { inner } else { width };
            let weight = Array2::zeros((out, x.ncols()));
            let (a, b) = (Array2::zeros((rank, x.ncols())), Array2::zeros((out, rank)));
            let lora = Lora::new(a.clone(), b.clone(), 1.0).unwrap();
            loras.push(lora.forward(weight.view(), x, None).unwrap().1);
            let lora_fa = LoraFa::new(a, b, 1.0, Variant::Plain).unwrap();
            others.push(lora_fa.forward(weight.view(), x, None).unwrap().1);
        }
        let want = [Ledger::of(&loras[..]) / 8, Ledger::of(&others[..]) / 8];
        let h = 7 * tokens * rank;
        let mistakes = [
            (
                "each projection is taken to keep an input of its own",
                [tokens * (6 * width + inner) + h, h],
            ),
            ("all inputs are taken to be as wide as the model", [tokens * 4 * width + h, h]),
            ("h is missing", [tokens * (3 * width + inner), 0]),
        ];
        right_counts("[LoRA, LoRA-FA]", kept(tokens, width, inner, rank), want, &mistakes);
    }
}

#[test]
fn ranges_that_touch_say_nothing() {
    let base = [0.30, 0.25, 0.28];
    for (other, want, why) in [
        (&[0.20, 0.24, 0.10][..], true, "all are below"),
        (&[0.35, 0.31, 0.50], true, "all are above"),
        (&[0.10, 0.12, 0.26], false, "the medians are far apart, and one is within"),
        (&[0.10, 0.50, 0.60], false, "one is below and two are above"),
        (&[0.27, 0.275, 0.272], false, "all are within"),
        (&[0.20, 0.25], false, "the ranges touch"),
        (&[0.10, f64::NAN], false, "a run diverged"),
    ] {
        assert_eq!(apart(&base, other), want, "{base:?} and {other:?}: {why}");
        assert_eq!(apart(other, &base), want, "{other:?} and {base:?}: {why}");
    }
}
