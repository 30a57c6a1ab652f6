//! The laws of `init`, from the table of `src/ops/init.rs`: moments, their standard errors, and the range.

use ndarray::{ArrayD, arr1};
use oracle::bound::Units;
use oracle::{Case, Output, Result, outputs};

use crate::common::{EXACT, file, text};

fn init(
    method: &str,
    name: &str,
    [rank, inputs, outputs_, samples]: [usize; 4],
) -> Result<Vec<Output>> {
    let rest = format!(
        r#""params":{{"init":"{name}","rank":{rank},"in":{inputs},"out":{outputs_},"samples":{samples}}}"#
    );
    let file = file(&text(method, "init", &rest), &[]);
    outputs(&Case::of(&file)?, &file)
}

fn close(got: &ArrayD<f64>, want: [f64; 3], what: &str) {
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() <= 1e-12 * want.abs(), "{what}: {got:e}, want {want:e}");
    }
    assert_eq!(got.len(), 3, "{what}");
}

/// E x, E x², E x⁴, the variances of x, x² and x⁴, and the end of the range.
enum Law {
    Always(f64),
    Uniform(f64),
    Normal(f64),
}

fn moments(law: &Law) -> ([f64; 3], [f64; 3], f64) {
    match *law {
        Law::Always(c) => ([c, c * c, c * c * c * c], [0.0; 3], c),
        // E x² = h²/3, E x⁴ = h⁴/5, E x⁸ = h⁸/9
        Law::Uniform(h2) => {
            let h4 = h2 * h2;
            let spread = [h2 / 3.0, h4 / 5.0 - h4 / 9.0, h4 * h4 / 9.0 - h4 * h4 / 25.0];
            ([0.0, h2 / 3.0, h4 / 5.0], spread, h2.sqrt())
        }
        // σ², 3σ⁴, 105σ⁸
        Law::Normal(v) => {
            ([0.0, v, 3.0 * v * v], [v, 2.0 * v * v, 96.0 * v * v * v * v], f64::INFINITY)
        }
    }
}

