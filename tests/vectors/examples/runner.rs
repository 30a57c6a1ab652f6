//! Judges DIR/<id>.safetensors as ../README.md says: cargo run -p lowrank-oracle --example runner DIR
use std::{collections::BTreeMap, error::Error, fs, path::Path};

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// The types that are read; a tensor of another one is as good as missing.
const TYPES: [Dtype; 4] = [Dtype::F64, Dtype::F32, Dtype::BF16, Dtype::F16];

/// By name the shape of each tensor, its type and its numbers; and whether the metadata has an `error`.
type File = (BTreeMap<String, (Vec<usize>, String, Vec<f64>)>, bool);

fn read(path: &Path) -> Result<File, Box<dyn Error>> {
    let raw = fs::read(path)?;
    let number = |dtype, bytes: &[u8]| match (dtype, bytes) {
        (Dtype::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]).into(),
        (Dtype::BF16, &[a, b]) => bf16::from_le_bytes([a, b]).into(),
        (Dtype::F16, &[a, b]) => f16::from_le_bytes([a, b]).into(),
        _ => bytes.try_into().map_or(f64::NAN, f64::from_le_bytes),
    };
    let mut tensors = SafeTensors::deserialize(&raw)?.tensors();
    tensors.retain(|(_, view)| TYPES.contains(&view.dtype()));
    let tensors = tensors.into_iter().map(|(name, view)| {
        let numbers = view.data().chunks(view.dtype().bitsize() / 8).map(|bytes| number(view.dtype(), bytes));
        (name, (view.shape().to_vec(), view.dtype().to_string(), numbers.collect()))
    });
    let metadata = SafeTensors::read_metadata(&raw)?.1.metadata().clone().unwrap_or_default();
    Ok((tensors.collect(), metadata.contains_key("error")))
}

/// An error says what is wrong first. A projected gradient X is right if X (s² A Aᵀ) = G holds well enough.
fn check(judge: &Value, case: &Value, (tensors, _): &File, (got, refused): &File) -> Result<(), String> {
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    match (case["class"] == "reject", refused) {
        (true, false) => return Err("should have been refused".into()),
        (false, true) => return Err("refused".into()),
        _ => {}
    }
    for (name, ranges) in case["draws"].as_object().into_iter().flatten() {
        let (_, dtype, p) =
            got.get(&format!("out.{name}")).ok_or(format!("out.{name}: missing, or its type is none of {TYPES:?}"))?;
        let ends = [f64::min, f64::max].map(|end| p.iter().copied().fold(f64::NAN, end));
        let means = [1, 2, 4].map(|k| p.iter().map(|x| x.powi(k)).sum::<f64>() / p.len() as f64);
        for (at, x) in ends.into_iter().chain(means).enumerate() {
            let [low, high] = [0, 1].map(|end| number(&ranges[dtype][at][end]));
            if !(low <= x && x <= high) {
                return Err(format!("{name}: the range or a mean is {x}, not {low} to {high}"));
            }
        }
    }
    for (name, terms) in case["outputs"].as_object().into_iter().flatten() {
        let (shape, _, want) = &tensors[&format!("out.{name}")];
        let given = got.get(&format!("out.{name}")).filter(|got| got.0 == *shape);
        let missing = || format!("out.{name}: missing, or not of shape {shape:?}, or its type is none of {TYPES:?}");
        let (_, dtype, value) = given.ok_or_else(missing)?;
        let tiny = case["underflow"][0].as_str().map_or(f64::NAN, |tiny| number(&judge["tiny"][tiny][dtype]));
        let growths = terms.as_object().into_iter().flatten().map(|(term, row)| {
            let row = row.as_u64().unwrap_or(u64::MAX) as usize;
            (number(&judge["growth"][row][dtype]), &tensors[&format!("gauge.{name}.{term}")].2)
        });
        for (at, (&g, &w)) in value.iter().zip(want).enumerate() {
            let sum: f64 = growths.clone().map(|(growth, gauge)| growth * gauge[at]).sum();
            let limit = tiny * number(&case["underflow"][1]) + sum;
            let solved = |r| -> f64 { (0..r).map(|k| value[at - at % r + k] * number(&case["system"][k][at % r])).sum() };
            let off = if name == "projected_grad_lora_B" { solved(shape[1]) - tensors["out.grad_lora_B"].2[at] } else { g - w };
            // ∞ ≤ ∞ holds, so that finite numbers must be asked for.
            let near = off.is_finite() && w.is_finite() && off.abs() <= limit || g == w || g.is_nan() && w.is_nan();
            let slack = number(&judge["slack"][dtype]) * w.abs();
            let allowed = !limit.is_finite() && !g.is_finite() || limit.is_nan() && off.abs() <= slack;
            if !(near || case["class"] == "acceptable" && allowed) {
                return Err(format!("{name} at {at}: got {g}, want {w}"));
            }
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let (vectors, answers) = (Path::new("tests/vectors"), std::env::args().nth(1).ok_or("name a folder")?);
    let judge: Value = serde_json::from_slice(&fs::read(vectors.join("judge.json"))?)?;
    let (mut judged, mut failed) = (0, 0);
    for (id, case) in judge["cases"].as_object().into_iter().flatten() {
        let (file, answer) = (format!("{id}.safetensors"), format!("{answers}/{id}.safetensors"));
        if Path::new(&answer).exists() {
            let verdict = check(&judge, case, &read(&vectors.join(file))?, &read(answer.as_ref())?);
            (judged, failed) = (judged + 1, failed + i32::from(verdict.is_err()));
            verdict.unwrap_or_else(|why| println!("FAIL {id} {why}"));
        }
    }
    println!("{judged} cases judged, {failed} failed");
    std::process::exit(if failed > 0 { 1 } else { i32::from(judged == 0) * 3 });
}
