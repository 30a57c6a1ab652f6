//! A checkpoint of a few kB: `cargo run -p lowrank-vera --example checkpoint`.
//!
//! The seven projections of three transformer layers under VeRA (arXiv 2310.11454). The file holds b and d of each and the
//! key that A and B were drawn from; reading draws them again and gets the same ΔW to the last bit. Then the rank that so
//! few numbers reach. Not here: PEFT's own folder, which `crates/peft` reads and writes.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use adapter::Adapter;
use ndarray::{Array1, Array2, s};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use tensor_file::{StorageDtype, Stored, TensorFile, to_bytes};
use vera::{Pool, Projections, Sharing, Vera};

type Result<T = (), E = Box<dyn Error>> = std::result::Result<T, E>;

const LAYERS: usize = 3;
/// Name and \[out, in\] of the weights in a layer.
const PROJECTIONS: [(&str, [usize; 2]); 7] = [
    ("q_proj", [96, 96]),
    ("k_proj", [96, 96]),
    ("v_proj", [96, 96]),
    ("o_proj", [96, 96]),
    ("gate_proj", [256, 96]),
    ("up_proj", [256, 96]),
    ("down_proj", [96, 256]),
];
const RANK: usize = 16;
const KEY: u64 = 42;

fn main() -> Result {
    let folder = tempfile::tempdir()?;
    let trained = trained()?;
    let vera_file = folder.path().join("vera.safetensors");
    save(&vera_file, &trained, KEY)?;
    let read = load(&vera_file)?;
    let same = trained.iter().zip(&read).all(|((name, vera), (other, again))| {
        let weight = Array2::zeros((vera.lambda_b.len(), vera.a().ncols()));
        let bits = |vera: &Vera<f32>| {
            vera.delta_weight(weight.view()).map(|delta| delta.mapv(f32::to_bits))
        };
        name == other && bits(vera) == bits(again)
    });
    assert!(same, "the same change of every weight, bit for bit");

    let projections = trained[0].1.projections();
    let shared = 4 * (projections.a().len() + projections.b().len());
    println!("{} adapted weights, f32                    bytes", trained.len());
    println!("  VeRA, r = {RANK}: b, d and the key  {:14}", std::fs::metadata(&vera_file)?.len());
    let numbers: usize = trained.iter().map(|(_, vera)| adapter::tensors::count(vera)).sum();
    println!("    of these the numbers {:23}", 4 * numbers);
    println!("  A and B, drawn again on reading {shared:14}");
    for rank in [1, RANK] {
        let file = folder.path().join("lora.safetensors");
        save_lora(&file, rank)?;
        println!("  LoRA, r = {rank:2}: A and B {:24}", std::fs::metadata(file)?.len());
    }
    println!("  read back: dW of every weight is the same, bit for bit\n");
    ranks()
}

fn shapes() -> impl Iterator<Item = (String, [usize; 2])> {
    (0..LAYERS).flat_map(|layer| {
        PROJECTIONS.map(|(name, shape)| (format!("layers.{layer}.{name}"), shape))
    })
}

/// One A and one B, as PEFT draws them from the key, for all layers.
fn pool(rank: usize, key: u64) -> Result<Pool<f32>, adapter::Error> {
    let shapes = shapes().map(|(_, shape)| shape);
    Pool::new(shapes, Sharing::MaxSlice, |largest| Projections::peft(key, rank, largest))
}

/// Random vectors, in the place of trained ones.
fn trained() -> Result<Vec<(String, Vera<f32>)>> {
    let pool = pool(RANK, KEY)?;
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut vector = |length| Array1::<f32>::random_using(length, StandardNormal, &mut rng);
    let make = |(name, shape @ [out, inputs]): (String, [usize; 2])| {
        Ok((name, Vera::new(vector(out), vector(RANK), inputs, pool.get(shape)?)?))
    };
    shapes().map(make).collect()
}

// ANCHOR: save
/// b and d of every layer, and the key as metadata.
fn save(path: &Path, adapters: &[(String, Vera<f32>)], key: u64) -> Result {
    let tensors = adapters.iter().flat_map(|(name, vera)| {
        [("vera_lambda_b", &vera.lambda_b), ("vera_lambda_d", &vera.lambda_d)].map(
            |(which, vector)| {
                (format!("{name}.{which}"), Stored::new(vector.view(), StorageDtype::F32))
            },
        )
    });
    let metadata = BTreeMap::from([("projection_prng_key".to_owned(), key.to_string())]);
    Ok(std::fs::write(path, to_bytes(tensors, &metadata)?)?)
}

/// The adapters of a file: A and B are drawn from its key.
fn load(path: &Path) -> Result<Vec<(String, Vera<f32>)>> {
    let mut file = TensorFile::open(path)?;
    let key = file.metadata().get("projection_prng_key").ok_or("the file has no key")?;
    let pool = pool(RANK, key.parse()?)?;
    let make = |(name, shape @ [_, inputs]): (String, [usize; 2])| {
        let b = file.numbers(&format!("{name}.vera_lambda_b"))?;
        let d = file.numbers(&format!("{name}.vera_lambda_d"))?;
        Ok((name, Vera::new(b.into(), d.into(), inputs, pool.get(shape)?)?))
    };
    shapes().map(make).collect()
}
// ANCHOR_END: save

/// LoRA's file for the same weights: only its size matters, so it holds zeros.
fn save_lora(path: &Path, rank: usize) -> Result {
    let zeros = Array2::<f32>::zeros((256, 256));
    let tensors = shapes().flat_map(|(name, [out, inputs])| {
        [("lora_A", rank, inputs), ("lora_B", out, rank)].map(|(which, rows, columns)| {
            let tensor = zeros.slice(s![..rows, ..columns]);
            (format!("{name}.{which}"), Stored::new(tensor, StorageDtype::F32))
        })
    });
    Ok(std::fs::write(path, to_bytes(tensors, &BTreeMap::new())?)?)
}

// ANCHOR: ranks
/// The rank of ΔW = Λ_b B Λ_d A for random b and d.
fn ranks() -> Result {
    let [out, inputs] = [96, 64];
    println!("Rank of dW [{out}, {inputs}]");
    println!("    r   trained by VeRA   rank   trained by LoRA for this rank");
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for rank in [1, 8, 32, 64, 128] {
        let projections = Projections::peft(KEY, rank, [out, inputs])?;
        let mut vector = |length| Array1::<f64>::random_using(length, StandardNormal, &mut rng);
        let vera = Vera::new(vector(out), vector(rank), inputs, projections.into())?;
        let delta = vera.delta_weight(Array2::zeros((out, inputs)).view())?;
        let reached = rank::svd(delta.view())?.rank(rank::Tolerance::Numpy);
        println!(
            "  {rank:3} {:17} {reached:6} {:31}",
            adapter::tensors::count(&vera),
            reached * (out + inputs)
        );
    }
    Ok(())
}
// ANCHOR_END: ranks
