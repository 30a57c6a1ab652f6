//! Dual numbers: a + b·ε with ε² = 0. Put ε on an input and the answer carries the derivative, exact to rounding.
//!
//! This is forward-mode differentiation. The workspace uses it only to check derivatives that were written by hand.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use ndarray::ScalarOperand;
use num_traits::{One, Zero};

use crate::Real;

/// A value and its derivative along one direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dual {
    /// The value.
    pub value: f64,
    /// The derivative.
    pub tangent: f64,
}

impl Dual {
    /// A value that moves with speed `tangent`.
    pub fn new(value: f64, tangent: f64) -> Self {
        Self { value, tangent }
    }

    /// f(x) for a function whose value and slope at x are known.
    fn chain(self, value: f64, slope: f64) -> Self {
        Self::new(value, slope * self.tangent)
    }
}

impl Real for Dual {
    const NAME: &'static str = "dual";
    const UNIT_ROUNDOFF: f64 = f64::UNIT_ROUNDOFF;

    fn from_f64(value: f64) -> Self {
        Self::new(value, 0.0)
    }
    fn to_f64(self) -> f64 {
        self.value
    }
    fn exp(self) -> Self {
        self.chain(self.value.exp(), self.value.exp())
    }
    fn ln(self) -> Self {
        self.chain(self.value.ln(), 1.0 / self.value)
    }
    fn sqrt(self) -> Self {
        self.chain(self.value.sqrt(), 0.5 / self.value.sqrt())
    }
    fn erf(self) -> Self {
        let slope = std::f64::consts::FRAC_2_SQRT_PI * (-self.value * self.value).exp();
        self.chain(libm::erf(self.value), slope)
    }
}

impl Add for Dual {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::new(self.value + other.value, self.tangent + other.tangent)
    }
}

impl Sub for Dual {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self::new(self.value - other.value, self.tangent - other.tangent)
    }
}

impl Mul for Dual {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self::new(self.value * other.value, self.tangent * other.value + self.value * other.tangent)
    }
}

impl Div for Dual {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let quotient = self.value / other.value;
        Self::new(quotient, (self.tangent - quotient * other.tangent) / other.value)
    }
}

impl Neg for Dual {
    type Output = Self;
    fn neg(self) -> Self {
        Self::new(-self.value, -self.tangent)
    }
}

macro_rules! assign {
    ($($trait:ident $method:ident $op:tt),*) => {$(
        impl $trait for Dual {
            fn $method(&mut self, other: Self) {
                *self = *self $op other;
            }
        }
    )*};
}
assign!(AddAssign add_assign +, SubAssign sub_assign -, MulAssign mul_assign *, DivAssign div_assign /);

/// Dual numbers are compared by their values: a condition decides as it does for plain numbers.
impl PartialEq for Dual {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// As [`PartialEq`].
impl PartialOrd for Dual {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

impl Zero for Dual {
    fn zero() -> Self {
        Self::default()
    }
    fn is_zero(&self) -> bool {
        self.value == 0.0 && self.tangent == 0.0
    }
}

impl One for Dual {
    fn one() -> Self {
        Self::new(1.0, 0.0)
    }
}

impl Sum for Dual {
    fn sum<I: Iterator<Item = Self>>(values: I) -> Self {
        values.fold(Self::zero(), Add::add)
    }
}

impl ScalarOperand for Dual {}

impl fmt::Display for Dual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} + {}ε", self.value, self.tangent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivative_of_a_composed_function() {
        // f(x) = eˣ ln x / √x at 2; f'(x) = f(x)·(1 + 1/(x ln x) − 1/(2x)).
        let x = Dual::new(2.0, 1.0);
        let f = x.exp() * x.ln() / x.sqrt();
        let slope = f.value * (1.0 + 1.0 / (2.0 * 2f64.ln()) - 0.25);
        // A dozen roundings on each side.
        approx::assert_relative_eq!(f.tangent, slope, max_relative = 24.0 * f64::UNIT_ROUNDOFF);
    }

    #[test]
    fn erf_and_its_slope() {
        // Abramowitz & Stegun, table 7.1; the slope at 0 is 2/√π.
        let erf = Dual::new(1.0, 1.0).erf();
        approx::assert_relative_eq!(erf.value, 0.842_700_792_949_714_9, max_relative = 1e-15);
        approx::assert_relative_eq!(erf.tangent, 0.415_107_497_420_594_7, max_relative = 1e-15);
        assert_eq!(Dual::new(0.0, 1.0).erf().tangent, std::f64::consts::FRAC_2_SQRT_PI);
    }

    #[test]
    fn ndarray_multiplies_matrices_of_duals() {
        let a = ndarray::array![[Dual::new(2.0, 1.0), Dual::new(3.0, 0.0)]];
        let product = a.dot(&a.t())[[0, 0]];
        assert_eq!((product.value, product.tangent), (13.0, 4.0));
    }

    #[test]
    fn duals_are_compared_by_their_values() {
        let [still, moving] = [0.0, 1.0].map(|tangent| Dual::new(2.0, tangent));
        assert!(still == moving && still <= moving && still < Dual::new(3.0, 0.0));
        assert!(!Dual::new(0.0, 1.0).is_zero()); // what may be left out of a sum
    }
}
