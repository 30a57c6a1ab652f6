//! Delta-LoRA is LoRA: with the scale s until update K, with a larger one from there.
//!
//! Write f for λ s (or λ, without `include_scale`) and c = 1 + f/s. From update K on, the layer is
//!
//! ```text
//! W_t + s B A = (W₀ − f B_K A_K) + c s B A
//! ```
//!
//! that is LoRA with the scale c s on another frozen weight. Its gradients of A and B are c times Delta-LoRA's. An
//! optimiser that undoes the factor c takes the same steps. With K = 0 and B₀ = 0 the frozen weight is W₀ itself.

use crate::problem::{Problem, SCALE};
use adapter::{AdamVariant, AdamW, Adapter, Group, Optimizer, Sgd};
use delta_lora::{DeltaLora, Settings};
use ndarray::Array2;

const UPDATES: u64 = 50;

fn largest(matrix: &Array2<f64>) -> f64 {
    // A NaN must not be passed over: max ignores it, a sum does not.
    assert!(matrix.sum().is_finite(), "{matrix}");
    matrix.iter().fold(0.0, |max, value| max.max(value.abs()))
}

/// B = 0, as training starts, or not.
fn problem(b_is_zero: bool) -> Problem {
    let mut problem = Problem::new(4);
    if b_is_zero {
        problem.b.fill(0.0);
    }
    problem
}

/// W_T + s B A of Delta-LoRA.
fn delta_lora(
    problem: &Problem,
    settings: Settings,
    optimizer: &mut dyn Optimizer<f64>,
) -> Array2<f64> {
    let mut weight = problem.weight.clone();
    let mut delta = DeltaLora::new(problem.lora(), settings).unwrap();
    problem.train(&mut delta, &mut weight, optimizer, UPDATES);
    weight + delta.delta_weight()
}

/// LoRA for K updates, then LoRA with the scale c s on W₀ − f B_K A_K; `rescale` makes the optimiser undo c.
fn lora<O: Optimizer<f64>>(
    problem: &Problem,
    settings: Settings,
    mut optimizer: O,
    rescale: fn(&mut O, f64),
) -> Array2<f64> {
    let (mut frozen, mut lora) = (problem.weight.clone(), problem.lora());
    problem.train(&mut lora, &mut frozen, &mut optimizer, settings.start_step);
    let f = if settings.include_scale { settings.lambda * SCALE } else { settings.lambda };
    frozen.scaled_add(-f, &lora.b.dot(&lora.a));
    lora.scale = SCALE + f;
    rescale(&mut optimizer, 1.0 + f / SCALE);
    problem.train(&mut lora, &mut frozen, &mut optimizer, UPDATES - settings.start_step);
    frozen + lora.delta_weight()
}

/// What rounding may come to: an update errs by ROUNDING, and by η times that over the smallest number the optimiser
/// divides a gradient by; each error grows in the rest of the run as a nudge of W₀ and A₀ does.
fn bound<O: Optimizer<f64> + Clone>(
    problem: &Problem,
    settings: Settings,
    optimizer: &O,
    divisor: f64,
) -> f64 {
    // A dozen products of numbers up to about 10: some tens of roundings of 2⁻⁵³ relative to them.
    const ROUNDING: f64 = 1e-14;
    const NUDGE: f64 = 1e-7;
    let mut nudged = problem.clone();
    nudged.weight += NUDGE;
    nudged.a -= NUDGE;
    let run = |problem| delta_lora(problem, settings, &mut optimizer.clone());
    let growth = largest(&(run(problem) - run(&nudged))) / NUDGE;
    let bound = UPDATES as f64 * growth * ROUNDING * (1.0 + optimizer.group().lr / divisor);
    assert!(bound <= 1e-9, "a bound of {bound:e} proves little");
    bound
}

const SETTINGS: [Settings; 4] = [
    Settings { lambda: 2.0, start_step: 0, include_scale: true },
    Settings { lambda: 0.5, start_step: 0, include_scale: false },
    Settings { lambda: 2.0, start_step: 7, include_scale: true },
    Settings { lambda: 0.5, start_step: 7, include_scale: false },
];

