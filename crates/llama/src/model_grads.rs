//! The gradients of everything that is no projection.

use adapter::{Group, Optimizer, Real, Tensors};
use ndarray::{Array1, Array2, ArrayViewD, ArrayViewMutD};

use crate::vectors::Vectors;
use crate::{Llama, Result};

/// The gradients of the embedding, the output matrix, the norms and the biases.
#[derive(Clone, Debug)]
pub struct ModelGrads<T> {
    /// \[vocabulary, hidden\]; of a tied model both uses are in here.
    pub embedding: Array2<T>,
    /// \[vocabulary, hidden\], unless tied.
    pub head: Option<Array2<T>>,
    /// Of the last norm, \[hidden\].
    pub norm: Array1<T>,
    /// Of each layer's norms and biases.
    pub layers: Vec<Vectors<T>>,
}

impl<T: Real> ModelGrads<T> {
    /// Zeros, with these gradients of the layers' vectors.
    pub(crate) fn new(model: &Llama<T>, norm: Array1<T>, layers: Vec<Vectors<T>>) -> Self {
        Self {
            embedding: Array2::zeros(model.embedding.dim()),
            head: model.head.as_ref().map(|head| Array2::zeros(head.dim())),
            norm,
            layers,
        }
    }

    /// Norms and biases are not decayed: pulling a gain towards 0 pulls the layer towards silence.
    pub(crate) fn step(
        &self,
        model: &mut Llama<T>,
        optimizer: &mut dyn Optimizer<T>,
    ) -> Result<()> {
        let group = optimizer.group();
        let plain = Group { weight_decay: 0.0, ..group };
        let mut update = |name: &str, p: ArrayViewMutD<'_, T>, g: ArrayViewD<'_, T>, group| {
            optimizer.update(name, p, g, group)
        };
        let (p, g) = (&mut model.embedding, &self.embedding);
        update("model.embed_tokens.weight", p.view_mut().into_dyn(), g.view().into_dyn(), group)?;
        if let (Some(p), Some(g)) = (&mut model.head, &self.head) {
            update("lm_head.weight", p.view_mut().into_dyn(), g.view().into_dyn(), group)?;
        }
        let (p, g) = (&mut model.norm, &self.norm);
        update("model.norm.weight", p.view_mut().into_dyn(), g.view().into_dyn(), plain)?;
        for (i, (layer, grads)) in model.layers.iter_mut().zip(&self.layers).enumerate() {
            for ((name, p), (_, g)) in layer.vectors.named_mut().into_iter().zip(grads.named()) {
                let name = format!("model.layers.{i}.{name}");
                update(&name, p.view_mut().into_dyn(), g.view().into_dyn(), plain)?;
            }
        }
        Ok(())
    }
}

impl<T> Tensors<T> for ModelGrads<T> {
    fn tensors(&self) -> Vec<(&'static str, ArrayViewD<'_, T>)> {
        let mut all = vec![("embed_tokens", self.embedding.view().into_dyn())];
        all.extend(self.head.iter().map(|head| ("lm_head", head.view().into_dyn())));
        all.push(("norm", self.norm.view().into_dyn()));
        let vectors = self.layers.iter().flat_map(Vectors::named);
        all.extend(vectors.map(|(name, vector)| (name, vector.view().into_dyn())));
        all
    }
    fn tensors_mut(&mut self) -> Vec<(&'static str, ArrayViewMutD<'_, T>)> {
        let mut all = vec![("embed_tokens", self.embedding.view_mut().into_dyn())];
        all.extend(self.head.iter_mut().map(|head| ("lm_head", head.view_mut().into_dyn())));
        all.push(("norm", self.norm.view_mut().into_dyn()));
        let vectors = self.layers.iter_mut().flat_map(Vectors::named_mut);
        all.extend(vectors.map(|(name, vector)| (name, vector.view_mut().into_dyn())));
        all
    }
}
