//! What the five papers claim (crate `claims`), one test a claim.
//!
//! The printed values and the exact ones are literals here, from the papers and from a hand, not from the crate: a slip
//! in either place fails. `held_bytes.rs` asks the memory allocator about claim 23.

use std::sync::LazyLock;

use claims::Verdict::{Agrees, Differs, Measured, Rounded};
use claims::{Claim, Finding, Verdict};
use methods::Method;

static CLAIMS: LazyLock<Vec<Claim>> = LazyLock::new(|| claims::all().expect("nothing is refused"));

fn claim(number: usize, paper: Method) -> &'static Claim {
    let claim = &CLAIMS[number - 1];
    assert_eq!((claim.number, claim.paper), (number, paper));
    if claim.verdict() == Differs {
        assert!(claim.note.is_some(), "{number}: a difference without a word about it");
    }
    claim
}

/// The findings of a claim, each against what the paper prints, what the formula gives, and the verdict.
fn check(number: usize, paper: Method, expected: &[(Option<&str>, f64, Verdict)]) {
    let findings = &claim(number, paper).findings;
    assert_eq!(findings.len(), expected.len(), "{number}");
    for (found, &(printed, value, verdict)) in findings.iter().zip(expected) {
        let Finding { of, values, .. } = found;
        assert_eq!(found.printed, printed, "{number} {of}");
        assert_eq!(*values, [value], "{number} {of}");
        assert_eq!(found.verdict, verdict, "{number} {of}: printed {printed:?}, exactly {value}");
        if let Some(printed) = printed {
            assert_eq!(
                printed_from(value, printed),
                verdict != Differs,
                "{number}: {printed} {value}"
            );
        }
    }
}

/// Whether a value, written with the digits and in the unit of `printed`, reads the same: rounded to nearest or cut off.
fn printed_from(value: f64, printed: &str) -> bool {
    let unit = printed.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = &printed[..printed.len() - unit.len()];
    let decimals = number.split('.').nth(1).map_or(0, str::len);
    let kilo = if unit.ends_with('B') { 1024.0 } else { 1000.0 };
    let power = ["K", "M", "G", "T"].iter().position(|prefix| unit.starts_with(prefix));
    let scaled = value / power.map_or(1.0, |power| f64::powi(kilo, power as i32 + 1));
    let nearest = format!("{scaled:.decimals$}");
    // More digits than any of these values has, without the last ones.
    let all = format!("{scaled:.12}");
    let cut = &all[..all.len() - 12 + decimals];
    let number = if number.starts_with('.') { format!("0{number}") } else { number.to_owned() };
    number == nearest || number == cut.trim_end_matches('.')
}

/// The values of the finding of this name.
fn values(number: usize, paper: Method, of: &str) -> &'static [f64] {
    let found = claim(number, paper).findings.iter().find(|finding| finding.of == of);
    &found.unwrap_or_else(|| panic!("{number} says nothing about {of}")).values
}

fn verdicts(number: usize) -> Vec<Verdict> {
    CLAIMS[number - 1].findings.iter().map(|finding| finding.verdict).collect()
}

/// The error of an equation, which may be NaN.
fn error(number: usize, paper: Method, of: &str) -> f64 {
    let [error] = values(number, paper, of) else { panic!("{number} {of}: not one number") };
    *error
}

#[test]
fn there_are_37() {
    assert_eq!(CLAIMS.len(), 37);
    let differ = CLAIMS.iter().filter(|claim| claim.verdict() == Differs).map(|claim| claim.number);
    assert_eq!(differ.collect::<Vec<_>>(), [3, 6, 10, 14, 15, 34]);
}

#[test]
fn the_digits_of_a_printed_number() {
    for (value, printed) in [(18_874_368.0, "18.8M"), (18_874_368.0, "18.9M"), (786.0, ".8K")] {
        assert!(printed_from(value, printed), "{value} {printed}");
    }
    for (value, printed) in [(18_874_368.0, "18.7M"), (18_874_368.0, "19.0M"), (786.0, ".9K")] {
        assert!(!printed_from(value, printed), "{value} {printed}");
    }
    assert!(printed_from(73_824.0, "72KB") && !printed_from(73_824.0, "74KB"));
}

