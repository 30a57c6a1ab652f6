//! Products by cuBLASLt, whose algorithm is chosen once for each shape, and by cuBLAS where Lt has none.
//!
//! Both store matrices column by column. Ours, row by row, are to them the transposes: C = A B is computed as Cᵀ = Bᵀ Aᵀ,
//! with B first and nothing moved.

mod plan;
mod search;

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::{c_int, c_void};
use std::sync::Arc;

use cudarc::driver::{CudaSlice, CudaStream, DevicePtr, result::memset_d8_async};
use cudarc::{cublas, cublaslt};

use super::{Gpu, driver};
use crate::device::Product;
use crate::{Device, Error, Kind, Result};
use plan::{Algorithm, Key, Places, Plan, refused};
use search::Search;

/// What NVIDIA recommends for Hopper.
const WORKSPACE: usize = 32 << 20;
/// Addresses are aligned to this or less.
const ALIGNED: u64 = 256;
/// Below this many multiplications a product takes as long as its launch, whatever the algorithm: none is timed.
const WORTH_TIMING: usize = 1 << 24;

pub(super) struct Blas {
    lt: cublaslt::sys::cublasLtHandle_t,
    handle: cublas::sys::cublasHandle_t,
    workspace: CudaSlice<u8>,
    workspace_address: u64,
    plans: RefCell<HashMap<Key, Plan>>,
    search: Search,
}

/// Who computes the products that a GPU was asked for, each shape counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plans {
    /// By cuBLASLt.
    pub cublaslt: usize,
    /// By cuBLAS: cuBLASLt offered no algorithm, or refused the one that it had offered.
    pub cublas: usize,
    /// Among all of these, those of which cuBLASLt said INVALID_VALUE: that is no word for a shape that it does not take, but for
    /// a question that is wrong.
    pub invalid: usize,
}

impl Blas {
    pub(super) fn new(stream: &Arc<CudaStream>) -> Result<Self> {
        // SAFETY: bytes have no invalid value.
        let workspace = unsafe { stream.alloc::<u8>(WORKSPACE) };
        let workspace = workspace.map_err(driver("taking 32 MiB of workspace for cuBLAS"))?;
        let workspace_address = workspace.device_ptr(stream).0;
        let lt =
            cublaslt::result::create_handle().map_err(|error| lt_error("opening it", error))?;
        let blas = |error| blas_error("opening it", error);
        let handle = cublas::result::create_handle().map_err(blas)?;
        let (plans, search) = (RefCell::default(), Search::default());
        let made = Self { lt, handle, workspace, workspace_address, plans, search };
        // Sums in the type of sums, also where they are split: as in cuBLASLt's plans.
        let exact = cublas::sys::cublasMath_t::CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
        // SAFETY: the handle is new, the stream outlives it (both are held by the same Gpu), and so does the workspace.
        unsafe {
            cublas::result::set_stream(handle, stream.cu_stream().cast()).map_err(blas)?;
            let at = workspace_address as *mut c_void;
            cublas::sys::cublasSetWorkspace_v2(handle, at, WORKSPACE).result().map_err(blas)?;
            cublas::sys::cublasSetMathMode(handle, exact).result().map_err(blas)?;
        }
        Ok(made)
    }

    /// cuBLAS's version and cuBLASLt's.
    pub(super) fn versions(&self) -> Result<[String; 2]> {
        let mut version = 0;
        // SAFETY: the handle lives, and the pointer is to a number that lives.
        unsafe { cublas::sys::cublasGetVersion_v2(self.handle, &mut version) }
            .result()
            .map_err(|error| blas_error("its version", error))?;
        let dotted = |v: usize| format!("{}.{}.{}", v / 10_000, v / 100 % 100, v % 100);
        // SAFETY: the library is there.
        let lt = unsafe { cublaslt::sys::cublasLtGetVersion() };
        Ok([dotted(version.max(0) as usize), dotted(lt)])
    }

    pub(super) fn plans(&self) -> Plans {
        let plans = self.plans.borrow();
        let count = |which: fn(&Plan) -> bool| plans.values().filter(|plan| which(plan)).count();
        Plans {
            cublaslt: count(|plan| plan.algorithm.is_some()),
            cublas: count(|plan| plan.algorithm.is_none()),
            invalid: count(|plan| plan.invalid),
        }
    }