/// How far the two are apart, in units of the bound, for each of the settings, from B₀ = 0 and from another B₀.
fn compare<O: Optimizer<f64> + Clone>(
    all: &[Settings],
    optimizer: &O,
    divisor: f64,
    rescale: fn(&mut O, f64),
) -> Vec<f64> {
    let mut ratios = Vec::new();
    for &settings in all {
        for b_is_zero in [true, false] {
            let problem = problem(b_is_zero);
            let delta = delta_lora(&problem, settings, &mut optimizer.clone());
            let changed = largest(&(&delta - &problem.weight));
            assert!(changed > 0.1, "a run that changes nothing proves nothing");
            let lora = lora(&problem, settings, optimizer.clone(), rescale);
            ratios.push(largest(&(delta - lora)) / bound(&problem, settings, optimizer, divisor));
        }
    }
    ratios
}

/// Under SGD, A ← A − η (c⁻¹ (c g) + β A): the rate η/c, the decay c β. Leave out one of the two and it is another run.
#[test]
fn under_sgd_it_is_lora() {
    let sgd = Sgd { group: Group { lr: 0.005, weight_decay: 0.1 } };
    let ratios = compare(&SETTINGS, &sgd, 1.0, |sgd, c| {
        sgd.group.lr /= c;
        sgd.group.weight_decay *= c;
    });
    assert!(ratios.iter().all(|&ratio| ratio <= 1.0), "{ratios:?}");

    let wrong: [(&str, fn(&mut Sgd, f64)); 3] = [
        ("nothing rescaled", |_, _| {}),
        ("the decay as it was", |sgd, c| sgd.group.lr /= c),
        ("the rate as it was", |sgd, c| sgd.group.weight_decay *= c),
    ];
    for (name, rescale) in wrong {
        let ratios = compare(&SETTINGS, &sgd, 1.0, rescale);
        assert!(ratios.iter().all(|&ratio| ratio > 1e6), "{name}: {ratios:?}");
    }
}

/// ε, and the moments that their gradients would have left.
fn rescaled(adam: &mut AdamW<f64>, c: f64) {
    adam.eps *= c;
    for moments in adam.moments.values_mut() {
        moments.exp_avg *= c;
        moments.exp_avg_sq *= c * c;
    }
}

/// Adam's m/(√v + ε) does not see the factor c when ε has it too. Its decay is apart from the gradient and stays.
#[test]
fn under_adam_it_is_lora() {
    for variant in [AdamVariant::Torch, AdamVariant::Hf] {
        let group = Group { lr: 0.02, weight_decay: 0.1 };
        // So large an ε that a wrong one is seen. It is also the smallest divisor.
        let adam = AdamW { eps: 1e-2, ..AdamW::new(group, variant) };
        let ratios = compare(&SETTINGS, &adam, adam.eps, rescaled);
        assert!(ratios.iter().all(|&ratio| ratio <= 1.0), "{variant:?}: {ratios:?}");

        type Rescale = fn(&mut AdamW<f64>, f64);
        let wrong: [(&str, &[Settings], Rescale); 4] = [
            ("ε as it was", &SETTINGS, |adam, c| {
                rescaled(adam, c);
                adam.eps /= c;
            }),
            ("the rate rescaled", &SETTINGS, |adam, c| {
                rescaled(adam, c);
                adam.group.lr /= c;
            }),
            ("the decay rescaled", &SETTINGS, |adam, c| {
                rescaled(adam, c);
                adam.group.weight_decay *= c;
            }),
            // With K = 0 there are none yet.
            ("the moments as they were", &SETTINGS[2..], |adam, c| adam.eps *= c),
        ];
        for (name, settings, rescale) in wrong {
            let ratios = compare(settings, &adam, adam.eps, rescale);
            assert!(ratios.iter().all(|&ratio| ratio > 1e4), "{name}: {ratios:?}");
        }
    }
}