// LoRA: |Θ| = 2·L·d·r.

#[test]
fn lora_01_gpt3_r1_is_4_718_592() {
    check(1, Method::Lora, &[(Some("4.7M"), 4_718_592.0, Rounded)]);
}

#[test]
fn lora_02_gpt3_r2_is_9_437_184() {
    let row = (Some("9.4M"), 9_437_184.0, Rounded);
    check(2, Method::Lora, &[row, row]);
}

/// 36.0 MiB exactly, or 37.7 MB.
#[test]
fn lora_03_gpt3_r4_is_18_874_368_and_36_mib() {
    let row = (Some("18.8M"), 18_874_368.0, Rounded);
    check(3, Method::Lora, &[row, row, (Some("35MB"), 36.0 * 1_048_576.0, Differs)]);
}

#[test]
fn lora_04_gpt3_r8_is_37_748_736() {
    let row = (Some("37.7M"), 37_748_736.0, Rounded);
    check(4, Method::Lora, &[row, row]);
}

#[test]
fn lora_05_gpt3_r64_is_301_989_888() {
    check(5, Method::Lora, &[(Some("301.9M"), 301_989_888.0, Rounded)]);
}

#[test]
fn lora_06_gpt3_qkvo_r64_is_603_979_776_and_not_603_8m() {
    check(6, Method::Lora, &[(Some("603.8M"), 603_979_776.0, Differs)]);
}

#[test]
fn lora_07_roberta_base_r8_is_294_912() {
    check(7, Method::Lora, &[(Some("0.3M"), 294_912.0, Rounded)]);
}

#[test]
fn lora_08_roberta_large_r8_is_786_432() {
    check(8, Method::Lora, &[(Some("0.8M"), 786_432.0, Rounded)]);
}

#[test]
fn lora_09_deberta_xxl_r16_is_4_718_592() {
    check(9, Method::Lora, &[(Some("4.7M"), 4_718_592.0, Rounded)]);
}

#[test]
fn lora_10_gpt2_r4_is_393_216_and_737_280_and_not_as_printed() {
    let expected = [(Some(".35M"), 393_216.0, Differs), (Some(".77M"), 737_280.0, Differs)];
    check(10, Method::Lora, &expected);
}

#[test]
fn lora_11_houlsby_adapters() {
    let expected = [
        (Some("7.1M"), 7_078_080.0, Rounded),
        (Some("21.2M"), 21_234_432.0, Rounded),
        (Some("40.1M"), 40_109_568.0, Rounded),
        (Some("77.9M"), 77_859_840.0, Rounded),
        (Some("304.4M"), 304_361_472.0, Rounded),
    ];
    check(11, Method::Lora, &expected);
}

#[test]
fn lora_12_prefix_embed_is_3_244_032() {
    check(12, Method::Lora, &[(Some("3.2M"), 3_244_032.0, Rounded)]);
}

// VeRA: |Θ| = L (d + r).

#[test]
fn vera_13_roberta_base() {
    let expected = [
        (Some("18.4K"), 18_456.0, Rounded),
        (Some("18.8K"), 18_816.0, Rounded),
        (Some("24.5K"), 24_576.0, Rounded),
        (Some("72KB"), 73_824.0, Rounded),
        (Some("74KB"), 75_264.0, Rounded),
        (Some("96KB"), 98_304.0, Agrees),
    ];
    check(13, Method::Vera, &expected);
}

#[test]
fn vera_14_roberta_large_r16_is_49_920_and_not_49_5k() {
    let expected = [
        (Some("49.2K"), 49_200.0, Agrees),
        (Some("49.5K"), 49_920.0, Differs),
        (Some("61.4K"), 61_440.0, Rounded),
        (Some("192KB"), 196_800.0, Rounded),
        (Some("195KB"), 199_680.0, Agrees),
        (Some("240KB"), 245_760.0, Agrees),
    ];
    check(14, Method::Vera, &expected);
}

