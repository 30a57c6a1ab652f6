//! eˣ in `f32`, without a branch and without a table: in a loop the compiler computes several at once.

/// From here on eˣ is ∞.
const HIGH: f32 = 89.0;
/// Down from here eˣ is 0.
const LOW: f32 = -104.0;
/// 1.5·2²³. A number that is added to it is rounded to an integer, which then stands in the last bits of the sum.
const TO_INTEGER: f32 = 12_582_912.0;
/// ln 2 = `LN_2_HIGH` + `LN_2_LOW`. The first has 15 bits, so that its product with an integer below 2⁹ is exact.
const LN_2_HIGH: f32 = 0.693_145_75;
const LN_2_LOW: f32 = 1.428_606_8e-6;

/// eˣ, at most 1.2 units in the last place away. Every machine gives the same bits.
///
/// With n = x/ln 2, rounded, and r = x − n ln 2, eˣ = 2ⁿ eʳ. r is in ±ln 2/2, where the Taylor series of eʳ to r⁷ is as
/// good as `f32`.
#[inline]
pub fn exp(x: f32) -> f32 {
    // A NaN is neither above nor below, and stays.
    let x = if x > HIGH { HIGH } else { x };
    let x = if x < LOW { LOW } else { x };
    let shifted = x * std::f32::consts::LOG2_E + TO_INTEGER;
    let n = shifted - TO_INTEGER;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let series = 1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0));
    let series = 1.0 / 2.0 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * series));
    let exp_r = 1.0 + (r + r * r * series);
    // n is between −150 and 128, but a power of two in `f32` has an exponent between −126 and 127: hence two.
    let n = shifted.to_bits().wrapping_sub(TO_INTEGER.to_bits()) as i32;
    let half = n >> 1;
    exp_r * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// 2ⁿ, for n between −126 and 127.
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) << 23) as u32)
}

#[cfg(test)]
mod tests {
    use super::exp;

    /// How far `exp` is from the true value, in units in the last place of the `f32` next to it.
    fn error(x: f32) -> f64 {
        let truth = f64::from(x).exp();
        let rounded = truth as f32;
        if rounded.is_infinite() || exp(x).is_infinite() {
            return if exp(x) == rounded { 0.0 } else { f64::INFINITY };
        }
        let unit = f64::from(rounded.next_up()) - f64::from(rounded);
        (f64::from(exp(x)) - truth).abs() / unit
    }

    #[test]
    fn it_is_right_to_a_unit_in_the_last_place() {
        // Not by the largest error: `f64::max` passes over a NaN.
        for x in (0..=u32::MAX).step_by(997).map(f32::from_bits).filter(|x| !x.is_nan()) {
            assert!(error(x) <= 1.2, "{x}: {}", error(x));
        }
    }

    #[test]
    fn the_ends() {
        let largest = 88.722_83; // the last x whose eˣ is finite
        for x in [0.0, -0.0, 1e-30, -1e-30, largest, 88.722_84, 89.0, 1e30, f32::INFINITY] {
            assert!(error(x) <= 1.2, "{x}");
        }
        for x in [-87.336, -87.337, -103.0, -103.97, -103.98, -104.0, -1e30, f32::NEG_INFINITY] {
            assert!(error(x) <= 1.2, "{x}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(largest).is_finite());
    }
}
