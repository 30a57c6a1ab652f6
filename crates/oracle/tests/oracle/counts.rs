//! The constants of the bounds of forward, backward, merge and unmerge, restated from the tables in `src/ops` and compared
//! with what the bounds grow by: a bound that is one rounding too wide lets a mistake through, and one too narrow an honest
//! implementation fail.

use ndarray::ArrayD;
use oracle::bound::Units;
use oracle::{Case, Output, Profile, Tensor, TensorFile, outputs};

use crate::common::{EXACT, layer, vector, with_mask};

const TOKENS: usize = 3;
const IN: usize = 5;
const OUT: usize = 4;
const R: usize = 2;

/// What the tables say of one term.
struct Term {
    gauge: ArrayD<f64>,
    sums: usize,
    stored: usize,
    /// Factors that are inputs.
    inputs: usize,
    /// Operations that an underflow may happen in, and what it is multiplied by.
    underflow: [f64; 3],
}

fn close(got: &ArrayD<f64>, want: &ArrayD<f64>, what: &str) {
    for (got, want) in got.iter().zip(want) {
        // The gauges are enlarged by 2⁻³⁰; one rounding of 30 is 3%.
        assert!((got - want).abs() <= 1e-6 * want.abs(), "{what}: {got:e}, want {want:e}");
    }
    assert!(got.shape() == want.shape(), "{what}");
}

/// The bound in units of every kind: (1 + u_a)^k_a (1 + u_s)^k_s − 1 of each gauge, and the underflows.
fn grows_by(output: &Output, terms: &[Term], what: &str) {
    for (accumulate, store) in [(0.5, 0.0), (0.0, 0.5), (0.25, 0.125)] {
        for (inputs_round, square_root) in [(false, false), (true, false), (false, true)] {
            let units = Units { accumulate, store, inputs_round, square_root, ..EXACT };
            let want = terms.iter().map(|term| {
                let count = |k: usize| if square_root { (k as f64).sqrt() } else { k as f64 };
                let stored = term.stored + if inputs_round { term.inputs } else { 0 };
                let power = (1.0 + accumulate).powf(count(term.sums));
                &term.gauge * (power * (1.0 + store).powf(count(stored)) - 1.0)
            });
            let want = want.reduce(|sum, term| sum + term).unwrap();
            close(&(output.bound)(&units), &want, &format!("{what} {units:?}"));
        }
    }
    for units in [Units { tiny_accumulate: 1.0, ..EXACT }, Units { tiny_store: 1.0, ..EXACT }] {
        let want = terms.iter().map(|term| {
            let [accumulated, stored, most] = term.underflow;
            let operations = units.tiny_accumulate * accumulated + units.tiny_store * stored;
            term.gauge.mapv(|gauge| if gauge == 0.0 { 0.0 } else { operations * most })
        });
        let want = want.reduce(|sum, term| sum + term).unwrap();
        close(&(output.bound)(&units), &want, &format!("{what} {units:?}"));
    }
}

/// max(1, max|element|) of these inputs, multiplied.
fn largest(file: &TensorFile, names: &[&str]) -> f64 {
    let of = |name: &&str| {
        let tensor = file.tensors.get(&format!("in.{name}"));
        let numbers = tensor.map(|tensor| tensor.to_f64().unwrap().mapv(f64::abs));
        numbers.map_or(1.0, |numbers| numbers.iter().fold(1.0, |most: f64, &x| most.max(x)))
    };
    names.iter().map(of).product()
}

const A: [&str; 3] = ["lora_A", "vera_A", "vera_lambda_d"];
const B: [&str; 3] = ["lora_B", "vera_B", "vera_lambda_b"];

