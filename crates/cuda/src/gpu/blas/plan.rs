//! The descriptors of a product, and the algorithms that cuBLASLt offers for it.

use std::ffi::c_void;

use cudarc::cublaslt::result::{self as lt, CublasError};
use cudarc::cublaslt::sys;

use crate::Kind;

/// Algorithms asked for: the first is what cuBLASLt takes to be the fastest.
const CANDIDATES: usize = 8;

pub(super) type Algorithm = sys::cublasLtMatmulAlgo_t;

/// What a choice of algorithm depends on.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub sizes: [usize; 3],
    pub strides: [usize; 3],
    pub transposed: [bool; 2],
    pub kinds: [Kind; 2],
    /// The power of two that divides each address.
    pub alignments: [u32; 3],
}

/// The descriptors of a product, and the algorithm that was chosen, if there is one.
pub(super) struct Plan {
    operation: sys::cublasLtMatmulDesc_t,
    layouts: [sys::cublasLtMatrixLayout_t; 3],
    pub algorithm: Option<Algorithm>,
    /// cuBLASLt called the question wrong.
    pub invalid: bool,
}

/// Where the matrices of one run lie. C is read and D is written; they may be the same.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub a: u64,
    pub b: u64,
    pub c: u64,
    pub d: u64,
    pub alpha: *const c_void,
    pub beta: *const c_void,
    pub workspace: u64,
    pub stream: sys::cudaStream_t,
}

impl Plan {
    /// Without an algorithm yet.
    pub(super) fn new(key: &Key) -> Result<Self, CublasError> {
        use sys::cublasComputeType_t as Compute;
        use sys::cublasLtMatmulDescAttributes_t as Attribute;
        let &Key { sizes: [m, n, k], strides, transposed: [a_t, b_t], kinds, .. } = key;
        let [input, output] = kinds.map(data_type);
        let (compute, scalar) = match kinds[0] {
            Kind::F64 => (Compute::CUBLAS_COMPUTE_64F, data_type(Kind::F64)),
            Kind::Tf32 => (Compute::CUBLAS_COMPUTE_32F_FAST_TF32, data_type(Kind::F32)),
            _ => (Compute::CUBLAS_COMPUTE_32F, data_type(Kind::F32)),
        };
        // A stored matrix of r rows and c columns is, column by column, one of c rows and r columns.
        let layout = |kind, rows: usize, columns: usize, transposed: bool, stride: usize| {
            let (rows, columns) = if transposed { (columns, rows) } else { (rows, columns) };
            lt::create_matrix_layout(kind, columns as u64, rows as u64, stride as i64)
        };
        let operation = lt::create_matmul_desc(compute, scalar)?;
        let layouts = [
            layout(input, k, n, b_t, strides[1])?,
            layout(input, m, k, a_t, strides[0])?,
            layout(output, m, n, false, strides[2])?,
        ];
        for (attribute, transposed) in [
            (Attribute::CUBLASLT_MATMUL_DESC_TRANSA, b_t),
            (Attribute::CUBLASLT_MATMUL_DESC_TRANSB, a_t),
        ] {
            let value = i32::from(transposed); // CUBLAS_OP_N is 0, CUBLAS_OP_T is 1
            let at = std::ptr::from_ref(&value).cast();
            // SAFETY: the attribute is 32 bits, and copied.
            unsafe { lt::set_matmul_desc_attribute(operation, attribute, at, size_of::<i32>())? };
        }
        Ok(Self { operation, layouts, algorithm: None, invalid: false })
    }

    /// Remembers a refusal that no shape explains. It is no error: where cuBLASLt says this of an alignment, cuBLAS still computes.
    pub(super) fn note(&mut self, refusal: CublasError) {
        self.invalid |= refusal.0 == sys::cublasStatus_t::CUBLAS_STATUS_INVALID_VALUE;
    }

