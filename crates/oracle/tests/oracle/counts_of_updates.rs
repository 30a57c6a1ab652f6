//! The bounds of updates and of LoRA-FA's projected gradient, restated to first order in u from the tables of `src/ops/step` and
//! `src/ops/projected_gradient.rs`, and compared with what the bounds come to for a u so small that its square does not show.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayD, Ix2, Zip};
use oracle::bound::Units;
use oracle::{Case, Output, Tensor, TensorFile, outputs};

use crate::common::{EXACT, file, layer, matrix, step, text, vector};

const U: f64 = 1e-13;
/// u_a alone, u_s alone, and u_s where the format does not hold the inputs.
fn units() -> [Units; 3] {
    let stored = Units { store: U, ..EXACT };
    [Units { accumulate: U, ..EXACT }, stored, Units { inputs_round: true, ..stored }]
}

fn made(file: &TensorFile) -> BTreeMap<String, Output> {
    let list = outputs(&Case::of(file).unwrap(), file).unwrap();
    list.into_iter().map(|output| (output.name.clone(), output)).collect()
}

fn input(file: &TensorFile, name: &str) -> ArrayD<f64> {
    file.tensors[&format!("in.{name}")].to_f64().unwrap()
}

fn close(got: &ArrayD<f64>, want: &ArrayD<f64>, what: &str) {
    assert_eq!(got.shape(), want.shape(), "{what}");
    for (got, want) in got.iter().zip(want) {
        // k u for a few hundred k, and the corners of an interval of that size, where numbers differ by 2⁻⁵³ of themselves.
        assert!((got - want).abs() <= 2e-3 * want.abs(), "{what}: {got:e}, want {want:e}");
    }
}

fn two(array: &ArrayD<f64>) -> Array2<f64> {
    array.clone().into_dimensionality::<Ix2>().unwrap()
}

