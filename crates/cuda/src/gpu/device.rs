//! What a device must be able to do, on a GPU: each call of the driver with what it takes to be right.

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::driver::{CudaSlice, DevicePtr, LaunchConfig, PushKernelArg, result, sys};

use super::{Gpu, Graph, driver};
use crate::device::{Accounts, Product};
use crate::kernel::{Dimensions, Source};
use crate::{Device, Error, Kind, Result};

/// Memory of a GPU.
pub struct Memory {
    /// Taken when dropped.
    slice: Option<CudaSlice<u8>>,
    address: u64,
    gpu: Gpu,
}

impl Device for Gpu {
    type Memory = Memory;
    type Graph = Graph;

    fn name(&self) -> String {
        self.0.name.clone()
    }

    fn accounts(&self) -> &Arc<Accounts> {
        &self.0.accounts
    }

    fn allocate(&self, bytes: usize, operation: &'static str) -> Result<Memory> {
        self.not_recording("taking memory", "make every matrix before the step is recorded")?;
        // SAFETY: bytes have no invalid value.
        let slice = unsafe { self.0.stream.alloc::<u8>(bytes.max(1)) };
        let slice = slice.map_err(|error| match error.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                let (free, total) = self.free_and_total().unwrap_or((0, 0));
                Error::OutOfMemory { operation, asked: bytes, free, total }
            }
            _ => driver(format!("taking {bytes} bytes for {operation}"))(error),
        })?;
        let address = slice.device_ptr(&self.0.stream).0;
        Ok(Memory { slice: Some(slice), address, gpu: self.clone() })
    }

    fn address(&self, memory: &Memory) -> u64 {
        memory.address
    }

    fn write(&self, memory: &mut Memory, offset: usize, bytes: &[u8]) -> Result<()> {
        self.not_recording("a copy from the host", "write before the step is recorded")?;
        if bytes.is_empty() {
            return Ok(());
        }
        self.bind()?;
        let to = memory.at(offset, bytes.len());
        // SAFETY: the range lies within the memory. The driver has read pageable bytes when it returns; `synchronize` makes
        // sure.
        unsafe { result::memcpy_htod_async(to, bytes, self.0.stream.cu_stream()) }
            .map_err(driver(format!("copying {} bytes to the GPU", bytes.len())))?;
        self.synchronize()
    }

    fn read(&self, memory: &Memory, offset: usize, bytes: &mut [u8]) -> Result<()> {
        self.not_recording("a copy to the host", "read after the step was recorded")?;
        if bytes.is_empty() {
            return Ok(());
        }
        self.bind()?;
        let (from, length) = (memory.at(offset, bytes.len()), bytes.len());
        // SAFETY: the range lies within the memory, and the bytes are borrowed until the copy is done.
        unsafe { result::memcpy_dtoh_async(bytes, from, self.0.stream.cu_stream()) }
            .map_err(driver(format!("copying {length} bytes from the GPU")))?;
        self.synchronize()
    }

    fn fill(&self, memory: &mut Memory, offset: usize, length: usize, byte: u8) -> Result<()> {
        if length == 0 {
            return Ok(());
        }
        let to = memory.at(offset, length);
        self.bind()?;
        // SAFETY: the range lies within the memory.
        unsafe { result::memset_d8_async(to, byte, length, self.0.stream.cu_stream()) }
            .map_err(driver(format!("filling {length} bytes")))
    }

    unsafe fn multiply(&self, product: &Product) -> Result<()> {
        self.bind()?;
        // SAFETY: the caller's promise is the same.
        unsafe { self.0.blas.multiply(self, product) }
    }

    unsafe fn launch(
        &self,
        source: &'static Source,
        kernel: &'static str,
        kind: Kind,
        dimensions: Dimensions,
        arguments: &mut [*mut c_void],
    ) -> Result<()> {
        let function = self.function(source, kernel, kind)?;
        let mut launch = self.0.stream.launch_builder(&function);
        for argument in arguments {
            // SAFETY: `Launch` keeps each argument in 64 bits that live until the call is over.
            launch.arg(unsafe { &*argument.cast::<u64>() });
        }
        let Dimensions { grid: [x, y], block } = dimensions;
        let config =
            LaunchConfig { grid_dim: (x, y, 1), block_dim: (block, 1, 1), shared_mem_bytes: 0 };
        // SAFETY: the caller promises that the arguments are what the kernel declares.
        unsafe { launch.launch(config) }
            .map_err(driver(format!("kernel {kernel}, {x}×{y} blocks of {block}")))?;
        Ok(())
    }

    fn synchronize(&self) -> Result<()> {
        self.not_recording("waiting for the GPU", "wait after the step was recorded")?;
        self.0.stream.synchronize().map_err(driver("waiting for the GPU"))?;
        // What a drop could not report.
        self.0.context.check_err().map_err(driver("an operation before"))
    }

    /// What the driver has free, and what its pool holds without use.
    fn free_bytes(&self) -> Result<usize> {
        self.synchronize()?;
        let (free, _) = self.free_and_total()?;
        let Some(pool) = self.0.pool else { return Ok(free) };
        let ask = |attribute| -> Result<usize> {
            let mut bytes = 0_u64;
            // SAFETY: the pool is the device's own, and these attributes are 64 bits.
            unsafe {
                result::mem_pool::get_attribute(
                    pool,
                    attribute,
                    std::ptr::from_mut(&mut bytes).cast(),
                )
            }
            .map_err(driver("asking its memory pool"))?;
            Ok(bytes as usize)
        };
        let held = ask(sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT)?;
        let used = ask(sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT)?;
        Ok(free + held - used)
    }

    fn record(&self, step: impl FnOnce() -> Result<()>) -> Result<Graph> {
        Graph::record(self, step)
    }

    fn is_recording(&self) -> bool {
        self.0.recording.get()
    }

    fn milliseconds(&self, work: impl FnOnce() -> Result<()>) -> Result<f64> {
        let timed = Some(sys::CUevent_flags::CU_EVENT_DEFAULT);
        let event = || self.0.context.new_event(timed).map_err(driver("an event"));
        let (start, end) = (event()?, event()?);
        start.record(&self.0.stream).map_err(driver("an event"))?;
        work()?;
        end.record(&self.0.stream).map_err(driver("an event"))?;
        start.elapsed_ms(&end).map(f64::from).map_err(driver("timing"))
    }
}

impl Gpu {
    /// Calls of the driver that do not name a context use the thread's.
    fn bind(&self) -> Result<()> {
        self.0.context.bind_to_thread().map_err(driver("choosing the GPU"))
    }
}

impl Memory {
    /// Where a range begins.
    fn at(&self, offset: usize, length: usize) -> u64 {
        let size = self.slice.as_ref().map_or(0, CudaSlice::len);
        let end = offset.checked_add(length).expect("a range within memory");
        assert!(end <= size, "{offset} + {length} bytes of {size}");
        self.address + offset as u64
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let inner = &self.gpu.0;
        // A graph replays with the addresses it was recorded with.
        if inner.recording.get() || inner.graphs.get() > 0 {
            inner.parked.borrow_mut().extend(self.slice.take());
        }
    }
}
