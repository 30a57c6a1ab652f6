//! Numbers to blocks. What the bytes mean is in `llama`'s `load/dequantise.rs`.

use half::f16;

/// The nearest f16, and what it is.
fn half(value: f32) -> (f32, [u8; 2]) {
    let half = f16::from_f32(value);
    (half.to_f32(), half.to_le_bytes())
}

/// x / d, or 0 where d is.
fn ratio(x: f32, d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { x / d }
}

/// The number that is the farthest from 0.
fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest: f32, &x| if x.abs() > largest.abs() { x } else { largest })
}

/// Put element j of small numbers of `WIDTH` bits where `dequantise::bits` finds it.
fn pack<const WIDTH: usize, const RUN: usize>(bytes: &mut [u8], j: usize, value: u8) {
    let elements_of_a_byte = 8 / WIDTH;
    let byte = j / (RUN * elements_of_a_byte) * RUN + j % RUN;
    let low = value & ((1_u16 << WIDTH) - 1) as u8;
    bytes[byte] |= low << (j / RUN % elements_of_a_byte * WIDTH);
}

/// d q, and the largest |q| is 127.
pub fn q8_0(values: &[f32]) -> [u8; 34] {
    let mut block = [0; 34];
    let (d, bytes) = half(largest(values).abs() / 127.0);
    block[..2].copy_from_slice(&bytes);
    for (byte, &x) in block[2..].iter_mut().zip(values) {
        *byte = ratio(x, d).round().clamp(-127.0, 127.0) as i8 as u8;
    }
    block
}

/// d (q − 16), and q of the largest is 0.
pub fn q5_0(values: &[f32]) -> [u8; 22] {
    let mut block = [0; 22];
    let (d, bytes) = half(largest(values) / -16.0);
    block[..2].copy_from_slice(&bytes);
    for (j, &x) in values.iter().enumerate() {
        let q = (ratio(x, d).round() + 16.0).clamp(0.0, 31.0) as u8;
        pack::<1, 1>(&mut block[2..6], j, q >> 4);
        pack::<4, 16>(&mut block[6..], j, q);
    }
    block
}

/// d s q − m t: a scale and a minimum for each 32, and d and m so that the largest s and t are 63.
pub fn q4_k(values: &[f32]) -> [u8; 144] {
    let mut block = [0; 144];
    let minima: Vec<f32> = values
        .chunks_exact(32)
        .map(|part| -part.iter().fold(0.0, |min: f32, &x| min.min(x)))
        .collect();
    let maxima =
        values.chunks_exact(32).map(|part| part.iter().fold(0.0, |max: f32, &x| max.max(x)));
    let scales: Vec<f32> = maxima.zip(&minima).map(|(max, min)| (max + min) / 15.0).collect();
    let (d, d_bytes) = half(largest(&scales) / 63.0);
    let (m, m_bytes) = half(largest(&minima) / 63.0);
    block[..2].copy_from_slice(&d_bytes);
    block[2..4].copy_from_slice(&m_bytes);
    for (i, part) in values.chunks_exact(32).enumerate() {
        let s = ratio(scales[i], d).round().clamp(0.0, 63.0) as u8;
        let t = ratio(minima[i], m).round().clamp(0.0, 63.0) as u8;
        let packed = &mut block[4..16];
        if i < 4 {
            packed[i] |= s;
            packed[i + 4] |= t;
        } else {
            packed[i + 4] |= t << 4 | s & 15;
            packed[i - 4] |= s >> 4 << 6;
            packed[i] |= t >> 4 << 6;
        }
        let (scale, minimum) = (d * f32::from(s), m * f32::from(t));
        for (j, &x) in (32 * i..).zip(part) {
            let q = ratio(x + minimum, scale).round().clamp(0.0, 15.0) as u8;
            pack::<4, 32>(&mut block[16..], j, q);
        }
    }
    block
}

/// d s (q − 32): a scale for each 16, with which q of its largest is 0, and d so that the largest s is −128.
pub fn q6_k(values: &[f32]) -> [u8; 210] {
    let mut block = [0; 210];
    let scales: Vec<f32> = values.chunks_exact(16).map(|part| largest(part) / -32.0).collect();
    let (d, bytes) = half(largest(&scales) / -128.0);
    block[208..].copy_from_slice(&bytes);
    for (i, part) in values.chunks_exact(16).enumerate() {
        let s = ratio(scales[i], d).round().clamp(-128.0, 127.0) as i8;
        block[192 + i] = s as u8;
        let scale = d * f32::from(s);
        for (j, &x) in (16 * i..).zip(part) {
            let q = (ratio(x, scale).round() + 32.0).clamp(0.0, 63.0) as u8;
            pack::<4, 64>(&mut block[..128], j, q);
            pack::<2, 32>(&mut block[128..192], j, q >> 4);
        }
    }
    block
}
