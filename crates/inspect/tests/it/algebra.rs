//! What must hold of any adapter.

use std::collections::BTreeMap;
use std::path::Path;

use inspect::{Budget, Factors, Folder, Module, combine, inspect, resize, similarity};
use lora::Lora;
use ndarray::{Array1, Array2, Axis, concatenate};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use peft::{Kind, LoraConfig, StorageDtype};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn gaussian(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::random_using((rows, columns), StandardNormal, &mut rng)
}

fn lora(out: usize, rank: usize, inputs: usize, scale: f64, seed: u64) -> Lora<f64> {
    Lora::new(gaussian(rank, inputs, seed), gaussian(out, rank, !seed), scale).unwrap()
}

fn folder(modules: impl IntoIterator<Item = (&'static str, Lora<f64>)>) -> Folder {
    let modules: BTreeMap<String, Lora<f64>> =
        modules.into_iter().map(|(name, lora)| (name.to_owned(), lora)).collect();
    // α for the scales as they are.
    let config = peft::LoraFolder::new(LoraConfig::default(), modules.clone()).unwrap().config;
    let modules = modules.into_iter().map(|(name, lora)| (name, Module::Lora(lora))).collect();
    let (path, kind, dtype) = ("adapter".into(), Kind::Lora, StorageDtype::F64);
    Folder { path, kind, config, dtype, modules, beside: Vec::new() }
}

fn dense(lora: &Lora<f64>) -> Array2<f64> {
    lora.b.dot(&lora.a) * lora.scale
}

fn norm(matrix: &Array2<f64>) -> f64 {
    matrix.iter().fold(0.0, |norm: f64, number| norm.hypot(*number))
}

/// Hadamard's matrix of order 8, whose columns are orthogonal: B and A with these columns and rows, sized, give a ΔW whose
/// singular values are 8 s times the sizes.
#[test]
fn singular_values_that_are_known() {
    let hadamard = Array2::from_shape_fn((8, 8), |(i, j)| {
        if (i & j).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 }
    });
    let sizes = ndarray::array![1.0, 0.5, 2.0, 0.0];
    let b = &hadamard.slice(ndarray::s![.., ..4]) * &sizes;
    let a = hadamard.slice(ndarray::s![2..6, ..]).to_owned();
    let folder = folder([("q_proj", Lora::new(a, b, 0.5).unwrap())]);
    let report = inspect(&folder, None, |_| {}).unwrap().remove(0);
    let want = [8.0, 4.0, 2.0, 0.0];
    for (got, want) in report.singular_values.iter().zip(want) {
        assert!((got - want).abs() <= 1e-14, "{:?}", report.singular_values);
    }
    assert_eq!(report.numerical_rank, [Some(3); 3]);
    assert!((report.norm - 84f64.sqrt()).abs() <= 1e-14);
    assert!((report.stable_rank - 84.0 / 64.0).abs() <= 1e-14);
}

/// A number that f16 does not have: no rank is claimed for it.
#[test]
fn what_does_not_fit_a_type_has_no_rank_there() {
    let large = Lora::new(ndarray::array![[1e5]], ndarray::array![[1.0]], 1.0).unwrap();
    let report = inspect(&folder([("q_proj", large)]), None, |_| {}).unwrap().remove(0);
    assert_eq!(report.numerical_rank, [Some(1), None, Some(1)]);
    let large = folder([(
        "q_proj",
        Lora::new(ndarray::array![[1e11]], ndarray::array![[1.0]], 1.0).unwrap(),
    )]);
    let error = resize(&large, Budget::Rank(1), StorageDtype::F16, |_| {}).unwrap_err();
    assert_eq!(error.to_string(), "q_proj: a number is too large for f16: choose another dtype");
}

#[test]
fn budgets_without_sense_are_refused() {
    let folder = folder([("q_proj", lora(3, 2, 4, 1.0, 1))]);
    let says = |budget| resize(&folder, budget, StorageDtype::F32, |_| {}).unwrap_err().to_string();
    assert_eq!(says(Budget::Rank(0)), "rank is 0: a rank is at least 1");
    for energy in [0.0, -0.5, 1.5, f64::NAN] {
        let text = says(Budget::Energy(energy));
        assert!(text.starts_with(&format!("energy is {energy}: it is a share")), "{text}");
    }
}

