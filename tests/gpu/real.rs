//! Layers of real size, with the numbers of the `gpu` examples. The truth of a pass is made from A and B, without ΔW.

use cuda::example::{numbers, on_cpu};
use cuda::{Device, Element, Error};
use lora_fa::Variant;
use ndarray::Array2;
use oracle::{Case, Method, Op};

use super::{Layer, random_case};

/// A layer of this shape, \[tokens, in, out, r\], on this weight.
///
/// # Errors
/// There is not enough memory.
pub fn real_layer<T: Element, D: Device>(
    device: &D,
    method: Method,
    shape: [usize; 4],
    weight: &Array2<f64>,
) -> Result<Layer<T, D>, Error> {
    // Only for its parameters.
    let case = Case::of(&random_case(method, Op::Backward, [0, 1, 1, shape[3]], 0));
    let case = case.expect("made above");
    let params = case.params().expect("made above");
    let given = |name: &str| match name {
        "weight" => Some(weight.clone()),
        _ => tensor(shape, name),
    };
    Layer::new(device, method, params, &given, shape[0])
}

/// The tensors of an adapter, by the names of the cases.
fn tensor([_, inputs, out, rank]: [usize; 4], name: &str) -> Option<Array2<f64>> {
    let (shape, seed) = match name {
        "lora_A" | "vera_A" => ([rank, inputs], 4),
        "lora_B" | "vera_B" => ([out, rank], 5),
        "vera_lambda_b" => ([1, out], 6),
        "vera_lambda_d" => ([1, rank], 7),
        _ => return None,
    };
    Some(numbers(shape, seed))
}

/// \[y, ∂L/∂x\] of some tokens in f64: the truth, or with `f64::abs` the gauge of what rounding may do.
///
/// # Errors
/// The method refuses the shape.
pub fn real_truth(
    method: Method,
    shape: [usize; 4],
    of: fn(f64) -> f64,
) -> adapter::Result<[Array2<f64>; 2]> {
    let given = |name| tensor(shape, name).expect("a tensor of an adapter").mapv(of);
    if method == Method::Vera {
        let projections = vera::Projections::new(given("vera_A"), given("vera_B"))?;
        let vector = |name| given(name).row(0).to_owned();
        let (b, d) = (vector("vera_lambda_b"), vector("vera_lambda_d"));
        return on_cpu(&vera::Vera::new(b, d, shape[1], projections.into())?, shape, of);
    }
    // α is 3: see `random_case`.
    let (a, b, scale) = (given("lora_A"), given("lora_B"), 3.0 / shape[3] as f64);
    match method {
        Method::LoraFa => on_cpu(&lora_fa::LoraFa::new(a, b, scale, Variant::Plain)?, shape, of),
        // Forward and backward of Delta-LoRA and LoRA+ are LoRA's.
        _ => on_cpu(&lora::Lora::new(a, b, scale)?, shape, of),
    }
}
