//! The numbers that every format holds.

/// 8 significant bits, ties to even, in multiples of 2⁻²⁴: what F16 and BF16 both hold.
pub(super) fn grid(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let exponent = (value.abs().to_bits() >> 52) as i32 - 1023;
    let quantum = 2.0_f64.powi((exponent - 7).max(-24));
    (value / quantum).round_ties_even() * quantum
}

#[cfg(test)]
mod tests {
    use super::grid;

    #[test]
    fn eight_bits_ties_to_even() {
        let cases = [
            (257.0, 256.0), // a tie, to the even one
            (259.0, 260.0),
            (-1.0 - 2.0_f64.powi(-8), -1.0),
            (1.0 + 3.0 * 2.0_f64.powi(-8), 1.0 + 2.0 * 2.0_f64.powi(-7)),
            (2.0_f64.powi(-25), 0.0), // half of the smallest multiple
            (3.0 * 2.0_f64.powi(-25), 2.0_f64.powi(-23)),
            (255.75, 256.0), // into the next binade
        ];
        for (value, want) in cases {
            assert_eq!(grid(value), want, "{value}");
        }
        assert!(grid(f64::NAN).is_nan() && grid(f64::INFINITY) == f64::INFINITY);
    }
}
