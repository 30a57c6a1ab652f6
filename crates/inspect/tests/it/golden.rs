//! Against numpy's SVD of dense matrices and PEFT's own sums (tests/golden/golden.py).

use std::collections::BTreeMap;
use std::path::Path;

use inspect::{
    Budget, Folder, ModuleReport, PEFT_DTYPES, Weights, combine, extract, inspect, resize,
    similarity,
};
use llama::Projection;
use ndarray::Array2;
use peft::StorageDtype;
use serde_json::Value;

use crate::{base, change, golden, opened};

fn expected() -> Value {
    serde_json::from_str(&std::fs::read_to_string(golden("golden.json")).unwrap()).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

/// Both are right to some roundings of f64; LAPACK's and numpy's differ by as much.
#[track_caller]
fn near(got: f64, want: f64, what: &str) {
    assert!((got - want).abs() <= 1e-12, "{what}: {got} and not {want}");
}

/// Singular values, norms, ranks, what a merge loses: of all kinds of adapters.
#[test]
fn what_is_seen_is_what_numpy_sees() {
    let (expected, weights) = (expected(), Weights::new(opened(&base())));
    for (name, kind) in [("one", "Lora"), ("two", "Lora"), ("vectors", "Vera"), ("dora", "Dora")] {
        let folder = Folder::open(&golden(name), Some(&weights)).unwrap();
        assert_eq!(format!("{:?}", folder.kind), kind);
        let mut seen = Vec::new();
        let reports = inspect(&folder, Some(&weights), |name| seen.push(name.to_owned())).unwrap();
        let modules = expected["inspect"][name].as_object().unwrap();
        assert_eq!(seen.iter().collect::<Vec<_>>(), modules.keys().collect::<Vec<_>>());
        for report in &reports {
            check(report, &modules[&report.module]);
        }
        // Without the model the same is known of ΔW; DoRA's is not.
        match (Folder::open(&golden(name), None), kind) {
            (Err(error), "Vera") => assert!(error.to_string().contains("--model"), "{error}"),
            (Ok(folder), "Dora") => {
                let error = inspect(&folder, None, |_| {}).unwrap_err().to_string();
                assert!(error.contains("depends on W: give --model"), "{error}");
            }
            (Ok(folder), _) => {
                let alone = inspect(&folder, None, |_| {}).unwrap();
                for (alone, report) in alone.iter().zip(&reports) {
                    assert_eq!(alone.singular_values, report.singular_values);
                    assert!(alone.relative.is_none() && alone.merged_bf16.is_none());
                }
            }
            (Err(error), _) => panic!("{error}"),
        }
    }
}

#[track_caller]
fn check(report: &ModuleReport, want: &Value) {
    let module = &report.module;
    for (i, sigma) in want["singular_values"].as_array().unwrap().iter().enumerate() {
        let got = report.singular_values.get(i).copied().unwrap_or(0.0);
        near(got, number(sigma), &format!("{module}: σ{}", i + 1));
    }
    near(report.norm, number(&want["norm"]), module);
    near(report.relative.unwrap(), number(&want["relative"]), module);
    // Of noise, numpy's and ours differ: it is a hundred times what is computed with.
    let ranks = [("effective_rank", report.effective_rank), ("stable_rank", report.stable_rank)];
    for (name, got) in ranks {
        assert!((got - number(&want[name])).abs() <= 1e-10, "{module}: {name} {got}");
    }
    assert_eq!(report.is_dead(), number(&want["norm"]) == 0.0);
    let merge = report.merged_bf16.unwrap();
    near(merge.lost, number(&want["lost"]), &format!("{module}: lost in a merge"));
    near(merge.unchanged, number(&want["unchanged"]), &format!("{module}: unchanged"));
    match want.get("numerical_rank") {
        None if report.scale.is_none() || report.alpha == Some(3.0) => {}
        None => panic!("{module} has a scale"),
        Some(ranks) => {
            near(report.scale.unwrap(), number(&want["scale"]), module);
            for (dtype, got) in PEFT_DTYPES.iter().zip(report.numerical_rank) {
                assert_eq!(
                    got,
                    ranks[dtype.name()].as_u64().map(|n| n as usize),
                    "{module} {dtype}"
                );
            }
        }
    }
}

#[test]
fn what_two_have_in_common_is_what_numpy_says() {
    let expected = expected();
    let [one, two] =
        ["one", "two"].map(|name| Folder::open(&golden(name), None).unwrap().factors().unwrap());
    for (module, want) in expected["similarity"].as_object().unwrap() {
        let got = similarity(module, &one[module], &two[module]).unwrap();
        if want.is_null() {
            assert_eq!([got.cosine, got.input, got.output], [None; 3], "{module}: one is 0");
            continue;
        }
        assert_eq!(
            got.ranks.to_vec(),
            serde_json::from_value::<Vec<usize>>(want["ranks"].clone()).unwrap()
        );
        near(got.cosine.unwrap(), number(&want["cosine"]), "cosine");
        near(got.input.unwrap(), number(&want["input"]), "input");
        near(got.output.unwrap(), number(&want["output"]), "output");
        let same = similarity(module, &one[module], &one[module]).unwrap();
        for value in [same.cosine, same.input, same.output] {
            near(value.unwrap(), 1.0, module);
        }
    }
}

/// PEFT's "cat" by stacking, and its "svd" as the truncation, module by module.
#[test]
fn sums_are_those_of_peft() {
    let expected = expected();
    let folders = ["one", "two"].map(|name| Folder::open(&golden(name), None).unwrap());
    let weights: Vec<f64> = serde_json::from_value(expected["weights"].clone()).unwrap();
    let terms: Vec<_> = weights.into_iter().zip(&folders).collect();
    for (kind, budget) in [("cat", None), ("svd", Some(Budget::Rank(2)))] {
        let (fitted, config) = combine(&terms, budget, StorageDtype::F64, |_| {}).unwrap();
        let want: BTreeMap<String, Vec<Vec<f64>>> =
            serde_json::from_value(expected[kind].clone()).unwrap();
        assert_eq!(fitted.modules.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
        for (module, lora) in &fitted.modules {
            let delta = lora.b.dot(&lora.a) * lora.scale;
            let rows = &want[module];
            let want = Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap();
            let off = (&delta - &want).iter().fold(0.0, |most: f64, value| most.max(value.abs()));
            // PEFT rounds a weight times a scale and a product to f64 in another order.
            assert!(off <= 1e-14, "{kind} {module}: off by {off}");
        }
        for fit in &fitted.fits {
            assert!(fit.error - fit.least <= 1e-15, "{fit:?}");
            assert!(budget.is_some() || fit.least == 0.0, "{fit:?}");
        }
        assert_eq!(config.base_model_name_or_path.as_deref(), Some("base"));
        // They differ in their targets: exactly the modules that are there.
        assert!(config.target_modules.is_empty());
    }
}

/// The norm and the error that numpy has for the same change of the same weights.
#[test]
fn what_was_changed_is_extracted() {
    let (expected, from) = (&expected()["extract"], base());
    let mut to = from.clone();
    change(&mut to);
    to.norm *= 1.5;
    let rank = expected["rank"].as_u64().unwrap() as usize;
    let budget = Budget::Rank(rank);
    let (mut from, mut to) = (opened(&from), opened(&to));
    let (fitted, outside) =
        extract(&mut from, &mut to, &Projection::ALL, budget, StorageDtype::F64, |_| {}).unwrap();
    let modules = expected["modules"].as_object().unwrap();
    assert_eq!(fitted.modules.keys().collect::<Vec<_>>(), modules.keys().collect::<Vec<_>>());
    assert_eq!(fitted.fits.len(), 14);
    for fit in &fitted.fits {
        let Some(want) = modules.get(&fit.module) else {
            assert_eq!((fit.rank, fit.norm, fit.error), (0, 0.0, 0.0), "{fit:?}");
            continue;
        };
        assert_eq!(fit.rank, rank);
        near(fit.norm, number(&want["norm"]), &fit.module);
        near(fit.error, number(&want["error"]), &fit.module);
        near(fit.least, number(&want["error"]), &fit.module);
    }
    let [norm] = &outside[..] else { panic!("{outside:?}") };
    assert_eq!(norm.name, "model.norm.weight");
    near(norm.relative.unwrap(), 0.5, "the norm's change");

    // In bf16 rounding adds to it, and the error that is told is that of what is stored.
    let (rounded, _) =
        extract(&mut from, &mut to, &[Projection::Q], budget, StorageDtype::Bf16, |_| {}).unwrap();
    for fit in &rounded.fits {
        let lora = &rounded.modules[&fit.module];
        assert!(lora.a.iter().all(|&number| StorageDtype::Bf16.round(number) == number));
        assert!(fit.error > fit.least + 1e-6, "{fit:?}");
    }
}

#[test]
fn models_that_cannot_be_subtracted_are_refused() {
    let from = base();
    let says = |change: fn(&mut llama::Llama<f64>)| {
        let mut to = from.clone();
        change(&mut to);
        let (budget, dtype) = (Budget::Rank(1), StorageDtype::F32);
        let (mut from, mut to) = (opened(&from), opened(&to));
        let result = extract(&mut from, &mut to, &[Projection::Q], budget, dtype, |_| {});
        result.unwrap_err().to_string()
    };
    let text = says(|model| {
        model.layers.pop();
        model.config.num_hidden_layers = 1;
    });
    assert!(
        text.starts_with("num_hidden_layers is 2 in the base and 1 in the tuned model"),
        "{text}"
    );
    let text = says(|model| model.config.rope_theta = 5.0);
    assert!(text.starts_with("rope_theta is "), "{text}");
    let text = says(|model| model.layers[1].weight_mut(Projection::Q)[[0, 0]] = f64::NAN);
    assert_eq!(text, "model.layers.1.self_attn.q_proj");
}

#[test]
fn adapters_of_another_model_are_refused() {
    let mut model = base();
    model.layers.pop();
    model.config.num_hidden_layers = 1;
    let weights = Weights::new(opened(&model));
    let error = Folder::open(&golden("one"), Some(&weights)).unwrap_err().to_string();
    assert!(error.contains("the model has no model.layers.1.mlp.down_proj"), "{error}");
    let mut config = base().config;
    config.num_key_value_heads = config.num_attention_heads;
    let zeros = |_: &str, shape: &[usize]| Ok(vec![0.0; shape.iter().product()]);
    let weights = Weights::new(opened(&llama::Llama::build(config, zeros).unwrap()));
    let error = Folder::open(&golden("one"), Some(&weights)).unwrap_err();
    assert_eq!(error.to_string(), "model.layers.0.self_attn.v_proj");

    let dora = Folder::open(&golden("dora"), None).unwrap();
    let error = resize(&dora, Budget::Rank(1), StorageDtype::F32, |_| {}).unwrap_err();
    assert!(error.to_string().contains("a DoRA adapter's ΔW depends on W"), "{error}");
}

/// PiSSA's start was taken out of W: with the model it is the LoRA of twice the rank that it is on W.
#[test]
fn a_start_that_was_taken_out_of_w_is_seen_with_the_model() {
    let others = Path::new(env!("CARGO_MANIFEST_DIR")).join("../methods/tests/golden");
    let weights = Weights::new(llama::load::open(others.join("untied")).unwrap());
    let folder = Folder::open(&others.join("pissa"), Some(&weights)).unwrap();
    assert!(folder.modules.values().all(|module| module.rank() == 4));
    let error = Folder::open(&others.join("pissa"), None).unwrap_err().to_string();
    assert!(error.contains("so W is needed to read it"), "{error}");
}

/// Folders of PEFT's that hold more than adapters of linear layers: all is seen, and nothing of it lost in another adapter.
#[test]
fn what_is_beside_linear_layers_is_named() {
    let others = Path::new(env!("CARGO_MANIFEST_DIR")).join("../methods/tests/golden");
    for (name, base, beside, module) in [
        ("embedding_tied", "tied", "model.embed_tokens", "model.embed_tokens"),
        ("head_tied", "tied", "lm_head.weight", "lm_head"),
        (
            "lora_bias",
            "untied",
            "model.layers.0.self_attn.o_proj",
            "model.layers.1.self_attn.q_proj",
        ),
        ("saved_dora", "untied", "model.norm.weight", "model.layers.0.mlp.down_proj"),
        ("decoder", "untied", "norm.weight", "layers.0.mlp.down_proj"),
    ] {
        let weights = Weights::new(llama::load::open(others.join(base)).unwrap());
        let folder = Folder::open(&others.join(name), Some(&weights)).unwrap();
        assert!(folder.beside.iter().any(|other| other == beside), "{name}: {:?}", folder.beside);
        let reports = inspect(&folder, Some(&weights), |_| {}).unwrap();
        assert!(reports.iter().any(|r| r.module == module && r.relative.is_some()), "{name}");

        let resized = resize(&folder, Budget::Rank(1), StorageDtype::F32, |_| {}).unwrap_err();
        let sum = combine(&[(1.0, &folder)], None, StorageDtype::F32, |_| {}).unwrap_err();
        for error in [resized, sum] {
            assert!(error.to_string().contains("too, which would be lost"), "{name}: {error}");
        }
    }
}
