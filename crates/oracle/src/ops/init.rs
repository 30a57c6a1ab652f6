//! The distributions that A and B are drawn from, by their moments.
//!
//! An `init` case has no inputs. A submission draws `samples` adapters and gives each tensor as `out.<p>`, \[samples, …\].
//! Judged are, over all its elements, `out.<p>.moments`: the means of x, x² and x⁴; and `out.<p>.support`: the smallest and
//! the largest x. The gauge is the standard error of each mean; 6 of them are allowed. A mean of N draws is nearly normal, and
//! beyond 6 standard errors a normal variable lies once in 5·10⁸. The shipped cases have N ≥ 40,000. On top come 16
//! roundings: of h or σ, of a draw, and of its powers.
//!
//! | distribution | E x² | E x⁴ | E x⁸ | support |
//! |---|---|---|---|---|
//! | U(−h, h) | h²/3 | h⁴/5 | h⁸/9 | ±h |
//! | N(0, σ²) | σ² | 3σ⁴ | 105σ⁸ | ±∞ |
//! | always c | c² | c⁴ | | c |

use std::sync::Arc;

use ndarray::{ArrayD, arr1};

use super::output::Output;
use super::problem::Problem;
use crate::bound::{Bound, Units};
use crate::case::{InitParams, InitScheme, Method};

/// How the elements of a tensor are distributed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Distribution {
    /// The same number always.
    Constant(f64),
    /// Of h².
    Uniform(f64),
    /// Of σ².
    Normal(f64),
}

/// E x, E x², E x⁴, and their standard errors over `count` draws.
fn expected(distribution: Distribution, count: f64) -> [[f64; 3]; 2] {
    let (second, fourth, eighth) = match distribution {
        Distribution::Constant(c) => return [[c, c.powi(2), c.powi(4)], [0.0; 3]],
        Distribution::Uniform(h2) => (h2 / 3.0, h2.powi(2) / 5.0, h2.powi(4) / 9.0),
        Distribution::Normal(variance) => {
            (variance, 3.0 * variance.powi(2), 105.0 * variance.powi(4))
        }
    };
    let variances = [second, fourth - second * second, eighth - fourth * fourth];
    [[0.0, second, fourth], variances.map(|variance| (variance / count).sqrt())]
}

/// Tensor, distribution, number of elements.
fn tensors(problem: &Problem) -> Vec<(&'static str, Distribution, f64)> {
    use Distribution::{Constant, Normal, Uniform};
    let params = &problem.params.init;
    let [n, m, r] = [params.inputs, params.outputs, params.rank].map(|size| size as f64);
    let (a, b) = match params.scheme {
        InitScheme::KaimingUniformA5 => (Uniform(1.0 / n), Constant(0.0)),
        InitScheme::Gaussian => (Normal(1.0 / (r * r)), Constant(0.0)),
        InitScheme::KaimingUniformB => (Constant(0.0), Uniform(1.0 / r)),
        InitScheme::Embedding => (Constant(0.0), Normal(1.0)),
        InitScheme::KaimingUniform => (Uniform(6.0 / n), Uniform(6.0 / r)),
        InitScheme::KaimingNormal => (Normal(2.0 / n), Normal(2.0 / r)),
    };
    match problem.method {
        Method::Vera => vec![
            ("vera_A", a, r * n),
            ("vera_B", b, m * r),
            ("vera_lambda_b", Constant(0.0), m),
            ("vera_lambda_d", Constant(0.1), r), // PEFT's d_initial
        ],
        _ => vec![("lora_A", a, r * n), ("lora_B", b, m * r)],
    }
}

/// The shape of all samples of a tensor.
pub(crate) fn sample_shape(problem: &Problem, tensor: &str) -> Option<Vec<usize>> {
    let InitParams { rank, inputs, outputs, samples, .. } = problem.params.init;
    Some(match tensor {
        "lora_A" | "vera_A" => vec![samples, rank, inputs],
        "lora_B" | "vera_B" => vec![samples, outputs, rank],
        "vera_lambda_b" => vec![samples, outputs],
        "vera_lambda_d" => vec![samples, rank],
        _ => return None,
    })
}

