//! SGD, both AdamWs, and Delta-LoRA's move of W.

use std::collections::BTreeMap;

use ndarray::Array2;
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::Dtype;

use super::machine::{Machine, ORDERS, matrix};
use super::{Named, case, judge, merge};

/// What an update needs, the same for A and B but for the rate.
struct Settings {
    adamw: Option<bool>, // hf?
    lr: f64,
    ratio: f64,
    decay: f64,
    betas: (f64, f64),
    eps: f64,
    start: u64,
}

impl Settings {
    fn random(rng: &mut ChaCha8Rng) -> Self {
        let mut pick = |from: &[f64]| from[rng.random_range(0..from.len())];
        Self {
            lr: pick(&[1e-3, 0.1, 0.02, 1.0]),
            ratio: pick(&[16.0, 4.0, 2.7]),
            decay: pick(&[0.0, 0.1, 0.01]),
            betas: (pick(&[0.9, 0.5, 0.3, 0.99]), pick(&[0.999, 0.75, 0.95, 0.4])),
            eps: pick(&[1e-8, 1e-6, 1.0]),
            start: pick(&[0.0, 1.0, 7.0, 300.0]) as u64,
            adamw: [None, Some(false), Some(true)][rng.random_range(0..3)],
        }
    }

    fn optimizer(&self, ratio: bool) -> String {
        let Self { lr, decay, betas, eps, .. } = self;
        let common = format!("\"lr\":{lr},\"weight_decay\":{decay}");
        let ratio = if ratio { format!(",\"lr_ratio\":{}", self.ratio) } else { String::new() };
        match self.adamw {
            None => format!("{{\"name\":\"sgd\",{common}{ratio}}}"),
            Some(hf) => format!(
                "{{\"name\":\"adamw\",\"variant\":\"{}\",{common},\"betas\":[{},{}],\"eps\":{eps}{ratio}}}",
                if hf { "hf" } else { "torch" },
                betas.0,
                betas.1
            ),
        }
    }

    /// One tensor's update, in the machine's arithmetic: p, m, v.
    fn update(
        &self,
        machine: &Machine,
        p: &Array2<f64>,
        g: &Array2<f64>,
        [m, v]: [&Array2<f64>; 2],
        plus: bool,
    ) -> [Array2<f64>; 3] {
        let st = |x: f64| machine.store(x);
        let lr = if plus { st(st(self.lr) * st(self.ratio)) } else { st(self.lr) };
        let decay = st(self.decay);
        let Some(hf) = self.adamw else {
            let p = machine.each(p, g, |p, g| match (machine.other, machine.fused) {
                // decoupled
                (true, _) => st(st(p * st(1.0 - st(lr * decay))) - st(lr * g)),
                (false, true) => p - lr * st(g + decay * p),
                (false, false) => p - st(lr * st(g + st(decay * p))),
            });
            return [p, m.clone(), v.clone()];
        };
        // 1 − β and 1 − βᵗ from β in f32, or in f64 as PyTorch has them.
        let short = |x: f64| if machine.concatenated { f64::from(x as f32) } else { x };
        let [beta1, beta2] = [self.betas.0, self.betas.1].map(short);
        // PyTorch's interpolation, which starts from the nearer end.
        let moment = |old: f64, new: f64, beta: f64| match machine.other {
            true if beta >= 0.5 => st(old + st(st(short(1.0 - short(beta))) * st(new - old))),
            true => st(new - st(st(new - old) * st(beta))),
            false => st(st(st(beta) * old) + st(st(short(1.0 - short(beta))) * new)),
        };
        let m = machine.each(m, g, |m, g| moment(m, g, self.betas.0));
        let v = machine.each(v, g, |v, g| moment(v, st(g * g), self.betas.1));
        // βᵗ as a product of t factors.
        let power = |beta: f64| (0..=self.start).fold(1.0, |power, _| short(power * beta));
        let [bias1, bias2] = [beta1, beta2].map(|beta| short(1.0 - power(beta)));
        let root = if machine.parts { st(st(bias2).sqrt()) } else { st(bias2.sqrt()) };
        let rate = match (machine.parts, hf) {
            (true, true) => st(st(lr * root) / st(bias1)),
            (false, true) => st(lr * bias2.sqrt() / bias1),
            (_, false) => st(lr / st(bias1)),
        };
        let eps = st(self.eps);
        let mut out = p.clone();
        ndarray::Zip::from(&mut out).and(&m).and(&v).for_each(|p, &m, &v| {
            let keep = if machine.parts { st(1.0 - st(lr * decay)) } else { st(1.0 - lr * decay) };
            let root_v = st(v.sqrt());
            let denominator = match hf {
                true => st(root_v + eps),
                false => st(st(root_v / root) + eps),
            };
            let move_by = match (machine.scale_on, hf) {
                (0, _) => st(st(rate * m) / denominator),
                (1, _) => st(rate * st(m / denominator)),
                // capturable: the rate inside the denominator
                (_, false) => st(m / st(st(root_v / st(root * rate)) + st(eps / rate))),
                (_, true) => st(m / st(denominator / rate)),
            };
            *p = if hf {
                let moved = st(*p - move_by);
                if machine.fused {
                    st(moved - st(moved * st(lr * decay)))
                } else {
                    st(moved * keep)
                }
            } else {
                st(st(*p * keep) - move_by)
            };
        });
        [out, m, v]
    }
}

