//! A frozen, quantised weight.

// ANCHOR: block
/// d and the q of a block: the number farthest from zero is −8 d, and q is from 0 to 15. Of a block of zeros d is 0 and every q is 8.
pub fn block(x: &[f64]) -> (f64, Vec<u8>) {
    let farthest = x.iter().copied().fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
    let d = farthest / -8.0;
    let steps = |x: f64| if d == 0.0 { 0.0 } else { (x / d).round() };
    // 8 steps on the other side of zero would be a 16th q.
    let q = x.iter().map(|&x| (steps(x) + 8.0).min(15.0) as u8).collect();
    (d, q)
}
// ANCHOR_END: block

// ANCHOR: product
/// Σ x ŵ over a block, where ŵ = d (q − 8), from the q as they are: no ŵ is formed.
pub fn product(x: &[f64], d: f64, q: &[u8]) -> f64 {
    let sum: f64 = x.iter().zip(q).map(|(x, &q)| x * f64::from(q)).sum();
    // Σ x is the same for every row of the weight.
    d * (sum - 8.0 * x.iter().sum::<f64>())
}
// ANCHOR_END: product

// ANCHOR: bits
/// Bits a number, of a block of so many `numbers` with so many bits for each q, and what is stored beside them: (how many, bits
/// of each).
pub fn bits(numbers: usize, of_q: usize, beside: &[(usize, usize)]) -> f64 {
    let beside: usize = beside.iter().map(|(count, bits)| count * bits).sum();
    of_q as f64 + beside as f64 / numbers as f64
}
// ANCHOR_END: bits

// ANCHOR: unmoved
/// A change is added to a block, and the sum is rounded to whole steps of the same d. How many of the q stay what they were?
/// Where d is 0, all of them.
pub fn unmoved(d: f64, q: &[u8], change: &[f64]) -> usize {
    if d == 0.0 {
        return q.len();
    }
    let rounded = |(q, change): (&u8, &f64)| (f64::from(*q) + change / d).round().clamp(0.0, 15.0);
    q.iter().zip(change).filter(|(q, change)| rounded((q, change)) == f64::from(**q)).count()
}
// ANCHOR_END: unmoved
