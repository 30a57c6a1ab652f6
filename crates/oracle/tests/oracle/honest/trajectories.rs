//! Trajectories and LoRA-FA's projection by the method crates themselves in f32: what their f64 twins are judged by.

use adapter::{AdamVariant, AdamW, Adapter, Group, Moments, Optimizer, Sgd, Tensors};
use delta_lora::{DeltaLora, Settings};
use lora::Lora;
use lora_fa::{LoraFa, Variant};
use lora_plus::{Groups, LoraPlus};
use ndarray::{Array2, ArrayD, Ix1, Ix2};
use oracle::{Options, Report, Tensor, TensorFile, Verdict, check, emit};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::Dtype;
use std::sync::Arc;
use vera::{Projections, Vera};

use super::machine::matrix;

const STEPS: usize = 3;
const TOKENS: usize = 4;
const OUTPUTS: usize = 3;
const INPUTS: usize = 5;
const RANK: usize = 2;
const METHODS: [&str; 6] =
    ["lora", "lora-fa", "lora-fa projected", "vera", "delta-lora", "lora-plus"];

fn case(method: &str, optimizer: &str, rng: &mut ChaCha8Rng) -> TensorFile {
    let (method, params) = match method {
        "vera" => ("vera", String::new()),
        "lora-fa projected" => ("lora-fa", "\"alpha\":3,\"variant\":\"projected\",".into()),
        "delta-lora" => ("delta-lora", "\"alpha\":3,\"start_step\":1,".into()),
        other => (other, "\"alpha\":3,".to_owned()),
    };
    let text = format!(
        "{{\"schema\":\"lowrank-case/1\",\"id\":\"{method}/trajectory/x\",\"method\":\"{method}\",\"op\":\"trajectory\",\
         \"params\":{{{params}\"steps\":{STEPS},\"optimizer\":{optimizer}}}}}"
    );
    let mut file = TensorFile::default();
    file.metadata.insert("case".into(), text);
    let mut put = |name: &str, tensor: ArrayD<f64>| {
        file.tensors.insert(format!("in.{name}"), Tensor::f64(&tensor));
    };
    put("weight", matrix(OUTPUTS, INPUTS, rng).into_dyn());
    if method == "vera" {
        put("vera_A", matrix(RANK, INPUTS, rng).into_dyn());
        put("vera_B", matrix(OUTPUTS, RANK, rng).into_dyn());
        put("vera_lambda_d", matrix(1, RANK, rng).row(0).to_owned().into_dyn());
        put("vera_lambda_b", matrix(1, OUTPUTS, rng).row(0).to_owned().into_dyn());
    } else {
        put("lora_A", matrix(RANK, INPUTS, rng).into_dyn());
        put("lora_B", matrix(OUTPUTS, RANK, rng).into_dyn());
    }
    for step in 0..STEPS {
        put(&format!("x.{step}"), matrix(TOKENS, INPUTS, rng).into_dyn());
        put(&format!("grad_y.{step}"), matrix(TOKENS, OUTPUTS, rng).into_dyn());
    }
    emit(&file).unwrap()
}

/// The state before a step: the case's inputs, or its outputs of the step before, on the grid of 8 bits.
fn state(case: &TensorFile, name: &str, step: usize) -> ArrayD<f32> {
    let frozen = format!("in.{name}");
    let tensor = match step {
        0 => case.tensors.get(&frozen),
        _ => case.tensors.get(&format!("out.{name}.{}", step - 1)).or(case.tensors.get(&frozen)),
    };
    let tensor = tensor.unwrap_or_else(|| panic!("{name} {step}")).to_f64().unwrap();
    // 8 significant bits, in multiples of 2⁻²⁴.
    tensor.mapv(|x| {
        let quantum = 2.0_f64.powi((x.abs().log2().floor() as i32 - 7).max(-24));
        if x == 0.0 { 0.0 } else { ((x / quantum).round_ties_even() * quantum) as f32 }
    })
}

fn two(array: ArrayD<f32>) -> Array2<f32> {
    array.into_dimensionality::<Ix2>().unwrap()
}

struct Outputs(TensorFile);

