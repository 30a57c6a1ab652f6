//! What a device must be able to do. There are two: a GPU, and its emulation on the CPU.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::kernel::{Dimensions, Source};
use crate::{Error, Kind, Result};

/// A place where matrices lie and are multiplied. A clone is the same device.
pub trait Device: Clone + 'static {
    /// Bytes on the device, given back when dropped.
    type Memory;
    /// A recorded step.
    type Graph: Replay;

    /// Its name, for people.
    fn name(&self) -> String;
    /// The accounts of this device.
    fn accounts(&self) -> &Arc<Accounts>;
    /// Are these the same device?
    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.accounts(), other.accounts())
    }
    /// New memory, with anything in it. `bytes` may be 0.
    ///
    /// # Errors
    /// There is not enough.
    fn allocate(&self, bytes: usize, operation: &'static str) -> Result<Self::Memory>;
    /// Where it begins, as kernels see it.
    fn address(&self, memory: &Self::Memory) -> u64;
    /// Host to device.
    ///
    /// # Errors
    /// The device refuses.
    fn write(&self, memory: &mut Self::Memory, offset: usize, bytes: &[u8]) -> Result<()>;
    /// Device to host, after all that was asked for before is done.
    ///
    /// # Errors
    /// The device refuses, or something before has failed.
    fn read(&self, memory: &Self::Memory, offset: usize, bytes: &mut [u8]) -> Result<()>;
    /// Every byte of a range.
    ///
    /// # Errors
    /// The device refuses.
    fn fill(&self, memory: &mut Self::Memory, offset: usize, length: usize, byte: u8)
    -> Result<()>;
    /// C ← α A B + β C.
    ///
    /// # Safety
    /// The addresses and strides describe memory of this device, and C overlaps neither A nor B.
    ///
    /// # Errors
    /// The device refuses.
    unsafe fn multiply(&self, product: &Product) -> Result<()>;
    /// Run a kernel.
    ///
    /// # Safety
    /// `arguments` point to values of the types that the kernel's source declares, and the pointers among them to memory of
    /// this device that is as large as the kernel takes it to be.
    ///
    /// # Errors
    /// It does not compile, or the device refuses.
    unsafe fn launch(
        &self,
        source: &'static Source,
        kernel: &'static str,
        kind: Kind,
        dimensions: Dimensions,
        arguments: &mut [*mut std::ffi::c_void],
    ) -> Result<()>;
    /// Wait until all that was asked for is done.
    ///
    /// # Errors
    /// Something has failed.
    fn synchronize(&self) -> Result<()>;
    /// Bytes that could still be taken, by the account of the device's driver, after all that was asked for is done.
    ///
    /// # Errors
    /// Something has failed.
    fn free_bytes(&self) -> Result<usize>;
    /// Record what `step` asks for, without doing it. Run it once before, so that kernels are loaded, algorithms chosen and
    /// moments made.
    ///
    /// # Errors
    /// What `step` returns; it takes memory or copies from or to the host; it asks for nothing.
    fn record(&self, step: impl FnOnce() -> Result<()>) -> Result<Self::Graph>;
    /// Is a step being recorded?
    fn is_recording(&self) -> bool;
    /// Fails while a step is recorded.
    ///
    /// # Errors
    /// One is.
    fn not_recording(&self, operation: &'static str, hint: &'static str) -> Result<()> {
        if self.is_recording() { Err(Error::Recording { operation, hint }) } else { Ok(()) }
    }
    /// Milliseconds of the device that `work` takes, after what was asked for before.
    ///
    /// # Errors
    /// What `work` returns, or the device refuses.
    fn milliseconds(&self, work: impl FnOnce() -> Result<()>) -> Result<f64>;
}

/// A recorded step. Replaying costs one call, however many launches it holds.
///
/// It holds what the device was asked to do: numbers that the host computed (an α, Delta-LoRA's count of updates) are what
/// they were. What counts on the device goes on counting: AdamW's t, the masks of a [`Dropout`](crate::Dropout).
pub trait Replay {
    /// Do it again.
    ///
    /// # Errors
    /// The device refuses.
    fn replay(&self) -> Result<()>;
}

/// A factor of a product, in row-major order.
#[derive(Clone, Copy, Debug)]
pub struct Factor {
    /// Of its first element.
    pub address: u64,
    /// Elements from one row to the next, as it is stored.
    pub stride: usize,
    /// Is its transpose meant?
    pub transposed: bool,
}

/// C \[m, n\] ← α A \[m, k\] B \[k, n\] + β C.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Product {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub alpha: f64,
    pub a: Factor,
    pub b: Factor,
    pub beta: f64,
    pub c: Factor,
    /// Of A and B.
    pub input: Kind,
    /// Of C.
    pub output: Kind,
}

/// What a device keeps count of.
#[derive(Debug, Default)]
pub struct Accounts {
    live: AtomicUsize,
    peak: AtomicUsize,
    poisoned: AtomicBool,
    guarded: AtomicBool,
    overrun: AtomicUsize,
}

/// Bytes of matrices on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Now.
    pub live: usize,
    /// At most, since the device was opened.
    pub peak: usize,
}

impl Accounts {
    /// What matrices take now, and took at most.
    pub fn usage(&self) -> Usage {
        Usage { live: self.live.load(Ordering::Relaxed), peak: self.peak.load(Ordering::Relaxed) }
    }

    /// From now on fill new matrices with NaN, for tests: what is read before it is written shows.
    pub fn poison(&self) {
        self.poisoned.store(true, Ordering::Relaxed);
    }

    /// [`poison`](Self::poison), and lay new matrices between guard bytes. Not under a sanitizer: an access to a guard is to
    /// it an access to memory that was taken.
    pub fn guard(&self) {
        self.poison();
        self.guarded.store(true, Ordering::Relaxed);
    }

    /// Are new matrices filled with NaN?
    pub fn poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed)
    }

    /// Are new matrices guarded?
    pub fn guarded(&self) -> bool {
        self.guarded.load(Ordering::Relaxed)
    }

    /// Fails if a guard byte was found overwritten when its matrix was dropped.
    ///
    /// # Errors
    /// One was.
    pub fn check(&self) -> Result<()> {
        match self.overrun.load(Ordering::Relaxed) {
            0 => Ok(()),
            count => Err(Error::Overrun { count }),
        }
    }

    pub(crate) fn add(&self, bytes: usize) {
        let live = self.live.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(live, Ordering::Relaxed);
    }

    pub(crate) fn remove(&self, bytes: usize) {
        self.live.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn overrun(&self) {
        self.overrun.fetch_add(1, Ordering::Relaxed);
    }
}
