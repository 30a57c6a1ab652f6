//! A frozen, quantised weight.

/// d and the q of a block: the number farthest from zero is −8 d, and q is from 0 to 15. Of a block of zeros d is 0 and every q is 8.
pub fn block(x: &[f64]) -> (f64, Vec<u8>) {
    todo!()
}

/// Σ x ŵ over a block, where ŵ = d (q − 8), from the q as they are: no ŵ is formed.
pub fn product(x: &[f64], d: f64, q: &[u8]) -> f64 {
    todo!()
}

/// Bits a number, of a block of so many `numbers` with so many bits for each q, and what is stored beside them: (how many, bits
/// of each).
pub fn bits(numbers: usize, of_q: usize, beside: &[(usize, usize)]) -> f64 {
    todo!()
}

/// A change is added to a block, and the sum is rounded to whole steps of the same d. How many of the q stay what they were?
/// Where d is 0, all of them.
pub fn unmoved(d: f64, q: &[u8], change: &[f64]) -> usize {
    todo!()
}
