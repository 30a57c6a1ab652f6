//! How much of a model is in memory while it is looked into. A binary of its own: its allocator has a limit.

use std::alloc::System;
use std::collections::BTreeMap;

use cap::Cap;
use inspect::{Budget, Folder, Weights, extract, inspect};
use llama::{Llama, Projection};
use lora::Lora;
use ndarray::Array2;
use peft::{LoraConfig, LoraFolder, StorageDtype};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Does `work` with so many more bytes than are held now. To ask for more ends the program.
fn within(bytes: usize, work: impl FnOnce()) {
    ALLOCATOR.set_limit(ALLOCATOR.allocated() + bytes).unwrap();
    work();
    ALLOCATOR.set_limit(usize::MAX).unwrap();
}

/// Forty layers, of which one matrix at a time is read: 13 MB in `f64`, of which a tenth has room.
#[test]
fn a_model_is_looked_into_tensor_by_tensor() {
    let mut config = llama::tiny::config();
    (config.hidden_size, config.intermediate_size, config.head_dim) = (64, 128, 16);
    config.num_hidden_layers = 40;
    let mut count = 0;
    let weight = |_: &str, shape: &[usize]| {
        let numbers = shape.iter().product::<usize>();
        count += 1;
        Ok((0..numbers).map(|i| ((i * 31 + count) % 17) as f64 / 17.0).collect())
    };
    let mut model: Llama<f64> = Llama::build(config, weight).unwrap();
    let bytes = 8 * model.parameters();
    let folder = tempfile::tempdir().unwrap();
    let [base, tuned, adapter] = ["base", "tuned", "adapter"].map(|name| folder.path().join(name));
    llama::save::save(&model, &base).unwrap();
    let module = Projection::Q.module(39);
    let lora = Lora::new(Array2::ones((1, 64)), Array2::ones((64, 1)), 0.5).unwrap();
    *model.layers[39].weight_mut(Projection::Q) += 0.5;
    llama::save::save(&model, &tuned).unwrap();
    let modules = BTreeMap::from([(module.clone(), lora)]);
    peft::write(&adapter, &LoraFolder::new(LoraConfig::default(), modules).unwrap()).unwrap();
    drop(model);

    within(bytes / 10, || {
        let weights = Weights::new(llama::load::open(&base).unwrap());
        let folder = Folder::open(&adapter, Some(&weights)).unwrap();
        let reports = inspect(&folder, Some(&weights), |_| {}).unwrap();
        assert!((reports[0].norm - 32.0).abs() < 1e-12 && reports[0].relative.is_some());
    });
    within(bytes / 10, || {
        let [mut base, mut tuned] = [&base, &tuned].map(|path| llama::load::open(path).unwrap());
        let (budget, dtype) = (Budget::Rank(1), StorageDtype::F64);
        let (fitted, outside) =
            extract(&mut base, &mut tuned, &[Projection::Q], budget, dtype, |_| {}).unwrap();
        assert!(fitted.modules.keys().eq([&module]) && outside.is_empty());
    });
}
