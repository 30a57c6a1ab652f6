//! VeRA: one pair of projections for all layers, drawn as PEFT draws it, and PEFT's folder.

use std::collections::BTreeMap;
use std::path::Path;

use ::vera::{Pool, Projections, Sharing, Vera};
use adapter::Real;
use llama::{Adapters, Config, Llama, Projection, Site};
use peft::{VeraConfig, VeraFolder};
use rand_chacha::ChaCha8Rng;
use tensor_file::Staging;

use crate::lora_family::{DROPOUT, TARGETS};
use crate::place::{self, site, site_of};
use crate::{Base, Field, Method, Needs, Options, Result, Row, SiteNeeds, Tunable};

/// What VeRA can be told.
#[derive(Clone, Debug, PartialEq)]
pub struct VeraOptions {
    /// r.
    pub rank: usize,
    /// The adapted projections.
    pub targets: Vec<Projection>,
    /// Dropout on the adapters' inputs.
    pub dropout: f64,
    /// Which layers share A and B.
    pub sharing: Sharing,
    /// What d starts with.
    pub d_init: f64,
    /// PEFT's `projection_prng_key`, from which A and B are drawn.
    pub projection_key: u64,
    /// Write A and B too, and not their key alone.
    pub save_projections: bool,
}

/// r = 256 on queries and values and d = 0.1, as PEFT has it; no dropout.
impl Default for VeraOptions {
    fn default() -> Self {
        Self {
            rank: 256,
            targets: vec![Projection::Q, Projection::V],
            dropout: 0.0,
            sharing: Sharing::default(),
            d_init: 0.1,
            projection_key: 0,
            save_projections: false,
        }
    }
}

impl Options for VeraOptions {
    fn fields() -> Vec<Field<Self>> {
        let rank = "r, the inner dimension of A and B";
        let sharing = "Which layers share A and B: all, or those of one shape";
        let d_init = "What every entry of d starts with";
        let key = "PEFT's projection_prng_key, from which A and B are drawn";
        let save = "Write A and B too, and not their key alone; per_shape always does";
        vec![
            Field::new("rank", rank, |o: &mut Self| &mut o.rank).in_folder(),
            Field::new("targets", TARGETS, |o: &mut Self| &mut o.targets).in_folder(),
            Field::new("dropout", DROPOUT, |o: &mut Self| &mut o.dropout),
            Field::new("sharing", sharing, |o: &mut Self| &mut o.sharing).in_folder(),
            Field::new("d-init", d_init, |o: &mut Self| &mut o.d_init).in_folder(),
            Field::new("projection-key", key, |o: &mut Self| &mut o.projection_key).in_folder(),
            Field::new("save-projections", save, |o: &mut Self| &mut o.save_projections),
        ]
    }

    fn settle(&mut self, config: &Config) -> Result<()> {
        self.targets = config.holding(&self.targets)?;
        Ok(())
    }

    fn targets(&self) -> &[Projection] {
        &self.targets
    }

    fn dropout(&self) -> f64 {
        self.dropout
    }
}

impl<T: Real> Tunable<T> for Vera<T> {
    const METHOD: Method = Method::Vera;
    type Options = VeraOptions;

    /// Its rank costs next to nothing, so beside methods of rank 8 it has its own.
    fn rows() -> Vec<Row> {
        vec![Row { own: &["rank"], ..Row::of(Method::Vera) }]
    }

    /// A and B come from the key and not from `rng`, so that the folder can do without them.
    fn start(
        model: &Llama<T>,
        options: &VeraOptions,
        _: &mut ChaCha8Rng,
    ) -> Result<Adapters<Self>> {
        let shapes = options.targets.iter().map(|target| target.shape(&model.config));
        // Of several pairs each has a key of its own: from one key, those of equal `in` would have the same A.
        let mut key = options.projection_key;
        let draw = |shape| {
            let drawn = Projections::peft(key, options.rank, shape);
            key = key.wrapping_add(1);
            drawn
        };
        let pool = Pool::new(shapes, options.sharing, draw)?;
        let new = |_, shape| Self::init(shape, options.d_init, pool.get(shape)?);
        Ok(Adapters::on(&model.config, &options.targets, new)?)
    }

    /// b \[out\] and d \[r\] are trained; A and B are as large as the largest weight, or as each shape that there is.
    fn needs(config: &Config, options: &VeraOptions) -> Needs {
        let rank = options.rank as u64;
        let shape = |target: &Projection| target.shape(config).map(|side| side as u64);
        let mut shapes: Vec<[u64; 2]> = options.targets.iter().map(shape).collect();
        shapes.sort_unstable();
        shapes.dedup();
        if options.sharing == Sharing::MaxSlice {
            let larger = |[a, b]: [u64; 2], [c, d]: [u64; 2]| [a.max(c), b.max(d)];
            shapes = shapes.into_iter().reduce(larger).into_iter().collect();
        }
        let site = |target: &Projection| {
            let trained = shape(target)[0] + rank;
            (*target, SiteNeeds { trained, kept_per_token: rank, ..SiteNeeds::default() })
        };
        Needs {
            shared: shapes.iter().map(|[outputs, inputs]| rank * (outputs + inputs)).sum(),
            sites: options.targets.iter().map(site).collect(),
        }
    }

    fn load(model: &Llama<T>, options: &mut VeraOptions, folder: &Path) -> Result<Adapters<Self>> {
        load(&model.config, options, folder)
    }

    fn stage(
        model: &Llama<T>,
        adapters: &Adapters<Self>,
        options: &VeraOptions,
        base: &Base,
        files: &mut Staging,
    ) -> Result<()> {
        let config = VeraConfig {
            r: options.rank,
            d_initial: options.d_init,
            projection_prng_key: options.projection_key,
            // PEFT draws one pair for all layers, so of several pairs the key is not enough.
            save_projection: options.save_projections || options.sharing == Sharing::PerShape,
            sharing: options.sharing,
            vera_dropout: options.dropout,
            target_modules: place::target_modules(
                &model.config,
                adapters.iter().map(|(site, _)| site),
            ),
            base_model_name_or_path: base.name.clone(),
            task_type: Some("CAUSAL_LM".to_owned()),
            ..VeraConfig::default()
        };
        let module =
            |((layer, projection), vera): (Site, &Self)| (projection.module(layer), vera.clone());
        let modules = adapters.iter().map(module).collect();
        Ok(VeraFolder { config, modules }.stage(files)?)
    }
}

/// The adapters of a folder; what it decides replaces what is in `options`.
///
/// # Errors
/// The folder is damaged, or does not fit the model.
pub fn load<T: Real>(
    config: &Config,
    options: &mut VeraOptions,
    folder: &Path,
) -> Result<Adapters<Vera<T>>> {
    let shape = |module: &str| site(config, module).map(|(_, target)| target.shape(config));
    let VeraFolder { config: settings, modules } = peft::read_vera(folder, shape)?;
    let mut sites: BTreeMap<Site, Vera<T>> = BTreeMap::new();
    for (module, vera) in modules {
        sites.insert(site_of(config, &module, folder)?, vera);
    }
    let adapters = Adapters::at(config, sites)?;
    options.rank = settings.r;
    options.d_init = settings.d_initial;
    options.sharing = settings.sharing;
    options.projection_key = settings.projection_prng_key;
    options.save_projections |= settings.save_projection;
    options.targets = place::targets(&adapters);
    Ok(adapters)
}
