//! The K types: 256 numbers in 8 sub-blocks of 32 or 16 of 16, each with a scale s, and a minimum t, that are small
//! whole numbers; d and m say what they count in.

use super::{bits, half};

/// 16 bytes s and t, 4 bits each · 64 bytes q · 2 bytes d · 2 bytes m. d s q − m t
pub(super) fn q2_k(block: &[u8], values: &mut [f32]) {
    let (d, m) = (half(block, 80), half(block, 82));
    for (i, values) in values.chunks_exact_mut(16).enumerate() {
        let (s, t) = (block[i] & 15, block[i] >> 4);
        let (scale, minimum) = (d * f32::from(s), m * f32::from(t));
        for (j, value) in (16 * i..).zip(values) {
            let q = bits::<2, 32>(&block[16..], j);
            *value = scale * f32::from(q) - minimum;
        }
    }
}

/// 32 bytes with the highest bit of q · 64 bytes with the other two · 8 bytes with the lower four bits of s · 4 bytes
/// with the other two · 2 bytes d. d (s − 32) (q − 4)
pub(super) fn q3_k(block: &[u8], values: &mut [f32]) {
    let d = half(block, 108);
    for (i, values) in values.chunks_exact_mut(16).enumerate() {
        let s = bits::<2, 4>(&block[104..], i) << 4 | bits::<4, 8>(&block[96..], i);
        let scale = d * (f32::from(s) - 32.0);
        for (j, value) in (16 * i..).zip(values) {
            let q = bits::<1, 32>(block, j) << 2 | bits::<2, 32>(&block[32..], j);
            *value = scale * (f32::from(q) - 4.0);
        }
    }
}

// ANCHOR: q4_k
/// 2 bytes d · 2 bytes m · 12 bytes s and t · 128 bytes q. d s q − m t
pub(super) fn q4_k(block: &[u8], values: &mut [f32]) {
    for (i, values) in values.chunks_exact_mut(32).enumerate() {
        let (scale, minimum) = scale_and_minimum(block, i);
        for (j, value) in (32 * i..).zip(values) {
            let q = bits::<4, 32>(&block[16..], j);
            *value = scale * f32::from(q) - minimum;
        }
    }
}
// ANCHOR_END: q4_k

/// 2 bytes d · 2 bytes m · 12 bytes s and t · 32 bytes with the highest bit of q · 128 bytes with the other four.
/// d s q − m t
pub(super) fn q5_k(block: &[u8], values: &mut [f32]) {
    for (i, values) in values.chunks_exact_mut(32).enumerate() {
        let (scale, minimum) = scale_and_minimum(block, i);
        for (j, value) in (32 * i..).zip(values) {
            let q = bits::<1, 32>(&block[16..], j) << 4 | bits::<4, 32>(&block[48..], j);
            *value = scale * f32::from(q) - minimum;
        }
    }
}

/// 128 bytes with the lower four bits of q · 64 bytes with the other two · 16 bytes s, signed · 2 bytes d.
/// d s (q − 32)
pub(super) fn q6_k(block: &[u8], values: &mut [f32]) {
    let d = half(block, 208);
    for (i, values) in values.chunks_exact_mut(16).enumerate() {
        let scale = d * f32::from(block[192 + i] as i8);
        for (j, value) in (16 * i..).zip(values) {
            let q = bits::<2, 32>(&block[128..], j) << 4 | bits::<4, 64>(block, j);
            *value = scale * (f32::from(q) - 32.0);
        }
    }
}

/// d s and m t of sub-block i of a Q4_K or Q5_K block.
///
/// Of the 12 bytes, 0 to 3 hold s of the first four sub-blocks in their lower six bits, 4 to 7 their t, and 8 to 11 the
/// lower four bits of s and t of the other four, whose higher two bits are the highest of the bytes 0 to 3 and 4 to 7.
fn scale_and_minimum(block: &[u8], i: usize) -> (f32, f32) {
    let (d, m, packed) = (half(block, 0), half(block, 2), &block[4..16]);
    let (s, t) = match i {
        0..4 => (packed[i] & 63, packed[i + 4] & 63),
        _ => {
            (packed[i - 4] >> 6 << 4 | packed[i + 4] & 15, packed[i] >> 6 << 4 | packed[i + 4] >> 4)
        }
    };
    (d * f32::from(s), m * f32::from(t))
}