fn run(method: &str, dtype: Dtype, seed: u64) -> BTreeMap<String, f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let settings = Settings::random(&mut rng);
    let mut machine = Machine {
        dtype,
        order: ORDERS[rng.random_range(0..ORDERS.len())],
        fused: rng.random(),
        concatenated: rng.random(),
        scale_on: rng.random_range(0..3),
        parts: rng.random(),
        other: rng.random(),
        rng: rng.clone(),
    };
    let [outputs, inputs, rank] = [3, 4, 2];
    let shapes = [("lora_A", rank, inputs), ("lora_B", outputs, rank)];
    let (mut given, mut expected) = (Named::new(), Named::new());
    let mut states = Vec::new();
    for (name, rows, columns) in shapes {
        let zero = rng.random::<bool>();
        let p = if zero { Array2::zeros((rows, columns)) } else { matrix(rows, columns, &mut rng) };
        let [g, m] = [matrix(rows, columns, &mut rng), matrix(rows, columns, &mut rng)];
        let v = matrix(rows, columns, &mut rng).mapv(f64::abs);
        let mut put = |prefix: &str, tensor: &Array2<f64>| {
            given.insert(format!("{prefix}{name}"), tensor.clone().into_dyn());
        };
        put("", &p);
        put("grad_", &g);
        if settings.adamw.is_some() {
            put("exp_avg.", &m);
            put("exp_avg_sq.", &v);
        }
        let plus = method == "lora-plus" && name == "lora_B";
        let [after, m, v] = settings.update(&machine, &p, &g, [&m, &v], plus);
        let mut put = |prefix: &str, tensor: &Array2<f64>| {
            expected.insert(format!("{prefix}{name}"), tensor.clone().into_dyn());
        };
        put("", &after);
        if settings.adamw.is_some() {
            put("exp_avg.", &m);
            put("exp_avg_sq.", &v);
        }
        states.push([p, after]);
    }
    let mut params = vec![
        format!("\"optimizer\":{}", settings.optimizer(method == "lora-plus")),
        format!("\"start\":{}", settings.start),
    ];
    if method == "delta-lora" {
        let weight = if rng.random() {
            matrix(outputs, inputs, &mut rng)
        } else {
            Array2::zeros((outputs, inputs))
        };
        let lambda = [2.0, 0.3][rng.random_range(0..2)];
        params.push(format!("\"lambda\":{lambda},\"alpha\":3"));
        // λ s, in parts
        let s = machine.scale(3.0, rank, false);
        let factor = machine.store(machine.store(lambda) * s);
        let [[a0, a1], [b0, b1]] = [&states[0], &states[1]];
        let moved = if machine.concatenated {
            let [b0, b1] = [machine.times(b0, -factor), machine.times(b1, factor)];
            Array2::from_shape_fn(weight.dim(), |(i, j)| {
                let mut terms = vec![(1.0, weight[[i, j]])];
                terms.extend(b1.row(i).iter().copied().zip(a1.column(j).iter().copied()));
                terms.extend(b0.row(i).iter().copied().zip(a0.column(j).iter().copied()));
                let sum = machine.dot(terms);
                machine.store(sum)
            })
        } else {
            let after = machine.matmul(b1, &a1.t().to_owned());
            let before = machine.matmul(b0, &a0.t().to_owned());
            if machine.fused {
                let up = machine.each(&weight, &machine.times(&after, factor), |w, d| w + d);
                machine.each(&up, &machine.times(&before, factor), |w, d| w - d)
            } else {
                let difference = machine.each(&after, &before, |after, before| after - before);
                machine.each(&weight, &machine.times(&difference, factor), |w, d| w + d)
            }
        };
        given.insert("weight".into(), weight.into_dyn());
        expected.insert("weight".into(), moved.into_dyn());
    }
    let text = format!(
        "{{\"schema\":\"lowrank-case/1\",\"id\":\"{method}/step/x\",\"method\":\"{method}\",\"op\":\"step\",\"params\":{{{}}}}}",
        params.join(",")
    );
    judge(&case(&text, &given, None), &machine, &expected)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn steps_stay_within_their_bounds(seed in any::<u64>()) {
        for method in ["lora", "lora-plus", "delta-lora"] {
            for dtype in [Dtype::F32, Dtype::BF16] {
                run(method, dtype, seed);
            }
        }
    }
}

/// Honest updates come within a factor of 6 of their bounds (of 20 for W, whose factors carry their own).
#[test]
fn bounds_of_steps_are_not_idle() {
    for dtype in [Dtype::F32, Dtype::BF16] {
        let mut worst = BTreeMap::new();
        for seed in 0..3000 {
            merge(&mut worst, run("delta-lora", dtype, seed));
        }
        println!("{dtype}: {worst:.2?}");
        for (name, rho) in worst {
            let least = if name == "weight" { 0.05 } else { 0.16 };
            assert!(rho >= least, "{dtype} {name}: no honest result came nearer than {rho}");
        }
    }
}
