//! Kernels compiled by NVRTC, once per process, and kept on disk by the hash of all that goes in.

use std::ffi::CString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaModule};
use cudarc::nvrtc::{Ptx, result, sys};
use sha2::{Digest, Sha256};

use super::driver;
use crate::kernel::Source;
use crate::{Error, Kind, Result};

/// What NVRTC makes: PTX for `compute_90`, a CUBIN for `sm_90`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code(pub Vec<u8>);

/// NVRTC's version, major and minor.
///
/// # Errors
/// It is not there.
pub fn nvrtc_version() -> Result<(i32, i32)> {
    // SAFETY: looks for the library.
    if !unsafe { sys::is_culib_present() } {
        return Err(Error::Unavailable {
            missing: "libnvrtc, which compiles the kernels".into(),
            hint: "install CUDA 13, or pip's nvidia-cuda-nvrtc with its folder on LD_LIBRARY_PATH",
        });
    }
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the library is there, and both pointers are to numbers that live.
    unsafe { sys::nvrtcVersion(&mut major, &mut minor) }
        .result()
        .map_err(|error| nvrtc("its version", error))?;
    Ok((major, minor))
}

/// Compile a source for an architecture, `compute_80` or `sm_90` for example. Needs NVRTC, and no GPU.
///
/// # Errors
/// NVRTC is not there, or refuses: its log says why.
pub fn compile(source: &Source, kind: Kind, architecture: &str) -> Result<Code> {
    nvrtc_version()?;
    let text = CString::new(source.for_kind(kind))
        .map_err(|error| adapter::Error::value("a source", source.file, error.to_string()))?;
    let name = CString::new(source.file).unwrap_or_default();
    let program = result::create_program(&text, Some(&name))
        .map_err(|error| nvrtc("creating a program", error))?;
    let code = (|| {
        // SAFETY: the program was created above and is destroyed below.
        unsafe {
            if result::compile_program(program, &options(architecture)).is_err() {
                let log = result::get_program_log(program).unwrap_or_default();
                let log = log.into_iter().map(|byte| byte as u8).filter(|byte| *byte != 0);
                let log = String::from_utf8_lossy(&log.collect::<Vec<_>>()).into_owned();
                return Err(Error::Compile { file: source.file.to_owned(), log });
            }
            if !architecture.starts_with("sm_") {
                let ptx = result::get_ptx(program).map_err(|error| nvrtc("its PTX", error))?;
                return Ok(Code(ptx.into_iter().map(|byte| byte as u8).collect()));
            }
            let mut size = 0;
            sys::nvrtcGetCUBINSize(program, &mut size)
                .result()
                .map_err(|error| nvrtc("its CUBIN", error))?;
            let mut cubin = vec![0_u8; size];
            sys::nvrtcGetCUBIN(program, cubin.as_mut_ptr().cast())
                .result()
                .map_err(|error| nvrtc("its CUBIN", error))?;
            Ok(Code(cubin))
        }
    })();
    // SAFETY: created above, destroyed once.
    unsafe { result::destroy_program(program) }
        .map_err(|error| nvrtc("destroying a program", error))?;
    code
}

/// Division and square root stay correctly rounded, and subnormals stay: NVRTC's defaults, said aloud.
fn options(architecture: &str) -> Vec<String> {
    let fixed = ["--std=c++17", "--ftz=false", "--prec-div=true", "--prec-sqrt=true"];
    let mut options: Vec<_> = fixed.map(str::to_owned).into();
    options.push(format!("--gpu-architecture={architecture}"));
    options
}

/// The module for this GPU: from the disk if it is there and loads, else compiled and kept.
pub(super) fn load(
    context: &Arc<CudaContext>,
    source: &'static Source,
    kind: Kind,
    architecture: &str,
) -> Result<Arc<CudaModule>> {
    let file = cache_file(source, kind, architecture)?;
    if let Some(kept) = file.as_ref().and_then(|file| std::fs::read(file).ok())
        && let Ok(module) = context.load_module(Ptx::from_binary(kept))
    {
        return Ok(module);
    }
    let Code(cubin) = compile(source, kind, architecture)?;
    let module = context.load_module(Ptx::from_binary(cubin.clone()));
    let module = module.map_err(driver(format!("loading {}", source.file)))?;
    // A cache that cannot be written is no reason to fail.
    if let Some(file) = file {
        let kept = file.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| {
            let mut writing = atomic_write_file::AtomicWriteFile::open(&file)?;
            writing.write_all(&cubin)?;
            writing.commit()
        });
        drop(kept);
    }
    Ok(module)
}

fn cache_file(source: &Source, kind: Kind, architecture: &str) -> Result<Option<PathBuf>> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let Some(cache) = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))
    else {
        return Ok(None);
    };
    let mut hash = Sha256::new();
    let (major, minor) = nvrtc_version()?;
    hash.update(format!("{major}.{minor} {}\0", options(architecture).join(" ")));
    hash.update(source.for_kind(kind));
    let mut name = String::new();
    for byte in hash.finalize() {
        write!(name, "{byte:02x}").expect("a string grows");
    }
    Ok(Some(cache.join("lowrank/kernels").join(name + ".cubin")))
}

fn nvrtc(operation: &str, error: result::NvrtcError) -> Error {
    Error::Library {
        operation: operation.to_owned(),
        library: "NVRTC",
        code: format!("{:?}", error.0),
    }
}
