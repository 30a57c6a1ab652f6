//! The layers that are timed and checked, as they are named on the command line.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use oracle::Method;

/// What is timed.
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

/// Of a weight.
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
