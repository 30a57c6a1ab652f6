//! How many bytes are kept for the backward pass, counted from what is really held.

use std::collections::BTreeSet;

use ndarray::{ArcArray, Array, Dimension};

/// Adds up bytes. A tensor that several layers share (the input of q, k and v) counts once.
#[derive(Debug, Default)]
pub struct Ledger {
    bytes: usize,
    shared: BTreeSet<(usize, usize)>,
}

impl Ledger {
    /// The bytes of everything `value` holds.
    pub fn of(value: &(impl Bytes + ?Sized)) -> usize {
        let mut ledger = Self::default();
        value.count(&mut ledger);
        ledger.bytes
    }

    /// An array nobody else holds.
    pub fn owned<T, D: Dimension>(&mut self, array: &Array<T, D>) {
        self.bytes += size_of::<T>() * array.len();
    }

    /// An array that others may hold too: told apart by where it lies.
    pub fn shared<T, D: Dimension>(&mut self, array: &ArcArray<T, D>) {
        self.region(array.as_ptr().addr(), size_of::<T>() * array.len());
    }

    /// A region of memory that others may hold too.
    pub fn region(&mut self, address: usize, bytes: usize) {
        if self.shared.insert((address, bytes)) {
            self.bytes += bytes;
        }
    }
}

/// What can say how many bytes it holds.
pub trait Bytes {
    /// Enter everything held into the ledger.
    fn count(&self, ledger: &mut Ledger);
}

impl<B: Bytes> Bytes for Option<B> {
    fn count(&self, ledger: &mut Ledger) {
        self.iter().for_each(|held| held.count(ledger));
    }
}

impl<B: Bytes> Bytes for [B] {
    fn count(&self, ledger: &mut Ledger) {
        self.iter().for_each(|held| held.count(ledger));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Held(ArcArray<f32, ndarray::Ix2>);
    impl Bytes for Held {
        fn count(&self, ledger: &mut Ledger) {
            ledger.shared(&self.0);
        }
    }

    #[test]
    fn a_shared_array_counts_once() {
        let x = Array::<f32, _>::zeros((3, 5)).into_shared();
        let mut ledger = Ledger::default();
        [Held(x.clone()), Held(x.clone()), Held(x.map(|v| v + 1.0).into_shared())]
            .count(&mut ledger);
        assert_eq!(ledger.bytes, 2 * 3 * 5 * 4);
    }

    #[test]
    fn what_nobody_else_holds_counts_every_time() {
        let mut ledger = Ledger::default();
        ledger.owned(&Array::<f64, _>::zeros((3, 5)));
        ledger.owned(&Array::<f32, _>::zeros(7));
        ledger.region(0, 11);
        ledger.region(0, 11);
        assert_eq!(ledger.bytes, 3 * 5 * 8 + 7 * 4 + 11);
    }

    #[test]
    fn nothing_holds_nothing() {
        let held = Held(Array::<f32, _>::zeros((3, 5)).into_shared());
        assert_eq!(Ledger::of(&None::<Held>), 0);
        assert_eq!(Ledger::of(&Some(held)), 3 * 5 * 4);
    }
}
