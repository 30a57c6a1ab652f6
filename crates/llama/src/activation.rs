//! What a gate can go through: the functions of [`Activation`](crate::Activation), each with its derivative.
//!
//! GELU: Hendrycks & Gimpel 2016, arXiv 1606.08415.

use adapter::Real;

/// σ(z) = 1/(1 + e^(−z)).
pub fn sigmoid<T: Real>(z: T) -> T {
    T::one() / (T::one() + (-z).exp())
}

/// z Φ(z), and its derivative Φ(z) + z φ(z), with the normal distribution's Φ(z) = (1 + erf(z/√2))/2 and
/// φ(z) = e^(−z²/2)/√(2π).
pub fn gelu<T: Real>(z: T) -> [T; 2] {
    let (one, half) = (T::one(), T::from_f64(0.5));
    let phi = half * (one + (z * T::from_f64(std::f64::consts::FRAC_1_SQRT_2)).erf());
    let density = (-half * z * z).exp() * T::from_f64((2.0 * std::f64::consts::PI).sqrt().recip());
    [z * phi, phi + z * density]
}

/// z (1 + tanh u)/2 with u = √(2/π) (z + 0.044715 z³), and its derivative (1 + tanh u)/2 + z (1 − tanh² u) u′/2. Since
/// (1 + tanh u)/2 = σ(2u), these are z s and s + 2 z s (1 − s) u′ with s = σ(2u).
pub fn gelu_tanh<T: Real>(z: T) -> [T; 2] {
    let (one, two) = (T::one(), T::from_f64(2.0));
    let (root, cubic) = (T::from_f64((2.0 / std::f64::consts::PI).sqrt()), T::from_f64(0.044715));
    let u = root * (z + cubic * z * z * z);
    let slope = root * (one + T::from_f64(3.0) * cubic * z * z);
    let s = sigmoid(two * u);
    [z * s, s + two * z * s * (one - s) * slope]
}

/// max(z, 0), and its derivative: 0 at 0.
pub fn relu<T: Real>(z: T) -> [T; 2] {
    if z > T::zero() { [z, T::one()] } else { [T::zero(), T::zero()] }
}

/// c tanh(z/c), between −c and c: what Gemma 2 makes of scores.
pub fn soft_cap<T: Real>(cap: T, z: T) -> T {
    let two = T::from_f64(2.0);
    cap * (two * sigmoid(two * z / cap) - T::one()) // tanh u = 2 σ(2u) − 1
}

/// Its derivative 1 − tanh²(z/c), from y = c tanh(z/c).
pub fn soft_cap_slope<T: Real>(cap: T, y: T) -> T {
    let tanh = y / cap;
    T::one() - tanh * tanh
}

#[cfg(test)]
mod tests {
    use adapter::Dual;

    use super::*;

    #[test]
    fn each_derivative_is_that_of_dual_numbers() {
        for function in [gelu, gelu_tanh, relu] as [fn(Dual) -> [Dual; 2]; 3] {
            for z in [-9.0, -3.0, -0.7, -1e-9, 0.0, 0.3, 1.0, 2.5, 9.0] {
                let [value, slope] = function(Dual::new(z, 1.0));
                assert!((value.tangent - slope.value).abs() <= 1e-14, "{z}: {value} {slope}");
            }
        }
    }
}