#[test]
fn vera_15_gpt3_trains_2_362_368_and_2_408_448_and_not_2_8m_and_8_7m() {
    let expected = [
        (Some("2.4M"), 2_359_488.0, Rounded),
        (Some("2.8M"), 2_362_368.0, Differs),
        (Some("8.7M"), 2_408_448.0, Differs),
    ];
    check(15, Method::Vera, &expected);
}

#[test]
fn vera_16_gpt3_with_the_shared_matrices_is_what_15_prints() {
    let expected = [
        (Some("2.4M"), 2_384_064.0, Rounded),
        (Some("2.8M"), 2_755_584.0, Rounded),
        (Some("8.7M"), 8_699_904.0, Rounded),
        (None, 9_536_256.0, Measured),
        (None, 11_022_336.0, Measured),
        (None, 34_799_616.0, Measured),
    ];
    check(16, Method::Vera, &expected);
    let shown = CLAIMS[15].findings[3..].iter().map(|finding| &finding.computed);
    assert_eq!(shown.collect::<Vec<_>>(), ["9.09 MiB", "10.51 MiB", "33.19 MiB"]);
}

#[test]
fn vera_17_lora_beside_it_on_roberta_base() {
    let expected = [
        (Some("36.8K"), 36_864.0, Rounded),
        (Some("589.8K"), 589_824.0, Rounded),
        (Some("9437.1K"), 9_437_184.0, Rounded),
    ];
    check(17, Method::Vera, &expected);
}

#[test]
fn vera_18_lora_beside_it_on_roberta_large() {
    let expected = [
        (Some("98.3K"), 98_304.0, Rounded),
        (Some("1572.8K"), 1_572_864.0, Rounded),
        (Some("25165.8K"), 25_165_824.0, Rounded),
    ];
    check(18, Method::Vera, &expected);
}

#[test]
fn vera_19_lora_beside_it_on_gpt3() {
    let expected = [
        (Some("4.7M"), 4_718_592.0, Rounded),
        (Some("75.5M"), 75_497_472.0, Rounded),
        (Some("1207.9M"), 1_207_959_552.0, Rounded),
    ];
    check(19, Method::Vera, &expected);
}

#[test]
fn vera_20_llama_7b() {
    let expected = [
        (Some("159.9M"), 159_907_840.0, Rounded),
        (Some("1.4M"), 1_417_216.0, Rounded),
        (Some("1.6M"), 1_589_248.0, Rounded),
    ];
    check(20, Method::Vera, &expected);
}

#[test]
fn vera_21_llama_13b() {
    let expected = [(Some("250.3M"), 250_347_520.0, Rounded), (Some("2.4M"), 2_416_640.0, Rounded)];
    check(21, Method::Vera, &expected);
}

#[test]
fn vera_22_a_million_users_of_288_mib() {
    check(22, Method::Vera, &[(Some("275TB"), 288.0 * 1_048_576.0 * 1e6, Rounded)]);
    assert_eq!(CLAIMS[21].findings[0].computed, "274.66 TiB");
}

// LoRA-FA.

#[test]
fn lora_fa_23_keeps_one_65th_and_one_97th() {
    check_text(23, &[("1/65", 65.0), ("1/97", 97.0)]);
}

#[test]
fn lora_fa_24_trains_9dr_of_loras_18dr_of_12d2() {
    check_text(24, &[("12d²", 12.0), ("18dr", 18.0), ("9dr", 9.0)]);
}

fn check_text(number: usize, expected: &[(&str, f64)]) {
    let findings = &claim(number, Method::LoraFa).findings;
    assert_eq!(findings.len(), expected.len());
    for (found, &(text, value)) in findings.iter().zip(expected) {
        assert_eq!((found.printed, found.computed.as_str()), (Some(text), text));
        assert_eq!((found.values.as_slice(), found.verdict), ([value].as_slice(), Agrees));
    }
}

