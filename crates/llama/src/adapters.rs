//! Which projections carry an adapter, and the gradients of a whole model.

use std::collections::BTreeMap;
use std::sync::Arc;

use adapter::{Adapter, Bytes, Dropout, Full, Ledger, Optimizer, Real, Scope, Tensors, tensors};
use rand::Rng;

use crate::{Config, Error, Llama, ModelGrads, Projection, Result};

/// Layer number and projection: where an adapter sits.
pub type Site = (usize, Projection);

/// One adapter for each adapted projection of each layer.
#[derive(Clone, Debug)]
pub struct Adapters<A> {
    sites: BTreeMap<Site, A>,
}

impl Adapters<Full> {
    /// Full fine-tuning of every projection of every layer.
    pub fn full(config: &Config) -> Self {
        let mut sites = BTreeMap::new();
        for site in config.sites() {
            sites.insert(site, Full);
        }
        Self { sites }
    }
}

impl<A> Adapters<A> {
    /// No adapter anywhere: the model as it is.
    pub fn none() -> Self {
        Self { sites: BTreeMap::new() }
    }

    /// An adapter on each of `targets` in every layer, or on what [holds](Config::holding) it. `make` gets the weight's shape,
    /// \[out, in\].
    ///
    /// # Errors
    /// `targets` is empty or names what this model has not, or `make` fails.
    pub fn on<E>(
        config: &Config,
        targets: &[Projection],
        mut make: impl FnMut(Site, [usize; 2]) -> Result<A, E>,
    ) -> Result<Self>
    where
        Error: From<E>,
    {
        if targets.is_empty() {
            return Err(Error::Target(String::new(), config.projection_names()));
        }
        let targets = config.holding(targets)?;
        let mut sites = BTreeMap::new();
        for layer in 0..config.num_hidden_layers {
            for &projection in &targets {
                let site = (layer, projection);
                sites.insert(site, make(site, projection.shape(config))?);
            }
        }
        Ok(Self { sites })
    }

    /// Adapters at these sites.
    ///
    /// # Errors
    /// A site is not in the model.
    pub fn at(config: &Config, sites: BTreeMap<Site, A>) -> Result<Self> {
        for (layer, projection) in sites.keys() {
            let there = if *layer >= config.num_hidden_layers {
                format!("this model has layers 0 to {}", config.num_hidden_layers - 1)
            } else if !config.projections().contains(projection) {
                config.projection_names()
            } else {
                continue;
            };
            return Err(Error::Target(projection.module(*layer), there));
        }
        Ok(Self { sites })
    }

    /// Other adapters in the place of these.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn try_map<B, E>(
        self,
        mut make: impl FnMut(Site, A) -> Result<B, E>,
    ) -> Result<Adapters<B>, E> {
        let mut sites = BTreeMap::new();
        for (site, old) in self.sites {
            sites.insert(site, make(site, old)?);
        }
        Ok(Adapters { sites })
    }

    /// The adapter at a site, if there is one.
    pub fn get(&self, site: Site) -> Option<&A> {
        self.sites.get(&site)
    }

    /// All adapters, first layer first.
    pub fn iter(&self) -> impl Iterator<Item = (Site, &A)> {
        self.sites.iter().map(|(site, adapter)| (*site, adapter))
    }

    /// All adapters, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Site, &mut A)> {
        self.sites.iter_mut().map(|(site, adapter)| (*site, adapter))
    }

    /// The lowest adapted layer: below it nothing needs a gradient.
    pub(crate) fn first_layer(&self) -> Option<usize> {
        self.sites.keys().next().map(|(layer, _)| *layer)
    }

    /// A dropout mask for every adapter, for an input of `tokens` rows.
    ///
    /// # Errors
    /// `p` is not in \[0, 1).
    pub fn draw_masks(
        &self,
        config: &Config,
        tokens: usize,
        p: f64,
        rng: &mut impl Rng,
    ) -> Result<Masks> {
        // Inserted: `collect` would compile a sort for each method, and the pages load this.
        let mut masks = Masks::new();
        for &site in self.sites.keys() {
            let [_, inputs] = site.1.shape(config);
            masks.insert(site, Dropout::draw((tokens, inputs), p, rng)?);
        }
        Ok(masks)
    }

    /// One update of everything that `grads` has gradients for.
    ///
    /// # Errors
    /// A gradient does not belong to these adapters or this model.
    pub fn step<T: Real>(
        &mut self,
        model: &mut Llama<T>,
        grads: &Grads<T, A::Grads>,
        optimizer: &mut dyn Optimizer<T>,
    ) -> Result<()>
    where
        A: Adapter<T>,
    {
        same_sites(&grads.sites, &self.sites)?;
        for (site, adapter) in &mut self.sites {
            let (layer, projection) = *site;
            let mut scope = Scope { prefix: &projection.module(layer), optimizer };
            let weight = model.layers[layer].weight_mut(projection);
            adapter.step(weight, &grads.sites[site], &mut scope)?;
        }
        match &grads.model {
            Some(grads) => grads.step(model, optimizer),
            None => Ok(()),
        }
    }
}

impl<A: Bytes> Bytes for Adapters<A> {
    fn count(&self, ledger: &mut Ledger) {
        self.sites.values().for_each(|adapter| adapter.count(ledger));
    }
}

/// Dropout masks by site.
pub type Masks = BTreeMap<Site, Arc<Dropout>>;

/// The gradients of one step.
#[derive(Clone, Debug)]
pub struct Grads<T, G> {
    /// Of the adapters.
    pub sites: BTreeMap<Site, G>,
    /// Of everything that is no projection, when that is trained too.
    pub model: Option<ModelGrads<T>>,
}

impl<T: Real, G: Tensors<T>> Grads<T, G> {
    /// √Σ g² over all of them.
    pub fn norm(&self) -> f64 {
        let sites = self.sites.values().map(tensors::squared_norm).sum::<f64>();
        (sites + self.model.as_ref().map_or(0.0, tensors::squared_norm)).sqrt()
    }

    /// Multiply all of them.
    pub fn scale(&mut self, factor: f64) {
        self.sites.values_mut().for_each(|grads| tensors::scale(grads, factor));
        self.model.iter_mut().for_each(|grads| tensors::scale(grads, factor));
    }

    /// Add those of another part of the batch.
    ///
    /// # Errors
    /// They are not of the same model.
    pub fn accumulate(&mut self, other: &Self) -> Result<()> {
        same_sites(&other.sites, &self.sites)?;
        for (site, sum) in &mut self.sites {
            tensors::accumulate(sum, &other.sites[site])?;
        }
        if let (Some(sum), Some(term)) = (&mut self.model, &other.model) {
            tensors::accumulate(sum, term)?;
        }
        Ok(())
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> usize {
        let sites = self.sites.values().map(tensors::count).sum::<usize>();
        size_of::<T>() * (sites + self.model.as_ref().map_or(0, tensors::count))
    }
}

/// Gradients for just these sites, or the first that has one and should not, or should and has none.
fn same_sites<G, A>(grads: &BTreeMap<Site, G>, sites: &BTreeMap<Site, A>) -> Result<()> {
    let lacks = sites.keys().find(|site| !grads.contains_key(site));
    let strange = grads.keys().find(|site| !sites.contains_key(site));
    let (site, what) = match (lacks, strange) {
        (Some(site), _) => (site, "it has an adapter and no gradient"),
        (None, Some(site)) => (site, "it has a gradient and no adapter"),
        (None, None) => return Ok(()),
    };
    let hint = format!("{what}: are these the gradients of another model?");
    Err(adapter::Error::value("module", site.1.module(site.0), hint).into())
}
