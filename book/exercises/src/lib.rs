//! The exercises of the book.
//!
//! Fill in a function in `src/yours`, then ask the tests whether it is right:
//!
//! ```sh
//! cargo test -p exercises --features yours --test rank
//! ```
//!
//! Without the feature the same tests run on `src/answers`, which the book shows on its page of solutions.

pub mod answers;
pub mod looks;
pub mod yours;

#[cfg(not(feature = "yours"))]
pub use answers as work;
#[cfg(feature = "yours")]
pub use yours as work;

#[cfg(test)]
mod tests {
    use llama::Config;
    use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

    use crate::{answers, yours};

    /// Both must have the type given, or this does not compile.
    macro_rules! alike {
        ($($module:ident :: $name:ident: $kind:ty;)*) => {
            $(let _: [$kind; 2] = [answers::$module::$name, yours::$module::$name];)*
        };
    }

    #[test]
    fn yours_have_the_signatures_of_the_answers() {
        alike! {
            costs::lora_parameters: fn(&[[usize; 2]], usize) -> usize;
            costs::training_bytes: fn(usize, usize) -> usize;
            costs::adam: fn(f64, &[f64], f64) -> f64;
            costs::multiplications: fn(usize, [usize; 2], usize) -> [usize; 2];
            matrices::linear: fn(ArrayView2<'_, f64>, ArrayView2<'_, f64>) -> Array2<f64>;
            matrices::parameters: fn(&Config) -> usize;
            matrices::key_rows: fn(&Config, usize) -> std::ops::Range<usize>;
            matrices::fold: fn(ArrayView2<'_, f64>, ArrayView2<'_, f64>) -> Array2<f64>;
            rank::outer: fn(ArrayView1<'_, f64>, ArrayView1<'_, f64>) -> Array2<f64>;
            rank::rank: fn(ArrayView2<'_, f64>, f64) -> usize;
            rank::stack: fn(&[(Array1<f64>, Array1<f64>)]) -> (Array2<f64>, Array2<f64>);
            rank::factor: fn(ArrayView2<'_, f64>, f64) -> (Array2<f64>, Array2<f64>);
            svd::leading: fn(ArrayView2<'_, f64>, usize) -> (f64, Array1<f64>, Array1<f64>);
            svd::rank_needed: fn(&[f64], f64) -> usize;
            svd::best: fn(ArrayView2<'_, f64>, usize, usize) -> Array2<f64>;
            svd::similarity: fn(ArrayView2<'_, f64>, ArrayView2<'_, f64>) -> f64;
            linear::backward: fn(
                ArrayView2<'_, f64>,
                ArrayView2<'_, f64>,
                ArrayView2<'_, f64>,
            ) -> (Array2<f64>, Array2<f64>, Array1<f64>);
            linear::two_layers: fn(
                ArrayView2<'_, f64>,
                ArrayView2<'_, f64>,
                ArrayView2<'_, f64>,
                ArrayView2<'_, f64>,
            ) -> (Array2<f64>, Array2<f64>);
            linear::central: fn(&dyn Fn(f64) -> f64, f64, f64) -> f64;
            linear::cross_entropy: fn(ArrayView1<'_, f64>, usize) -> (f64, Array1<f64>);
            lora::backward: fn(
                ArrayView2<'_, f64>,
                ArrayView2<'_, f64>,
                f64,
                ArrayView2<'_, f64>,
                ArrayView2<'_, f64>,
            ) -> (Array2<f64>, Array2<f64>);
            lora::add: fn(
                (ArrayView2<'_, f64>, ArrayView2<'_, f64>, f64),
                (ArrayView2<'_, f64>, ArrayView2<'_, f64>, f64),
            ) -> (Array2<f64>, Array2<f64>);
            lora::extract: fn(ArrayView2<'_, f64>, usize) -> (Array2<f64>, Array2<f64>);
            lora::beside: fn(
                (ArrayView2<'_, f64>, ArrayView2<'_, f64>, f64),
                (ArrayView2<'_, f64>, ArrayView2<'_, f64>, f64),
            ) -> (Array2<f64>, Array2<f64>);
            delta_lora::step: fn(
                ArrayView2<'_, f64>,
                f64,
                (ArrayView2<'_, f64>, ArrayView2<'_, f64>),
                (ArrayView2<'_, f64>, ArrayView2<'_, f64>),
            ) -> Array2<f64>;
            delta_lora::restore: fn(
                ArrayView2<'_, f64>,
                f64,
                (ArrayView2<'_, f64>, ArrayView2<'_, f64>),
                (ArrayView2<'_, f64>, ArrayView2<'_, f64>),
            ) -> Array2<f64>;
            delta_lora::sgd_twin: fn(f64, [f64; 3]) -> [f64; 3];
            delta_lora::moved: fn(&[(Array2<f64>, Array2<f64>)], f64, usize) -> Array2<f64>;
            lora_plus::rates: fn(&str, usize, f64, f64, f64) -> (f64, f64);
            lora_plus::parts: fn(ArrayView1<'_, f64>, f64, ArrayView1<'_, f64>, f64, [f64; 2]) -> [f64; 3];
            lora_plus::invariant: fn(ArrayView2<'_, f64>, ArrayView2<'_, f64>, [f64; 2]) -> Array2<f64>;
            lora_plus::fair: fn(f64, f64) -> [f64; 2];
            lora_fa::backward: fn(
                ArrayView2<'_, f64>,
                ArrayView2<'_, f64>,
                f64,
                ArrayView2<'_, f64>,
                ArrayView2<'_, f64>,
            ) -> (Array2<f64>, Array2<f64>);
            lora_fa::project: fn(ArrayView2<'_, f64>, f64, ArrayView2<'_, f64>) -> Array2<f64>;
            lora_fa::kept: fn(usize, usize, usize, usize) -> [usize; 2];
            lora_fa::reachable: fn(ArrayView2<'_, f64>, ArrayView2<'_, f64>) -> Array2<f64>;
            vera::backward: fn(
                ArrayView2<'_, f64>,
                ArrayView1<'_, f64>,
                ArrayView1<'_, f64>,
                ArrayView2<'_, f64>,
                ArrayView2<'_, f64>,
            ) -> (Array1<f64>, Array1<f64>);
            vera::as_lora: fn(
                ArrayView2<'_, f64>,
                ArrayView2<'_, f64>,
                ArrayView1<'_, f64>,
                ArrayView1<'_, f64>,
            ) -> (Array2<f64>, Array2<f64>);
            vera::numbers: fn(&[[usize; 2]], usize) -> [usize; 2];
            vera::delta: fn(
                [usize; 2],
                ArrayView2<'_, f64>,
                ArrayView2<'_, f64>,
                ArrayView1<'_, f64>,
                ArrayView1<'_, f64>,
            ) -> Array2<f64>;
            dora::merged: fn(ArrayView2<'_, f64>, ArrayView2<'_, f64>, ArrayView1<'_, f64>) -> Array2<f64>;
            dora::grad_magnitude: fn(ArrayView2<'_, f64>, ArrayView2<'_, f64>) -> Array1<f64>;
            dora::grad_direction: fn(ArrayView2<'_, f64>, ArrayView1<'_, f64>, ArrayView2<'_, f64>) -> Array2<f64>;
            practice::rank_for: fn(&[[usize; 2]], usize, &[[usize; 2]]) -> usize;
            practice::alpha_for: fn(f64, usize, usize, bool) -> f64;
            practice::kept: fn(usize, usize, usize, usize) -> [usize; 2];
            practice::apart: fn(&[f64], &[f64]) -> bool;
            wrong::factor: fn(
                ArrayView2<'_, f64>,
                ArrayView2<'_, f64>,
                ArrayView2<'_, f64>,
                ArrayView2<'_, f64>,
                ArrayView2<'_, f64>,
            ) -> f64;
            wrong::bf16: fn(f32) -> f32;
            wrong::lost: fn(ArrayView2<'_, f64>, ArrayView2<'_, f64>) -> f64;
            wrong::times: fn(ArrayView2<'_, f64>, ArrayView2<'_, f64>, ArrayView2<'_, f64>) -> f64;
            quantised::block: fn(&[f64]) -> (f64, Vec<u8>);
            quantised::product: fn(&[f64], f64, &[u8]) -> f64;
            quantised::bits: fn(usize, usize, &[(usize, usize)]) -> f64;
            quantised::unmoved: fn(f64, &[u8], &[f64]) -> usize;
            bounds::growth: fn(u32, f64) -> f64;
            bounds::gauge: fn(
                ArrayView2<'_, f64>,
                ArrayView2<'_, f64>,
                ArrayView2<'_, f64>,
                ArrayView2<'_, f64>,
                f64,
            ) -> Array2<f64>;
            bounds::rho: fn(&[f64], &[f64], &[f64]) -> f64;
            bounds::dot: fn(&[f32], &[f32]) -> f64;
            dora::norms: fn(ArrayView2<'_, f64>, ArrayView2<'_, f64>, ArrayView2<'_, f64>, f64) -> Array1<f64>;
        }
    }
}
