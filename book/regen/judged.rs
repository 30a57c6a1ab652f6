//! The chapter's wrong answer beside the right one: how many times the bound each tensor is off.

use std::path::Path;

use anyhow::{Context, Result};
use ndarray::{Array2, Ix2};
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
    let panel = |title: &str, scale| -> Result<Panel> {
        let values = rhos(&file, scale)?.map(|rho| match rho {
            0.0 => (0.0, "0".to_owned()),
            // A power of ten is as long as its exponent.
            rho => (rho.log10().max(0.0), format!("10 to the power {:.0}", rho.log10())),
        });
        Ok(Panel { title: title.into(), values: values.into() })
    };
    let bars = Bars {
        title: "ρ of one case".into(),
        names: OUTPUTS.map(|(_, name)| name.to_owned()).into(),
        panels: vec![panel("s = α", alpha)?, panel("s = α/r", alpha / rank)?],
    };
    let caption = "The error in units of the bound, in f64. With the wrong s every tensor is off by a huge multiple; with the right one the bound is kept, and a bar has no \
                   length. Drawn by <code>cargo xtask regen</code>.";
    Ok(vec![Page::rounded(
        "judge-rho.svg.html",
        figure("charts", &[bars.draw("judge-rho")], caption),
    )])
}

fn matrix(file: &TensorFile, name: &str) -> Result<Array2<f64>> {
    let tensor = file.tensors.get(&format!("in.{name}")).with_context(|| format!("no {name}"))?;
    Ok(tensor.to_f64()?.into_dimensionality::<Ix2>()?)
}

/// ρ of LoRA's outputs, computed with this s.
fn rhos(file: &TensorFile, s: f64) -> Result<[f64; 4]> {
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
        submission.tensors.insert(format!("out.{name}"), Tensor::f64(&array.into_dyn()));
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
