//! Types whose four bits are a place in a table.

use super::{bits, half};

/// L of IQ4_NL and IQ4_XS: where a bell curve has more numbers, the steps are smaller.
const UNEVEN: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// F of MXFP4, doubled so that all are whole: a sign, two bits of exponent, one of fraction.
const FLOATS: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// 2 bytes d · 16 bytes q. d L\[q\]
pub(super) fn iq4_nl(block: &[u8], values: &mut [f32]) {
    let d = half(block, 0);
    for (j, value) in values.iter_mut().enumerate() {
        let q = bits::<4, 16>(&block[2..], j);
        *value = d * f32::from(UNEVEN[usize::from(q)]);
    }
}

/// 2 bytes d · 2 bytes with the higher two bits of s · 4 bytes with the lower four · 128 bytes q. d (s − 32) L\[q\]
pub(super) fn iq4_xs(block: &[u8], values: &mut [f32]) {
    let d = half(block, 0);
    for (i, values) in values.chunks_exact_mut(32).enumerate() {
        let s = bits::<2, 1>(&block[2..], i) << 4 | bits::<4, 1>(&block[4..], i);
        let scale = d * (f32::from(s) - 32.0);
        for (j, value) in (32 * i..).zip(values) {
            let q = bits::<4, 16>(&block[8..], j);
            *value = scale * f32::from(UNEVEN[usize::from(q)]);
        }
    }
}

/// 1 byte e · 16 bytes q. 2^(e − 128) F\[q\]: the scale is 2^(e − 127), and F is doubled.
pub(super) fn mxfp4(block: &[u8], values: &mut [f32]) {
    // Exact in f64, and then in f32, whose smallest is 2^−149.
    let scale = 2.0_f64.powi(i32::from(block[0]) - 128) as f32;
    for (j, value) in values.iter_mut().enumerate() {
        let q = bits::<4, 16>(&block[1..], j);
        *value = scale * f32::from(FLOATS[usize::from(q)]);
    }
}
