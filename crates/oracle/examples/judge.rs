//! An implementation in Rust, judged: LoRA's forward and backward with a mistake, and without it.
//!
//!     cargo run -p lowrank-oracle --example judge

use std::path::Path;

use ndarray::{Array2, Ix2};
use oracle::{Case, Options, Result, Tensor, TensorFile, Verdict, check, read_case};

// ANCHOR: mine
/// The code to judge: y, ∂L/∂x, ∂L/∂A, ∂L/∂B of y = x Wᵀ + s x Aᵀ Bᵀ. x [tokens, in], W [out, in], A [r, in], B [out, r].
fn mine([x, w, a, b, g]: [&Array2<f64>; 5], s: f64) -> [Array2<f64>; 4] {
    let h = x.dot(&a.t()); // [tokens, r]
    [
        x.dot(&w.t()) + s * h.dot(&b.t()),
        g.dot(w) + s * g.dot(b).dot(a),
        s * g.dot(b).t().dot(x),
        s * g.t().dot(&h),
    ]
}
// ANCHOR_END: mine

// ANCHOR: judge
/// A case, our results for it, the verdict. `scale` says what we take s to be.
fn judge(path: &Path, scale: fn(&Case, f64) -> Result<f64>) -> Result<oracle::Report> {
    let (case, file) = read_case(path)?;
    let input = |name: &str| -> Result<Array2<f64>> {
        let values = file.tensors[&format!("in.{name}")].to_f64()?;
        Ok(values.into_dimensionality::<Ix2>().expect("a matrix"))
    };
    let (x, w, g) = (input("x")?, input("weight")?, input("grad_y")?);
    let (a, b) = (input("lora_A")?, input("lora_B")?);

    let results = mine([&x, &w, &a, &b, &g], scale(&case, a.nrows() as f64)?);
    let mut submission = TensorFile::default();
    for (name, array) in ["y", "grad_x", "grad_lora_A", "grad_lora_B"].iter().zip(results) {
        submission.tensors.insert(format!("out.{name}"), Tensor::f64(&array.into_dyn()));
    }
    check(&file, Some(&submission), Options::default())
}
// ANCHOR_END: judge

fn main() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
    let path = folder.join("lora/backward/plain-bounded.safetensors");

    let wrong = judge(&path, |case, _| Ok(case.params()?.alpha))?;
    println!("s = α:\n\n{wrong}\n");
    assert_eq!(wrong.verdict, Verdict::Fail);

    let right = judge(&path, |case, rank| Ok(case.params()?.alpha / rank))?;
    println!("s = α/r:\n");
    for finding in &right.findings {
        assert_eq!(finding.verdict, Verdict::Pass);
        println!("  {:<12} {}", finding.tensor, finding.verdict);
    }
    Ok(())
}