/// The means of x, x² and x⁴.
pub(crate) fn moments(samples: &ArrayD<f64>) -> ArrayD<f64> {
    let mean = |power: i32| sum(samples.iter().map(|x| x.powi(power))) / samples.len() as f64;
    arr1(&[1, 2, 4].map(mean)).into_dyn()
}

/// Neumaier's sum, whose error does not grow with the count: a constant in f64 has a bound of a few units in the last place.
fn sum(numbers: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0, 0.0);
    for x in numbers {
        let next: f64 = sum + x;
        lost += if sum.abs() >= x.abs() { (sum - next) + x } else { (x - next) + sum };
        sum = next;
    }
    sum + lost
}

/// The smallest and the largest; NaN if one is NaN.
pub(crate) fn support(samples: &ArrayD<f64>) -> ArrayD<f64> {
    let start = [f64::INFINITY, f64::NEG_INFINITY];
    let range = samples.iter().fold(start, |[least, most], &x| [least.min(x), most.max(x)]);
    let nan = samples.iter().any(|x| x.is_nan());
    arr1(&if nan { [f64::NAN; 2] } else { range }).into_dyn()
}

/// Moments and support of each tensor.
pub(super) fn distributions(problem: &Problem) -> Vec<Output> {
    let mut outputs = Vec::new();
    for (name, distribution, elements) in tensors(problem) {
        let [means, errors] = expected(distribution, elements * problem.params.init.samples as f64);
        let vector = |numbers: &[f64]| arr1(numbers).into_dyn();
        let (value, gauge) = (vector(&means), vector(&errors));
        let (want, error) = (value.clone(), gauge.clone());
        let bound: Bound =
            Arc::new(move |units| &error * 6.0 + want.mapv(f64::abs) * units.stored(16));
        let tensor = format!("{name}.moments");
        let gauges = vec![("", gauge)];
        outputs.push(Output { name: tensor, value, gauges, bound, residual: None });

        let [low, high] = match distribution {
            Distribution::Constant(c) => [c, c],
            Distribution::Uniform(h2) => [-h2.sqrt(), h2.sqrt()],
            Distribution::Normal(_) => [f64::NEG_INFINITY, f64::INFINITY],
        };
        // How far the range reaches beyond the support.
        let beyond = move |got: &ArrayD<f64>, units: &Units| {
            let (least, most) = (got[[0]], got[[1]]);
            let excess = |inside: bool, by: f64| if inside { 0.0 } else { by };
            // NaN is not inside, and stays.
            let left = if most < least {
                [f64::INFINITY; 2]
            } else {
                [excess(least >= low, low - least), excess(most <= high, most - high)]
            };
            let allowed = [low, high]
                .map(|end| if end.is_finite() { end.abs() * units.stored(16) } else { 0.0 });
            [arr1(&left).into_dyn(), arr1(&allowed).into_dyn()]
        };
        let value = vector(&[low, high]);
        outputs.push(Output {
            name: format!("{name}.support"),
            bound: Arc::new(|units| arr1(&[units.store; 2]).into_dyn()),
            value,
            gauges: Vec::new(),
            residual: Some(Arc::new(beyond)),
        });
    }
    outputs
}

#[cfg(test)]
mod tests {
    use ndarray::ArrayD;

    use super::moments;

    /// Added one after the other, 1,668 times 0.1 end 183 units in the last place below 166.8; 20 are allowed.
    #[test]
    fn the_mean_of_a_constant_is_the_constant() {
        for count in [1, 1668, 1672, 100_003] {
            let got = moments(&ArrayD::from_elem(vec![count], 0.1));
            for (power, got) in [1, 2, 4].into_iter().zip(got) {
                let want = 0.1_f64.powi(power);
                assert!((got - want).abs() <= 2.0 * f64::EPSILON * want, "{count}: {got:e}");
            }
        }
    }
}
