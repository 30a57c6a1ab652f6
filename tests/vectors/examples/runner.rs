//! Judges DIR/<id>.safetensors as ../README.md says: cargo run -p lowrank-oracle --example runner DIR
mod file;

use std::{env::args, error::Error, path::Path, process::exit};

use ndarray::{Array, Dimension as _};
use serde_json::{Map, Value};

/// An error says what is wrong first. A projected gradient X is right if X (s² A Aᵀ) = G holds well enough.
fn check(judge: &Value, case: &Value, (expected, _): &file::File, (got, refused): &file::File) -> Result<(), Box<dyn Error>> {
    let (number, none) = (|value: &Value| value.as_f64().unwrap_or(f64::NAN), Map::new());
    if *refused != (case["class"] == "reject") {
        return Err(if *refused { "refused" } else { "should have been refused" }.into());
    }
    let missing = |name| format!("out.{name}: missing, not of the right shape, or its type is none of F64, F32, F16, BF16");
    for (name, ranges) in case["draws"].as_object().unwrap_or(&none) {
        let (dtype, p) = got.get(&format!("out.{name}")).ok_or_else(|| missing(name))?;
        let mean = |k| p.mapv(|x| x.powi(k)).mean().unwrap_or(f64::NAN);
        let found = [p.fold(f64::NAN, |a, &b| a.min(b)), p.fold(f64::NAN, |a, &b| a.max(b)), mean(1), mean(2), mean(4)];
        if !(0..5).all(|at| number(&ranges[dtype][at][0]) <= found[at] && found[at] <= number(&ranges[dtype][at][1])) {
            return Err(format!("{name}: range and means are {found:?}, not in {}", ranges[dtype]).into());
        }
    }
    for (name, terms) in case["outputs"].as_object().unwrap_or(&none) {
        let (_, want) = &expected[&format!("out.{name}")];
        let given = got.get(&format!("out.{name}")).filter(|(_, value)| value.shape() == want.shape());
        let (dtype, value) = given.ok_or_else(|| missing(name))?;
        let tiny = &judge["tiny"][case["underflow"][0].as_str().unwrap_or_default()][dtype];
        let mut limit = Array::from_elem(want.shape(), number(tiny) * number(&case["underflow"][1]));
        for (term, row) in terms.as_object().unwrap_or(&none) {
            let growth = &judge["growth"][row.as_u64().unwrap_or(u64::MAX) as usize][dtype];
            limit.scaled_add(number(growth), &expected[&format!("gauge.{name}.{term}")].1);
        }
        let mut off = value - want;
        if name == "projected_grad_lora_B" {
            let row = |row, j: usize| (0..want.shape()[1]).map(move |k| value[[row, k]] * number(&case["system"][k][j]));
            off = Array::from_shape_fn(want.shape(), |at| row(at[0], at[1]).sum::<f64>() - expected["out.grad_lora_B"].1[at]);
        }
        for ((((at, &g), &w), off), limit) in value.indexed_iter().zip(want).zip(off).zip(limit) {
            // ∞ ≤ ∞ holds, so that finite numbers must be asked for.
            let near = off.is_finite() && w.is_finite() && off.abs() <= limit || g == w || g.is_nan() && w.is_nan();
            let slack = limit.is_nan() && off.abs() <= number(&judge["slack"][dtype]) * w.abs();
            if !(near || case["class"] == "acceptable" && (slack || !limit.is_finite() && !g.is_finite())) {
                return Err(format!("{name} at {:?}: got {g}, want {w}", at.slice()).into());
            }
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let (vectors, answers) = (Path::new("tests/vectors"), args().nth(1).ok_or("name a folder")?);
    let judge: Value = serde_json::from_slice(&std::fs::read(vectors.join("judge.json"))?)?;
    let (mut judged, mut failed) = (0, 0);
    for (id, case) in judge["cases"].as_object().ok_or("judge.json has no cases")? {
        let (path, answer) = (vectors.join(format!("{id}.safetensors")), format!("{answers}/{id}.safetensors"));
        if Path::new(&answer).exists() {
            let verdict = check(&judge, case, &file::read(&path)?, &file::read(answer.as_ref())?);
            (judged, failed) = (judged + 1, failed + i32::from(verdict.is_err()));
            verdict.unwrap_or_else(|why| println!("FAIL {id} {why}"));
        }
    }
    println!("{judged} cases judged, {failed} failed");
    exit(if failed > 0 { 1 } else { i32::from(judged == 0) * 3 });
}
