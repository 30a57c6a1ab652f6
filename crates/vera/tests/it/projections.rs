//! A and B: how they are drawn, who shares them, and what rank they give ΔW.

use std::sync::Arc;

use adapter::{Adapter, Ledger};
use ndarray::s;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use vera::{Init, Pool, Projections, Sharing, Vera};

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// ΔW has rank min(r, out, in) though only r + out numbers are trained: Λ_b and Λ_d are invertible once no entry of b and
/// d is 0, and random A and B have full rank.
#[test]
fn the_rank_is_not_limited_by_the_numbers_trained() {
    for r in 1..10 {
        let projections = Projections::init(r, [8, 6], Init::default(), &mut rng(1)).unwrap();
        let mut vera = Vera::<f64>::init([8, 6], 0.1, Arc::new(projections)).unwrap();
        vera.lambda_b.fill(1.0);
        let delta = vera.delta_weight(ndarray::Array2::zeros((8, 6)).view()).unwrap();
        let svd = rank::svd(delta.view()).unwrap();
        assert_eq!(svd.rank(rank::Tolerance::Numpy), r.min(6));
    }
}

/// Three layers share one A and B, or one for each shape: held once, and the same numbers.
#[test]
fn the_projections_are_shared() {
    let make = |shape| Projections::<f64>::init(4, shape, Init::default(), &mut rng(2));
    let shapes = [[6, 5], [3, 7], [6, 5]];
    let layers = |sharing| -> Vec<Vera<f64>> {
        let pool = Pool::new(shapes, sharing, make).unwrap();
        shapes.map(|shape| Vera::init(shape, 0.1, pool.get(shape).unwrap()).unwrap()).into()
    };
    let vectors = (6 + 3 + 6) + 3 * 4;

    let sliced = layers(Sharing::MaxSlice);
    assert_eq!(Ledger::of(&sliced[..]), 8 * (vectors + 4 * (6 + 7)));
    let whole = make([6, 7]).unwrap(); // the largest out and the largest in, of different layers
    for (layer, [out, inputs]) in sliced.iter().zip(shapes) {
        assert_eq!(layer.a(), whole.a().slice(s![.., ..inputs]));
        assert_eq!(layer.b(), whole.b().slice(s![..out, ..]));
    }

    let own = layers(Sharing::PerShape);
    assert_eq!(Ledger::of(&own[..]), 8 * (vectors + 4 * (6 + 5) + 4 * (3 + 7)));
    assert!(Arc::ptr_eq(own[0].projections(), own[2].projections()));
    for (layer, shape) in own.iter().zip(shapes) {
        assert_eq!((layer.a(), layer.b()), (make(shape).unwrap().a(), make(shape).unwrap().b()));
    }
}

/// The three laws: mean and variance within five standard errors, bounds kept.
#[test]
fn the_laws_of_the_projections() {
    let (rank, inputs, outputs) = (64, 200, 300);
    let n = (rank * inputs) as f64;
    let moments = |init| {
        let drawn = Projections::<f64>::init(rank, [outputs, inputs], init, &mut rng(3)).unwrap();
        let mean = drawn.a().sum() / n;
        let variance = drawn.a().mapv(|v| (v - mean).powi(2)).sum() / n;
        let largest = drawn.a().iter().fold(0.0, |max: f64, v| max.max(v.abs()));
        let of_b = drawn.b().mapv(|v| v * v).mean().unwrap();
        (mean, variance, largest, of_b)
    };
    let (fan_in, m) = (inputs as f64, (rank * outputs) as f64);
    let (mean, variance, largest, of_b) = moments(Init::KaimingUniform);
    assert!(mean.abs() <= 5.0 * (2.0 / fan_in / n).sqrt());
    // Var[v²] = (4/5)·Var²: for U(±c) E v⁴ = c⁴/5 and Var = c²/3.
    assert!((variance - 2.0 / fan_in).abs() <= 5.0 * (2.0 / fan_in) * (0.8 / n).sqrt());
    assert!(largest <= (6.0 / fan_in).sqrt());
    // B's fan-in is r.
    assert!((of_b - 2.0 / rank as f64).abs() <= 5.0 * (2.0 / rank as f64) * (0.8 / m).sqrt());
    // Of a normal law Var[v²] = 2·Var², and one of 12,800 numbers lies beyond three σ, where the uniform one ends at √3 σ.
    let (_, variance, largest, of_b) = moments(Init::KaimingNormal);
    assert!((variance - 2.0 / fan_in).abs() <= 5.0 * (2.0 / fan_in) * (2.0 / n).sqrt());
    assert!(largest > 3.0 * (2.0 / fan_in).sqrt());
    assert!((of_b - 2.0 / rank as f64).abs() <= 5.0 * (2.0 / rank as f64) * (2.0 / m).sqrt());
    let (mean, variance, largest, _) = moments(Init::Uniform { low: 0.0, high: 0.1 });
    assert!((mean - 0.05).abs() <= 5.0 * (0.01 / 12.0 / n).sqrt() && largest <= 0.1);
    assert!((variance - 0.01 / 12.0).abs() <= 5.0 * (0.01 / 12.0) * (0.8 / n).sqrt());
}

/// Drawn in f64 and rounded: a seed gives the same projections in both precisions, and another seed others.
#[test]
fn a_seed_decides() {
    for init in [Init::KaimingUniform, Init::KaimingNormal, Init::Uniform { low: -1.0, high: 2.0 }]
    {
        let draw = |seed| Projections::<f64>::init(3, [4, 5], init, &mut rng(seed)).unwrap();
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5), draw(6));
        let narrow = Projections::<f32>::init(3, [4, 5], init, &mut rng(5)).unwrap();
        assert_eq!(draw(5).a().mapv(|v| v as f32), narrow.a());
        assert_eq!(draw(5).b().mapv(|v| v as f32), narrow.b());
        // A comes first: what B needs does not change it.
        let taller = Projections::<f64>::init(3, [9, 5], init, &mut rng(5)).unwrap();
        assert_eq!(draw(5).a(), taller.a());
    }
    assert_ne!(
        Projections::<f32>::peft(1, 3, [4, 5]).unwrap(),
        Projections::<f32>::peft(2, 3, [4, 5]).unwrap()
    );
}

/// The C++ standard ([rand.predef]) says what the Mersenne Twister seeded with 5489 gives at its 10,000th draw:
/// 4123659995. That is the last number of A \[100, 100\]. (`tests/peft_vera.rs` has PEFT's own numbers.)
#[test]
fn peft_draws_from_the_mersenne_twister() {
    let drawn = Projections::<f64>::peft(5489, 100, [1, 100]).unwrap();
    let unit = f64::from(4_123_659_995_u32 % (1 << 24)) / f64::from(1 << 24);
    let bound = (6.0_f64 / 100.0).sqrt();
    // Low, high, their difference and the result are rounded to f32: four times 2⁻²⁴ of at most 2·bound.
    let error = (drawn.a()[[99, 99]] - bound * (2.0 * unit - 1.0)).abs();
    assert!(error <= 8.0 * bound * f64::from(f32::EPSILON) / 2.0, "{error:e}");
    // f64 holds the f32 numbers themselves.
    let narrow = Projections::<f32>::peft(5489, 100, [1, 100]).unwrap();
    assert_eq!(drawn.a(), narrow.a().mapv(f64::from));
    assert_eq!(drawn.b(), narrow.b().mapv(f64::from));
}
