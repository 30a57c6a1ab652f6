//! Kernels as C++: compiled under the shim, loaded as a library.

use std::collections::HashMap;
use std::ffi::{OsString, c_int, c_uint, c_void};
use std::fmt::Write;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use libloading::Library;

use crate::kernel::Source;
use crate::{Error, Kind, Result};

/// `run_<kernel>` of a library.
pub(super) type Run = unsafe extern "C" fn(c_uint, c_uint, c_uint, *mut *mut c_void) -> c_int;

/// If set, kernels are compiled under AddressSanitizer and UBSan, whose runtime must be preloaded.
const SANITIZE: &str = "LOWRANK_SANITIZE";

const SHIM: &str = include_str!("shim.hpp");

fn compiler() -> OsString {
    std::env::var_os("CXX").unwrap_or_else(|| "c++".into())
}

pub(super) fn available() -> Result<()> {
    let found = Command::new(compiler()).arg("--version").output();
    if found.is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    Err(Error::Unavailable {
        missing: "a C++ compiler, which the emulation of a GPU needs".into(),
        hint: "install g++ or clang++, or set CXX to one",
    })
}

/// The library of a source, compiled once per process.
pub(super) fn library(source: &'static Source, kind: Kind) -> Result<Arc<Library>> {
    type Compiled = HashMap<(&'static str, Kind), Arc<Library>>;
    static COMPILED: Mutex<Option<Compiled>> = Mutex::new(None);
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let compiled = compiled.get_or_insert_default();
    if let Some(library) = compiled.get(&(source.file, kind)) {
        return Ok(Arc::clone(library));
    }
    let library = Arc::new(compile(source, kind)?);
    compiled.insert((source.file, kind), Arc::clone(&library));
    Ok(library)
}

fn compile(source: &Source, kind: Kind) -> Result<Library> {
    let fail = |log: String| Error::Compile { file: source.file.to_owned(), log };
    let folder = tempfile::tempdir().map_err(|error| fail(error.to_string()))?;
    let (text, library) = (folder.path().join("kernels.cpp"), folder.path().join("kernels.so"));
    std::fs::write(&text, cpp(source, kind)).map_err(|error| fail(error.to_string()))?;
    let mut command = Command::new(compiler());
    command.args(["-std=c++17", "-O1", "-shared", "-fPIC", "-w"]);
    if std::env::var_os(SANITIZE).is_some_and(|value| !value.is_empty() && value != "0") {
        command.args(["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]);
    }
    let output = command.arg("-o").arg(&library).arg(&text).output();
    let output = output.map_err(|error| fail(error.to_string()))?;
    if !output.status.success() {
        return Err(fail(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    // SAFETY: the library was made a moment ago from our own text, and does nothing when it is loaded. It stays loaded when
    // its file is removed.
    unsafe { Library::new(&library) }.map_err(|error| fail(error.to_string()))
}

/// The shim, the kernels, and for each a function that unpacks its arguments.
fn cpp(source: &Source, kind: Kind) -> String {
    let mut text = format!("{SHIM}\n{}\n", source.for_kind(kind));
    // Only threads that wait for each other need stacks of their own; where they wait, in which function, does not matter.
    let waits = source.text.contains("__sync") || source.text.contains("_sync(");
    for kernel in source.kernels() {
        writeln!(
            text,
            "extern \"C\" int run_{kernel}(unsigned x, unsigned y, unsigned threads, void** arguments) {{ \
             return shim::run<{waits}>({kernel}, x, y, threads, arguments); }}"
        )
        .expect("a string grows");
    }
    text
}
