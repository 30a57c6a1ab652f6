//! The rule for W, and what all its moves come to, on integers: `==`.
//!
//! SGD at rate 1 with integer gradients keeps A and B integers, and λ s is a power of two times one: nothing rounds. The
//! gradients are drawn, not computed. The rule for W does not ask where they come from.

use adapter::gradcheck::integers;
use adapter::{Adapter, Group, Sgd};
use delta_lora::{DeltaLora, Settings};
use lora::{Grads, Lora};
use ndarray::Array2;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rank::Tolerance;

const OUT: usize = 6;
const INPUTS: usize = 9;
const RANK: usize = 2;
const SCALE: f64 = 0.5;
const LAMBDA: f64 = 3.0;
const UPDATES: u64 = 8;

/// W after each update, W₀ first, and A, B beside it.
struct Run {
    weights: Vec<Array2<f64>>,
    a: Vec<Array2<f64>>,
    b: Vec<Array2<f64>>,
    adapter: DeltaLora<f64>,
}

impl Run {
    fn new(seed: u64, settings: Settings, b_is_zero: bool) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut weight = integers(&mut rng, OUT, INPUTS);
        let (a, mut b) = (integers(&mut rng, RANK, INPUTS), integers(&mut rng, OUT, RANK));
        if b_is_zero {
            b.fill(0.0);
        }
        let lora = Lora::new(a.clone(), b.clone(), SCALE).unwrap();
        let adapter = DeltaLora::new(lora, settings).unwrap();
        let mut run = Self { weights: vec![weight.clone()], a: vec![a], b: vec![b], adapter };
        let mut sgd = Sgd { group: Group { lr: 1.0, weight_decay: 0.0 } };
        for _ in 0..UPDATES {
            let a = integers(&mut rng, RANK, INPUTS);
            let grads = Grads { a, b: integers(&mut rng, OUT, RANK) };
            run.adapter.step(&mut weight, &grads, &mut sgd).unwrap();
            run.weights.push(weight.clone());
            run.a.push(run.adapter.lora.a.clone());
            run.b.push(run.adapter.lora.b.clone());
        }
        run
    }

    fn product(&self, t: u64) -> Array2<f64> {
        self.b[t as usize].dot(&self.a[t as usize])
    }

    /// W₀ and the moves that `rule` makes of A and B.
    fn follow(&self, rule: Rule, start: u64) -> Array2<f64> {
        (1..=UPDATES).fold(self.weights[0].clone(), |weight, t| weight + rule(self, t, start))
    }

    /// The criterion: W_T = W₀ + λ s (B_T A_T − B_K A_K).
    fn telescopes(&self, last: &Array2<f64>, start: u64) -> bool {
        last - &self.weights[0] == (self.product(UPDATES) - self.product(start)) * (LAMBDA * SCALE)
    }
}

fn settings(start_step: u64) -> Settings {
    Settings { lambda: LAMBDA, start_step, include_scale: true }
}

/// The move of W in update t, from a run and K.
type Rule = fn(&Run, u64, u64) -> Array2<f64>;

fn nothing() -> Array2<f64> {
    Array2::zeros((OUT, INPUTS))
}

fn the_rule(run: &Run, t: u64, start: u64) -> Array2<f64> {
    if t > start { (run.product(t) - run.product(t - 1)) * (LAMBDA * SCALE) } else { nothing() }
}

fn product_of_the_differences(run: &Run, t: u64, start: u64) -> Array2<f64> {
    let now = t as usize;
    let (a, b) = (&run.a[now] - &run.a[now - 1], &run.b[now] - &run.b[now - 1]);
    if t > start { b.dot(&a) * (LAMBDA * SCALE) } else { nothing() }
}

fn a_snapshot_first(run: &Run, t: u64, start: u64) -> Array2<f64> {
    if t == start + 1 { nothing() } else { the_rule(run, t, start) }
}

fn off_at_zero(run: &Run, t: u64, start: u64) -> Array2<f64> {
    if start == 0 { nothing() } else { the_rule(run, t, start) }
}

fn one_update_early(run: &Run, t: u64, start: u64) -> Array2<f64> {
    the_rule(run, t, start.saturating_sub(1))
}