/// η (g + λ p): 1 or 3 roundings of p, 5 + L of η λ p, 3 + L of η g, one more of each for an input that is rounded.
#[test]
fn sgd() {
    for (method, decay) in [("lora", 0.0), ("lora", 1.5), ("lora-plus", 0.5), ("vera", 0.25)] {
        let lr = 0.125;
        let rest = format!(r#""params":{{"optimizer":{{"lr":{lr},"weight_decay":{decay}}}}}"#);
        let (file, names) = if method == "vera" {
            let pairs = ["vera_lambda_b", "vera_lambda_d"];
            let tensors = pairs.map(|name| {
                [(format!("in.{name}"), vector(4, 1)), (format!("in.grad_{name}"), vector(4, 2))]
            });
            let mut made = file(&text(method, "step", &rest), &[]);
            for (name, tensor) in tensors.into_iter().flatten() {
                made.tensors.insert(name, Tensor::f64(&tensor));
            }
            (made, pairs)
        } else {
            (step(method, &rest, false), ["lora_A", "lora_B"])
        };
        let made = made(&file);
        for name in names {
            let fast = method == "lora-plus" && name == "lora_B";
            let (rate, l) = if fast { (16.0 * lr, 3.0) } else { (lr, 1.0) };
            let p = input(&file, name).mapv(f64::abs);
            let g = input(&file, &format!("grad_{name}")).mapv(f64::abs);
            for (units, [sums, store, inputs]) in
                units().iter().zip([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
            {
                let of_p = if decay == 0.0 { 1.0 } else { 3.0 };
                let want = &p * (of_p * store + inputs)
                    + &p * (rate * decay * ((5.0 + l) * store + inputs))
                    + &g * (rate * ((3.0 + l) * store + inputs));
                assert!(sums == 0.0 || want.iter().all(|&want| want == 0.0));
                close(
                    &(made[name].bound)(units),
                    &(want * U),
                    &format!("{method} {name} {units:?}"),
                );
            }
            let gauge = &p * (1.0 + rate * decay) + &g * rate;
            close(&made[name].gauges[0].1, &gauge, "gauge");
            let tiny = Units { tiny_store: 1.0, ..EXACT };
            // Eight operations in each of the terms that are there.
            let terms = if decay == 0.0 { 2.0 } else { 3.0 };
            let want = p.mapv(|_| 8.0 * terms * rate.max(1.0) * decay.max(1.0));
            close(&(made[name].bound)(&tiny), &want, &format!("{method} {name} underflow"));
        }
    }
}

/// AdamW of a method, with moments, at update t = 4.
struct Adam {
    file: TensorFile,
    hf: bool,
    betas: [f64; 2],
}

const LR: f64 = 0.125;
const DECAY: f64 = 0.5;
const EPS: f64 = 0.25;

fn adam(method: &str, hf: bool, betas: [f64; 2]) -> Adam {
    let variant = if hf { "hf" } else { "torch" };
    let [beta1, beta2] = betas;
    let rest = format!(
        r#""params":{{"start":3,"optimizer":{{"name":"adamw","variant":"{variant}","lr":{LR},"weight_decay":{DECAY},"eps":{EPS},"betas":[{beta1},{beta2}]}}}}"#
    );
    Adam { file: step(method, &rest, true), hf, betas }
}

/// The coefficients of old and new in a moment's gauge: β and 1 − β, and 2 min(β, 1 − β) for the one an interpolation
/// starts from.
fn coefficients(beta: f64) -> [f64; 2] {
    if beta < 0.5 {
        [beta, 1.0 - beta + 2.0 * beta]
    } else {
        [beta + 2.0 * (1.0 - beta), 1.0 - beta]
    }
}

#[test]
fn adamw() {
    for (method, hf, betas) in [
        ("lora", false, [0.75, 0.9375]),
        ("lora", true, [0.75, 0.9375]),
        ("lora", false, [0.5, 0.5]),
        ("lora-plus", false, [0.25, 0.75]),
        ("lora-plus", true, [0.75, 0.375]),
    ] {
        let Adam { file, hf, betas } = adam(method, hf, betas);
        let made = made(&file);
        for name in ["lora_A", "lora_B"] {
            let fast = method == "lora-plus" && name == "lora_B";
            let (lr, l) = if fast { (16.0 * LR, 3.0) } else { (LR, 1.0) };
            let of = |kind: &str| input(&file, &format!("{kind}{name}"));
            let (p, g) = (of("").mapv(f64::abs), of("grad_").mapv(f64::abs));
            let (m, v) = (of("exp_avg.").mapv(f64::abs), of("exp_avg_sq."));
            let g2 = g.mapv(|g| g * g);
            let [[m_old, m_new], [v_old, v_new]] = betas.map(coefficients);
            let (m_gauge, v_gauge) = (&m * m_old + &g * m_new, &v * v_old + &g2 * v_new);

            let t = 4.0;
            let bias = betas.map(|beta| 1.0 - beta.powf(t));
            let root = bias[1].sqrt();
            // rate · m/(√v/root + ε)
            let (rate, root) = if hf { (lr * root / bias[0], 1.0) } else { (lr / bias[0], root) };
            let shrink = 1.0 + lr * DECAY;
            let counts = 10.0 + l + if hf { 4.0 + l } else { 0.0 };
            let cancelled = bias.map(|bias| (2.0 * t + 1.0) * (1.0 - bias) / bias);

            for (units, [sums, store, inputs]) in
                units().iter().zip([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
            {
                let m_error = &m_gauge * (4.0 * store + inputs) + (&m + &g) * (sums * betas[0]);
                let v_error =
                    &v_gauge * (5.0 * store + 2.0 * inputs) + (&v + &g2) * (sums * betas[1]);
                let what = format!("{method} {name} hf {hf} {units:?}");
                let moments = [("exp_avg.", &m_error), ("exp_avg_sq.", &v_error)];
                for (kind, error) in moments {
                    let bound = (made[&format!("{kind}{name}")].bound)(units);
                    close(&bound, &(error * U), &format!("{kind} {what}"));
                }
                let mut want = &p * ((5.0 + l) * store + inputs);
                let [m_after, v_after] =
                    ["exp_avg.", "exp_avg_sq."].map(|kind| &made[&format!("{kind}{name}")].value);
                let moved = Zip::from(&m_error)
                    .and(&v_error)
                    .and(m_after)
                    .and(v_after)
                    .map_collect(|&m_error, &v_error, &m, &v| {
                        let below = v.sqrt() / root + EPS;
                        let q = rate * m.abs() / below;
                        let from_m = rate * m_error / below;
                        // d(√v/root)/dv = 1/(2 √v root)
                        let from_v = q / below * v_error / (2.0 * v.sqrt() * root);
                        let rounded = counts * store + sums * (cancelled[0] + cancelled[1] / 2.0);
                        from_m + from_v + rounded * q
                    });
                want += &moved;
                close(&(made[name].bound)(units), &(want * (U * shrink)), &what);
            }
            let tiny = Units { tiny_store: 1e-13, ..EXACT };
            for kind in ["exp_avg.", "exp_avg_sq."] {
                let bound = (made[&format!("{kind}{name}")].bound)(&tiny);
                close(&bound, &bound.mapv(|_| 4e-13), &format!("{kind} underflow"));
            }
            let [m_after, v_after] =
                ["exp_avg.", "exp_avg_sq."].map(|kind| &made[&format!("{kind}{name}")].value);
            let want = Zip::from(m_after).and(v_after).map_collect(|&m, &v| {
                let below = v.sqrt() / root + EPS;
                let carried = 1.0 + m.abs() / below / (2.0 * v.sqrt() * root);
                (rate / below * 4.0 * carried * shrink + 8.0) * 1e-13
            });
            close(&(made[name].bound)(&tiny), &want, "underflow of p");
            // The gauge: |p| (1 + η λ) + rate · m's gauge/(√v/root + ε).
            let below = made[&format!("exp_avg_sq.{name}")].value.mapv(|v| v.sqrt() / root + EPS);
            let gauge = &p * shrink + &m_gauge * rate / below;
            close(&made[name].gauges[0].1, &gauge, "gauge");
            close(&made[&format!("exp_avg.{name}")].gauges[0].1, &m_gauge, "gauge of m");
            close(&made[&format!("exp_avg_sq.{name}")].gauges[0].1, &v_gauge, "gauge of v");
        }
    }
}

/// 2r in sums; 2 stored of W, 10 of the products; and |λ s| (|B⁺| E_A + E_B |A⁺|). Until its start W only is rounded.
#[test]
fn delta_lora() {
    for (start_step, include_scale, lambda) in [(0, true, 0.5), (0, false, 3.0), (4, true, 0.5)] {
        let rest = format!(
            r#""params":{{"alpha":5,"lambda":{lambda},"start":3,"start_step":{start_step},"include_scale":{include_scale},"optimizer":{{"lr":0.125}}}}"#
        );
        let file = step("delta-lora", &rest, false);
        let made = made(&file);
        let abs = |array: &ArrayD<f64>| two(array).mapv(f64::abs);
        let [a0, b0] = ["lora_A", "lora_B"].map(|name| abs(&input(&file, name)));
        let [a1, b1] = ["lora_A", "lora_B"].map(|name| abs(&made[name].value));
        let moves = start_step < 4;
        let factor = if moves { lambda * if include_scale { 2.5 } else { 1.0 } } else { 0.0 };
        let base = abs(&input(&file, "weight"));
        let low_rank = (b1.dot(&a1) + b0.dot(&a0)) * factor;
        for (units, [sums, store, inputs]) in
            units().iter().zip([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
        {
            let [of_a, of_b] = ["lora_A", "lora_B"].map(|name| two(&(made[name].bound)(units)));
            let r = 2.0;
            let mut want = &base * (U * inputs);
            if moves {
                want += &(&base * (U * (2.0 * r * sums + 2.0 * store)));
                want += &(&low_rank * (U * (2.0 * r * sums + 10.0 * store + 2.0 * inputs)));
                want += &((b1.dot(&of_a) + of_b.dot(&a1)) * factor);
            }
            let what = format!("{start_step} {include_scale} {units:?}");
            close(&(made["weight"].bound)(units), &want.into_dyn(), &what);
        }
        let most = [&a0, &b0, &a1, &b1].map(|m| m.iter().fold(1.0, |most: f64, &x| most.max(x)));
        let most = most.iter().product::<f64>() * factor.max(1.0);
        let terms = if moves { 2.0 } else { 1.0 };
        let underflow = (made["weight"].bound)(&Units { tiny_accumulate: 1.0, ..EXACT });
        close(&underflow, &underflow.mapv(|_| terms * 4.0 * 3.0 * most), "in sums");
        // Those of A and B come on top: |λ s| (|B⁺| E_A + E_B |A⁺| + E_B E_A).
        let tiny = Units { tiny_store: 1e-13, ..EXACT };
        let [of_a, of_b] = ["lora_A", "lora_B"].map(|name| two(&(made[name].bound)(&tiny)));
        let carried = (b1.dot(&of_a) + of_b.dot(&a1) + of_b.dot(&of_a)) * factor;
        let want = carried + terms * 12.0 * most * 1e-13;
        close(&(made["weight"].bound)(&tiny), &want.into_dyn(), "stored");
        let gauge = &base + &low_rank;
        close(&made["weight"].gauges[0].1, &gauge.into_dyn(), "gauge");
    }
}

/// In a trajectory the gradient has an error of its own: η E_g more of p, m's share of it, 2 |g| times v's.
#[test]
fn a_gradient_with_an_error() {
    for adamw in [false, true] {
        let optimizer = if adamw {
            r#"{"name":"adamw","lr":0.125,"betas":[0.75,0.9375],"eps":0.25}"#
        } else {
            r#"{"lr":0.125}"#
        };
        let rest = format!(r#""params":{{"alpha":5,"steps":1,"optimizer":{optimizer}}}"#);
        let mut case = layer("lora", "trajectory", &rest);
        case.tensors.insert("in.x.0".into(), Tensor::f64(&matrix(3, 5, 6)));
        case.tensors.insert("in.grad_y.0".into(), Tensor::f64(&matrix(3, 4, 7)));
        let made = made(&case);
        // No ∂L/∂x: a trajectory is judged by what training needs.
        let names: Vec<_> = made.keys().filter(|name| !name.starts_with("exp_avg")).collect();
        assert_eq!(names, ["grad_lora_A.0", "grad_lora_B.0", "lora_A.0", "lora_B.0", "y.0"]);
        for name in ["lora_A", "lora_B"] {
            let units = Units { accumulate: U, ..EXACT };
            let of_g = (made[&format!("grad_{name}.0")].bound)(&units);
            let gradient = &made[&format!("grad_{name}.0")];
            if !adamw {
                close(&(made[&format!("{name}.0")].bound)(&units), &(&of_g * 0.125), name);
                // p + η times the gradient's gauge, which is above |g|.
                let gauge = input(&case, name).mapv(f64::abs) + &gradient.gauges[0].1 * 0.125;
                close(&made[&format!("{name}.0")].gauges[0].1, &gauge, "gauge");
                continue;
            }
            let g = gradient.value.mapv(f64::abs);
            let [m_new, v_new] = [0.25, 0.0625];
            let m = &of_g * m_new + &g * (U * 0.75);
            close(&(made[&format!("exp_avg.{name}.0")].bound)(&units), &m, "m");
            let v = &of_g * &g * (2.0 * v_new) + &g * &g * (U * 0.9375);
            close(&(made[&format!("exp_avg_sq.{name}.0")].bound)(&units), &v, "v");
            let gauge = &gradient.gauges[0].1 * m_new;
            close(&made[&format!("exp_avg.{name}.0")].gauges[0].1, &gauge, "gauge of m");
        }
    }
}

/// |s² ĝ A Aᵀ − g| ≤ ((1 + u_a)^(n + 3r + 4) (1 + u_s)^11 − 1) s² |ĝ| d dᵀ + E_g, and what of it reaches ĝ:
/// (growth |ĝ| d dᵀ + E_g/s²) |(A Aᵀ)⁻¹| to first order.
#[test]
fn the_projection() {
    let case = layer("lora-fa", "backward", r#""params":{"alpha":5,"variant":"projected"}"#);
    let made = made(&case);
    let (a, s2) = (two(&input(&case, "lora_A")), 6.25);
    let gram = a.dot(&a.t());
    let determinant = gram[[0, 0]] * gram[[1, 1]] - gram[[0, 1]] * gram[[1, 0]];
    let inverse =
        ndarray::array![[gram[[1, 1]], gram[[0, 1]].abs()], [gram[[1, 0]].abs(), gram[[0, 0]]]]
            / determinant;
    let d = gram.diag().mapv(f64::sqrt);
    let (g, z) = (two(&made["grad_lora_B"].value), two(&made["projected_grad_lora_B"].value));
    let spread = |z: &Array2<f64>| {
        let weights = z.mapv(f64::abs).dot(&d);
        Array2::from_shape_fn(z.dim(), |(i, j)| weights[i] * d[j])
    };
    let output = &made["projected_grad_lora_B"];
    let residual = output.residual.as_ref().unwrap();
    let (n, r) = (5.0, 2.0);
    for (units, k) in units().iter().zip([n + 3.0 * r + 4.0, 11.0, 11.0 + 3.0]) {
        let of_g = two(&(made["grad_lora_B"].bound)(units));
        let [left, allowed] = residual(&z.clone().into_dyn(), units);
        let rounding = g.iter().fold(0.0, |most: f64, g| most.max(g.abs())) * 1e-12;
        assert!(left.iter().all(|&left| left <= rounding), "{left}");
        let want = spread(&z) * (k * U * s2) + &of_g;
        close(&allowed, &want.into_dyn(), "allowed");
        let want = (spread(&z) * (k * U)).dot(&inverse) + of_g.dot(&inverse) / s2;
        close(&(output.bound)(units), &want.into_dyn(), "of ĝ");
    }
    // Of something else: s² |ĝ − x| A Aᵀ.
    let [left, allowed] = residual(&(&z * 3.0).into_dyn(), &units()[0]);
    close(&left, &(&g * 2.0).mapv(f64::abs).into_dyn(), "left");
    let of_g = two(&(made["grad_lora_B"].bound)(&units()[0]));
    let want = spread(&z) * (3.0 * (n + 3.0 * r + 4.0) * U * s2) + &of_g;
    close(&allowed, &want.into_dyn(), "allowed");
    let gauge = spread(&z) * s2 + two(&made["grad_lora_B"].gauges[0].1);
    close(&output.gauges[0].1, &gauge.into_dyn(), "gauge");

    // The series: with X = growth d dᵀ |G⁻¹| the sum of c Xⁿ, and ∞ where that diverges.
    let c = |units: &Units, growth: f64| {
        let of_g = two(&(made["grad_lora_B"].bound)(units));
        (spread(&z) * growth).dot(&inverse) + of_g.dot(&inverse) / s2
    };
    let units = Units { accumulate: 1e-4, ..EXACT };
    let growth = 1.0001_f64.powf(n + 3.0 * r + 4.0) - 1.0;
    let mut term = c(&units, growth);
    let mut sum = term.clone();
    for _ in 0..300 {
        term = (spread(&term) * growth).dot(&inverse);
        sum += &term;
    }
    let bound = (output.bound)(&units);
    assert!(sum.iter().zip(&c(&units, growth)).all(|(sum, first)| *sum > 1.001 * first), "{sum}");
    for (bound, sum) in bound.iter().zip(&sum) {
        assert!(bound >= sum && *bound <= sum * 1.00001, "{bound:e}, {sum:e}");
    }
    let coarse = Units { accumulate: 0.5, ..EXACT };
    assert!((output.bound)(&coarse).iter().all(|&bound| bound == f64::INFINITY));
}

/// Not to first order: in units so coarse that every product of two errors shows.
#[test]
fn products_of_errors() {
    let units = Units { accumulate: 0.25, store: 0.125, ..EXACT };
    let stored = |k: i32| 1.125_f64.powi(k);
    for (method, adamw) in [("lora", false), ("lora-plus", false), ("lora", true)] {
        let optimizer = if adamw {
            r#"{"name":"adamw","lr":0.125,"betas":[0.75,0.9375],"eps":0.25}"#
        } else {
            r#"{"lr":0.125,"weight_decay":0.5}"#
        };
        let rest = format!(r#""params":{{"alpha":5,"steps":1,"optimizer":{optimizer}}}"#);
        let mut case = layer(method, "trajectory", &rest);
        case.tensors.insert("in.x.0".into(), Tensor::f64(&matrix(3, 5, 6)));
        case.tensors.insert("in.grad_y.0".into(), Tensor::f64(&matrix(3, 4, 7)));
        for kind in ["exp_avg", "exp_avg_sq"] {
            if adamw {
                let moments = [("lora_A", matrix(2, 5, 8)), ("lora_B", matrix(4, 2, 9))];
                for (name, moment) in moments {
                    let name = format!("in.{kind}.{name}");
                    case.tensors.insert(name, Tensor::f64(&moment.mapv(f64::abs)));
                }
            }
        }
        let made = made(&case);
        for name in ["lora_A", "lora_B"] {
            let gradient = &made[&format!("grad_{name}.0")];
            let of_g = (gradient.bound)(&units);
            let (g, gauge) = (gradient.value.mapv(f64::abs), &gradient.gauges[0].1);
            let p = input(&case, name).mapv(f64::abs);
            let what = format!("{method} {name}");
            if !adamw {
                let fast = method == "lora-plus" && name == "lora_B";
                let (lr, l) = if fast { (2.0, 3) } else { (0.125, 1) };
                let want = &p * (stored(3) - 1.0)
                    + &p * (lr * 0.5 * (stored(5 + l) - 1.0))
                    + gauge * (lr * (stored(3 + l) - 1.0))
                    + &of_g * (lr * stored(3 + l));
                close(&(made[&format!("{name}.0")].bound)(&units), &want, &what);
                continue;
            }
            let [m, v] =
                ["exp_avg", "exp_avg_sq"].map(|kind| input(&case, &format!("{kind}.{name}")));
            let g2 = &g * &g;
            let [[m_old, m_new], [v_old, v_new]] = [0.75, 0.9375].map(coefficients);
            let m_error = (&m * m_old + &g * m_new) * (stored(4) - 1.0)
                + (&m + &g) * (0.25 * 0.75 * stored(4))
                + &of_g * (m_new * stored(4));
            close(&(made[&format!("exp_avg.{name}.0")].bound)(&units), &m_error, &what);
            let v_error = (&v * v_old + &g2 * v_new) * (stored(5) - 1.0)
                + (&v + &g2) * (0.25 * 0.9375 * stored(5))
                + (&g * 2.0 + &of_g) * &of_g * (v_new * stored(5));
            close(&(made[&format!("exp_avg_sq.{name}.0")].bound)(&units), &v_error, &what);
        }
    }

    let rest = r#""params":{"alpha":5,"lambda":0.5,"optimizer":{"lr":0.125}}"#;
    let mut case = step("delta-lora", rest, false);
    // r = 3, since 2 · 2 = 2 + 2.
    for (name, rows, columns) in [("lora_A", 3, 5), ("lora_B", 4, 3)] {
        case.tensors.insert(format!("in.{name}"), Tensor::f64(&matrix(rows, columns, 8)));
        case.tensors.insert(format!("in.grad_{name}"), Tensor::f64(&matrix(rows, columns, 9)));
    }
    let made = made(&case);
    let abs = |array: &ArrayD<f64>| two(array).mapv(f64::abs);
    let [a0, b0] = ["lora_A", "lora_B"].map(|name| abs(&input(&case, name)));
    let [a1, b1] = ["lora_A", "lora_B"].map(|name| abs(&made[name].value));
    let [of_a, of_b] = ["lora_A", "lora_B"].map(|name| two(&(made[name].bound)(&units)));
    let (sums, factor) = (1.25_f64.powi(6), 0.5 * 5.0 / 3.0);
    let want = abs(&input(&case, "weight")) * (sums * stored(2) - 1.0)
        + (b1.dot(&a1) + b0.dot(&a0)) * (factor * (sums * stored(10) - 1.0))
        + (b1.dot(&of_a) + of_b.dot(&a1) + of_b.dot(&of_a)) * (factor * sums * stored(10));
    close(&(made["weight"].bound)(&units), &want.into_dyn(), "weight");
}

/// p in coarse units: the furthest corner of q, and 1 − θ/2 − θ²/2 below √(1 − θ).
#[test]
fn corners_of_an_update() {
    let Adam { file, betas, .. } = adam("lora", false, [0.75, 0.9375]);
    let made = made(&file);
    let units = Units { accumulate: 2.0_f64.powi(-8), ..EXACT };
    let t = 4.0;
    let bias = betas.map(|beta| 1.0 - beta.powf(t));
    let (rate, root) = (LR / bias[0], bias[1].sqrt());
    let cancelled = bias.map(|bias| (2.0 * t + 1.0) * (1.0 - bias) / bias * units.accumulate);
    let biased = cancelled[0] + cancelled[1] / 2.0 + cancelled[1] * cancelled[1] / 2.0;
    for name in ["lora_A", "lora_B"] {
        let [m, v] = ["exp_avg", "exp_avg_sq"].map(|kind| &made[&format!("{kind}.{name}")]);
        let (of_m, of_v) = ((m.bound)(&units), (v.bound)(&units));
        let want = Zip::from(&m.value).and(&v.value).and(&of_m).and(&of_v).map_collect(
            |&m, &v, &of_m, &of_v| {
                let q = |m: f64, v: f64| rate * m / (v.max(0.0).sqrt() / root + EPS);
                let corners = [q(m - of_m, v - of_v), q(m - of_m, v + of_v)];
                let corners =
                    corners.into_iter().chain([q(m + of_m, v - of_v), q(m + of_m, v + of_v)]);
                let (off, most) = corners.fold((0.0, 0.0), |(off, most): (f64, f64), corner| {
                    (off.max((corner - q(m, v)).abs()), most.max(corner.abs()))
                });
                (off + (1.0 / (1.0 - biased) - 1.0) * most) * (1.0 + LR * DECAY)
            },
        );
        close(&(made[name].bound)(&units), &want, name);
    }
}