    /// What cuBLASLt offers, the fastest by its own estimate first. Where it has nothing, it may also say so by an error that is
    /// [`refused`].
    pub(super) fn candidates(
        &self,
        handle: sys::cublasLtHandle_t,
        key: &Key,
        workspace: usize,
    ) -> Result<Vec<Algorithm>, CublasError> {
        use sys::cublasLtMatmulPreferenceAttributes_t as Preference;
        let [a, b, c] = key.alignments.map(|power| 1_u32 << power);
        // Split-K adds up parts of a sum: in the type of sums, never in that of the output, which in bf16 has 8 bits.
        let sums = sys::cublasLtReductionScheme_t::CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE as u32;
        let workspace = workspace as u64;
        let preference = lt::create_matmul_pref()?;
        let offered = (|| {
            let most = Preference::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
            let at = std::ptr::from_ref(&workspace).cast();
            // SAFETY: this attribute is 64 bits, and copied.
            unsafe { lt::set_matmul_pref_attribute(preference, most, at, size_of::<u64>())? };
            for (attribute, value) in [
                (Preference::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, sums),
                (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, b),
                (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, a),
                (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, c),
                (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, c),
            ] {
                let at = std::ptr::from_ref(&value).cast();
                // SAFETY: these attributes are 32 bits, and copied.
                unsafe {
                    lt::set_matmul_pref_attribute(preference, attribute, at, size_of::<u32>())?;
                }
            }
            self.ask(handle, preference)
        })();
        // SAFETY: created above, destroyed once.
        unsafe { lt::destroy_matmul_pref(preference)? };
        offered
    }

    fn ask(
        &self,
        handle: sys::cublasLtHandle_t,
        preference: sys::cublasLtMatmulPreference_t,
    ) -> Result<Vec<Algorithm>, CublasError> {
        let [b, a, c] = self.layouts;
        let mut count = 0;
        let mut offers: Vec<sys::cublasLtMatmulHeuristicResult_t> = Vec::with_capacity(CANDIDATES);
        // SAFETY: descriptors and preference live, there is room for as many results as are asked for, and `count` of them
        // are written.
        unsafe {
            sys::cublasLtMatmulAlgoGetHeuristic(
                handle,
                self.operation,
                b,
                a,
                c,
                c,
                preference,
                CANDIDATES as i32,
                offers.as_mut_ptr(),
                &mut count,
            )
            .result()?;
            offers.set_len((count.max(0) as usize).min(CANDIDATES));
        }
        let usable = offers.iter().filter(|offer| offer.state.result().is_ok());
        Ok(usable.map(|offer| offer.algo).collect())
    }

    /// D ← α A B + β C.
    ///
    /// # Safety
    /// The places hold matrices of the plan's shapes; the scalars are of its compute type; the workspace is as large as the
    /// algorithm was promised, and used by one stream only.
    pub(super) unsafe fn run(
        &self,
        handle: sys::cublasLtHandle_t,
        algorithm: &Algorithm,
        places: &Places,
        workspace: usize,
    ) -> Result<(), CublasError> {
        let [b, a, c] = self.layouts;
        let at = |address: u64| address as *mut c_void;
        // SAFETY: the caller's promise.
        unsafe {
            lt::matmul(
                handle,
                self.operation,
                places.alpha,
                places.beta,
                at(places.b),
                b,
                at(places.a),
                a,
                at(places.c),
                c,
                at(places.d),
                c,
                algorithm,
                at(places.workspace),
                workspace,
                places.stream,
            )
        }
    }
}

/// Not an error of the device: there is no such algorithm, or it does not take these shapes after all.
pub(super) fn refused(error: CublasError) -> bool {
    use sys::cublasStatus_t as Status;
    matches!(
        error.0,
        Status::CUBLAS_STATUS_NOT_SUPPORTED
            | Status::CUBLAS_STATUS_INVALID_VALUE
            | Status::CUBLAS_STATUS_ARCH_MISMATCH
    )
}

fn data_type(kind: Kind) -> sys::cudaDataType {
    match kind {
        Kind::F64 => sys::cudaDataType::CUDA_R_64F,
        Kind::F32 | Kind::Tf32 => sys::cudaDataType::CUDA_R_32F,
        Kind::Bf16 => sys::cudaDataType::CUDA_R_16BF,
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        // SAFETY: created with the plan, destroyed once. An error here has no one to be told to.
        unsafe {
            let _ = lt::destroy_matmul_desc(self.operation);
            for layout in self.layouts {
                let _ = lt::destroy_matrix_layout(layout);
            }
        }
    }
}
