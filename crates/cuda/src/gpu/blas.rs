//! Products by cuBLASLt, whose choice of an algorithm is kept for each shape, and by cuBLAS where Lt has none.
//!
//! Both store matrices column by column. Ours, row by row, are to them the transposes: C = A B is computed as Cᵀ = Bᵀ Aᵀ,
//! with B first and nothing moved.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::sync::Arc;

use cudarc::driver::{CudaSlice, CudaStream, DevicePtr, result::memset_d8_async};
use cudarc::{cublas, cublaslt};

use super::driver;
use crate::device::Product;
use crate::{Error, Kind, Result};

/// What NVIDIA recommends for Hopper.
const WORKSPACE: usize = 32 << 20;
/// Addresses are aligned to this or less.
const ALIGNED: u64 = 256;

pub(super) struct Blas {
    lt: cublaslt::sys::cublasLtHandle_t,
    handle: cublas::sys::cublasHandle_t,
    workspace: CudaSlice<u8>,
    workspace_address: u64,
    plans: RefCell<HashMap<Key, Plan>>,
}

/// What a choice of algorithm depends on.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    sizes: [usize; 3],
    strides: [usize; 3],
    transposed: [bool; 2],
    kinds: [Kind; 2],
    alignments: [u32; 3],
}

/// The descriptors of a product, and the algorithm that cuBLASLt chose, if it has one.
struct Plan {
    operation: cublaslt::sys::cublasLtMatmulDesc_t,
    layouts: [cublaslt::sys::cublasLtMatrixLayout_t; 3],
    algorithm: Option<cublaslt::sys::cublasLtMatmulAlgo_t>,
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
        let made = Self { lt, handle, workspace, workspace_address, plans: RefCell::default() };
        // SAFETY: the handle is new, the stream outlives it (both are held by the same Gpu), and so does the workspace.
        unsafe {
            cublas::result::set_stream(handle, stream.cu_stream().cast()).map_err(blas)?;
            let at = workspace_address as *mut c_void;
            cublas::sys::cublasSetWorkspace_v2(handle, at, WORKSPACE).result().map_err(blas)?;
        }
        Ok(made)
    }

    /// # Safety
    /// As `Device::multiply`.
    pub(super) unsafe fn multiply(&self, stream: &CudaStream, product: &Product) -> Result<()> {
        let &Product { m, n, k, alpha, a, b, beta, c, input, output } = product;
        if k == 0 {
            // SAFETY: C describes memory that nothing else uses.
            return unsafe { scale(stream, product) };
        }
        let alignment = |address: u64| (address | ALIGNED).trailing_zeros();
        let key = Key {
            sizes: [m, n, k],
            strides: [a.stride, b.stride, c.stride],
            transposed: [a.transposed, b.transposed],
            kinds: [input, output],
            alignments: [a, b, c].map(|factor| alignment(factor.address)),
        };
        let mut plans = self.plans.borrow_mut();
        let plan = match plans.entry(key) {
            std::collections::hash_map::Entry::Occupied(plan) => plan.into_mut(),
            std::collections::hash_map::Entry::Vacant(vacant) => vacant.insert(self.plan(key)?),
        };
        let scalars = match input {
            Kind::F64 => Scalars::F64(alpha, beta),
            _ => Scalars::F32(alpha as f32, beta as f32),
        };
        let (alpha, beta) = scalars.pointers();
        let [a_at, b_at, c_at] = [a, b, c].map(|factor| factor.address as *mut c_void);
        let Some(algorithm) = &plan.algorithm else {
            // SAFETY: the caller's promise is the same.
            return unsafe { self.without_lt(product, alpha, beta) };
        };
        let [first, second, result] = plan.layouts;
        // SAFETY: descriptors and algorithm were made for these shapes, the caller promises the addresses, and the workspace
        // is used by one stream only.
        unsafe {
            cublaslt::result::matmul(
                self.lt,
                plan.operation,
                alpha,
                beta,
                b_at,
                first,
                a_at,
                second,
                c_at,
                result,
                c_at,
                result,
                algorithm,
                self.workspace_address as *mut c_void,
                self.workspace.len(),
                stream.cu_stream().cast(),
            )
        }
        .map_err(|error| lt_error(&name(&key), error))
    }

    fn plan(&self, key: Key) -> Result<Plan> {
        use cublaslt::result as lt;
        use cublaslt::sys::cublasLtMatmulDescAttributes_t as Attribute;
        use cublaslt::sys::cublasLtMatmulPreferenceAttributes_t as Preference;
        let fail = |error| lt_error(&name(&key), error);
        let Key { sizes: [m, n, k], strides, transposed: [a_t, b_t], kinds, alignments } = key;
        let [input, output] = kinds.map(data_type);
        let (compute, scalar) = match kinds[0] {
            Kind::F64 => {
                (cublaslt::sys::cublasComputeType_t::CUBLAS_COMPUTE_64F, data_type(Kind::F64))
            }
            Kind::Tf32 => {
                let fast = cublaslt::sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32;
                (fast, data_type(Kind::F32))
            }
            _ => (cublaslt::sys::cublasComputeType_t::CUBLAS_COMPUTE_32F, data_type(Kind::F32)),
        };
        // A stored matrix of r rows and c columns is, column by column, one of c rows and r columns.
        let layout = |kind, rows: usize, columns: usize, transposed: bool, stride: usize| {
            let (rows, columns) = if transposed { (columns, rows) } else { (rows, columns) };
            lt::create_matrix_layout(kind, columns as u64, rows as u64, stride as i64)
        };
        let operation = lt::create_matmul_desc(compute, scalar).map_err(fail)?;
        let layouts = [
            layout(input, k, n, b_t, strides[1]).map_err(fail)?,
            layout(input, m, k, a_t, strides[0]).map_err(fail)?,
            layout(output, m, n, false, strides[2]).map_err(fail)?,
        ];
        let mut plan = Plan { operation, layouts, algorithm: None };
        let preference = lt::create_matmul_pref().map_err(fail)?;
        let chosen = (|| {
            // SAFETY: each attribute is given by a pointer to a value of its type, and copied.
            unsafe {
                for (attribute, transposed) in [
                    (Attribute::CUBLASLT_MATMUL_DESC_TRANSA, b_t),
                    (Attribute::CUBLASLT_MATMUL_DESC_TRANSB, a_t),
                ] {
                    let value = i32::from(transposed); // CUBLAS_OP_N is 0, CUBLAS_OP_T is 1
                    let at = std::ptr::from_ref(&value).cast();
                    lt::set_matmul_desc_attribute(operation, attribute, at, size_of::<i32>())?;
                }
                let workspace = WORKSPACE as u64;
                let most = Preference::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
                let at = std::ptr::from_ref(&workspace).cast();
                lt::set_matmul_pref_attribute(preference, most, at, size_of::<u64>())?;
                for (attribute, power) in [
                    (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignments[1]),
                    (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignments[0]),
                    (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignments[2]),
                    (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignments[2]),
                ] {
                    let bytes = 1_u32 << power;
                    let at = std::ptr::from_ref(&bytes).cast();
                    lt::set_matmul_pref_attribute(preference, attribute, at, size_of::<u32>())?;
                }
                let [b, a, c] = layouts;
                lt::get_matmul_algo_heuristic(self.lt, operation, b, a, c, c, preference)
            }
        })();
        // SAFETY: created above, destroyed once.
        unsafe { lt::destroy_matmul_pref(preference) }.map_err(fail)?;
        plan.algorithm = match chosen {
            Ok(chosen) => Some(chosen.algo),
            Err(cublaslt::result::CublasError(
                cublaslt::sys::cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED,
            )) => None,
            Err(error) => return Err(fail(error)),
        };
        Ok(plan)
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

fn data_type(kind: Kind) -> cublaslt::sys::cudaDataType {
    match kind {
        Kind::F64 => cublaslt::sys::cudaDataType::CUDA_R_64F,
        Kind::F32 | Kind::Tf32 => cublaslt::sys::cudaDataType::CUDA_R_32F,
        Kind::Bf16 => cublaslt::sys::cudaDataType::CUDA_R_16BF,
    }
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

impl Drop for Plan {
    fn drop(&mut self) {
        // SAFETY: created with the plan, destroyed once. An error here has no one to be told to.
        unsafe {
            let _ = cublaslt::result::destroy_matmul_desc(self.operation);
            for layout in self.layouts {
                let _ = cublaslt::result::destroy_matrix_layout(layout);
            }
        }
    }
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
