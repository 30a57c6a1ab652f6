//! The chapter's wrong answer beside the right one: how many times the bound each tensor is off.

use std::path::Path;

use anyhow::{Context, Result};
use ndarray::{Array2, ArrayD, Ix2};
use oracle::{Options, Tensor, TensorFile, check, read_case};
use picture::{Bars, Panel, figure};

use book::Page;

const OUTPUTS: [(&str, &str); 4] =
    [("y", "y"), ("grad_x", "∂L/∂x"), ("grad_lora_A", "∂L/∂A"), ("grad_lora_B", "∂L/∂B")];

pub fn pages() -> Result<Vec<Page>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors");
    let (case, file) = read_case(&folder.join("lora/backward/plain-bounded.safetensors"))?;
    let alpha = case.params()?.alpha;
    let rank = matrix(&file, "lora_A")?.nrows() as f64;
    let panel = |title: &str, rhos: [f64; 4], shown: fn(f64) -> (f64, String)| Panel {
        title: title.into(),
        values: rhos.map(shown).into(),
    };
    let wrong = rhos(&file, alpha, Tensor::f64)?;
    let right = rhos(&file, alpha / rank, Tensor::f32)?;
    let bars = Bars {
        title: "ρ of one case".into(),
        names: OUTPUTS.map(|(_, name)| name.to_owned()).into(),
        panels: vec![
            panel("s = α, in f64", wrong, |rho| (rho.log10(), power_of_ten(rho))),
            panel("s = α/r, rounded to f32", right, |rho| (rho, two_digits(rho))),
        ],
    };
    let caption = "The error in units of the bound. With the wrong s every tensor is off by a huge multiple, and a bar is as long as the exponent. With the right one \
                   ρ is what rounding to f32 leaves, and 1 would still pass. Drawn by <code>cargo xtask regen</code>.";
    Ok(vec![Page::rounded(
        "judge-rho.svg.html",
        figure("charts", &[bars.draw("judge-rho")], caption),
    )])
}

fn matrix(file: &TensorFile, name: &str) -> Result<Array2<f64>> {
    let tensor = file.tensors.get(&format!("in.{name}")).with_context(|| format!("no {name}"))?;
    Ok(tensor.to_f64()?.into_dimensionality::<Ix2>()?)
}

/// A number with two significant digits.
fn two_digits(number: f64) -> String {
    let places = (1.0 - number.abs().log10().floor()).clamp(0.0, 9.0) as usize;
    format!("{number:.places$}")
}

/// The nearest power of ten.
fn power_of_ten(number: f64) -> String {
    const RAISED: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let exponent = format!("{:.0}", number.log10().max(0.0));
    let raised = exponent.chars().filter_map(|digit| digit.to_digit(10));
    "10".chars().chain(raised.map(|digit| RAISED[digit as usize])).collect()
}

/// ρ of LoRA's outputs, computed with this s and stored `as_type`.
fn rhos(file: &TensorFile, s: f64, as_type: fn(&ArrayD<f64>) -> Tensor) -> Result<[f64; 4]> {
    let [x, w, a, b, g] = [
        matrix(file, "x")?,
        matrix(file, "weight")?,
        matrix(file, "lora_A")?,
        matrix(file, "lora_B")?,
        matrix(file, "grad_y")?,
    ];
    let h = x.dot(&a.t());
    let results = [
        x.dot(&w.t()) + s * h.dot(&b.t()),
        g.dot(&w) + s * g.dot(&b).dot(&a),
        s * g.dot(&b).t().dot(&x),
        s * g.t().dot(&h),
    ];
    let mut submission = TensorFile::default();
    for ((name, _), array) in OUTPUTS.iter().zip(results) {
        submission.tensors.insert(format!("out.{name}"), as_type(&array.into_dyn()));
    }
    let report = check(file, Some(&submission), Options::default())?;
    let mut rhos = [0.0; 4];
    for (rho, (name, _)) in rhos.iter_mut().zip(OUTPUTS) {
        let named = |tensor: &str| tensor == name || tensor == format!("out.{name}");
        let finding = report.findings.iter().find(|finding| named(&finding.tensor));
        *rho = finding.with_context(|| format!("{name} was not judged"))?.rho;
    }
    Ok(rhos)
}
