//! Causal attention with grouped queries, one sequence at a time.

use std::ops::Range;

use adapter::{Real, exponentials, parallel};
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, s};

use crate::activation::{soft_cap, soft_cap_slope};

/// How the columns of q, k and v are divided into heads.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// Query heads.
    pub queries: usize,
    /// Key and value heads; query head h uses key head h / (queries / keys).
    pub keys: usize,
    /// Width of a head.
    pub width: usize,
    /// How many keys a query sees, its own included; `None` for all up to its own.
    pub window: Option<usize>,
    /// What q kᵀ is multiplied with: 1/√width, but for a few architectures.
    pub scale: f64,
    /// The largest score, c, where scores are capped: S becomes c tanh(S/c).
    pub cap: Option<f64>,
}

impl Heads {
    /// The keys that a query at this place sees.
    fn seen(&self, place: usize) -> Range<usize> {
        let end = place + 1;
        self.window.map_or(0, |window| end.saturating_sub(window))..end
    }
    fn query(&self, head: usize) -> Range<usize> {
        head * self.width..(head + 1) * self.width
    }
    fn key(&self, head: usize) -> Range<usize> {
        self.query(head / (self.queries / self.keys))
    }
}

/// softmax(q kᵀ/√width + causal mask) v for every head. The mask also hides what is before the window, if there is one. Another
/// scale than 1/√width, and a cap, are those of `heads`.
///
/// `q` is \[n, queries·width\], `k` and `v` are \[past + n, keys·width\]: row i of q stands at place past + i and
/// sees the keys up to its own. Writes `y` \[n, queries·width\]; returns each head's probabilities
/// \[n, past + n\], which [`backward`] needs, or none of them unless they are to be kept: those of a long text are many.
pub fn forward<T: Real>(
    heads: Heads,
    q: ArrayView2<'_, T>,
    k: ArrayView2<'_, T>,
    v: ArrayView2<'_, T>,
    mut y: ArrayViewMut2<'_, T>,
    keep: bool,
) -> Vec<Array2<T>> {
    let past = k.nrows() - q.nrows();
    let numbers = heads.queries * q.nrows() * k.nrows();
    let each_head = y.axis_chunks_iter_mut(Axis(1), heads.width).enumerate();
    let kept = parallel::map(numbers, each_head, |(head, mut y)| {
        let (q, k) = (q.slice(s![.., heads.query(head)]), k.slice(s![.., heads.key(head)]));
        let mut p = q.dot(&k.t()); // [n, width]·[width, past + n] → [n, past + n]
        for (i, mut row) in p.outer_iter_mut().enumerate() {
            let places = heads.seen(past + i);
            row.slice_mut(s![..places.start]).fill(T::zero());
            row.slice_mut(s![places.end..]).fill(T::zero());
            let mut seen = row.slice_mut(s![places]);
            let mut scale = T::from_f64(heads.scale);
            if let Some(cap) = heads.cap.map(T::from_f64) {
                seen.mapv_inplace(|score| soft_cap(cap, scale * score));
                scale = T::one();
            }
            let (_, total) = exponentials(seen.view_mut(), scale);
            seen *= T::one() / total;
        }
        let v = v.slice(s![.., heads.key(head)]);
        general_mat_mul(T::one(), &p, &v, T::zero(), &mut y); // [n, past + n]·[past + n, width]
        keep.then_some(p)
    });
    kept.into_iter().flatten().collect()
}

/// From ∂L/∂y to ∂L/∂q, ∂L/∂k, ∂L/∂v, which are written (q) or added to (k, v: several query heads share them).
///
/// With y = P v, P = softmax(S), S = q kᵀ/√width:
///
/// ```text
/// ∂L/∂v = Pᵀ ∂L/∂y
/// ∂L/∂P = ∂L/∂y vᵀ
/// ∂L/∂S = P ⊙ (∂L/∂P − rowsum(∂L/∂P ⊙ P))
/// ∂L/∂q = ∂L/∂S k/√width,  ∂L/∂k = (∂L/∂S)ᵀ q/√width
/// ```
///
/// Where S is capped, its gradient is multiplied by the cap's slope, for which S is computed again.
pub fn backward<T: Real>(
    heads: Heads,
    [q, k, v]: [ArrayView2<'_, T>; 3],
    probabilities: &[Array2<T>],
    grad_y: ArrayView2<'_, T>,
    [mut grad_q, mut grad_k, mut grad_v]: [ArrayViewMut2<'_, T>; 3],
) {
    let (zero, one, scale) = (T::zero(), T::one(), T::from_f64(heads.scale));
    let numbers = heads.queries * q.nrows() * k.nrows();
    let group = heads.queries / heads.keys;
    let each_key = grad_k.axis_chunks_iter_mut(Axis(1), heads.width);
    let each_key = each_key.zip(grad_v.axis_chunks_iter_mut(Axis(1), heads.width));
    let each_key = each_key.zip(grad_q.axis_chunks_iter_mut(Axis(1), group * heads.width));
    parallel::map(
        numbers,
        each_key.enumerate(),
        |(key, ((mut grad_k, mut grad_v), mut grad_q))| {
            let queries = grad_q.axis_chunks_iter_mut(Axis(1), heads.width);
            for (head, mut grad_q) in (key * group..).zip(queries) {
                let (queries, keys) = (s![.., heads.query(head)], s![.., heads.key(head)]);
                let (p, grad_y) = (&probabilities[head], grad_y.slice(queries));
                general_mat_mul(one, &p.t(), &grad_y, one, &mut grad_v);

                let mut grad_s = grad_y.dot(&v.slice(keys).t()); // [n, width]·[width, n] → [n, n]
                for (mut grad, p) in grad_s.outer_iter_mut().zip(p.outer_iter()) {
                    let mean = grad.dot(&p);
                    grad.zip_mut_with(&p, |grad, &p| *grad = p * (*grad - mean));
                }
                if let Some(cap) = heads.cap.map(T::from_f64) {
                    let s = q.slice(queries).dot(&k.slice(keys).t()); // [n, width]·[width, n] → [n, n]
                    grad_s.zip_mut_with(&s, |grad, &s| {
                        *grad *= soft_cap_slope(cap, soft_cap(cap, scale * s));
                    });
                }
                general_mat_mul(scale, &grad_s, &k.slice(keys), zero, &mut grad_q);
                general_mat_mul(scale, &grad_s.t(), &q.slice(queries), one, &mut grad_k);
            }
        },
    );
}
