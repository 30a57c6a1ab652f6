//! Every architecture that is read, against transformers in f64: logits, loss and the gradient of every weight.

use adapter::{Decay, Full, FullGrads, Group, Schedule, Sgd};
use llama::load::{load, open};
use llama::save::save;
use llama::{Adapters, Batch, Grads, Masks, Projection, Settings, Train, Trainer, merge};
use lora::Lora;
use ndarray::{Array1, Array2, ArrayViewD, Axis};
use tensor_file::{Staging, StorageDtype};

use crate::architecture_cases::{Case, TOLERANCE, cases, grid};

#[test]
fn logits_losses_and_gradients_are_those_of_transformers() {
    for case in cases() {
        let batch = case.batch();
        let none = Adapters::<Full>::none();
        let (hidden, _) = case.model.forward(&none, &batch, &Masks::new(), Train::Nothing).unwrap();
        case.check("logits", case.model.logits(hidden.view()).view().into_dyn());

        let (count, full) = (batch.predictions() as f64, Adapters::full(&case.model.config));
        let outcome =
            case.model.loss_and_grads(&full, &batch, &Masks::new(), Train::Everything, count);
        let outcome = outcome.unwrap();
        case.check("loss", Array1::from_elem(1, outcome.loss / count).view().into_dyn());
        let Grads { sites, model } = outcome.grads;
        let rest = model.unwrap();
        let mut checked = 2;
        let mut check = |name: &str, gradient: ArrayViewD<'_, f64>| {
            case.check(&format!("grad.{name}"), gradient);
            checked += 1;
        };
        for ((layer, projection), FullGrads { weight }) in sites {
            let name = format!("{}.weight", projection.module(layer));
            check(&name, weight.view().into_dyn());
        }
        check("model.embed_tokens.weight", rest.embedding.view().into_dyn());
        check("model.norm.weight", rest.norm.view().into_dyn());
        rest.head.iter().for_each(|head| check("lm_head.weight", head.view().into_dyn()));
        for (i, vectors) in rest.layers.iter().enumerate() {
            for (name, vector) in vectors.named() {
                check(&format!("model.layers.{i}.{name}"), vector.view().into_dyn());
            }
        }
        assert_eq!(checked, case.expected.len(), "{}: some gradients are missing", case.name);
        let numbers = case.expected.iter().filter(|(name, _)| name.starts_with("grad."));
        let numbers: usize = numbers.map(|(_, gradient)| gradient.len()).sum();
        assert_eq!(case.model.parameters(), numbers, "{}", case.name);
    }
}

/// Reading token by token with a cache gives the logits of the whole sequence, windows and all.
#[test]
fn generation_reads_the_same_logits() {
    for case in cases() {
        let none = Adapters::<Full>::none();
        let mut cache = case.model.cache();
        let sequence = &case.sequences[0];
        // Four tokens at once, then one by one.
        for end in 4..=sequence.len() {
            let tokens = if end == 4 { &sequence[..4] } else { &sequence[end - 1..end] };
            let got = case.model.read(&none, &mut cache, tokens).unwrap();
            let want = case.expected["logits"].index_axis(Axis(0), end - 1);
            for (got, want) in got.iter().zip(want) {
                assert!(
                    (got - want).abs() <= TOLERANCE,
                    "{}, {end} tokens: {got} {want}",
                    case.name
                );
            }
        }
    }
}

/// One step of full fine-tuning moves every tensor against its gradient, biases and norms too; only matrices decay.
#[test]
fn full_fine_tuning_moves_everything() {
    const GROUP: Group = Group { lr: 0.1, weight_decay: 0.5 };
    let settings = Settings {
        train: Train::Everything,
        schedule: Schedule::new(Decay::Constant, 0, 1).unwrap(),
        clip: None,
        dropout: 0.0,
        seed: 0,
    };
    for case in cases() {
        let (before, full) = (case.model.clone(), Adapters::full(&case.model.config));
        let sgd = Box::new(Sgd { group: GROUP });
        let mut trainer = Trainer::new(before.clone(), full, sgd, settings.clone()).unwrap();
        assert_eq!(trainer.trainable(), before.parameters(), "{}", case.name);
        trainer.step(&[case.batch()]).unwrap();
        for ((name, after), (_, before)) in trainer.model.tensors().iter().zip(before.tensors()) {
            let decay = if after.ndim() == 2 { 1.0 - GROUP.lr * GROUP.weight_decay } else { 1.0 };
            let want = &before * decay - &case.expected[&format!("grad.{name}")] * GROUP.lr;
            for (got, want) in after.iter().zip(&want) {
                assert!((got - want).abs() <= TOLERANCE, "{}: {name}: {got} {want}", case.name);
            }
        }
    }
}

/// An adapter beside a bias: the model computes the same once it is merged.
#[test]
fn adapters_are_merged_into_each() {
    let folder = tempfile::tempdir().unwrap();
    for Case { name, model, sequences, .. } in cases() {
        let mut stream = 100;
        let mut matrix = |rows, columns| {
            stream += 1;
            let values = grid(stream).take(rows * columns).map(|n| n / 2000.0).collect();
            Array2::from_shape_vec((rows, columns), values).unwrap()
        };
        let adapters = Adapters::on(&model.config, &Projection::ALL, |_, [out, inputs]| {
            Lora::new(matrix(2, inputs), matrix(out, 2), 0.5)
        });
        let adapters = adapters.unwrap();
        let batch = Batch::next_token([sequences[0].as_slice()]).unwrap();
        let adapted = model.loss(&adapters, &batch).unwrap();
        let plain = model.loss(&Adapters::<Full>::none(), &batch).unwrap();
        let [base, out] = ["base", "out"].map(|part| folder.path().join(format!("{name}-{part}")));
        save(&model, &base).unwrap();
        let mut staging = Staging::new(&out).unwrap();
        merge(&mut open(&base).unwrap(), &adapters, StorageDtype::F64, &mut staging).unwrap();
        staging.commit().unwrap();
        let model = load::<f64>(&out).unwrap().model;
        let merged = model.loss(&Adapters::<Full>::none(), &batch).unwrap();
        assert!((adapted - merged).abs() <= TOLERANCE * merged, "{name}: {adapted} {merged}");
        assert!((adapted - plain).abs() > 1e-3, "{name}: the adapters do nothing");
    }
}
