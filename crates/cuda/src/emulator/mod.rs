//! A device on the CPU: products by ndarray, kernels by a C++ compiler. For tests, where there is no GPU.

mod compile;
mod multiply;

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};

use crate::device::{Accounts, Product};
use crate::kernel::{Dimensions, Source};
use crate::{Device, Error, Kind, Result};

/// The emulated device.
#[derive(Clone)]
pub struct Emulator {
    accounts: Arc<Accounts>,
    most: usize,
}

/// Bytes, exactly as many as were asked for: AddressSanitizer sees an access to the next one.
pub struct Memory {
    start: NonNull<u8>,
    layout: Layout,
}

impl Emulator {
    /// A device that has a C++ compiler.
    ///
    /// # Errors
    /// There is none.
    pub fn open() -> Result<Self> {
        compile::available()?;
        Ok(Self { accounts: Arc::default(), most: usize::MAX })
    }

    /// A device with that many bytes of memory.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn with_memory(bytes: usize) -> Result<Self> {
        Ok(Self { most: bytes, ..Self::open()? })
    }
}

impl Device for Emulator {
    type Memory = Memory;

    fn name(&self) -> String {
        "CPU, emulating".into()
    }

    fn accounts(&self) -> &Arc<Accounts> {
        &self.accounts
    }

    fn allocate(&self, bytes: usize, operation: &'static str) -> Result<Memory> {
        let free = self.most.saturating_sub(self.accounts.usage().live);
        if bytes > free {
            return Err(Error::OutOfMemory { operation, asked: bytes, free, total: self.most });
        }
        // 16: what every vector instruction is content with.
        let layout = Layout::from_size_align(bytes.max(1), 16)
            .map_err(|error| adapter::Error::value("bytes", bytes, error.to_string()))?;
        // SAFETY: the layout has at least one byte.
        let start = NonNull::new(unsafe { alloc(layout) });
        let Some(start) = start else { handle_alloc_error(layout) };
        Ok(Memory { start, layout })
    }

    fn address(&self, memory: &Memory) -> u64 {
        memory.start.as_ptr().expose_provenance() as u64
    }

    fn write(&self, memory: &mut Memory, offset: usize, bytes: &[u8]) -> Result<()> {
        let to = memory.range(offset, bytes.len());
        // SAFETY: the range lies within the memory, which is borrowed mutably, and no slice of it exists.
        unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Ok(())
    }

    fn read(&self, memory: &Memory, offset: usize, bytes: &mut [u8]) -> Result<()> {
        let from = memory.range(offset, bytes.len());
        // SAFETY: the range lies within the memory; what was never written is bytes of no meaning, as on a GPU, and the
        // allocator gave them to us.
        unsafe { from.copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    fn fill(&self, memory: &mut Memory, offset: usize, length: usize, byte: u8) -> Result<()> {
        // SAFETY: the range lies within the memory, which is borrowed mutably.
        unsafe { memory.range(offset, length).write_bytes(byte, length) };
        Ok(())
    }

    fn copy(
        &self,
        from: &Memory,
        from_offset: usize,
        to: &mut Memory,
        to_offset: usize,
        length: usize,
    ) -> Result<()> {
        let (from, to) = (from.range(from_offset, length), to.range(to_offset, length));
        // SAFETY: both ranges lie within their memories, which differ since one is borrowed mutably.
        unsafe { to.copy_from_nonoverlapping(from, length) };
        Ok(())
    }

    unsafe fn multiply(&self, product: &Product) -> Result<()> {
        // SAFETY: the caller's promise is the same.
        unsafe { multiply::multiply(product) };
        Ok(())
    }

    unsafe fn launch(
        &self,
        source: &'static Source,
        kernel: &str,
        kind: Kind,
        dimensions: Dimensions,
        arguments: &mut [*mut c_void],
    ) -> Result<()> {
        /// The shim keeps the running thread in variables of the library.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let library = compile::library(source, kind)?;
        let Dimensions { grid: [x, y], block } = dimensions;
        let guard = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // SAFETY: the library defines this function with this type for each kernel of its source; the arguments are the
        // caller's promise, and no other thread is in the library.
        let status = unsafe {
            let run: libloading::Symbol<'_, compile::Run> =
                library.get(format!("run_{kernel}\0").as_bytes()).map_err(|error| {
                    Error::Launch { kernel: kernel.to_owned(), reason: error.to_string() }
                })?;
            run(x, y, block, arguments.as_mut_ptr())
        };
        drop(guard);
        if status == 0 {
            return Ok(());
        }
        let reason = "threads of a block wait for each other for ever".to_owned();
        Err(Error::Launch { kernel: kernel.to_owned(), reason })
    }

    fn synchronize(&self) -> Result<()> {
        Ok(())
    }
}

impl Memory {
    /// Where a range begins.
    fn range(&self, offset: usize, length: usize) -> *mut u8 {
        let end = offset.checked_add(length).expect("a range within memory");
        assert!(end <= self.layout.size(), "{offset} + {length} bytes of {}", self.layout.size());
        // SAFETY: the offset lies within the allocation, or one past its end.
        unsafe { self.start.as_ptr().add(offset) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and dropped once.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}
