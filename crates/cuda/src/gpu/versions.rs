//! What this machine computes with.

use cudarc::driver::sys;

use super::{Gpu, driver, nvrtc_version};
use crate::{Device, Result};

/// The GPU and the versions of what drives it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Versions {
    pub gpu: String,
    /// `sm_90` for example.
    pub architecture: String,
    /// The CUDA that the driver knows.
    pub driver: String,
    pub cublas: String,
    pub cublaslt: String,
    pub nvrtc: String,
}

impl Gpu {
    /// Each as its library says it.
    ///
    /// # Errors
    /// One of them does not say.
    pub fn versions(&self) -> Result<Versions> {
        let [cublas, cublaslt] = self.0.blas.versions()?;
        let (major, minor) = nvrtc_version()?;
        let knows = driver_version()?;
        Ok(Versions {
            gpu: self.name(),
            architecture: self.architecture().to_owned(),
            driver: format!("CUDA {}.{}", knows / 1000, knows % 1000 / 10),
            cublas,
            cublaslt,
            nvrtc: format!("{major}.{minor}"),
        })
    }
}

/// 13000 for CUDA 13.0.
pub(super) fn driver_version() -> Result<i32> {
    let mut version = 0;
    // SAFETY: the driver is there, and the pointer is to a number that lives.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result().map_err(driver("its version"))?;
    Ok(version)
}
