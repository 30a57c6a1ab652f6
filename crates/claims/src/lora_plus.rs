//! LoRA+, arXiv 2402.12354: its toy model f(x) = b aᵀx, and what LoRA's training conserves.

use ::lora_plus::{Groups, LoraPlus, Rule};
use adapter::{Adapter, Group, Result, Sgd};
use lora::{Init, Lora, Scaling};
use ndarray::{Array1, Array2, Axis, array};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

use crate::problem::{Problem, gaussian, norm};
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
        exponents([|n| [1.0 / n, 1.0], |n| [1.0 / n.sqrt(); 2], |n| [1.0 / n; 2]])?;
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

const WIDTHS: [u32; 8] = [7, 8, 9, 10, 11, 12, 13, 14];
const SEEDS: u64 = 2001;
/// How far from its limit a fitted exponent may be. The logarithms here are about 2 log₂|z| + const with z = aᵀx normal,
/// whose density at the median is 0.149. The median of 2001 then has the standard error 1/(2·0.149·√2001) = 0.075, and a
/// slope over these eight widths 0.075/√42 = 0.012; five of these are 0.06. Add 0.03 for finite widths: U differs from −y
/// by a part of order 1/√n, some 15% at n = 128.
const NOISE: f64 = 0.09;

/// The toy model: one output, rank 1, no frozen part; the loss is (f − y)²/2.
#[derive(Clone)]
struct Toy {
    a: Array1<f64>,
    b: f64,
    x: Array1<f64>,
    y: f64,
}

impl Toy {
    /// Init[1]: aᵀx of order 1, and b = 0.
    fn init(n: usize, rng: &mut ChaCha8Rng) -> Result<Self> {
        let lora = Lora::init([1, n], 1, 1.0, Scaling::AlphaOverR, Init::default(), rng)?;
        let x = Array1::from_shape_simple_fn(n, || StandardNormal.sample(rng));
        Ok(Self { a: lora.a.remove_axis(Axis(0)), b: 0.0, x, y: 1.0 })
    }

    /// f = b aᵀx.
    fn f(&self) -> f64 {
        self.b * self.a.dot(&self.x)
    }

    /// δ¹ = −η_A b² U ‖x‖², δ² = −η_B (aᵀx)² U, δ³ = η_A η_B U² b (aᵀx) ‖x‖², with U = f − y.
    fn deltas(&self, [eta_a, eta_b]: [f64; 2]) -> [f64; 3] {
        let (u, ax, xx) = (self.f() - self.y, self.a.dot(&self.x), self.x.dot(&self.x));
        [
            -eta_a * self.b * self.b * u * xx,
            -eta_b * ax * ax * u,
            eta_a * eta_b * u * u * self.b * ax * xx,
        ]
    }

    /// a ← a − η_A b U x, b ← b − η_B (aᵀx) U.
    fn step(&mut self, [eta_a, eta_b]: [f64; 2]) {
        let (u, ax) = (self.f() - self.y, self.a.dot(&self.x));
        self.a.scaled_add(-eta_a * self.b * u, &self.x);
        self.b -= eta_b * ax * u;
    }
}

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

/// The slopes of log₂|δ| over log₂ n, fitted to medians: for each choice of rates those of δ¹, δ², δ³.
fn exponents(choices: [fn(f64) -> [f64; 2]; 3]) -> Result<[[f64; 3]; 3]> {
    let mut medians = Vec::new();
    for log_n in WIDTHS {
        let n = 2usize.pow(log_n);
        let mut logs = [const { [const { Vec::new() }; 3] }; 3];
        for seed in 0..SEEDS {
            let mut rng = ChaCha8Rng::seed_from_u64(u64::from(log_n) * SEEDS + seed);
            let start = Toy::init(n, &mut rng)?;
            for (logs, rates) in logs.iter_mut().zip(choices) {
                let (mut toy, rates) = (start.clone(), rates(n as f64));
                toy.step(rates);
                toy.step(rates);
                for (logs, delta) in logs.iter_mut().zip(toy.deltas(rates)) {
                    logs.push(delta.abs().log2());
                }
            }
        }
        medians.push(logs.map(|logs| logs.map(median)));
    }
    // Least squares: Σ(x − x̄) y/Σ(x − x̄)².
    let centre = f64::from(WIDTHS.iter().sum::<u32>()) / WIDTHS.len() as f64;
    let offsets = WIDTHS.map(|log_n| f64::from(log_n) - centre);
    let squares: f64 = offsets.iter().map(|x| x * x).sum();
    let slope = |choice: usize, delta: usize| {
        let products = offsets.iter().zip(&medians).map(|(x, y)| x * y[choice][delta]);
        products.sum::<f64>() / squares
    };
    Ok([0, 1, 2].map(|choice| [0, 1, 2].map(|delta| slope(choice, delta))))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
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
        Ok::<_, adapter::Error>(norm(&(conserved(&last.lora) - conserved(&start))))
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