#[test]
fn forward_and_backward() {
    for method in ["lora", "lora-fa", "vera", "lora-plus", "delta-lora"] {
        for (bias, mask) in [(false, false), (true, false), (false, true), (true, true)] {
            if method == "delta-lora" && mask {
                continue;
            }
            let p = if mask { 0.75 } else { 0.0 };
            let alpha = if method == "vera" { "" } else { r#","alpha":5"# };
            let params = match method {
                "delta-lora" => r#""params":{"alpha":5}"#.to_owned(),
                _ => format!(r#""params":{{"dropout_p":{p}{alpha}}}"#),
            };
            let mut file = layer(method, "backward", &params);
            if bias {
                file.tensors.insert("in.bias".into(), Tensor::f64(&vector(OUT, 20)));
            }
            if mask {
                file = with_mask(file);
            }
            let vera = method == "vera";
            let scale = if vera { 1.0 } else { 2.5 };
            let masked = 2 * usize::from(mask);
            let (low, low_inputs) = if vera { (5, 5) } else { (7, 3) };

            let term = |output: &Output,
                        gauge: &str,
                        [sums, stored, inputs, terms]: [usize; 4],
                        through_mask: bool,
                        factors: &[&[&str]]| {
                let found = output.gauges.iter().find(|(name, _)| *name == gauge);
                let drops = through_mask && mask;
                let stores = stored + 2 + if drops { sums } else { 0 };
                Term {
                    gauge: found.unwrap().1.clone(),
                    sums,
                    stored: stored + if through_mask { masked } else { 0 },
                    inputs,
                    underflow: [
                        2.0 * (sums as f64 + 1.0) * (terms as f64 + 1.0),
                        stores as f64 * (terms as f64 + 1.0),
                        largest(&file, &factors.concat()) * scale / (1.0 - p),
                    ],
                }
            };
            let with_bias = low + usize::from(bias);
            let case = Case::of(&file).unwrap();
            let made = outputs(&case, &file).unwrap();
            for output in &made {
                let gradient = |counts| {
                    let factors: [&[&str]; 3] = [&["x", "grad_y"], &A, &B];
                    vec![term(output, "all", counts, true, &factors)]
                };
                let terms = match output.name.as_str() {
                    "y" => vec![
                        term(output, "base", [IN + R, 3, 2, 0], false, &[&["x", "weight"]]),
                        term(
                            output,
                            "low_rank",
                            [2 * IN + R, with_bias, low_inputs, R],
                            true,
                            &[&["x"], &A, &B],
                        ),
                    ],
                    "grad_x" => vec![
                        term(output, "base", [OUT + R, 3, 2, 0], false, &[&["grad_y", "weight"]]),
                        term(
                            output,
                            "low_rank",
                            [2 * OUT + R, low, low_inputs, R],
                            true,
                            &[&["grad_y"], &A, &B],
                        ),
                    ],
                    "grad_lora_A" => gradient([OUT + TOKENS, 6, 3, TOKENS]),
                    "grad_lora_B" => gradient([IN + TOKENS, 6, 3, TOKENS]),
                    "grad_vera_lambda_b" => gradient([IN + R + TOKENS, 5, 5, R * TOKENS]),
                    "grad_vera_lambda_d" => gradient([IN + OUT + TOKENS, 5, 5, TOKENS]),
                    other => panic!("{other}"),
                };
                let what = format!("{method}, bias {bias}, mask {mask}, {}", output.name);
                grows_by(output, &terms, &what);
            }
            assert_eq!(made.len(), if method == "lora-fa" { 3 } else { 4 });
        }
    }
}

#[test]
fn merge_and_unmerge() {
    for (method, op) in
        [("lora", "merge"), ("lora", "unmerge"), ("vera", "merge"), ("vera", "unmerge")]
    {
        for fan_in_fan_out in [false, true] {
            let vera = method == "vera";
            let alpha = if vera { "" } else { r#","alpha":5"# };
            let rest = format!(r#""params":{{"fan_in_fan_out":{fan_in_fan_out}{alpha}}}"#);
            let mut file = layer(method, op, &rest);
            let weight = file.tensors["in.weight"].to_f64().unwrap().mapv(f64::abs);
            let mut base = weight.clone();
            if fan_in_fan_out {
                base = weight.t().as_standard_layout().to_owned();
                file.tensors.insert("in.weight".into(), Tensor::f64(&base));
            }
            let output = &outputs(&Case::of(&file).unwrap(), &file).unwrap()[0];
            let (stored, inputs) = if vera { (4, 4) } else { (6, 2) };
            let most = largest(&file, &[A, B].concat()) * if vera { 1.0 } else { 2.5 };
            let (sums, store) = (2.0 * (R as f64 + 1.0), (stored as f64 + 2.0) * (R as f64 + 1.0));
            let underflow = [sums, store, most];
            let low_rank = &output.gauges[0].1 - &base;
            let terms = [
                Term { gauge: base, sums: R, stored: 1, inputs: 1, underflow },
                Term { gauge: low_rank, sums: R, stored, inputs, underflow },
            ];
            grows_by(output, &terms, &format!("{method} {op}"));
        }
    }
}

/// What the bounds stand around: y with its bias and its gauge, forward and backward; W plus and minus s B A.
#[test]
fn values() {
    let two = |array: &ArrayD<f64>| array.clone().into_dimensionality::<ndarray::Ix2>().unwrap();
    let params = r#""params":{"alpha":5}"#;
    for op in ["forward", "backward"] {
        let mut file = layer("lora", op, params);
        let bias = vector(OUT, 20);
        file.tensors.insert("in.bias".into(), Tensor::f64(&bias));
        let input = |name: &str| two(&file.tensors[&format!("in.{name}")].to_f64().unwrap());
        let [x, w, a, b] = ["x", "weight", "lora_A", "lora_B"].map(input);
        let y = &outputs(&Case::of(&file).unwrap(), &file).unwrap()[0];
        let want = x.dot(&w.t()) + x.dot(&a.t()).dot(&b.t()) * 2.5 + &bias;
        close(&y.value, &want.into_dyn(), op);
        let base = x.mapv(f64::abs).dot(&w.mapv(f64::abs).t()) + bias.mapv(f64::abs);
        close(&y.gauges[0].1, &base.into_dyn(), op);
    }
    for (op, sign) in [("merge", 1.0), ("unmerge", -1.0)] {
        let file = layer("lora", op, params);
        let input = |name: &str| two(&file.tensors[&format!("in.{name}")].to_f64().unwrap());
        let [w, a, b] = ["weight", "lora_A", "lora_B"].map(input);
        let made = &outputs(&Case::of(&file).unwrap(), &file).unwrap()[0];
        close(&made.value, &(w + b.dot(&a) * (2.5 * sign)).into_dyn(), op);
    }
}

/// Where every term is 0, every honest result is exactly 0: nothing is allowed there, whatever underflows elsewhere.
#[test]
fn without_a_term_nothing_is_allowed() {
    let mut file = layer("lora", "forward", "");
    file.tensors.insert("in.x".into(), Tensor::f64(&ArrayD::zeros(vec![TOKENS, IN])));
    let output = &outputs(&Case::of(&file).unwrap(), &file).unwrap()[0];
    let bound = (output.bound)(&Profile::F32.units(true));
    assert_eq!(bound, ArrayD::<f64>::zeros(vec![TOKENS, OUT]));
}

/// The gauge is a sum in f64 that may be low itself: it counts 2⁻³⁰ of itself more.
#[test]
fn the_gauge_is_enlarged() {
    let file = layer("lora", "merge", r#""params":{"alpha":0}"#);
    let output = &outputs(&Case::of(&file).unwrap(), &file).unwrap()[0];
    let bound = (output.bound)(&Units { accumulate: 0.5, ..EXACT });
    for (bound, gauge) in bound.iter().zip(&output.gauges[0].1) {
        let more = bound / (gauge * (1.5_f64.powi(R as i32) - 1.0)) - 1.0;
        assert!((more * 2.0_f64.powi(30) - 1.0).abs() <= 1e-5, "{more:e}");
    }
}

/// u, the smallest subnormal, and the smallest normal number where subnormals are flushed.
#[test]
fn units_of_the_formats() {
    let power = |exponent: i32| 2.0_f64.powi(exponent);
    for (profile, [u_a, u_s], subnormal, normal) in [
        (Profile::F64, [-53, -53], [-1074, -1074], [-1022, -1022]),
        (Profile::F32, [-24, -24], [-149, -149], [-126, -126]),
        (Profile::Tf32, [-23, -11], [-149, -136], [-126, -126]),
        (Profile::Bf16, [-23, -8], [-149, -133], [-126, -126]),
        (Profile::Fp16, [-23, -11], [-149, -24], [-126, -14]),
    ] {
        for (flush, tiny) in [(false, subnormal), (true, normal)] {
            let [tiny_accumulate, tiny_store] = tiny.map(|exponent| match exponent {
                -1074 => f64::from_bits(1),
                exponent => power(exponent),
            });
            let (accumulate, store) = (power(u_a), power(u_s));
            let want = Units { accumulate, store, tiny_accumulate, tiny_store, ..EXACT };
            assert_eq!(profile.units(flush), want, "{profile}");
        }
    }
}

/// The last bit that each format has, and the one after.
#[test]
fn what_a_format_holds() {
    for (profile, bits) in
        [(Profile::F32, 23), (Profile::Tf32, 10), (Profile::Bf16, 7), (Profile::Fp16, 10)]
    {
        assert!(profile.holds(1.0 + 2.0_f64.powi(-bits)), "{profile}");
        assert!(!profile.holds(1.0 + 2.0_f64.powi(-bits - 1)), "{profile}");
        assert!(profile.holds(f64::NAN) && profile.holds(f64::INFINITY) && profile.holds(-0.0));
        assert!(!profile.holds(1e39), "{profile}");
    }
    assert!(Profile::F64.holds(1.0 + f64::EPSILON));
    assert!(!Profile::Fp16.holds(65520.0) && Profile::Bf16.holds(65536.0));
    for (profile, name) in [(Profile::Tf32, "tf32"), (Profile::Fp16, "fp16")] {
        assert_eq!(
            (profile.to_string().as_str(), name.parse::<Profile>().unwrap()),
            (name, profile)
        );
    }
    let error = "fp8".parse::<Profile>().unwrap_err().to_string();
    assert!(error.contains("fp8") && error.contains("bf16"), "{error}");
}
