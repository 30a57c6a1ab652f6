//! What a run holds in memory, from shapes alone: for a model that need not be there.

use llama::{Config, Norms, Projection, QkNorm, Train, Variant};
use methods::{Method, Options, SiteNeeds, Tunable, Visitor};

use crate::{Error, OptimizerKind, Plan, Result};

/// Bytes of a number, by what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precision {
    /// Of 32 frozen numbers of a projection. Numbers of few bits are stored in blocks of 32 with a scale.
    pub block: u64,
    /// Of any other frozen number.
    pub frozen: u64,
    /// Of a trained number, its precise copy included.
    pub trained: u64,
    /// Of its gradient.
    pub gradient: u64,
    /// Of one average that the optimiser keeps of it.
    pub average: u64,
    /// Of a number that is kept for the backward pass, and of a logit.
    pub saved: u64,
}

impl Precision {
    /// Everything in f32, as this workspace calculates.
    pub const F32: Self =
        Self { block: 4 * 32, frozen: 4, trained: 4, gradient: 4, average: 4, saved: 4 };
    /// Everything in 16 bits, but in f32 the optimiser's averages and a copy of what is trained.
    pub const MIXED: Self =
        Self { block: 2 * 32, frozen: 2, trained: 2 + 4, gradient: 2, average: 4, saved: 2 };
    /// The same with projections of 8 bits a number and a scale of 16 bits a block: GGUF's Q8_0.
    pub const BITS_8: Self = Self { block: 32 + 2, ..Self::MIXED };
    /// The same with projections of 4 bits a number and a scale of 16 bits a block: GGUF's Q4_0.
    pub const BITS_4: Self = Self { block: 16 + 2, ..Self::MIXED };
}

/// What a run holds, in bytes but for the first two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Numbers of the model.
    pub parameters: u64,
    /// Numbers that are trained.
    pub trained: u64,
    /// The model's weights, and all that the adapters hold.
    pub weights: u64,
    /// Of everything trained.
    pub gradients: u64,
    /// The optimiser's state.
    pub optimizer: u64,
    /// Kept for the backward pass whatever the method, without attention's probabilities.
    pub layers: u64,
    /// Attention's probabilities, which are kept too: of each head and sequence as many as the square of its tokens.
    pub attention: u64,
    /// Kept for the backward pass by the adapters.
    pub adapters: u64,
    /// The logits of all predictions.
    pub logits: u64,
}

impl Budget {
    /// Of a run by `plan`, whose batch is one sequence of each of `lengths`.
    ///
    /// The layers are those of Llama, with the biases and norms that the model has.
    ///
    /// # Errors
    /// An option makes no sense, or the method changes weights that are stored in few bits.
    pub fn of(
        plan: &Plan,
        config: &Config,
        lengths: &[usize],
        precision: Precision,
    ) -> Result<Self> {
        let lengths = lengths.iter().map(|&length| length as u64).collect();
        plan.method.visit(Count { plan, config, lengths, precision })
    }

    /// All that is kept between a forward pass and its backward pass.
    pub fn saved(&self) -> u64 {
        self.layers + self.attention + self.adapters
    }

    /// All of it. A run needs somewhat more, for arrays that live within one layer's pass.
    pub fn total(&self) -> u64 {
        self.weights + self.gradients + self.optimizer + self.saved() + self.logits
    }
}

struct Count<'a> {
    plan: &'a Plan,
    config: &'a Config,
    lengths: Vec<u64>,
    precision: Precision,
}