    /// # Safety
    /// As `Device::multiply`.
    pub(super) unsafe fn multiply(&self, gpu: &Gpu, product: &Product) -> Result<()> {
        let &Product { m, n, k, alpha, a, b, beta, c, input, output } = product;
        if k == 0 {
            // SAFETY: C describes memory that nothing else uses.
            return unsafe { scale(&gpu.0.stream, product) };
        }
        let alignment = |address: u64| (address | ALIGNED).trailing_zeros();
        let key = Key {
            sizes: [m, n, k],
            strides: [a.stride, b.stride, c.stride],
            transposed: [a.transposed, b.transposed],
            kinds: [input, output],
            alignments: [a, b, c].map(|factor| alignment(factor.address)),
        };
        let scalars = match input {
            Kind::F64 => Scalars::F64(alpha, beta),
            _ => Scalars::F32(alpha as f32, beta as f32),
        };
        let (alpha, beta) = scalars.pointers();
        let places = Places {
            a: a.address,
            b: b.address,
            c: c.address,
            d: c.address,
            alpha,
            beta,
            workspace: self.workspace_address,
            stream: gpu.0.stream.cu_stream().cast(),
        };
        let mut plans = self.plans.borrow_mut();
        let plan = match plans.entry(key) {
            Entry::Occupied(plan) => plan.into_mut(),
            // SAFETY: the caller's promise is the same.
            Entry::Vacant(vacant) => vacant.insert(unsafe { self.plan(gpu, &key, &places)? }),
        };
        if let Some(algorithm) = &plan.algorithm {
            // SAFETY: the plan was made for these shapes, the caller promises the addresses, and there is one stream.
            match unsafe { plan.run(self.lt, algorithm, &places, self.workspace.len()) } {
                Err(error) if refused(error) => {
                    plan.note(error);
                    plan.algorithm = None;
                }
                done => return done.map_err(|error| lt_error(&name(&key), error)),
            }
        }
        // SAFETY: the caller's promise is the same.
        unsafe { self.without_lt(product, alpha, beta) }
    }

    /// A plan with the fastest of the algorithms on offer.
    ///
    /// # Safety
    /// As `Device::multiply`.
    unsafe fn plan(&self, gpu: &Gpu, key: &Key, places: &Places) -> Result<Plan> {
        let hint = "run the step once before it is recorded";
        gpu.not_recording("choosing the algorithm of a product", hint)?;
        let fail = |error| lt_error(&name(key), error);
        let mut plan = Plan::new(key).map_err(fail)?;
        let offered = match plan.candidates(self.lt, key, self.workspace.len()) {
            Err(error) if refused(error) => {
                plan.note(error);
                Vec::new()
            }
            offered => offered.map_err(fail)?,
        };
        let short = key.sizes.iter().product::<usize>() < WORTH_TIMING;
        plan.algorithm = if short || offered.len() < 2 {
            offered.into_iter().next()
        } else {
            // SAFETY: the caller's promise is the same.
            unsafe { self.fastest(gpu, key, &mut plan, offered, places)? }
        };
        Ok(plan)
    }

    /// The one that takes the least time on these matrices; none where all are refused after all.
    ///
    /// # Safety
    /// As `Device::multiply`.
    unsafe fn fastest(
        &self,
        gpu: &Gpu,
        key: &Key,
        plan: &mut Plan,
        offered: Vec<Algorithm>,
        places: &Places,
    ) -> Result<Option<Algorithm>> {
        let fail = |error| lt_error(&name(key), error);
        // C must stay as it is: the result goes elsewhere.
        let bytes = key.sizes[0] * key.strides[2] * key.kinds[1].size();
        let elsewhere = gpu.allocate(bytes, "choosing the algorithm of a product")?;
        let places = Places { d: gpu.address(&elsewhere), ..*places };
        let run = |plan: &Plan, algorithm: &Algorithm| {
            // SAFETY: the caller promises the addresses, and D has as many bytes as C.
            unsafe { plan.run(self.lt, algorithm, &places, self.workspace.len()) }
        };
        let mut usable = Vec::new();
        // Once each: this also loads them.
        for algorithm in offered {
            match run(plan, &algorithm) {
                Err(error) if refused(error) => plan.note(error),
                loaded => {
                    loaded.map_err(fail)?;
                    usable.push(algorithm);
                }
            }
        }
        if usable.len() < 2 {
            return Ok(usable.pop());
        }
        let (plan, run) = (&*plan, &run);
        let mut runs: Vec<_> =
            usable.iter().map(|algorithm| move || run(plan, algorithm).map_err(fail)).collect();
        let mut works: Vec<&mut dyn FnMut() -> Result<()>> =
            runs.iter_mut().map(|run| run as &mut dyn FnMut() -> Result<()>).collect();
        let fastest = self.search.fastest(gpu, &mut works)?;
        Ok(usable.get(fastest).copied())
    }

