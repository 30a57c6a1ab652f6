//! The options that say which method, and what it is told.

use anyhow::{Result, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use finetune::{Name, Options};
use llama::Projection;
use lora::Scaling;
use lora_fa::Variant;
use vera::Sharing;

/// One method and its options.
#[derive(clap::Args, Clone, Debug)]
pub struct MethodArgs {
    /// Method
    #[arg(long, default_value = "lora", value_parser = PossibleValuesParser::new(Name::ALL.map(Name::name)).try_map(|name| name.parse::<Name>()))]
    pub method: Name,
    /// r, the inner dimension of A and B [default: 8; 256 for vera]
    #[arg(long)]
    pub rank: Option<usize>,
    /// α, the numerator of the scale [default: 16]
    #[arg(long)]
    pub alpha: Option<f64>,
    /// What divides α: r, or √r [default: alpha_over_r]
    #[arg(long, value_enum)]
    pub scaling: Option<ScalingName>,
    /// Projections to adapt, of q_proj k_proj v_proj o_proj gate_proj up_proj down_proj [default: q_proj,v_proj]
    #[arg(long, value_delimiter = ',')]
    pub targets: Option<Vec<String>>,
    /// Dropout on the adapters' inputs
    #[arg(long, default_value_t = 0.0)]
    pub dropout: f64,
    /// B follows its gradient, or the projected one [default: plain]
    #[arg(long, value_enum, help_heading = "LoRA-FA")]
    pub variant: Option<VariantName>,
    /// What b and d share A and B: all layers, or those of one shape [default: max_slice]
    #[arg(long, value_enum, help_heading = "VeRA")]
    pub sharing: Option<SharingName>,
    /// What every entry of d starts with [default: 0.1]
    #[arg(long, help_heading = "VeRA")]
    pub d_init: Option<f64>,
    /// PEFT's projection_prng_key, from which A and B are drawn [default: 0]
    #[arg(long, help_heading = "VeRA")]
    pub projection_key: Option<u64>,
    /// Write A and B too, and not their key alone; per_shape always does
    #[arg(long, help_heading = "VeRA")]
    pub save_projections: bool,
    /// λ: W moves by λ s times what B A moved [default: 2]
    #[arg(long, help_heading = "Delta-LoRA")]
    pub lambda: Option<f64>,
    /// K: W moves from update K + 1 on [default: 500, or a quarter of the steps if that is less]
    #[arg(long, help_heading = "Delta-LoRA")]
    pub start_step: Option<u64>,
    /// Leave s out of W's move
    #[arg(long, help_heading = "Delta-LoRA")]
    pub exclude_scale: bool,
    /// λ: B's learning rate over A's [default: 16]
    #[arg(long, help_heading = "LoRA+")]
    pub lr_ratio: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ScalingName {
    #[value(name = "alpha_over_r")]
    AlphaOverR,
    #[value(name = "rslora")]
    RsLora,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum VariantName {
    Plain,
    Projected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SharingName {
    #[value(name = "max_slice")]
    MaxSlice,
    #[value(name = "per_shape")]
    PerShape,
}

const ADAPTERS: &[Name] = &[Name::Lora, Name::LoraFa, Name::Vera, Name::DeltaLora, Name::LoraPlus];
const WITH_ALPHA: &[Name] = &[Name::Lora, Name::LoraFa, Name::DeltaLora, Name::LoraPlus];

impl MethodArgs {
    /// # Errors
    /// An option of another method was given, or an unknown target.
    pub fn options(&self, steps: usize) -> Result<Options> {
        self.refuse_strangers()?;
        let default = Options::of(self.method);
        let mut delta = default.delta;
        delta.lambda = self.lambda.unwrap_or(delta.lambda);
        delta.start_step = self.start_step.unwrap_or(delta.start_step.min(steps as u64 / 4));
        delta.include_scale = !self.exclude_scale;
        Ok(Options {
            rank: self.rank.unwrap_or(default.rank),
            alpha: self.alpha.unwrap_or(default.alpha),
            scaling: match self.scaling {
                Some(ScalingName::AlphaOverR) => Scaling::AlphaOverR,
                Some(ScalingName::RsLora) => Scaling::RsLora,
                None => default.scaling,
            },
            targets: match &self.targets {
                Some(names) => targets(names)?,
                None => default.targets,
            },
            dropout: self.dropout,
            variant: match self.variant {
                Some(VariantName::Plain) => Variant::Plain,
                Some(VariantName::Projected) => Variant::Projected,
                None => default.variant,
            },
            lr_ratio: self.lr_ratio.unwrap_or(default.lr_ratio),
            delta,
            d_init: self.d_init.unwrap_or(default.d_init),
            sharing: match self.sharing {
                Some(SharingName::MaxSlice) => Sharing::MaxSlice,
                Some(SharingName::PerShape) => Sharing::PerShape,
                None => default.sharing,
            },
            projection_key: self.projection_key.unwrap_or(default.projection_key),
            save_projections: self.save_projections,
        })
    }

    /// An option that the method would not read is a misunderstanding.
    fn refuse_strangers(&self) -> Result<()> {
        let given = [
            ("rank", self.rank.is_some(), ADAPTERS),
            ("targets", self.targets.is_some(), ADAPTERS),
            ("alpha", self.alpha.is_some(), WITH_ALPHA),
            ("scaling", self.scaling.is_some(), WITH_ALPHA),
            ("variant", self.variant.is_some(), &[Name::LoraFa]),
            ("sharing", self.sharing.is_some(), &[Name::Vera]),
            ("d-init", self.d_init.is_some(), &[Name::Vera]),
            ("projection-key", self.projection_key.is_some(), &[Name::Vera]),
            ("save-projections", self.save_projections, &[Name::Vera]),
            ("lambda", self.lambda.is_some(), &[Name::DeltaLora]),
            ("start-step", self.start_step.is_some(), &[Name::DeltaLora]),
            ("exclude-scale", self.exclude_scale, &[Name::DeltaLora]),
            ("lr-ratio", self.lr_ratio.is_some(), &[Name::LoraPlus]),
        ];
        for (option, given, methods) in given {
            if given && !methods.contains(&self.method) {
                let names: Vec<&str> = methods.iter().map(|method| method.name()).collect();
                bail!("--{option} is for {}: the method is {}", names.join(", "), self.method);
            }
        }
        Ok(())
    }
}

/// # Errors
/// A name that is none of the seven projections.
pub fn targets(names: &[String]) -> llama::Result<Vec<Projection>> {
    names.iter().map(|name| name.parse()).collect()
}