// ANCHOR: count
impl Visitor<f32> for Count<'_> {
    type Output = Result<Budget>;

    fn visit<M: Tunable<f32>>(self) -> Result<Budget> {
        let Self { plan, config, precision, .. } = self;
        let moves_weights = matches!(M::METHOD, Method::Full | Method::DeltaLora);
        if moves_weights && precision.block < 32 * precision.frozen {
            let reason =
                format!("{} changes the base weights, which few bits cannot follow", M::METHOD);
            return Err(Error::Option(reason));
        }
        let options: M::Options = plan.options_on(config)?;
        let needs = M::needs(config, &options);
        let layers = config.num_hidden_layers as u64;
        let each = |count: fn(&SiteNeeds) -> u64| -> u64 {
            layers * needs.sites.iter().map(|(_, site)| count(site)).sum::<u64>()
        };
        let (of_adapters, beside) = (each(|site| site.trained), each(|site| site.frozen));
        let projections: u64 = layers
            * config.projections().iter().map(|one| product(&one.shape(config))).sum::<u64>();
        let parameters: u64 = config.tensors().iter().map(|(_, shape)| product(shape)).sum();
        let (trained, model) = match M::TRAIN {
            Train::Everything => (parameters, parameters * precision.trained),
            Train::Adapters | Train::Nothing => {
                let other = parameters - projections;
                (of_adapters, projections * precision.block / 32 + other * precision.frozen)
            }
        };
        let averages = match plan.optimizer {
            OptimizerKind::Sgd => 0,
            OptimizerKind::AdamW(_) => 2,
        };
        // A cap on the logits is differentiated with a copy of them.
        let logits = 1 + u64::from(config.variant.logits_cap.is_some());
        let predictions: u64 = self.lengths.iter().map(|length| length.saturating_sub(1)).sum();
        Ok(Budget {
            parameters,
            trained,
            weights: model
                + of_adapters * precision.trained
                + (beside + needs.shared) * precision.frozen,
            gradients: trained * precision.gradient,
            optimizer: averages * trained * precision.average,
            layers: self.saved_by_layers() * precision.saved,
            attention: self.probabilities() * precision.saved,
            adapters: layers * self.saved_by_adapters(&needs.sites, options.dropout() > 0.0),
            logits: logits * predictions * config.vocab_size as u64 * precision.saved,
        })
    }
}
// ANCHOR_END: count

impl Count<'_> {
    fn tokens(&self) -> u64 {
        self.lengths.iter().sum()
    }

    /// What llama's `LayerSaved` and `Saved` hold, but for attention and adapters: numbers of all tokens.
    fn saved_by_layers(&self) -> u64 {
        let width = |projection: Projection| projection.shape(self.config)[0] as u64;
        let (queries, keys) = (width(Projection::Q), width(Projection::K));
        let (hidden, Variant { norms, qk_norm, .. }) =
            (self.config.hidden_size as u64, &self.config.variant);
        // What went into attention or the MLP, or into the norm after it, and 1/rms of each norm.
        let branch = match norms {
            Norms::Before => hidden + 1,
            Norms::After => 2 * hidden + 1,
            Norms::Both => 2 * (hidden + 1),
        };
        let heads = self.config.num_attention_heads + self.config.num_key_value_heads;
        let qk_norms = match qk_norm {
            None => 0,
            Some(QkNorm::Head) => queries + keys + heads as u64,
            Some(QkNorm::Whole) => queries + keys + 2,
        };
        let layer = 2 * branch + qk_norms + queries + 2 * keys + 2 * width(Projection::Gate);
        self.tokens() * (self.config.num_hidden_layers as u64 * layer + hidden + 1)
    }

    fn probabilities(&self) -> u64 {
        let heads = (self.config.num_hidden_layers * self.config.num_attention_heads) as u64;
        heads * self.lengths.iter().map(|length| length * length).sum::<u64>()
    }

    /// Bytes of one layer's adapters.
    fn saved_by_adapters(&self, sites: &[(Projection, SiteNeeds)], dropout: bool) -> u64 {
        let inputs = |projection: Projection| projection.shape(self.config)[1] as u64;
        let own: u64 =
            (sites.iter()).map(|(_, site)| self.tokens() * site.kept_per_token + site.kept).sum();
        // Those of a group read the same input, and keep it once.
        let groups = [
            &[Projection::Qkv, Projection::Q, Projection::K, Projection::V][..],
            &[Projection::O],
            &[Projection::GateUp, Projection::Gate, Projection::Up],
            &[Projection::Down],
        ];
        let keeps = |group: &&&[Projection]| {
            sites.iter().any(|(projection, site)| site.keeps_input && group.contains(projection))
        };
        let shared: u64 = groups.iter().filter(keeps).map(|group| inputs(group[0])).sum();
        // A mask has a byte for each number of the input.
        let masks: u64 = match dropout {
            true => sites.iter().map(|(projection, _)| inputs(*projection)).sum(),
            false => 0,
        };
        (own + self.tokens() * shared) * self.precision.saved + self.tokens() * masks
    }
}

fn product(shape: &[usize]) -> u64 {
    shape.iter().map(|&side| side as u64).product()
}
