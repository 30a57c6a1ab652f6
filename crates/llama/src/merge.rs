//! Adapters merged into the weights, and what rounding leaves of them.

use std::collections::BTreeMap;

use adapter::{Adapter, Real, check_shape};
use ndarray::{Array2, ArrayView2};
use tensor_file::{Staging, StorageDtype};

use crate::checkpoint::CONFIG;
use crate::error::refused;
use crate::load::Opened;
use crate::save::{self, WEIGHTS};
use crate::{Adapters, Result};

/// What becomes of ΔW when W + ΔW is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MergeReport {
    /// The numbers in the weights that have an adapter.
    pub numbers: usize,
    /// ‖round(W + ΔW) − (W + ΔW)‖ / ‖ΔW‖ over all these weights, in the Frobenius norm. It can be above 1: W is rounded
    /// too.
    pub lost: f64,
    /// The share of the numbers with round(W + ΔW) = W although ΔW is not 0 there.
    pub unchanged: f64,
}

/// Write the Hugging Face folder of a model with its adapters merged in, W + ΔW in `f64` and rounded once to `dtype`. One
/// tensor at a time is in memory: the largest, up to three times in `f64`.
///
/// # Errors
/// An adapter does not fit its weight, a number does not fit `dtype`, which is named, or a file cannot be read or written.
pub fn merge<A: Adapter<f64>>(
    model: &mut Opened,
    adapters: &Adapters<A>,
    dtype: StorageDtype,
    staging: &mut Staging,
) -> Result<MergeReport> {
    let beside = model.files()?;
    let mut rounding = Rounding::default();
    let sites = adapters.iter().map(|((layer, projection), adapter)| {
        (format!("{}.weight", projection.module(layer)), adapter)
    });
    let sites: BTreeMap<String, &A> = sites.collect();
    let tensors = model.config.tensors();
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    staging.write_made(WEIGHTS, dtype, &tensors, &metadata, |name, shape| {
        let Some(adapter) = sites.get(name) else {
            // What is not wider than this need not be read wider.
            return match model.dtype {
                _ if model.is_changed(name) => {
                    encode(name, &model.numbers::<f64>(name, shape)?, dtype)
                }
                StorageDtype::F64 => encode(name, &model.numbers::<f64>(name, shape)?, dtype),
                _ => encode(name, &model.numbers::<f32>(name, shape)?, dtype),
            };
        };
        let numbers = model.numbers::<f64>(name, shape)?;
        let shape = <[usize; 2]>::try_from(shape).expect("a projection is a matrix");
        let mut weight =
            Array2::from_shape_vec(shape, numbers).expect("as many as its shape asks for");
        let delta = adapter.delta_weight(weight.view()).map_err(refused(name))?;
        rounding.add(name, weight.view(), delta.view(), dtype)?;
        weight += &delta;
        Ok(dtype.encode(weight.iter().copied()))
    })?;
    for (name, contents) in &beside {
        staging.write(name, contents)?;
    }
    staging.write(CONFIG, &save::config(&model.config, dtype, &beside))?;
    Ok(rounding.report())
}

/// Numbers as they are, if they fit.
fn encode<T: Real>(name: &str, numbers: &[T], dtype: StorageDtype) -> Result<Vec<u8>> {
    save::check_fits(name, numbers.iter(), dtype)?;
    Ok(dtype.encode(numbers.iter().map(|number| number.to_f64())))
}

/// What [`merge`] would say of one weight, which stays as it is. `name` is what an error calls it.
///
/// # Errors
/// ΔW has another shape than W, or a sum is not finite in `dtype`.
pub fn merge_report(
    name: &str,
    weight: ArrayView2<'_, f64>,
    delta: ArrayView2<'_, f64>,
    dtype: StorageDtype,
) -> Result<MergeReport> {
    let mut rounding = Rounding::default();
    rounding.add(name, weight, delta, dtype)?;
    Ok(rounding.report())
}

/// What was rounded so far.
#[derive(Default)]
struct Rounding {
    /// Σ (round(W + ΔW) − (W + ΔW))².
    lost: f64,
    /// Σ ΔW².
    whole: f64,
    unchanged: usize,
    numbers: usize,
}

impl Rounding {
    fn add(
        &mut self,
        name: &str,
        weight: ArrayView2<'_, f64>,
        delta: ArrayView2<'_, f64>,
        dtype: StorageDtype,
    ) -> Result<()> {
        check_shape(format!("ΔW of {name}"), delta.shape(), weight.shape(), "[out, in] of W")?;
        for (weight, delta) in weight.iter().zip(&delta) {
            let merged = weight + delta;
            let stored = dtype.round(merged);
            if !stored.is_finite() {
                let hint = format!("choose another dtype than {dtype}, or another adapter");
                let name = format!("merged {name}").into();
                return Err(adapter::Error::NotFinite { name, hint: hint.into() }.into());
            }
            self.lost += (stored - merged).powi(2);
            self.whole += delta.powi(2);
            self.unchanged += usize::from(*delta != 0.0 && stored == *weight);
            self.numbers += 1;
        }
        Ok(())
    }