impl Outputs {
    fn put<D: ndarray::Dimension>(&mut self, name: String, tensor: &ndarray::ArrayRef<f32, D>) {
        let data = tensor.iter().flat_map(|x| x.to_le_bytes()).collect();
        let tensor = Tensor { dtype: Dtype::F32, shape: tensor.shape().to_vec(), data };
        self.0.tensors.insert(format!("out.{name}"), tensor);
    }
}

/// One step by the crate.
fn one<A: Adapter<f32>>(
    case: &TensorFile,
    mut adapter: A,
    adamw: Option<AdamVariant>,
    step: usize,
    out: &mut Outputs,
) {
    let mut weight = two(state(case, "weight", step));
    let input = |name: &str| two(state(case, &format!("{name}.{step}"), 0));
    let (y, saved) = adapter.forward(weight.view(), &input("x").into_shared(), None).unwrap();
    let (_, grads) = adapter.backward(weight.view(), &saved, input("grad_y").view()).unwrap();
    out.put(format!("y.{step}"), &y);
    for (name, gradient) in grads.tensors() {
        out.put(format!("grad_{name}.{step}"), &gradient);
    }
    let group = Group { lr: 0.02, weight_decay: 0.1 };
    let mut sgd = Sgd { group };
    let mut optimizer =
        adamw.map(|variant| AdamW { eps: 1e-3, ..AdamW::<f32>::new(group, variant) });
    if let Some(adamw) = &mut optimizer
        && step > 0
    {
        for (name, _) in adapter.tensors() {
            let moment = |kind: &str| state(case, &format!("{kind}.{name}"), step);
            let moments = Moments {
                steps: step as u64,
                exp_avg: moment("exp_avg"),
                exp_avg_sq: moment("exp_avg_sq"),
            };
            adamw.moments.insert(name.into(), moments);
        }
    }
    let chosen: &mut dyn Optimizer<f32> = match &mut optimizer {
        Some(adamw) => adamw,
        None => &mut sgd,
    };
    adapter.step(&mut weight, &grads, chosen).unwrap();
    for (name, parameter) in adapter.tensors() {
        out.put(format!("{name}.{step}"), &parameter);
    }
    for (name, moments) in optimizer.iter().flat_map(|adamw| &adamw.moments) {
        out.put(format!("exp_avg.{name}.{step}"), &moments.exp_avg);
        out.put(format!("exp_avg_sq.{name}.{step}"), &moments.exp_avg_sq);
    }
    if case.tensors.contains_key("out.weight.0") {
        out.put(format!("weight.{step}"), &weight);
    }
}

fn run(method: &str, adamw: Option<AdamVariant>, seed: u64) -> Report {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let optimizer = match adamw {
        None => r#"{"name":"sgd","lr":0.02,"weight_decay":0.1}"#,
        Some(AdamVariant::Torch) => r#"{"name":"adamw","lr":0.02,"weight_decay":0.1,"eps":0.001}"#,
        Some(AdamVariant::Hf) => {
            r#"{"name":"adamw","variant":"hf","lr":0.02,"weight_decay":0.1,"eps":0.001}"#
        }
    };
    let case = case(method, optimizer, &mut rng);
    let mut out = Outputs(TensorFile::default());
    for step in 0..STEPS {
        let get = |name: &str| two(state(&case, name, step));
        let scale = 1.5;
        match method {
            "lora" => one(
                &case,
                Lora::new(get("lora_A"), get("lora_B"), scale).unwrap(),
                adamw,
                step,
                &mut out,
            ),
            "lora-fa" | "lora-fa projected" => {
                let variant = if method == "lora-fa" { Variant::Plain } else { Variant::Projected };
                let made = LoraFa::new(get("lora_A"), get("lora_B"), scale, variant).unwrap();
                one(&case, made, adamw, step, &mut out);
            }
            "vera" => {
                let vector =
                    |name: &str| state(&case, name, step).into_dimensionality::<Ix1>().unwrap();
                let shared = Arc::new(Projections::new(get("vera_A"), get("vera_B")).unwrap());
                let [b, d] = ["vera_lambda_b", "vera_lambda_d"].map(vector);
                one(&case, Vera::new(b, d, INPUTS, shared).unwrap(), adamw, step, &mut out);
            }
            "delta-lora" => {
                let lora = Lora::new(get("lora_A"), get("lora_B"), scale).unwrap();
                let start = [lora.a.clone(), lora.b.clone()];
                let settings = Settings { lambda: 2.0, start_step: 1, include_scale: true };
                let made = DeltaLora::resume(lora, settings, step as u64, start).unwrap();
                one(&case, made, adamw, step, &mut out);
            }
            _ => {
                let lora = Lora::new(get("lora_A"), get("lora_B"), scale).unwrap();
                let made = LoraPlus { lora, groups: Groups::new(16.0).unwrap() };
                one(&case, made, adamw, step, &mut out);
            }
        }
    }
    check(&case, Some(&out.0), Options::default()).unwrap()
}