#[test]
fn sums_of_what_does_not_go_together_are_refused() {
    let terms = |first: &Folder, second: &Folder, weight: f64| {
        let terms = [(1.0, first), (weight, second)];
        combine(&terms, None, StorageDtype::F64, |_| {}).map(|(_, config)| config)
    };
    let first = folder([("q_proj", lora(3, 2, 4, 1.0, 1))]);
    let mut second = folder([("q_proj", lora(4, 2, 3, 1.0, 1))]);
    second.path = "second".into();
    let text = terms(&first, &second, 1.0).unwrap_err().to_string();
    assert!(
        text.starts_with("second: q_proj is for a weight of shape [4, 3], and [3, 4] in an"),
        "{text}"
    );

    let mut second = folder([("k_proj", lora(4, 2, 3, 1.0, 1))]);
    let text = terms(&first, &second, f64::NAN).unwrap_err().to_string();
    assert!(text.contains("is NaN: it must be finite"), "{text}");
    let mut named = first.clone();
    named.config.base_model_name_or_path = Some("a".into());
    // One does not say: it is the other's.
    assert_eq!(terms(&named, &second, 1.0).unwrap().base_model_name_or_path.unwrap(), "a");
    assert_eq!(terms(&second, &named, 1.0).unwrap().base_model_name_or_path.unwrap(), "a");
    second.config.base_model_name_or_path = Some("b".into());
    let text = terms(&named, &second, 1.0).unwrap_err().to_string();
    assert!(text.contains("base_model_name_or_path is \"b\", and \"a\" in an adapter"), "{text}");
    let nothing = combine(&[], None, StorageDtype::F64, |_| {}).unwrap_err().to_string();
    assert!(nothing.contains("nothing to combine"), "{nothing}");
}

/// What agrees is kept: the targets as they were listed, the base, the dropout.
#[test]
fn a_sum_is_for_what_its_terms_are_for() {
    let mut first = folder([("q_proj", lora(3, 2, 4, 1.0, 1)), ("v_proj", lora(3, 2, 4, 1.0, 2))]);
    first.config.target_modules = vec!["v_proj".into(), "q_proj".into()];
    first.config.lora_dropout = 0.1;
    first.config.task_type = Some("CAUSAL_LM".into());
    let mut second = first.clone();
    second.config.target_modules.reverse();
    let both = [(1.0, &first), (1.0, &second)];
    let (_, config) = combine(&both, None, StorageDtype::F64, |_| {}).unwrap();
    assert_eq!(config.target_modules, ["q_proj", "v_proj"]);
    assert_eq!((config.lora_dropout, config.task_type.as_deref()), (0.1, Some("CAUSAL_LM")));
    second.config.lora_dropout = 0.2;
    second.config.target_modules.clear();
    let both = [(1.0, &first), (1.0, &second)];
    let (_, config) = combine(&both, None, StorageDtype::F64, |_| {}).unwrap();
    assert_eq!((config.lora_dropout, config.target_modules.len()), (0.0, 0));
}

/// Written, read back, and nothing else touched; a module whose ΔW is 0 is not there, and no target asks for it.
#[test]
fn a_folder_is_written_whole_or_not_at_all() {
    let mut dead = lora(3, 2, 4, 1.0, 2);
    dead.b.fill(0.0);
    let mut adapter = folder([("q_proj", lora(3, 2, 4, 1.0, 1)), ("v_proj", dead)]);
    adapter.config.target_modules = vec!["q_proj".into(), "v_proj".into()];
    adapter.config.base_model_name_or_path = Some("base".into());
    let fitted = || resize(&adapter, Budget::Rank(1), StorageDtype::F16, |_| {}).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    fitted().write(&out, &adapter.config).unwrap();
    let again = Folder::open(&out, None).unwrap();
    assert_eq!(again.config.target_modules, ["q_proj"]);
    assert_eq!(again.config.base_model_name_or_path.as_deref(), Some("base"));
    assert_eq!((again.dtype, again.modules.len()), (StorageDtype::F16, 1));

    let files = |folder: &Path| std::fs::read_dir(folder).unwrap().count();
    let before = files(&out);
    let error = fitted().write(&out, &adapter.config).unwrap_err().to_string();
    assert!(error.contains("something is there already"), "{error}");
    assert_eq!(files(&out), before);
    let file = directory.path().join("file");
    std::fs::write(&file, "text").unwrap();
    assert!(fitted().write(&file, &adapter.config).is_err());

    adapter.modules.remove("q_proj");
    let nothing = resize(&adapter, Budget::Energy(1.0), StorageDtype::F32, |_| {}).unwrap();
    let error = nothing.write(&directory.path().join("none"), &adapter.config).unwrap_err();
    assert!(error.to_string().contains("there is nothing to write"), "{error}");
    assert!(!directory.path().join("none").exists());
}

/// \[out, r, in\], a scale and a seed.
fn adapters() -> impl Strategy<Value = (usize, usize, usize, f64, u64)> {
    (1..10usize, 1..5usize, 1..10usize, prop::sample::select(vec![0.25, 1.0, 3.0]), any::<u64>())
}