#[test]
fn moments_and_ranges() {
    let shape = [3, 5, 7, 11];
    let [r, n, m, samples] = shape.map(|size| size as f64);
    let zero = Law::Always(0.0);
    let mut seen = 0;
    for (methods, name, laws) in [
        (
            &["lora", "lora-fa", "lora-plus", "delta-lora"][..],
            "kaiming_uniform_a5",
            [Law::Uniform(1.0 / n), Law::Always(0.0)],
        ),
        (
            &["lora", "lora-fa", "lora-plus", "delta-lora"],
            "gaussian",
            [Law::Normal(1.0 / (r * r)), Law::Always(0.0)],
        ),
        (
            &["lora", "lora-plus", "delta-lora"],
            "kaiming_uniform_b",
            [Law::Always(0.0), Law::Uniform(1.0 / r)],
        ),
        (&["lora", "lora-plus", "delta-lora"], "embedding", [Law::Always(0.0), Law::Normal(1.0)]),
        (&["vera"], "kaiming_uniform", [Law::Uniform(6.0 / n), Law::Uniform(6.0 / r)]),
        (&["vera"], "kaiming_normal", [Law::Normal(2.0 / n), Law::Normal(2.0 / r)]),
    ] {
        for method in methods {
            let [a, b] = &laws;
            let mut want = if *method == "vera" {
                vec![("vera_A", a, r * n), ("vera_B", b, m * r), ("vera_lambda_b", &zero, m)]
            } else {
                vec![("lora_A", a, r * n), ("lora_B", b, m * r)]
            };
            let tenth = Law::Always(0.1);
            if *method == "vera" {
                want.push(("vera_lambda_d", &tenth, r));
            }
            let made = init(method, name, shape).unwrap();
            assert_eq!(made.len(), 2 * want.len());
            for (pair, (tensor, law, elements)) in made.chunks(2).zip(want) {
                let what = format!("{method} {name} {tensor}");
                let (means, variances, end) = moments(law);
                let errors = variances.map(|variance| (variance / (elements * samples)).sqrt());
                let [of_moments, of_range] = pair else { panic!("{what}") };
                assert_eq!(of_moments.name, format!("{tensor}.moments"));
                close(&of_moments.value, means, &what);
                close(&of_moments.gauges[0].1, errors, &what);
                // 6 standard errors and 16 roundings.
                let mut bound = errors.map(|error| 6.0 * error);
                close(&(of_moments.bound)(&EXACT), bound, &what);
                for (bound, mean) in bound.iter_mut().zip(means) {
                    *bound += mean.abs() * (1.5_f64.powi(16) - 1.0);
                }
                close(&(of_moments.bound)(&Units { store: 0.5, ..EXACT }), bound, &what);

                assert_eq!(of_range.name, format!("{tensor}.support"));
                let low = if matches!(law, Law::Always(_)) { end } else { -end };
                assert_eq!(of_range.value, arr1(&[low, end]).into_dyn(), "{what}");
                range(of_range, [low, end], &what);
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 14 * 2 + 2 * 4);
}

/// How far the samples reach beyond the ends, and how far they may.
fn range(output: &Output, [low, high]: [f64; 2], what: &str) {
    let residual = output.residual.as_ref().unwrap();
    let of = |least: f64, most: f64| {
        let units = Units { store: 0.5, ..EXACT };
        residual(&arr1(&[least, most]).into_dyn(), &units).map(|both| [both[[0]], both[[1]]])
    };
    let allowed = [low, high].map(|end: f64| match end.is_finite() {
        true => end.abs() * (1.5_f64.powi(16) - 1.0),
        false => 0.0,
    });
    let [left, may] = of(low, high);
    assert_eq!(left, [0.0; 2], "{what}");
    for (may, allowed) in may.into_iter().zip(allowed) {
        assert!((may - allowed).abs() <= 1e-12 * allowed, "{what}: {may}, {allowed}");
    }
    if low.is_finite() {
        let [beyond, _] = of(low - 1.0, high + 2.0);
        assert_eq!(beyond.map(f64::round), [1.0, 2.0], "{what}");
        assert!(beyond[0] > 0.999 && beyond[1] > 1.999, "{what}: {beyond:?}");
    }
    // The largest below the smallest: no range at all.
    assert_eq!(of(high.min(9.0) + 1.0, low.max(-9.0))[0], [f64::INFINITY; 2], "{what}");
    let [nan, _] = of(f64::NAN, high);
    assert!(
        nan[0].is_nan() && nan[1] == 0.0 || low == f64::NEG_INFINITY && nan[0].is_nan(),
        "{what}: {nan:?}"
    );
}

#[test]
fn what_is_no_distribution_is_refused() {
    for (method, name, known) in [
        ("vera", "gaussian", "kaiming_uniform and kaiming_normal"),
        ("lora-fa", "embedding", "kaiming_uniform_a5 and gaussian"),
        ("lora-fa", "kaiming_uniform_b", "kaiming_uniform_a5 and gaussian"),
        (
            "lora",
            "kaiming_uniform",
            "kaiming_uniform_a5, gaussian, kaiming_uniform_b and embedding",
        ),
    ] {
        let Err(error) = init(method, name, [1, 2, 3, 4]) else { panic!("{method} {name}") };
        let error = error.to_string();
        assert!(
            error.contains(name) && error.ends_with(&format!("{method} knows {known}")),
            "{error}"
        );
    }
    for empty in [[0, 2, 3, 4], [1, 0, 3, 4], [1, 2, 0, 4], [1, 2, 3, 0]] {
        let Err(error) = init("lora", "gaussian", empty) else { panic!("{empty:?}") };
        assert!(error.to_string().contains("at least 1"), "{error}");
    }
}