#[test]
fn trajectories_in_f32_stay_within_their_bounds() {
    for method in METHODS {
        for adamw in [None, Some(AdamVariant::Torch), Some(AdamVariant::Hf)] {
            let mut worst = 0.0_f64;
            for seed in 0..40 {
                let report = run(method, adamw, seed);
                assert_eq!(report.verdict, Verdict::Pass, "{report}");
                assert!(report.warnings.is_empty(), "{:?}", report.warnings);
                assert!(report.findings.iter().all(|finding| finding.verdict == Verdict::Pass));
                worst = report.findings.iter().map(|finding| finding.rho).fold(worst, f64::max);
            }
            println!("{method} {adamw:?}: {worst:.3}");
            assert!(worst >= 0.05, "{method}: no result came nearer than {worst}");
        }
    }
}

/// ĝ from the crate in f32, judged by its residual and by its own error.
#[test]
fn projections_in_f32_stay_within_their_bounds() {
    let mut worst = [0.0_f64; 2];
    for seed in 0..300 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (r, n, m) = (rng.random_range(1..5), rng.random_range(5..12), rng.random_range(1..6));
        let inputs = [
            ("weight", matrix(m, n, &mut rng)),
            ("lora_A", matrix(r, n, &mut rng)),
            ("lora_B", matrix(m, r, &mut rng)),
            ("x", matrix(TOKENS, n, &mut rng)),
            ("grad_y", matrix(TOKENS, m, &mut rng)),
        ];
        for (which, class) in ["residual", "bounded"].into_iter().enumerate() {
            let text = format!(
                "{{\"schema\":\"lowrank-case/1\",\"id\":\"lora-fa/backward/x\",\"method\":\"lora-fa\",\"op\":\"backward\",\
                 \"class\":\"{class}\",\"params\":{{\"variant\":\"projected\",\"alpha\":{}}}}}",
                r as f64 * 0.75
            );
            let mut file = TensorFile::default();
            file.metadata.insert("case".into(), text);
            for (name, tensor) in &inputs {
                file.tensors.insert(format!("in.{name}"), Tensor::f64(&tensor.clone().into_dyn()));
            }
            let case = emit(&file).unwrap();
            let [weight, a, b, x, g] =
                inputs.each_ref().map(|(_, tensor)| tensor.mapv(|x| x as f32));
            let lora_fa = LoraFa::new(a, b, 0.75, Variant::Projected).unwrap();
            let (y, saved) = lora_fa.forward(weight.view(), &x.into_shared(), None).unwrap();
            let (grad_x, grads) = lora_fa.backward(weight.view(), &saved, g.view()).unwrap();
            let mut out = Outputs(TensorFile::default());
            out.put("y".into(), &y);
            out.put("grad_x".into(), &grad_x);
            out.put("grad_lora_B".into(), &grads.b);
            out.put("projected_grad_lora_B".into(), &lora_fa.direction(grads.b.view()).unwrap());
            let report = check(&case, Some(&out.0), Options::default()).unwrap();
            assert_eq!(report.verdict, Verdict::Pass, "{report}");
            let last = report.findings.last().unwrap();
            assert_eq!(last.tensor, "projected_grad_lora_B");
            worst[which] = worst[which].max(last.rho);
        }
    }
    println!("largest rho of the residual and of the error: {worst:.3?}");
    assert!(worst.iter().all(|&rho| rho >= 0.02), "{worst:?}");
}
