//! The recipe of this crate's README, compiled: a method of one direction in and one out, checked and trained.
//!
//! ```text
//! y = x Wᵀ + (x̃ d) bᵀ        x̃ = dropout(x),  d [in],  b [out]
//! ```
//!
//! `cargo run -p lowrank-adapter --example own_method`

use std::sync::Arc;

use adapter::gradcheck::{Layer, SHAPES, integers};
use adapter::{
    AdamVariant, AdamW, Adapter, Bytes, Dropout, Group, Ledger, Real, Result, check_shape, linear,
};
use ndarray::{ArcArray2, Array1, Array2, ArrayView2, Axis};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// The method: what it trains.
struct OneDirection<T> {
    /// d, \[in\]: what to look at.
    direction: Array1<T>,
    /// b, \[out\]: where to write it. Zero at the start, so that nothing changes.
    effect: Array1<T>,
}

/// What forward keeps for backward.
struct Saved<T> {
    /// \[tokens, in\].
    x: ArcArray2<T>,
    /// u = x̃ d, \[tokens\].
    u: Array1<T>,
    dropout: Option<Arc<Dropout>>,
}

/// The gradients, under the names of what they belong to.
struct Grads<T> {
    direction: Array1<T>,
    effect: Array1<T>,
}

adapter::tensors!(OneDirection, Grads { "direction" => direction, "effect" => effect });

impl<T: Real> Adapter<T> for OneDirection<T> {
    type Saved = Saved<T>;
    type Grads = Grads<T>;

    fn forward(
        &self,
        weight: ArrayView2<'_, T>,
        x: &ArcArray2<T>,
        dropout: Option<&Arc<Dropout>>,
    ) -> Result<(Array2<T>, Saved<T>)> {
        self.check(weight)?;
        let mut y = linear::forward(weight, x.view())?; // [tokens, in]·[in, out] → [tokens, out]
        let u = match dropout {
            Some(dropout) => dropout.apply(x.view())?.dot(&self.direction),
            None => x.dot(&self.direction), // [tokens, in]·[in] → [tokens]
        };
        y += &outer(&u, &self.effect); // [tokens, out]
        Ok((y, Saved { x: x.clone(), u, dropout: dropout.cloned() }))
    }

    fn backward(
        &self,
        weight: ArrayView2<'_, T>,
        Saved { x, u, dropout }: &Saved<T>,
        grad_y: ArrayView2<'_, T>,
    ) -> Result<(Array2<T>, Grads<T>)> {
        self.check(weight)?;
        check_shape("grad_y", grad_y.shape(), &[u.len(), weight.nrows()], "the shape of y")?;
        // ∂L/∂b = (∂L/∂y)ᵀ u
        let effect = grad_y.t().dot(u); // [out, tokens]·[tokens] → [out]
        // ∂L/∂u = ∂L/∂y b
        let grad_u = grad_y.dot(&self.effect); // [tokens, out]·[out] → [tokens]

        // ∂L/∂x = ∂L/∂y W + ∂L/∂u dᵀ, ∂L/∂d = x̃ᵀ ∂L/∂u; the mask acts on both ways.
        let mut grad_x = linear::backward(weight, grad_y)?; // [tokens, out]·[out, in] → [tokens, in]
        let through = outer(&grad_u, &self.direction);
        let direction = match dropout {
            Some(dropout) => {
                grad_x += &dropout.apply(through.view())?;
                dropout.apply(x.view())?.t().dot(&grad_u)
            }
            None => {
                grad_x += &through;
                x.t().dot(&grad_u) // [in, tokens]·[tokens] → [in]
            }
        };
        Ok((grad_x, Grads { direction, effect }))
    }

    /// ΔW = b dᵀ.
    fn delta_weight(&self, weight: ArrayView2<'_, T>) -> Result<Array2<T>> {
        self.check(weight)?;
        Ok(outer(&self.effect, &self.direction)) // [out, in]
    }
}

impl<T: Real> OneDirection<T> {
    fn check(&self, weight: ArrayView2<'_, T>) -> Result<()> {
        let shape = [self.effect.len(), self.direction.len()];
        check_shape("weight", weight.shape(), &shape, "[out, in], from effect and direction")
    }
}

/// u vᵀ.
fn outer<T: Real>(u: &Array1<T>, v: &Array1<T>) -> Array2<T> {
    u.view().insert_axis(Axis(1)).dot(&v.view().insert_axis(Axis(0)))
}

impl<T> Bytes for OneDirection<T> {
    fn count(&self, ledger: &mut Ledger) {
        ledger.owned(&self.direction);
        ledger.owned(&self.effect);
    }
}

impl<T> Bytes for Saved<T> {
    fn count(&self, ledger: &mut Ledger) {
        ledger.shared(&self.x);
        ledger.owned(&self.u);
        self.dropout.iter().for_each(|dropout| dropout.count(ledger));
    }
}

fn main() -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);

    // y is affine in each number, so on small integers f(p + 1) − f(p) is the derivative itself.
    for drop in [false, true] {
        for shape in SHAPES {
            let [_, out, inputs, _] = shape;
            let mut layer = Layer::new(shape, drop, &mut rng, |rng| OneDirection {
                direction: integers(rng, 1, inputs).row(0).to_owned(),
                effect: integers(rng, 1, out).row(0).to_owned(),
            });
            let gradients = layer.gradients()?;
            assert_eq!(layer.mismatches(&gradients)?, []);
        }
    }
    println!("gradients: equal to f(p + 1) - f(p) on {} layers", 2 * SHAPES.len());

    // A change of rank 1, which it can learn.
    let change = outer(&Array1::linspace(-1.0, 1.0, 5), &Array1::linspace(0.5, 2.0, 4));
    let mut weight = integers(&mut rng, 5, 4);
    let x = integers(&mut rng, 32, 4).into_shared();
    let wanted = linear::forward((&weight + &change).view(), x.view())?;
    let mut method = OneDirection { direction: Array1::ones(4), effect: Array1::zeros(5) };
    let mut adamw = AdamW::new(Group { lr: 0.05, weight_decay: 0.0 }, AdamVariant::Torch);
    for step in 0..=200 {
        let (y, saved) = method.forward(weight.view(), &x, None)?;
        let error = &y - &wanted; // the gradient of half the squared error
        if step % 50 == 0 {
            println!("step {step:3}: mean squared error {:.1e}", (&error * &error).mean().unwrap());
        }
        let (_, grads) = method.backward(weight.view(), &saved, error.view())?;
        method.step(&mut weight, &grads, &mut adamw)?;
    }

    // Merged, the weight alone does what weight and method did.
    let (y, _) = method.forward(weight.view(), &x, None)?;
    method.merge(&mut weight)?;
    let difference = (linear::forward(weight.view(), x.view())? - y).mapv(f64::abs);
    // Not f64::max, which would pass over a NaN.
    let largest = difference.into_iter().max_by(f64::total_cmp).unwrap_or(0.0);
    println!("merged: differs by {largest:.0e} at most");
    Ok(())
}
