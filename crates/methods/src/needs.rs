//! What adapters need of memory, counted from shapes: for a model that need not be there.

use llama::Projection;

/// What the adapters of a model need, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Held once for all layers, and not trained.
    pub shared: u64,
    /// Of each adapted projection of a layer.
    pub sites: Vec<(Projection, SiteNeeds)>,
}

/// What one adapter needs, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteNeeds {
    /// Trained.
    pub trained: u64,
    /// Held by this adapter alone, and not trained.
    pub frozen: u64,
    /// Kept of each token for the backward pass, without the projection's input,
    pub kept_per_token: u64,
    /// and kept once, however many tokens there are.
    pub kept: u64,
    /// Is the projection's input kept too? Projections that read the same input keep it together.
    pub keeps_input: bool,
}