    fn report(&self) -> MergeReport {
        let lost = if self.whole > 0.0 { f64::sqrt(self.lost / self.whole) } else { 0.0 };
        let unchanged = self.unchanged as f64 / self.numbers.max(1) as f64;
        MergeReport { numbers: self.numbers, lost, unchanged }
    }
}

#[cfg(test)]
mod tests {
    use lora::Lora;
    use ndarray::{Array2, array};

    use super::*;
    use crate::{Config, Llama, Projection};

    /// W = 1 everywhere, and ΔW on one weight of 2 × 2.
    fn merged(delta: Array2<f64>, dtype: StorageDtype) -> Result<(Array2<f64>, MergeReport)> {
        let config = Config {
            vocab_size: 2,
            hidden_size: 2,
            intermediate_size: 1,
            num_hidden_layers: 1,
            num_attention_heads: 1,
            num_key_value_heads: 1,
            head_dim: 2,
            ..crate::tiny::config()
        };
        let ones = |_: &str, shape: &[usize]| Ok(vec![1.0; shape.iter().product()]);
        let model = Llama::<f64>::build(config, ones).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let [base, out] = ["base", "out"].map(|name| folder.path().join(name));
        save::save(&model, &base).unwrap();
        let lora = Lora::new(Array2::eye(2), delta, 1.0).unwrap();
        let adapters = Adapters::at(&model.config, [((0, Projection::V), lora)].into()).unwrap();
        let mut staging = Staging::new(&out).unwrap();
        let mut opened = crate::load::open(&base).unwrap();
        let merged = merge(&mut opened, &adapters, dtype, &mut staging);
        let report = match merged {
            Ok(report) => report,
            Err(error) => {
                drop(staging);
                assert!(!out.exists(), "nothing half written");
                return Err(error);
            }
        };
        staging.commit().unwrap();
        let checkpoint = crate::load::load::<f64>(&out).unwrap();
        assert_eq!(checkpoint.dtype, dtype);
        let layer = &checkpoint.model.layers[0];
        assert!(layer.weight(Projection::Q).iter().all(|&weight| weight == 1.0));
        Ok((layer.weight(Projection::V).clone(), report))
    }

    /// Between 1 and 2 the numbers of bf16 are 2⁻⁷ apart, which is 4u for u = 2⁻⁹:
    ///
    /// | ΔW | 1 + ΔW is rounded to | the error |
    /// |---|---|---|
    /// | 4u | 1 + 4u | 0 |
    /// | u | 1, as it was | u |
    /// | 0 | 1, as it should be | 0 |
    /// | 3u | 1 + 4u | u |
    ///
    /// Of ‖ΔW‖² = (16 + 1 + 9) u² that is 2u², and one number of four stays as it was.
    #[test]
    fn a_report_by_hand() {
        let u = 2f64.powi(-9);
        let delta = array![[4.0 * u, u], [0.0, 3.0 * u]];
        let (weight, report) = merged(delta.clone(), StorageDtype::Bf16).unwrap();
        assert_eq!(weight, 1.0 + array![[4.0 * u, 0.0], [0.0, 4.0 * u]], "rounded once");
        assert_eq!(report.numbers, 4);
        assert!((report.lost - (2.0_f64 / 26.0).sqrt()).abs() < 1e-15, "{report:?}");
        assert_eq!(report.unchanged, 0.25);

        let all = MergeReport { numbers: 4, lost: 0.0, unchanged: 0.0 };
        assert_eq!(merged(delta, StorageDtype::F32).unwrap().1, all);
        assert_eq!(merged(Array2::zeros((2, 2)), StorageDtype::Bf16).unwrap().1, all);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let error = merged(array![[0.0, 0.0], [1e6, 0.0]], StorageDtype::F16).unwrap_err();
        let expected = "merged model.layers.0.self_attn.v_proj.weight is not finite: choose another dtype than f16";
        assert!(error.to_string().starts_with(expected), "{error}");
        let error = merged(array![[0.0, f64::NAN], [0.0, 0.0]], StorageDtype::F64).unwrap_err();
        assert!(error.to_string().contains("not finite"), "{error}");
        let error = merged(Array2::zeros((3, 2)), StorageDtype::F64).unwrap_err();
        assert_eq!(error.to_string(), "model.layers.0.self_attn.v_proj.weight");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("weight has shape [2, 2] where [3, 2] is needed"), "{cause}");
    }
}
