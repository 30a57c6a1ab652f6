//! Cases with random inputs, of shapes that kernels and products get wrong first.

use half::f16;
use oracle::{Method, Op, Tensor, TensorFile};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tensor_file::Dtype;

/// \[tokens, in, out, r\]: one of each, none, odd ones, a tile and one more, more than a block of threads, r beyond a warp and a
/// block.
pub const SHAPES: [[usize; 4]; 14] = [
    [1, 1, 1, 1],
    [0, 8, 8, 2],
    [1, 64, 48, 8],
    [3, 5, 7, 2],
    [5, 7, 3, 3],
    [16, 16, 16, 16],
    [17, 33, 65, 8],
    [31, 129, 127, 4],
    [64, 128, 257, 16],
    [33, 96, 64, 33],
    [12, 24, 20, 70],
    [9, 300, 40, 257],
    [130, 40, 600, 5],
    [257, 64, 66, 64],
];

/// Numbers with 8 significant bits, which every kind of element holds, mostly between 1/16 and 2.
fn numbers(rng: &mut ChaCha8Rng, shape: &[usize]) -> Tensor {
    let count = shape.iter().product();
    let number = |rng: &mut ChaCha8Rng| {
        let (bits, sign) = (rng.random_range(128..256), if rng.random() { 1.0 } else { -1.0 });
        sign * f64::from(bits) * 2.0_f64.powi(rng.random_range(-11..-6))
    };
    let data = (0..count).flat_map(|_| f16::from_f64(number(rng)).to_le_bytes()).collect();
    Tensor { dtype: Dtype::F16, shape: shape.to_vec(), data }
}

/// A case of this shape, \[tokens, in, out, r\].
pub fn random_case(method: Method, op: Op, shape: [usize; 4], seed: u64) -> TensorFile {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let [tokens, inputs, out, rank] = shape;
    let mut file = TensorFile::default();
    let optimizer = r#""optimizer":{"name":"adamw","lr":0.01,"weight_decay":0.1}"#;
    let mut params = match method {
        Method::Vera => String::new(),
        _ => r#""alpha":3"#.to_owned(),
    };
    if op == Op::Step {
        params = [params.as_str(), optimizer, r#""start":4"#]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(",");
    }
    let name = shape.map(|size| size.to_string()).join("x");
    let text = format!(
        r#"{{"schema":"lowrank-case/1","id":"{method}/{op}/random-{name}-{seed}","method":"{method}","op":"{op}","params":{{{params}}}}}"#
    );
    file.metadata.insert("case".into(), text);
    let mut tensors: Vec<(String, Vec<usize>)> = Vec::new();
    let mut add = |name: &str, shape: &[usize]| tensors.push((format!("in.{name}"), shape.into()));
    let trained: &[(&str, &[usize])] = match method {
        Method::Vera => &[("vera_lambda_d", &[rank]), ("vera_lambda_b", &[out])],
        Method::LoraFa => &[("lora_B", &[out, rank])],
        _ => &[("lora_A", &[rank, inputs]), ("lora_B", &[out, rank])],
    };
    for (name, shape) in trained {
        add(name, shape);
        if op == Op::Step {
            add(&format!("grad_{name}"), shape);
            add(&format!("exp_avg.{name}"), shape);
            add(&format!("exp_avg_sq.{name}"), shape);
        }
    }
    if op != Op::Step || method == Method::DeltaLora {
        add("weight", &[out, inputs]);
    }
    match method {
        // One larger than the layer: it uses a part.
        Method::Vera if op != Op::Step => {
            add("vera_A", &[rank, inputs + 1]);
            add("vera_B", &[out + 1, rank]);
        }
        Method::LoraFa if op != Op::Step => add("lora_A", &[rank, inputs]),
        _ => {}
    }
    if matches!(op, Op::Forward | Op::Backward) {
        add("x", &[tokens, inputs]);
    }
    if op == Op::Backward {
        add("grad_y", &[tokens, out]);
    }
    for (name, shape) in tensors {
        let mut tensor = numbers(&mut rng, &shape);
        if name.contains("exp_avg_sq") {
            // v is a mean of squares.
            tensor.data.chunks_exact_mut(2).for_each(|number| number[1] &= 0x7f);
        }
        file.tensors.insert(name, tensor);
    }
    file
}
