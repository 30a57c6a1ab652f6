//! The older types: 32 numbers, one scale, and with `_1` a minimum.

use super::{bits, half};

/// 2 bytes d · 32 bytes q, signed. d q
pub(super) fn q8_0(block: &[u8], values: &mut [f32]) {
    let d = half(block, 0);
    for (value, &q) in values.iter_mut().zip(&block[2..]) {
        *value = d * f32::from(q as i8);
    }
}

/// 2 bytes d · 16 bytes q. d (q − 8)
pub(super) fn q4_0(block: &[u8], values: &mut [f32]) {
    let d = half(block, 0);
    for (j, value) in values.iter_mut().enumerate() {
        let q = bits::<4, 16>(&block[2..], j);
        *value = d * (f32::from(q) - 8.0);
    }
}

/// 2 bytes d · 2 bytes m · 16 bytes q. d q + m
pub(super) fn q4_1(block: &[u8], values: &mut [f32]) {
    let (d, m) = (half(block, 0), half(block, 2));
    for (j, value) in values.iter_mut().enumerate() {
        let q = bits::<4, 16>(&block[4..], j);
        *value = d * f32::from(q) + m;
    }
}

/// 2 bytes d · 4 bytes with the highest bit of q · 16 bytes with the other four. d (q − 16)
pub(super) fn q5_0(block: &[u8], values: &mut [f32]) {
    let d = half(block, 0);
    for (j, value) in values.iter_mut().enumerate() {
        let q = bits::<1, 1>(&block[2..], j) << 4 | bits::<4, 16>(&block[6..], j);
        *value = d * (f32::from(q) - 16.0);
    }
}

/// 2 bytes d · 2 bytes m · 4 bytes with the highest bit of q · 16 bytes with the other four. d q + m
pub(super) fn q5_1(block: &[u8], values: &mut [f32]) {
    let (d, m) = (half(block, 0), half(block, 2));
    for (j, value) in values.iter_mut().enumerate() {
        let q = bits::<1, 1>(&block[4..], j) << 4 | bits::<4, 16>(&block[8..], j);
        *value = d * f32::from(q) + m;
    }
}
