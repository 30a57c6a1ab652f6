//! The weights that adapters sit on, and how many numbers they train there.

use std::sync::Arc;

use ::lora::Lora;
use ::vera::{Projections, Vera};
use adapter::{Result, tensors};
use ndarray::Array2;

/// Weights of the same shapes, \[out, in\], in each of so many layers.
#[derive(Clone, Debug)]
pub struct Targets {
    layers: usize,
    shapes: Vec<[usize; 2]>,
}

impl Targets {
    /// So many of the attention's square matrices: two for q and v, four for q, k, v and o.
    pub fn attention(layers: usize, width: usize, matrices: usize) -> Self {
        Self { layers, shapes: vec![[width, width]; matrices] }
    }

    /// The seven linear layers of Llama: q, k, v, o, gate, up, down.
    pub fn llama(layers: usize, width: usize, feed_forward: usize) -> Self {
        let (up, down) = ([feed_forward, width], [width, feed_forward]);
        Self { layers, shapes: [[[width, width]; 4].as_slice(), &[up, up, down]].concat() }
    }

    /// The numbers that LoRA trains. One layer's adapters are made and counted; the layers are alike.
    pub fn lora(&self, rank: usize) -> Result<usize> {
        let adapter = |&[out, inputs]: &[usize; 2]| {
            Lora::<f32>::new(Array2::zeros((rank, inputs)), Array2::zeros((out, rank)), 1.0)
        };
        self.count(|shape| Ok(tensors::count(&adapter(shape)?)))
    }

    /// The numbers that VeRA trains.
    pub fn vera(&self, rank: usize) -> Result<usize> {
        let shared = self.projections(rank)?;
        let adapter = |&shape: &[usize; 2]| Vera::init(shape, 0.1, shared.clone());
        self.count(|shape| Ok(tensors::count(&adapter(shape)?)))
    }

    /// The numbers of the A and B that VeRA shares among all layers.
    pub fn shared(&self, rank: usize) -> Result<usize> {
        let shared = self.projections(rank)?;
        Ok(shared.a().len() + shared.b().len())
    }

    fn projections(&self, rank: usize) -> Result<Arc<Projections<f32>>> {
        let largest = |side: usize| self.shapes.iter().map(|shape| shape[side]).max().unwrap_or(0);
        let (a, b) = (Array2::zeros((rank, largest(1))), Array2::zeros((largest(0), rank)));
        Ok(Arc::new(Projections::new(a, b)?))
    }

    fn count(&self, one: impl Fn(&[usize; 2]) -> Result<usize>) -> Result<usize> {
        let layer = self.shapes.iter().map(one).sum::<Result<usize>>()?;
        Ok(self.layers * layer)
    }
}
