//! A GPU, through cudarc.
//!
//! cudarc finds the libraries when they are first called, and panics where one is missing: [`Gpu::open`] looks for each
//! before. Event tracking is off, since there is one stream, and since it cannot be recorded in a graph.

mod blas;
mod compile;
mod graph;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::c_void;
use std::rc::Rc;
use std::sync::Arc;

use cudarc::driver::{
    CudaContext, CudaModule, CudaSlice, CudaStream, DevicePtr, DriverError, LaunchConfig,
    PushKernelArg, result, sys,
};

use crate::device::{Accounts, Product};
use crate::kernel::{Dimensions, Source};
use crate::{Device, Error, Kind, Result};

pub use compile::{Code, compile, nvrtc_version};
pub use graph::Graph;

/// Older GPUs have no bf16 and no TF32.
const OLDEST: (i32, i32) = (8, 0);

/// A GPU with its stream: what is asked for runs in that order, while the host goes on.
#[derive(Clone)]
pub struct Gpu(Rc<Inner>);

struct Inner {
    accounts: Arc<Accounts>,
    name: String,
    /// `sm_90` for example.
    architecture: String,
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    blas: blas::Blas,
    modules: RefCell<HashMap<(&'static str, Kind), Arc<CudaModule>>>,
    recording: Cell<bool>,
    /// Graphs that may still be replayed.
    graphs: Cell<usize>,
    /// Memory dropped while there were graphs, which may still use it.
    parked: RefCell<Vec<CudaSlice<u8>>>,
}

/// Memory of a GPU.
pub struct Memory {
    /// Taken when dropped.
    slice: Option<CudaSlice<u8>>,
    address: u64,
    gpu: Gpu,
}

impl Gpu {
    /// The first GPU of this machine.
    ///
    /// # Errors
    /// [`Error::Unavailable`] says what is missing: the driver, NVRTC, cuBLAS, a GPU, one that is new enough, a driver that is.
    pub fn open() -> Result<Self> {
        Self::open_nth(0)
    }

    /// [`open`](Self::open); or nothing, after a line that begins with SKIPPED and says why.
    ///
    /// # Errors
    /// As [`open`](Self::open), where the variable `LOWRANK_REQUIRE_GPU` is 1.
    pub fn open_or_skip() -> Result<Option<Self>> {
        match Self::open() {
            Ok(gpu) => Ok(Some(gpu)),
            Err(error) if std::env::var("LOWRANK_REQUIRE_GPU").is_ok_and(|it| it == "1") => {
                Err(error)
            }
            Err(error) => {
                println!("SKIPPED {error}");
                Ok(None)
            }
        }
    }

    /// GPU number `ordinal`, from 0.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_nth(ordinal: usize) -> Result<Self> {
        let missing = |missing: String, hint| Error::Unavailable { missing, hint };
        // SAFETY: each loads a library of NVIDIA's, if there is one, and unloads it.
        let present = unsafe {
            [
                (sys::is_culib_present(), "libcuda, the NVIDIA driver", "install the driver"),
                (
                    cudarc::nvrtc::sys::is_culib_present(),
                    "libnvrtc, which compiles the kernels",
                    "install CUDA 13, or pip's nvidia-cuda-nvrtc with its folder on LD_LIBRARY_PATH",
                ),
                (
                    cudarc::cublas::sys::is_culib_present(),
                    "libcublas, which multiplies matrices",
                    "install CUDA 13, or pip's nvidia-cublas with its folder on LD_LIBRARY_PATH",
                ),
                (
                    cudarc::cublaslt::sys::is_culib_present(),
                    "libcublasLt, which multiplies matrices",
                    "install CUDA 13, or pip's nvidia-cublas with its folder on LD_LIBRARY_PATH",
                ),
            ]
        };
        if let Some((_, what, hint)) = present.into_iter().find(|(present, ..)| !present) {
            return Err(missing(what.to_owned(), hint));
        }
        let count = CudaContext::device_count()
            .map_err(|error| missing(format!("the driver says {:?}", error.0), "run nvidia-smi"))?;
        if ordinal >= usize::try_from(count).unwrap_or(0) {
            let what = format!("GPU number {ordinal}: the driver sees {count}");
            return Err(missing(what, "run nvidia-smi; look at CUDA_VISIBLE_DEVICES"));
        }
        check_driver()?;