proptest! {
    /// Eckart & Young: what `resize` leaves is √(σᵣ₊₁² + …), and no more than it says, and it is the dense SVD's.
    #[test]
    fn a_resized_adapter_is_the_nearest((out, r, inputs, scale, seed) in adapters(), rank in 1..5usize) {
        let adapter = lora(out, r, inputs, scale, seed);
        let delta = dense(&adapter);
        let svd = rank::svd(delta.view()).unwrap();
        let fitted = resize(&folder([("m", adapter)]), Budget::Rank(rank), StorageDtype::F64, |_| {}).unwrap();
        let fit = &fitted.fits[0];
        prop_assert!(fit.rank <= rank.min(r));
        let slack = 1e-13 * (1.0 + norm(&delta));
        prop_assert!((fit.error - svd.tail(rank)).abs() <= slack, "{fit:?}, {:?}", svd.s);
        prop_assert!((norm(&(dense(&fitted.modules["m"]) - &delta)) - fit.error).abs() <= slack);
        prop_assert_eq!(fitted.modules["m"].scale, 1.0);
    }

    /// The share that is asked for is kept, at the smallest rank.
    #[test]
    fn a_share_is_kept((out, r, inputs, scale, seed) in adapters(), energy in 0.01..1.0f64) {
        let adapter = folder([("m", lora(out, r, inputs, scale, seed))]);
        let fitted = resize(&adapter, Budget::Energy(energy), StorageDtype::F64, |_| {}).unwrap();
        let fit = &fitted.fits[0];
        prop_assert!((fit.error / fit.norm).powi(2) <= 1.0 - energy + 1e-12, "{fit:?}");
        if fit.rank > 1 {
            let less = resize(&adapter, Budget::Rank(fit.rank - 1), StorageDtype::F64, |_| {}).unwrap();
            prop_assert!((less.fits[0].error / fit.norm).powi(2) > 1.0 - energy - 1e-12);
        }
    }

    /// Stacked, the sum is exact: of different ranks and scales, on modules that only one has too.
    #[test]
    fn a_sum_is_exact(
        (out, r, inputs, scale, seed) in adapters(),
        other in 1..5usize,
        weights in prop::array::uniform2(-2.0..2.0f64),
    ) {
        let (first, second) = (lora(out, r, inputs, scale, seed), lora(out, other, inputs, 0.5, seed ^ 1));
        let alone = lora(2, 1, 3, 1.0, seed);
        let want = dense(&first) * weights[0] + dense(&second) * weights[1];
        let one = folder([("both", first), ("one", alone.clone())]);
        let two = folder([("both", second)]);
        let terms = [(weights[0], &one), (weights[1], &two)];
        let (fitted, _) = combine(&terms, None, StorageDtype::F64, |_| {}).unwrap();
        let both = &fitted.modules["both"];
        prop_assert_eq!((both.a.nrows(), both.scale), (r + other, 1.0));
        prop_assert!(norm(&(dense(both) - &want)) <= 1e-13 * (1.0 + norm(&want)));
        prop_assert_eq!(dense(&fitted.modules["one"]), (&alone.b * weights[0]).dot(&alone.a));
        // Truncated, as far off as the dense sum's SVD says.
        let (fitted, _) = combine(&terms, Some(Budget::Rank(1)), StorageDtype::F64, |_| {}).unwrap();
        let fit = fitted.fits.iter().find(|fit| fit.module == "both").unwrap();
        let least = rank::svd(want.view()).unwrap().tail(1);
        prop_assert!((fit.error - least).abs() <= 1e-12 * (1.0 + norm(&want)), "{fit:?} {least}");
    }

    /// Cosine and φ do not see how a ΔW is divided between B and A, nor how large it is.
    #[test]
    fn similarity_sees_delta_w_alone((out, r, inputs, scale, seed) in adapters(), other in 1..5usize) {
        let first = Factors::of_lora(&lora(out, r, inputs, scale, seed));
        let second = Factors::of_lora(&lora(out, other, inputs, 1.0, !seed));
        let got = similarity("m", &first, &second).unwrap();
        let [one, two] = [&first, &second].map(|f| f.b.dot(&f.a));
        let cosine = (&one * &two).sum() / norm(&one) / norm(&two);
        prop_assert!((got.cosine.unwrap() - cosine).abs() <= 1e-12);
        // 2 and 1/2 are exact, a column that is there twice in halves changes nothing but r.
        let half = &first.b * 0.5;
        let rescaled = Factors {
            b: concatenate(Axis(1), &[half.view(), half.view()]).unwrap() * 4.0,
            a: concatenate(Axis(0), &[first.a.view(), first.a.view()]).unwrap(),
        };
        let again = similarity("m", &rescaled, &second).unwrap();
        for (got, again) in [(got.cosine, again.cosine), (got.output, again.output), (got.input, again.input)] {
            prop_assert!((got.unwrap() - again.unwrap()).abs() <= 1e-9, "{got:?} {again:?}");
        }
        prop_assert_eq!(got.ranks, again.ranks);
    }

    /// VeRA's ΔW from its factors is the one that its own crate computes.
    #[test]
    fn vera_goes_the_same_way((out, r, inputs, _, seed) in adapters()) {
        let projections = vera::Projections::new(gaussian(r, inputs + 2, seed), gaussian(out + 1, r, !seed)).unwrap();
        let vector = |n, seed| -> Array1<f64> { gaussian(1, n, seed).remove_axis(Axis(0)) };
        let vera = vera::Vera::new(vector(out, seed), vector(r, !seed), inputs, projections.into()).unwrap();
        let module = Module::Vera(vera);
        let weight = Array2::zeros((out, inputs));
        let (factors, delta) = (module.factors().unwrap(), module.delta_weight(weight.view()).unwrap());
        prop_assert!(norm(&(factors.b.dot(&factors.a) - &delta)) <= 1e-13 * (1.0 + norm(&delta)));
        prop_assert_eq!(module.shape(), [out, inputs]);
    }
}
