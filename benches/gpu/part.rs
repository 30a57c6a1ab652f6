//! A part: what one process does.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use cuda::{Device, Emulator, Gpu, Tf32, bf16};
use oracle::Method;

use super::row::Row;
use super::{Where, checks, times};

#[derive(Subcommand)]
pub enum Part {
    /// What drives the GPU, and one product of each type.
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

#[derive(Args)]
pub struct Times {
    #[arg(long, value_enum)]
    pub dtype: Dtype,
    #[arg(long, value_delimiter = ',', default_value = "lora,lora-fa,vera,delta-lora,lora-plus")]
    pub methods: Vec<Method>,
    /// Tokens of a batch.
    #[arg(long, value_delimiter = ',', default_values_t = [8192, 1024])]
    pub tokens: Vec<usize>,
    /// Weights, out x in.
    #[arg(long, value_delimiter = ',', default_value = "4096x4096")]
    pub weights: Vec<Weight>,
    #[arg(long, value_delimiter = ',', default_values_t = [16])]
    pub ranks: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dtype {
    F64,
    F32,
    Tf32,
    Bf16,
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

#[derive(Clone, Copy, Debug)]
pub struct Weight {
    pub out: usize,
    pub inputs: usize,
}

/// [tokens, in, out, r].
#[derive(Clone, Copy, Debug)]
pub struct Shape(pub [usize; 4]);

fn sizes<const N: usize>(text: &str) -> Option<[usize; N]> {
    let sizes: Option<Vec<usize>> = text.split('x').map(|size| size.parse().ok()).collect();
    sizes?.try_into().ok()
}

impl FromStr for Weight {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let [out, inputs] =
            sizes(text).ok_or_else(|| format!("{text} is no weight: out x in, as 4096x4096"))?;
        Ok(Self { out, inputs })
    }
}

impl FromStr for Shape {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let shape = sizes(text);
        shape.map(Self).ok_or_else(|| format!("{text} is no shape: tokens x in x out x r"))
    }
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
                versioned(&gpu, versions.into())
            }
            (Self::Versions, Where::Emulated) => {
                let device = Emulator::open()?;
                let name = device.name();
                versioned(&device, [("GPU", name)].into())
            }
            (_, Where::Gpu) => self.on(&Gpu::open()?, times::FULL),
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

fn versioned<D: Device>(device: &D, versions: BTreeMap<&str, String>) -> Result<bool> {
    let mut named: BTreeMap<String, String> =
        versions.into_iter().map(|(what, version)| (what.to_owned(), version)).collect();
    named.insert("lowrank".into(), env!("CARGO_PKG_VERSION").into());
    Row::Versions(named).print();
    Ok(checks::products(device))
}
