//! A GPU, through cudarc.
//!
//! cudarc finds the libraries when they are first called, and panics where one is missing: [`Gpu::open`] looks for each
//! before. Event tracking is off, since there is one stream, and since it cannot be recorded in a graph.

mod blas;
mod compile;
mod device;
mod graph;
mod versions;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use cudarc::driver::{
    CudaContext, CudaFunction, CudaModule, CudaSlice, CudaStream, DriverError, result, sys,
};

use crate::device::Accounts;
use crate::kernel::Source;
use crate::{Device, Error, Kind, Result};

pub use blas::Plans;
pub use compile::{Code, compile, nvrtc_version};
pub use versions::Versions;

use graph::Graph;

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
    /// By file, kernel and kind.
    functions: RefCell<HashMap<(&'static str, &'static str, Kind), CudaFunction>>,
    /// What memory is taken from, where the driver has such pools.
    pool: Option<sys::CUmemoryPool>,
    recording: Cell<bool>,
    /// Graphs that may still be replayed.
    graphs: Cell<usize>,
    /// Memory dropped while there were graphs, which may still use it.
    parked: RefCell<Vec<CudaSlice<u8>>>,
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
        let pool = pool(&context)?;
        let blas = blas::Blas::new(&stream)?;
        Ok(Self(Rc::new(Inner {
            accounts: Arc::default(),
            name,
            architecture: format!("sm_{}{}", capability.0, capability.1),
            context,
            stream,
            blas,
            modules: RefCell::default(),
            functions: RefCell::default(),
            pool,
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

    /// Who computes the products that were asked for so far. Only among cuBLASLt's algorithms is one chosen by its time.
    pub fn plans(&self) -> Plans {
        self.0.blas.plans()
    }

    /// The GPU's architecture, `sm_90` for example.
    pub fn architecture(&self) -> &str {
        &self.0.architecture
    }

    /// A kernel, looked up once.
    fn function(
        &self,
        source: &'static Source,
        kernel: &'static str,
        kind: Kind,
    ) -> Result<CudaFunction> {
        let key = (source.file, kernel, kind);
        if let Some(function) = self.0.functions.borrow().get(&key) {
            return Ok(function.clone());
        }
        let function = self.module(source, kind)?.load_function(kernel);
        let function = function.map_err(driver(format!("finding kernel {kernel}")))?;
        self.0.functions.borrow_mut().insert(key, function.clone());
        Ok(function)
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

/// The pool that memory is taken from. It keeps what it has: given back to the driver at each synchronisation, memory would
/// have to be taken again, which costs more than most products.
fn pool(context: &CudaContext) -> Result<Option<sys::CUmemoryPool>> {
    if !context.has_async_alloc() {
        return Ok(None);
    }
    let mut most = u64::MAX;
    // SAFETY: the device is that of an open context, the pool is its own, and the attribute is 64 bits.
    unsafe {
        let pool = result::device::get_default_mem_pool(context.cu_device())
            .map_err(driver("its memory pool"))?;
        let keep = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        result::mem_pool::set_attribute(pool, keep, std::ptr::from_mut(&mut most).cast())
            .map_err(driver("telling its memory pool to keep what it has"))?;
        Ok(Some(pool))
    }
}

/// A driver must be as new as the libraries whose code it runs.
fn check_driver() -> Result<()> {
    let version = versions::driver_version()?;
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
