//! A device on the CPU: products by ndarray, kernels by a C++ compiler. For tests, where there is no GPU.

mod compile;
mod graph;
mod memory;
mod multiply;

use std::cell::Cell;
use std::ffi::c_void;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::device::{Accounts, Product};
use crate::kernel::{Dimensions, Source};
use crate::{Device, Error, Kind, Result};
use graph::{Graph, Operation, Recorder};
use memory::{Block, Memory};

/// The emulated device.
#[derive(Clone)]
pub struct Emulator(Rc<Inner>);

struct Inner {
    accounts: Arc<Accounts>,
    /// Bytes it has, and those that are taken: by matrices, and by graphs that may still use what was dropped.
    most: usize,
    taken: Cell<usize>,
    recorder: Recorder,
}

impl Emulator {
    /// A device that has a C++ compiler.
    ///
    /// # Errors
    /// There is none.
    pub fn open() -> Result<Self> {
        Self::with_memory(isize::MAX as usize)
    }

    /// A device with that many bytes of memory.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn with_memory(bytes: usize) -> Result<Self> {
        compile::available()?;
        Ok(Self(Rc::new(Inner {
            accounts: Arc::default(),
            most: bytes,
            taken: Cell::new(0),
            recorder: Recorder::default(),
        })))
    }

    /// Do it now, or record it.
    fn carry_out(&self, operation: Operation) -> Result<()> {
        match self.0.recorder.record(operation)? {
            None => Ok(()),
            // SAFETY: the operation was made a moment ago for memory that lives.
            Some(operation) => unsafe { operation.carry_out() },
        }
    }
}

impl Device for Emulator {
    type Memory = Memory;
    type Graph = Graph;

    fn name(&self) -> String {
        "CPU, emulating".into()
    }

    fn accounts(&self) -> &Arc<Accounts> {
        &self.0.accounts
    }

    fn allocate(&self, bytes: usize, operation: &'static str) -> Result<Memory> {
        self.not_recording("taking memory", "make every matrix before the step is recorded")?;
        let free = self.0.most - self.0.taken.get();
        if bytes > free {
            return Err(Error::OutOfMemory { operation, asked: bytes, free, total: self.0.most });
        }
        let block = Block::new(bytes)?;
        self.0.taken.set(self.0.taken.get() + bytes);
        Ok(Memory::new(block, bytes, self.clone()))
    }

    fn address(&self, memory: &Memory) -> u64 {
        memory.address()
    }

    fn write(&self, memory: &mut Memory, offset: usize, bytes: &[u8]) -> Result<()> {
        self.not_recording("a copy from the host", "write before the step is recorded")?;
        let to = memory.range(offset, bytes.len());
        // SAFETY: the range lies within the memory, which is borrowed mutably, and no slice of it exists.
        unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Ok(())
    }

    fn read(&self, memory: &Memory, offset: usize, bytes: &mut [u8]) -> Result<()> {
        self.not_recording("a copy to the host", "read after the step was recorded")?;
        let from = memory.range(offset, bytes.len());
        // SAFETY: the range lies within the memory; what was never written is bytes of no meaning, as on a GPU, and the
        // allocator gave them to us.
        unsafe { from.copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    fn fill(&self, memory: &mut Memory, offset: usize, length: usize, byte: u8) -> Result<()> {
        let to = memory.range(offset, length);
        self.carry_out(Operation::Fill { to, length, byte })
    }

    unsafe fn multiply(&self, product: &Product) -> Result<()> {
        self.carry_out(Operation::Multiply(*product))
    }

    unsafe fn launch(
        &self,
        source: &'static Source,
        kernel: &'static str,
        kind: Kind,
        dimensions: Dimensions,
        arguments: &mut [*mut c_void],
    ) -> Result<()> {
        // SAFETY: `Launch` keeps each argument in 64 bits that live until the call is over.
        let arguments = arguments.iter().map(|at| unsafe { *at.cast::<u64>() }).collect();
        self.carry_out(Operation::Launch { source, kernel, kind, dimensions, arguments })
    }

    fn synchronize(&self) -> Result<()> {
        self.not_recording("waiting for the GPU", "wait after the step was recorded")
    }

    fn free_bytes(&self) -> Result<usize> {
        self.synchronize()?;
        Ok(self.0.most - self.0.taken.get())
    }

    fn record(&self, step: impl FnOnce() -> Result<()>) -> Result<Graph> {
        Graph::record(self, step)
    }

    fn is_recording(&self) -> bool {
        self.0.recorder.is_recording()
    }

    fn milliseconds(&self, work: impl FnOnce() -> Result<()>) -> Result<f64> {
        let start = Instant::now();
        work()?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    }
}

/// # Safety
/// As `Device::launch`, with each argument in the low bits of a word.
unsafe fn launch(
    source: &'static Source,
    kernel: &str,
    kind: Kind,
    Dimensions { grid: [x, y], block }: Dimensions,
    arguments: &[u64],
) -> Result<()> {
    /// The shim keeps the running thread in variables of the library.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let library = compile::library(source, kind)?;
    let mut arguments = arguments.to_vec();
    let mut pointers: Vec<*mut c_void> =
        arguments.iter_mut().map(|word| std::ptr::from_mut(word).cast()).collect();
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the library defines this function with this type for each kernel of its source; the arguments are the
    // caller's promise, and no other thread is in the library.
    let status = unsafe {
        let run: libloading::Symbol<'_, compile::Run> =
            library.get(format!("run_{kernel}\0").as_bytes()).map_err(|error| Error::Launch {
                kernel: kernel.to_owned(),
                reason: error.to_string(),
            })?;
        run(x, y, block, pointers.as_mut_ptr())
    };
    drop(guard);
    if status == 0 {
        return Ok(());
    }
    let reason = "threads of a block wait for each other for ever".to_owned();
    Err(Error::Launch { kernel: kernel.to_owned(), reason })
}
