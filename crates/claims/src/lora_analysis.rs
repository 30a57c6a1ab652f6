//! LoRA, arXiv 2106.09685, again: its first step, the analysis of its section 7, its speed.

use adapter::{Adapter, Group, Result, Sgd};
use lora::Lora;
use ndarray::{Array2, array};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rank::frobenius;
use rank::subspace::{principal_angles, similarity};

use crate::problem::{orthonormal, relative_error};
use crate::{Claim, Finding, Verdict};
use methods::Method;

pub fn claims() -> Result<Vec<Claim>> {
    let claim = |number, statement, findings, note| Claim {
        number,
        paper: Method::Lora,
        statement,
        findings,
        note,
    };
    let speed = |value: f64| format!("{value:.1}%");
    let (gained, saved) = (100.0 * (43.1 / 32.5 - 1.0), 100.0 * (1.0 - 32.5 / 43.1));
    let (largest, smallest) = (6.91 / 0.32, 3.57 / 1.90);
    Ok(vec![
        claim(
            33,
            "While B = 0 the output is unchanged; the first step of SGD (g = ∂L/∂W)",
            first_step()?,
            Some("On integers and powers of two, where nothing rounds."),
        ),
        claim(
            34,
            "Appendix G: φ = ‖UᵀV‖²_F/p from the distance d² = p − Σσ², two subspaces of dimension p",
            distance()?,
            Some("The bracket is misplaced: φ lies between 0 and 1, and φ = 1 − d²/p."),
        ),
        claim(
            35,
            "φ of random subspaces of dimensions 4 and 9 of R⁶⁴; the mean should be max(i, j)/D = 0.1406",
            vec![random_subspaces()?],
            Some("Mean of 1000 pairs. A φ says something only above this."),
        ),
        claim(
            36,
            "Table 7: amplification ‖ΔW‖_F/‖UᵀWV‖_F of 6.91/0.32 (r = 4) and 3.57/1.90 (r = 64)",
            vec![
                Finding::of_number("r = 4", Some("21.5"), largest, format!("{largest:.2}")),
                Finding::of_number("r = 64", None, smallest, format!("{smallest:.2}")),
            ],
            Some("21.5 is the ratio of the printed norms, 21.59, cut off."),
        ),
        claim(
            37,
            "A 25% speedup of GPT-3's training: 43.1 tokens/s for 32.5",
            vec![
                Finding::of_number("time saved", Some("25%"), saved, speed(saved)),
                Finding::of_number("throughput gained", None, gained, speed(gained)),
            ],
            Some("25% is what a token's time falls by, not what the speed grows by."),
        ),
    ])
}

fn first_step() -> Result<Vec<Finding>> {
    let a = array![[1.0, -2.0, 3.0, 0.0], [2.0, 1.0, -1.0, 4.0]];
    let mut weight = array![[5.0, 1.0, 0.0, -2.0], [3.0, 3.0, 1.0, 2.0], [-1.0, 0.0, 4.0, 1.0]];
    let x = array![[1.0, 2.0, 0.0, -1.0], [3.0, -1.0, 2.0, 1.0]].into_shared();
    let grad_y = array![[2.0, -1.0, 3.0], [0.0, 4.0, 1.0]];
    let (s, lr) = (1.5, 0.25);
    let mut lora = Lora::new(a.clone(), Array2::zeros((3, 2)), s)?;

    let (y, saved) = lora.forward(weight.view(), &x, None)?;
    let (_, grads) = lora.backward(weight.view(), &saved, grad_y.view())?;
    let g = grad_y.t().dot(&x); // [out, tokens]·[tokens, in] → [out, in]
    let output = relative_error(&y, &x.dot(&weight.t()));
    lora.step(&mut weight, &grads, &mut Sgd { group: Group { lr, weight_decay: 0.0 } })?;
    let delta = lora.delta_weight(weight.view())?;
    let step = g.dot(&a.t()).dot(&a) * (-lr * s * s);

    let exactly = |of, printed, error| Finding::equation(of, printed, error, 0.0);
    Ok(vec![
        exactly("y = x Wᵀ", Some("ΔW = 0"), output),
        exactly("∂L/∂A = 0", None, frobenius(&grads.a)),
        exactly("∂L/∂B = s g Aᵀ", None, relative_error(&grads.b, &(g.dot(&a.t()) * s))),
        exactly("ΔW = −η s² g AᵀA", None, relative_error(&delta, &step)),
    ])
}

fn distance() -> Result<Vec<Finding>> {
    let p = 4;
    let mut rng = ChaCha8Rng::seed_from_u64(34);
    let (u, v) = (orthonormal(16, p, &mut rng)?, orthonormal(16, p, &mut rng)?);
    let phi = similarity(u.view(), v.view())?;
    let cosines = principal_angles(u.view(), v.view())?.mapv(f64::cos);
    let p = p as f64;
    let distance = p - cosines.mapv(|cos| cos * cos).sum(); // d²
    let printed = (1.0 - distance) / p;
    // Two decompositions of 16 × 4 matrices, each off by 30·16·ε at most (LAPACK's own test): 2·10⁻¹³ together.
    let bound = 2.0 * 30.0 * 16.0 * f64::EPSILON;
    let agree = (printed - phi).abs() <= bound;
    Ok(vec![
        Finding {
            of: "φ",
            printed: Some("(1 − d²)/p"),
            values: vec![phi, printed],
            computed: format!("{phi:.2}, not {printed:.2}"),
            verdict: if agree { Verdict::Agrees } else { Verdict::Differs },
        },
        Finding::equation("φ = 1 − d²/p", None, (phi - (1.0 - distance / p)).abs(), bound),
    ])
}

/// The mean φ and its standard error.
fn random_subspaces() -> Result<Finding> {
    let (i, j, dimension, pairs) = (4, 9, 64, 1000);
    let mut rng = ChaCha8Rng::seed_from_u64(35);
    let mut phi = ndarray::Array1::zeros(pairs);
    for phi in &mut phi {
        let u = orthonormal(dimension, i, &mut rng)?;
        let v = orthonormal(dimension, j, &mut rng)?;
        *phi = similarity(u.view(), v.view())?;
    }
    let mean = phi.sum() / pairs as f64;
    let error = phi.std(1.0) / (pairs as f64).sqrt();
    Ok(Finding {
        of: "mean φ",
        printed: None,
        values: vec![mean, error],
        computed: format!("{mean:.4} ± {error:.4}"),
        verdict: Verdict::Measured,
    })
}