#[test]
fn lora_fa_25_the_steps_stay_in_the_row_space_of_a() {
    let error = |of| error(25, Method::LoraFa, of);
    // A is 3 × 8 with a condition number of some units: an SVD's vectors are off by 30·8·ε = 5e-14 (LAPACK's own test), a
    // solve with A Aᵀ by κ² times as much. An error of the method is of order 1.
    for of in ["ΔW P = ΔW", "projected: −η g P", "plain: −η s² g AᵀA"] {
        assert!(error(of) <= 1e-12, "{of}: {:e}", error(of));
    }
    assert_eq!(error("as LoRA+, η_A = 0"), 0.0);
    // Standard errors of the worst of 36 entries: 5 happens once in 50,000 experiments.
    assert!(error("E[AᵀA] = r/(3k) I") <= 5.0, "{}", error("E[AᵀA] = r/(3k) I"));
    assert_eq!(verdicts(25), [Measured; 5]);
}

// Delta-LoRA.

#[test]
fn delta_lora_26_one_step_has_rank_2r_and_the_buggy_one_r() {
    check(26, Method::DeltaLora, &[(None, 4.0, Measured), (None, 2.0, Measured)]);
}

/// 40 steps of some 50 roundings, ε/2 each on numbers near 1, that at worst add up: 1000·ε = 2.2e-13. A wrong factor shows
/// as an error of order 1.
const FORTY_STEPS: f64 = 2.3e-13;

#[test]
fn delta_lora_27_the_moves_telescope_and_have_rank_2r() {
    let off = error(27, Method::DeltaLora, "sum of the steps");
    assert!(off <= FORTY_STEPS, "{off:e}");
    assert_eq!(values(27, Method::DeltaLora, "W_T − W₀"), [4.0]);
    assert_eq!(verdicts(27), [Measured; 2]);
}

#[test]
fn delta_lora_28_under_adam_it_is_lora_rescaled() {
    let off = error(28, Method::DeltaLora, "W_T + s B A");
    assert!(off <= FORTY_STEPS, "{off:e}");
    assert_eq!(verdicts(28), [Measured]);
}

#[test]
fn delta_lora_29_under_sgd_it_is_lora_rescaled() {
    let off = error(29, Method::DeltaLora, "W_T + s B A");
    assert!(off <= FORTY_STEPS, "{off:e}");
    assert_eq!(verdicts(29), [Measured]);
}

// LoRA+.

#[test]
fn lora_plus_30_a_step_is_the_sum_of_three() {
    // The numbers are integers and powers of two: exactly.
    assert_eq!(error(30, Method::LoraPlus, ""), 0.0);
    assert_eq!(verdicts(30), [Agrees]);
}

/// The limits are 0, −1/2, and −2, −1, −2: with z = aᵀx of order 1 and ‖x‖² of order n, after b has moved to order η_B,
/// δ¹ ~ η_A η_B² n, δ² ~ η_B, δ³ ~ η_A η_B² n.
///
/// All three are about const·z², so log₂|δ| is 2 log₂|z| + const, whose density at the median (|z| = 0.6745 σ) is
/// 2·0.3178·0.6745·ln 2/2 = 0.149. The median of 2001 seeds has the standard error 1/(2·0.149·√2001) = 0.075, and the slope
/// over widths 2⁷ … 2¹⁴, Σ(x − x̄)² = 42, of 0.075/√42 = 0.012. Five of these are 0.06; finite widths, where f is not yet
/// small beside y, add up to 0.03.
#[test]
fn lora_plus_31_exponents_of_the_width() {
    for (of, limits) in [
        ("η_A = 1/n, η_B = 1", [0.0, 0.0, 0.0]),
        ("both 1/√n", [-0.5, -0.5, -0.5]),
        ("both 1/n", [-2.0, -1.0, -2.0]),
    ] {
        let slopes = values(31, Method::LoraPlus, of);
        assert_eq!(slopes.len(), 3);
        for (slope, limit) in slopes.iter().zip(limits) {
            assert!((slope - limit).abs() <= 0.09, "{of}: {slopes:?}, not {limits:?}");
        }
    }
    assert_eq!(verdicts(31), [Agrees, Measured, Measured]);
    assert_eq!(claim(31, Method::LoraPlus).findings[0].printed, Some("Θ(1), Θ(1)"));
}