fn without_the_scale(run: &Run, t: u64, start: u64) -> Array2<f64> {
    the_rule(run, t, start) / SCALE
}

/// The crate follows the rule update by update; the wrong rules seen in ports do not telescope.
#[test]
fn the_right_rule_and_wrong_ones() {
    for start in [0, 1, 3] {
        let run = Run::new(start, settings(start), false);
        for t in 1..=UPDATES {
            let moved = &run.weights[t as usize] - &run.weights[t as usize - 1];
            assert_eq!(moved, the_rule(&run, t, start), "K = {start}, t = {t}");
            assert_eq!(moved == nothing(), t <= start, "K = {start}, t = {t}");
        }
        assert!(run.telescopes(&run.follow(the_rule, start), start));

        let mut wrong: Vec<(&str, Rule)> = vec![
            ("(B⁺ − B)(A⁺ − A)", product_of_the_differences),
            ("the first update after K only takes a snapshot", a_snapshot_first),
            ("s left out", without_the_scale),
        ];
        match start {
            0 => wrong.push(("K = 0 switches the moves off", off_at_zero)),
            _ => wrong.push(("t ≥ K", one_update_early)),
        }
        for (name, rule) in wrong {
            assert!(!run.telescopes(&run.follow(rule, start), start), "K = {start}: {name}");
        }
    }
}

#[test]
fn without_include_scale_lambda_is_alone() {
    let run = Run::new(1, Settings { include_scale: false, ..settings(2) }, false);
    let (last, first) = (&run.weights[UPDATES as usize], &run.weights[0]);
    assert_eq!(last - first, (run.product(UPDATES) - run.product(2)) * LAMBDA);
}

/// An exact matrix, so LAPACK's or Jacobi's rounding is all that the tolerance must cover.
fn rank_of(matrix: &Array2<f64>) -> usize {
    rank::svd(matrix.view()).unwrap().rank(Tolerance::Numpy)
}

/// However long the run: 2r, and only r when W moves from the start and B₀ = 0, for then B_K A_K = 0.
#[test]
fn the_rank_of_all_moves() {
    for (start, b_is_zero, want) in
        [(0, false, 2 * RANK), (3, false, 2 * RANK), (3, true, 2 * RANK), (0, true, RANK)]
    {
        for seed in 0..20 {
            let run = Run::new(seed, settings(start), b_is_zero);
            let moved = &run.weights[UPDATES as usize] - &run.weights[0];
            assert_eq!(rank_of(&moved), want, "K = {start}, B₀ = 0: {b_is_zero}, seed {seed}");
        }
    }
    // One update: B⁺A⁺ − B A has rank 2r too, (B⁺ − B)(A⁺ − A) no more than r.
    let run = Run::new(1, settings(0), false);
    assert_eq!(rank_of(&the_rule(&run, 1, 0)), 2 * RANK);
    assert_eq!(rank_of(&product_of_the_differences(&run, 1, 0)), RANK);
}

proptest! {
    /// W_T − W₀ = λ s (B_T A_T − B_K A_K), of rank 2r at most; `restore` takes it back; `total` has it, and s B A, as
    /// factors.
    #[test]
    fn the_moves_telescope(
        seed in any::<u64>(),
        start in 0..=UPDATES + 1,
        include_scale in any::<bool>(),
        zero in any::<bool>(),
    ) {
        let run = Run::new(seed, Settings { include_scale, ..settings(start) }, zero);
        let (last, first) = (&run.weights[UPDATES as usize], &run.weights[0]);
        let factor = if include_scale { LAMBDA * SCALE } else { LAMBDA };
        let want = (run.product(UPDATES) - run.product(start.min(UPDATES))) * factor;
        prop_assert_eq!(last - first, want.clone());
        prop_assert!(rank_of(&want) <= 2 * RANK);

        let (a, b) = run.adapter.total().unwrap();
        prop_assert_eq!((a.dim(), b.dim()), ((2 * RANK, INPUTS), (OUT, 2 * RANK)));
        prop_assert_eq!(b.dot(&a), want + run.adapter.delta_weight(last.view()).unwrap());
        let mut restored = last.clone();
        run.adapter.restore(&mut restored).unwrap();
        prop_assert_eq!(&restored, first);
    }
}