    /// cuBLAS takes any shape and alignment.
    ///
    /// # Safety
    /// As `Device::multiply`; the scalars are of the compute type.
    unsafe fn without_lt(
        &self,
        product: &Product,
        alpha: *const c_void,
        beta: *const c_void,
    ) -> Result<()> {
        let &Product { m, n, k, a, b, c, input, output, .. } = product;
        let what = format!("a product [{m}, {k}]·[{k}, {n}] of {}", input.name());
        let int = |size: usize| {
            let hint = "cuBLAS counts in 32 bits";
            c_int::try_from(size)
                .map_err(|_| adapter::Error::value("a size of a product", size, hint))
        };
        let operation = |transposed| match transposed {
            false => cublas::sys::cublasOperation_t::CUBLAS_OP_N,
            true => cublas::sys::cublasOperation_t::CUBLAS_OP_T,
        };
        let data_type = |kind| match kind {
            Kind::F64 => cublas::sys::cudaDataType::CUDA_R_64F,
            Kind::F32 | Kind::Tf32 => cublas::sys::cudaDataType::CUDA_R_32F,
            Kind::Bf16 => cublas::sys::cudaDataType::CUDA_R_16BF,
        };
        let compute = match input {
            Kind::F64 => cublas::sys::cublasComputeType_t::CUBLAS_COMPUTE_64F,
            Kind::Tf32 => cublas::sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
            _ => cublas::sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
        };
        // SAFETY: the caller promises addresses and strides.
        unsafe {
            cublas::result::gemm_ex(
                self.handle,
                operation(b.transposed),
                operation(a.transposed),
                int(n)?,
                int(m)?,
                int(k)?,
                alpha,
                b.address as *const c_void,
                data_type(input),
                int(b.stride)?,
                a.address as *const c_void,
                data_type(input),
                int(a.stride)?,
                beta,
                c.address as *mut c_void,
                data_type(output),
                int(c.stride)?,
                compute,
                cublas::sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }
        .map_err(|error| blas_error(&what, error))
    }
}

enum Scalars {
    F32(f32, f32),
    F64(f64, f64),
}

impl Scalars {
    fn pointers(&self) -> (*const c_void, *const c_void) {
        match self {
            Self::F32(alpha, beta) => {
                (std::ptr::from_ref(alpha).cast(), std::ptr::from_ref(beta).cast())
            }
            Self::F64(alpha, beta) => {
                (std::ptr::from_ref(alpha).cast(), std::ptr::from_ref(beta).cast())
            }
        }
    }
}

/// C ← β C, which is what a product over nothing leaves.
///
/// # Safety
/// C describes memory that nothing else uses.
unsafe fn scale(stream: &CudaStream, product: &Product) -> Result<()> {
    let &Product { m, n, beta, c, output, .. } = product;
    if beta == 1.0 {
        return Ok(());
    }
    if beta != 0.0 {
        let hint = "a product over no elements takes β = 0 or 1";
        return Err(adapter::Error::value("beta", beta, hint).into());
    }
    let bytes = n * output.size();
    for row in 0..m {
        let at = c.address + (row * c.stride * output.size()) as u64;
        // SAFETY: a row of C.
        unsafe { memset_d8_async(at, 0, bytes, stream.cu_stream()) }
            .map_err(driver("an empty product"))?;
    }
    Ok(())
}

fn name(key: &Key) -> String {
    let Key { sizes: [m, n, k], kinds: [input, output], .. } = key;
    format!("a product [{m}, {k}]·[{k}, {n}] of {} into {}", input.name(), output.name())
}

fn lt_error(operation: &str, error: cublaslt::result::CublasError) -> Error {
    let code = format!("{:?}", error.0);
    Error::Library { operation: operation.to_owned(), library: "cuBLASLt", code }
}

fn blas_error(operation: &str, error: cublas::result::CublasError) -> Error {
    let code = format!("{:?}", error.0);
    Error::Library { operation: operation.to_owned(), library: "cuBLAS", code }
}

impl Drop for Blas {
    fn drop(&mut self) {
        self.plans.borrow_mut().clear();
        // SAFETY: created in `new`, destroyed once, after the plans.
        unsafe {
            let _ = cublaslt::result::destroy_handle(self.lt);
            let _ = cublas::result::destroy_handle(self.handle);
        }
    }
}