        let context = CudaContext::new(ordinal).map_err(driver("opening the GPU"))?;
        let capability = context.compute_capability().map_err(driver("its capability"))?;
        let name = context.name().map_err(driver("its name"))?;
        if capability < OLDEST {
            let (major, minor) = capability;
            let what = format!("{name} has compute capability {major}.{minor}, 8.0 is needed");
            return Err(missing(what, "use an Ampere GPU or a newer one"));
        }
        // SAFETY: there is one stream, so there is nothing to keep in order between streams.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().map_err(driver("a stream"))?;
        let blas = blas::Blas::new(&stream)?;
        Ok(Self(Rc::new(Inner {
            accounts: Arc::default(),
            name,
            architecture: format!("sm_{}{}", capability.0, capability.1),
            context,
            stream,
            blas,
            modules: RefCell::default(),
            recording: Cell::new(false),
            graphs: Cell::new(0),
            parked: RefCell::default(),
        })))
    }

    /// Free and total bytes of the GPU, whoever uses them.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn free_and_total(&self) -> Result<(usize, usize)> {
        self.0.context.mem_get_info().map_err(driver("asking for free memory"))
    }

    /// The GPU's architecture, `sm_90` for example.
    pub fn architecture(&self) -> &str {
        &self.0.architecture
    }

    fn not_recording(&self, operation: &'static str, hint: &'static str) -> Result<()> {
        if self.0.recording.get() { Err(Error::Recording { operation, hint }) } else { Ok(()) }
    }

    /// The module of a source, from the cache on disk or compiled now.
    fn module(&self, source: &'static Source, kind: Kind) -> Result<Arc<CudaModule>> {
        let key = (source.file, kind);
        if let Some(module) = self.0.modules.borrow().get(&key) {
            return Ok(Arc::clone(module));
        }
        self.not_recording("loading a kernel", "run the step once before it is recorded")?;
        let module = compile::load(&self.0.context, source, kind, &self.0.architecture)?;
        self.0.modules.borrow_mut().insert(key, Arc::clone(&module));
        Ok(module)
    }
}

/// A driver must be as new as the libraries whose code it runs.
fn check_driver() -> Result<()> {
    let mut version = 0;
    // SAFETY: the driver is there, and the pointer is to a number that lives.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result().map_err(driver("its version"))?;
    let (major, minor) = nvrtc_version()?;
    if version / 1000 < major {
        return Err(Error::Unavailable {
            missing: format!(
                "a driver for CUDA {major}: this one knows CUDA {}.{}, and NVRTC is {major}.{minor}",
                version / 1000,
                version % 1000 / 10
            ),
            hint: "install a newer driver, or an NVRTC and a cuBLAS as old as the driver",
        });
    }
    Ok(())
}

/// An error of the driver during an operation.
fn driver(operation: impl Into<String>) -> impl FnOnce(DriverError) -> Error {
    move |error| Error::Library {
        operation: operation.into(),
        library: "the driver",
        code: format!("{:?}", error.0),
    }
}

impl Device for Gpu {
    type Memory = Memory;

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
        let to = memory.at(offset, bytes.len());
        // SAFETY: the range lies within the memory. The driver has read pageable bytes when it returns; `synchronize` makes
        // sure.
        unsafe { result::memcpy_htod_async(to, bytes, self.0.stream.cu_stream()) }
            .map_err(driver(format!("copying {} bytes to the GPU", bytes.len())))?;
        self.synchronize()
    }

    fn read(&self, memory: &Memory, offset: usize, bytes: &mut [u8]) -> Result<()> {
        self.not_recording("a copy to the host", "read after the step was recorded")?;
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

    fn copy(
        &self,
        from: &Memory,
        from_offset: usize,
        to: &mut Memory,
        to_offset: usize,
        length: usize,
    ) -> Result<()> {
        if length == 0 {
            return Ok(());
        }
        let (from, to) = (from.at(from_offset, length), to.at(to_offset, length));
        self.bind()?;
        // SAFETY: both ranges lie within their memories, which differ since one is borrowed mutably.
        unsafe { result::memcpy_dtod_async(to, from, length, self.0.stream.cu_stream()) }
            .map_err(driver(format!("copying {length} bytes on the GPU")))
    }

    unsafe fn multiply(&self, product: &Product) -> Result<()> {
        self.bind()?;
        // SAFETY: the caller's promise is the same.
        unsafe { self.0.blas.multiply(&self.0.stream, product) }
    }

    unsafe fn launch(
        &self,
        source: &'static Source,
        kernel: &str,
        kind: Kind,
        dimensions: Dimensions,
        arguments: &mut [*mut c_void],
    ) -> Result<()> {
        let function = self.module(source, kind)?.load_function(kernel);
        let function = function.map_err(driver(format!("finding kernel {kernel}")))?;
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
