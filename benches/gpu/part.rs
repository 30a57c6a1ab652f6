//! A part: what one process does.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Subcommand;
use cuda::{Device, Emulator, Gpu, Tf32, bf16};
use oracle::Method;

use super::layers::{Dtype, Shape, Times};
use super::row::Row;
use super::{Where, checks, libraries, times};

#[derive(Subcommand)]
pub enum Part {
    /// What drives the GPU; products, a kernel and a graph.
    Versions,
    /// Forward, backward and step of each method, beside the two base products.
    Times(Times),
    /// The products of LoRA's step, each alone.
    Products(Times),
    /// Small and odd shapes, masks, and graph against eager.
    Shapes {
        #[arg(long, value_enum)]
        dtype: Dtype,
        #[arg(
            long,
            value_delimiter = ',',
            default_value = "lora,lora-fa,vera,delta-lora,lora-plus"
        )]
        methods: Vec<Method>,
        /// A few of the shapes.
        #[arg(long)]
        quick: bool,
        /// No guard bytes around matrices: under a sanitizer they would hide what it sees.
        #[arg(long)]
        unguarded: bool,
    },
    /// The conformance vectors.
    Vectors {
        #[arg(long, value_enum)]
        dtype: Dtype,
        #[arg(long, default_value = "vectors")]
        folder: PathBuf,
    },
    /// Shapes of real layers, whole, in every type.
    Large {
        /// tokens x in x out x r.
        #[arg(
            long,
            value_delimiter = ',',
            default_value = "256x576x1536x8,1000x1024x768x64,512x2048x2048x16"
        )]
        shapes: Vec<Shape>,
    },
    /// No leak over many steps, and an error where memory ends.
    Memory {
        #[arg(long, default_value_t = 1000)]
        steps: usize,
    },
    /// For the rehearsal: a part that panics.
    #[command(hide = true)]
    Panics,
    /// For the rehearsal: a part that never ends, with a child that does not either.
    #[command(hide = true)]
    Hangs,
}

/// Runs a function that is generic over the element for this type.
macro_rules! of_dtype {
    ($dtype:expr, $element:ident => $body:expr) => {
        match $dtype {
            Dtype::F64 => {
                type $element = f64;
                $body
            }
            Dtype::F32 => {
                type $element = f32;
                $body
            }
            Dtype::Tf32 => {
                type $element = Tf32;
                $body
            }
            Dtype::Bf16 => {
                type $element = bf16;
                $body
            }
        }
    };
}

impl Part {
    /// Whether all of it passed.
    pub fn run(&self, device: Where) -> Result<bool> {
        match (self, device) {
            (Self::Panics, _) => panic!("this part panics"),
            (Self::Hangs, _) => {
                let _child = std::process::Command::new("sleep").arg("600").spawn()?;
                std::thread::sleep(Duration::from_secs(600));
                Ok(false)
            }
            (Self::Versions, Where::Gpu) => {
                let gpu = Gpu::open()?;
                let cuda::Versions { gpu: name, architecture, driver, cublas, cublaslt, nvrtc } =
                    gpu.versions()?;
                let versions = [
                    ("GPU", name),
                    ("architecture", architecture),
                    ("driver knows", driver),
                    ("cuBLAS", cublas),
                    ("cuBLASLt", cublaslt),
                    ("NVRTC", nvrtc),
                ];
                let passed = versioned(&gpu, versions.into());
                planned(&gpu);
                Ok(passed)
            }
            (Self::Versions, Where::Emulated) => {
                let device = Emulator::open()?;
                let name = device.name();
                Ok(versioned(&device, [("GPU", name)].into()))
            }
            (_, Where::Gpu) => {
                let gpu = Gpu::open()?;
                let passed = self.on(&gpu, times::FULL);
                // Of a part that failed too: it may be the reason.
                planned(&gpu);
                passed
            }
            (_, Where::Emulated) => self.on(&Emulator::open()?, times::LEAST),
        }
    }

    fn on<D: Device>(&self, device: &D, effort: cuda::timing::Effort) -> Result<bool> {
        match self {
            Self::Times(what) => {
                of_dtype!(what.dtype, T => times::methods::<T, D>(device, what, effort))
            }
            Self::Products(what) => {
                of_dtype!(what.dtype, T => times::products::<T, D>(device, what, effort))
            }
            Self::Shapes { dtype, methods, quick, unguarded } => {
                if *unguarded {
                    device.accounts().poison();
                } else {
                    device.accounts().guard();
                }
                Ok(of_dtype!(*dtype, T => checks::shapes::<T, D>(device, methods, *quick)))
            }
            Self::Vectors { dtype, folder } => {
                device.accounts().guard();
                of_dtype!(*dtype, T => checks::vectors::<T, D>(device, folder))
            }
            Self::Large { shapes } => Ok(checks::large(device, shapes)),
            Self::Memory { steps } => Ok(checks::memory(device, *steps)),
            Self::Versions | Self::Panics | Self::Hangs => Ok(true),
        }
    }
}

fn versioned<D: Device>(device: &D, versions: BTreeMap<&str, String>) -> bool {
    // Only Linux has it. A version alone would not tell which of two libraries was opened.
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let versions = versions.into_iter().chain(libraries::opened(&maps));
    let mut named: BTreeMap<String, String> =
        versions.map(|(what, version)| (what.to_owned(), version)).collect();
    named.insert("lowrank".into(), env!("CARGO_PKG_VERSION").into());
    Row::Versions(named).print();
    checks::basics(device)
}

fn planned(gpu: &Gpu) {
    let cuda::Plans { cublaslt, cublas, invalid } = gpu.plans();
    Row::Plans { cublaslt, cublas, invalid }.print();
}
