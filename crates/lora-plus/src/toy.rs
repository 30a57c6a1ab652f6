//! The paper's toy model, f = b aᵀx with the loss (f − y)²/2, and how the three parts of an update grow with the width: for
//! `examples/rates.rs` and the crate `claims`.

use adapter::Result;
use lora::{Init, Lora, Scaling};
use ndarray::{Array1, Axis};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

/// The widths that [`exponents`] looks at, as powers of 2.
pub const WIDTHS: [u32; 8] = [7, 8, 9, 10, 11, 12, 13, 14];
/// The draws of a and x that [`exponents`] takes medians of, at each width.
pub const DRAWS: u64 = 2001;

/// One output, rank 1, no frozen part.
#[derive(Clone, Debug)]
pub struct Toy {
    /// a, \[n\]: A has it as its one row.
    pub a: Array1<f64>,
    /// b.
    pub b: f64,
    /// x, \[n\]: the only input.
    pub x: Array1<f64>,
    /// y, which f should be.
    pub y: f64,
}

impl Toy {
    /// Init\[1\]: aᵀx of order 1, and b = 0. y is 1.
    ///
    /// # Errors
    /// None: rank and scale make sense.
    pub fn init(n: usize, rng: &mut ChaCha8Rng) -> Result<Self> {
        let lora = Lora::init([1, n], 1, 1.0, Scaling::AlphaOverR, Init::default(), rng)?;
        let x = Array1::from_shape_simple_fn(n, || StandardNormal.sample(rng));
        Ok(Self { a: lora.a.remove_axis(Axis(0)), b: 0.0, x, y: 1.0 })
    }

    /// f = b aᵀx.
    pub fn f(&self) -> f64 {
        self.b * self.a.dot(&self.x)
    }

    /// What a step at these rates of a and b changes f by, in three parts: δ¹ = −η_A b² U ‖x‖² through a alone,
    /// δ² = −η_B (aᵀx)² U through b alone, δ³ = η_A η_B U² b (aᵀx) ‖x‖² through both, with U = f − y.
    pub fn deltas(&self, [eta_a, eta_b]: [f64; 2]) -> [f64; 3] {
        let (u, ax, xx) = (self.f() - self.y, self.a.dot(&self.x), self.x.dot(&self.x));
        [
            -eta_a * self.b * self.b * u * xx,
            -eta_b * ax * ax * u,
            eta_a * eta_b * u * u * self.b * ax * xx,
        ]
    }

    /// a ← a − η_A b U x, b ← b − η_B (aᵀx) U.
    pub fn step(&mut self, [eta_a, eta_b]: [f64; 2]) {
        let (u, ax) = (self.f() - self.y, self.a.dot(&self.x));
        self.a.scaled_add(-eta_a * self.b * u, &self.x);
        self.b -= eta_b * ax * u;
    }
}

/// How |δ¹|, |δ²| and |δ³| of the third step grow with the width n, for each choice of the rates \[of a, of b\] by n: the
/// slopes of log₂|δ| over log₂ n, fitted to medians.
///
/// # Errors
/// As [`Toy::init`].
pub fn exponents<const N: usize>(choices: [fn(f64) -> [f64; 2]; N]) -> Result<[[f64; 3]; N]> {
    let mut medians = Vec::new();
    for log_n in WIDTHS {
        let n = 2usize.pow(log_n);
        let mut logs = [const { [const { Vec::new() }; 3] }; N];
        for draw in 0..DRAWS {
            let mut rng = ChaCha8Rng::seed_from_u64(u64::from(log_n) * DRAWS + draw);
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
    Ok(std::array::from_fn(|choice| [0, 1, 2].map(|delta| slope(choice, delta))))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
