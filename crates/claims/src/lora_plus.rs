//! LoRA+, arXiv 2402.12354: its toy model f(x) = b aᵀx, and what LoRA's training conserves.

use ::lora_plus::toy::{self, Toy};
use ::lora_plus::{Groups, LoraPlus, Rule};
use adapter::{Adapter, Group, Result, Sgd};
use lora::Lora;
use ndarray::{Array2, Axis, array};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rank::frobenius;

use crate::problem::{Problem, gaussian};
use crate::{Claim, Finding, Verdict};
use methods::Method;

pub fn claims() -> Result<Vec<Claim>> {
    let claim = |number, statement, findings, note| Claim {
        number,
        paper: Method::LoraPlus,
        statement,
        findings,
        note,
    };
    let [split, root, inverse] =
        toy::exponents([|n| [1.0 / n, 1.0], |n| [1.0 / n.sqrt(); 2], |n| [1.0 / n; 2]])?;
    Ok(vec![
        claim(
            30,
            "One step moves f = b aᵀx by Δf = δ¹ + δ² + δ³",
            vec![decomposition()?],
            Some("On integers and powers of two, where nothing rounds."),
        ),
        claim(
            31,
            "Growth with the width n at step 3: δ¹, δ² = Θ(1) for η_A = Θ(1/n), η_B = Θ(1), not for equal rates",
            vec![
                slopes("η_A = 1/n, η_B = 1", Some("Θ(1), Θ(1)"), split),
                slopes("both 1/√n", None, root),
                slopes("both 1/n", None, inverse),
            ],
            Some(
                "Exponents of n for δ¹, δ², δ³, fitted to medians of 2001 runs at n = 2⁷ to 2¹⁴ from Init[1].",
            ),
        ),
        claim(
            32,
            "Gradient flow conserves AAᵀ/η_A − BᵀB/η_B; ten times smaller steps, ten times less drift",
            vec![drift()?],
            None,
        ),
    ])
}

/// How far from its limit a fitted exponent may be. The logarithms here are about 2 log₂|z| + const with z = aᵀx normal,
/// whose density at the median is 0.149. The median of 2001 then has the standard error 1/(2·0.149·√2001) = 0.075, and a
/// slope over these eight widths 0.075/√42 = 0.012; five of these are 0.06. Add 0.03 for finite widths: U differs from −y
/// by a part of order 1/√n, some 15% at n = 128.
const NOISE: f64 = 0.09;
const _: () =
    assert!(toy::DRAWS == 2001 && toy::WIDTHS.len() == 8, "so NOISE and the note have it");

/// One step by the crate `lora-plus`, against the three terms.
fn decomposition() -> Result<Finding> {
    let toy = Toy { a: array![1.0, -2.0, 3.0], b: 2.0, x: array![2.0, 1.0, -1.0], y: 4.0 };
    let (eta_a, ratio) = (0.125, 4.0);
    let a = toy.a.clone().insert_axis(Axis(0)); // [1, n]
    let x = toy.x.clone().insert_axis(Axis(0)).into_shared();
    let groups = Groups { rule: Rule::LoraBOnly, ..Groups::new(ratio)? };
    let mut layer = LoraPlus { lora: Lora::new(a, array![[toy.b]], 1.0)?, groups };
    let mut weight = Array2::zeros((1, 3));
    let (before, saved) = layer.forward(weight.view(), &x, None)?;
    let (_, grads) = layer.backward(weight.view(), &saved, (&before - toy.y).view())?;
    let mut sgd = Sgd { group: Group { lr: eta_a, weight_decay: 0.0 } };
    layer.step(&mut weight, &grads, &mut sgd)?;
    let (after, _) = layer.forward(weight.view(), &x, None)?;

    let moved = after[[0, 0]] - before[[0, 0]];
    let sum: f64 = toy.deltas([eta_a, ratio * eta_a]).iter().sum();
    // Relative: NaN if nothing moved.
    Ok(Finding::equation("", Some("= Δf"), (sum - moved).abs() / moved.abs(), 0.0))
}

/// The paper speaks of δ¹ and δ² only.
fn slopes(of: &'static str, printed: Option<&'static str>, slopes: [f64; 3]) -> Finding {
    let flat = slopes[..2].iter().all(|slope| slope.abs() <= NOISE);
    let verdict = match printed {
        None => Verdict::Measured,
        Some(_) if flat => Verdict::Agrees,
        Some(_) => Verdict::Differs,
    };
    // + 0.0 turns −0 into 0.
    let two_digits = |slope: f64| format!("{:.2}", (100.0 * slope).round() / 100.0 + 0.0);
    let computed = slopes.map(two_digits).join(", ");
    Finding { of, printed, values: slopes.to_vec(), computed, verdict }
}

/// By how much ten times smaller steps, ten times as many, reduce the change of AAᵀ − BᵀB/λ, which is η_A times what is
/// conserved: from rate 10⁻² to 10⁻³ and from there to 10⁻⁴.
fn drift() -> Result<Finding> {
    let mut rng = ChaCha8Rng::seed_from_u64(32);
    let ([out, inputs], r, ratio) = ([4, 6], 2, 4.0);
    let problem = Problem::new(10, [out, inputs], &mut rng);
    let a = gaussian(r, inputs, &mut rng) / 2.0;
    let b = gaussian(out, r, &mut rng) / 2.0;
    let start = Lora::new(a, b, 1.0)?;
    let conserved = |lora: &Lora<f64>| lora.a.dot(&lora.a.t()) - lora.b.t().dot(&lora.b) / ratio;
    let change = |lr: f64, steps: usize| {
        let groups = Groups { rule: Rule::LoraBOnly, ..Groups::new(ratio)? };
        let mut sgd = Sgd { group: Group { lr, weight_decay: 0.0 } };
        let layer = LoraPlus { lora: start.clone(), groups };
        let (last, _) = problem.train(layer, &mut sgd, steps)?;
        Ok::<_, adapter::Error>(frobenius(&(conserved(&last.lora) - conserved(&start))))
    };
    let [coarse, fine, finest] = [change(1e-2, 50)?, change(1e-3, 500)?, change(1e-4, 5000)?];
    let ratios = vec![coarse / fine, fine / finest];
    let computed = format!("{:.2}, {:.2} times", ratios[0], ratios[1]);
    Ok(Finding {
        of: "drift falls",
        printed: None,
        values: ratios,
        computed,
        verdict: Verdict::Measured,
    })
}