/// The drift over a fixed time is c₁ η + c₂ η² + …, so the ratio of two drifts is 10 + c η: ten times finer, ten times
/// nearer to 10 (0.2 for 0.1 leaves room for the next term).
#[test]
fn lora_plus_32_the_drift_is_proportional_to_the_rate() {
    let [coarse, fine] = values(32, Method::LoraPlus, "drift falls") else { panic!("two ratios") };
    assert!((coarse - 10.0).abs() <= 2.0, "{coarse}");
    assert!((fine - 10.0).abs() <= 0.2 * (coarse - 10.0).abs(), "{coarse} {fine}");
    assert_eq!(verdicts(32), [Measured]);
}

// LoRA's first step and its analysis.

#[test]
fn lora_33_the_first_step() {
    // The numbers are integers and powers of two: exactly.
    for of in ["y = x Wᵀ", "∂L/∂A = 0", "∂L/∂B = s g Aᵀ", "ΔW = −η s² g AᵀA"] {
        assert_eq!(error(33, Method::Lora, of), 0.0, "{of}");
    }
    assert_eq!(verdicts(33), [Agrees, Measured, Measured, Measured]);
}

#[test]
fn lora_34_the_appendix_has_a_misplaced_bracket() {
    let [phi, printed] = values(34, Method::Lora, "φ") else { panic!("two numbers") };
    assert!((0.0..=1.0).contains(phi) && *printed < 0.0, "{phi} {printed}");
    // d² = p (1 − φ), so the printed form is (1 − p (1 − φ))/p = φ − 1 + 1/p with p = 4.
    // Two decompositions of 16 × 4 matrices, each off by 30·16·ε at most (LAPACK's own test): 2.2e-13.
    assert!((printed - (phi - 0.75)).abs() <= 2.2e-13, "{phi} {printed}");
    let off = error(34, Method::Lora, "φ = 1 − d²/p");
    assert!(off <= 2.2e-13, "{off:e}");
    assert_eq!(verdicts(34), [Differs, Measured]);
}

#[test]
fn lora_35_random_subspaces_overlap_by_9_in_64() {
    let [mean, standard_error] = values(35, Method::Lora, "mean φ") else { panic!("two numbers") };
    // Five standard errors, one chance in two million; and they are small: φ's own deviation is below its mean, 0.14.
    assert!((mean - 0.140625).abs() <= 5.0 * standard_error, "{mean} ± {standard_error}");
    assert!(*standard_error <= 0.14 / 1000f64.sqrt(), "{standard_error}");
    assert_eq!(verdicts(35), [Measured]);
}

#[test]
fn lora_36_amplification_is_21_59() {
    check(36, Method::Lora, &[(Some("21.5"), 21.59375, Rounded), (None, 3.57 / 1.90, Measured)]);
    let shown = CLAIMS[35].findings.iter().map(|finding| &finding.computed);
    assert_eq!(shown.collect::<Vec<_>>(), ["21.59", "1.88"]);
}

#[test]
fn lora_37_the_speedup_is_24_6_percent_of_the_time_and_32_6_of_the_speed() {
    let shown = claim(37, Method::Lora).findings.iter().map(|finding| &finding.computed);
    assert_eq!(shown.collect::<Vec<_>>(), ["24.6%", "32.6%"]);
    assert_eq!(verdicts(37), [Rounded, Measured]);
    let [saved, gained] = [24.594, 32.615];
    assert!((error(37, Method::Lora, "time saved") - saved).abs() <= 5e-4);
    assert!((error(37, Method::Lora, "throughput gained") - gained).abs() <= 5e-4);
    assert!(printed_from(saved, "25%") && !printed_from(gained, "25%"));
}
