//! How many threads compute, and the environment in which they do it best.
//!
//! The work is divided by [`adapter::parallel`], whose threads are as many as `--threads` says. Under them
//!
//! - OpenBLAS gets one thread. Its own threads wait for each other by spinning, and where something else wants the
//!   processor too they lose more than the second one gives;
//! - an OpenBLAS too old to know the processor gets the kernels that the processor can run ([`openblas`]);
//! - the C library's allocator (glibc's) keeps what a step has freed for the next step, instead of giving hundreds of
//!   megabytes back to the system and having them zeroed again.
//!
//! All of it is read from the environment once, when the libraries are loaded, so the program starts itself again with
//! it. (The functions that change it later can only be called from unsafe code.) What the user has set of the allocator
//! and of the kernels stays; of OpenBLAS's threads it does not, so that the number of threads that is reported is the
//! number that ran.

use std::process::Command;

use anyhow::{Context, Result, bail};

const OPENBLAS: (&str, &str) = ("OPENBLAS_NUM_THREADS", "1");
const MALLOC: [(&str, &str); 2] =
    [("MALLOC_MMAP_THRESHOLD_", "4294967296"), ("MALLOC_TRIM_THRESHOLD_", "4294967296")];
/// What other programs of this kind take a number of threads from.
const THREADS: [&str; 2] = ["RAYON_NUM_THREADS", "OMP_NUM_THREADS"];

/// Run with `threads` threads, or as many as `OMP_NUM_THREADS` says, or as there are processors; returns how many.
pub fn set(threads: Option<usize>) -> Result<usize> {
    if threads == Some(0) {
        bail!("--threads is 0: at least one thread is needed");
    }
    let unset = MALLOC.into_iter().filter(|(name, _)| std::env::var_os(name).is_none());
    let other = |(name, value): &(&str, &str)| std::env::var_os(name).is_none_or(|is| is != *value);
    let missing: Vec<_> = [OPENBLAS].into_iter().filter(other).chain(unset).collect();
    if !missing.is_empty() {
        let program = std::env::current_exe().context("where is this program?")?;
        let mut command = Command::new(&program);
        if cfg!(feature = "blas") {
            let core = openblas::better_core(Command::new(&program).arg("--version"));
            command.envs(core.map(|core| (openblas::CORE, core)));
        }
        let again = command.args(std::env::args_os().skip(1)).envs(missing);
        return Err(openblas::replace_by(again))
            .context("the program could not start itself again");
    }
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.or_else(from_environment).unwrap_or_else(processors);
    // This thread is one of them, so that it works instead of waiting for the others.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread();
    pool.build_global().context("the threads cannot be started")?;
    Ok(threads)
}

/// The first of [`THREADS`] that is a number above 0; any other value says nothing, as in those programs.
fn from_environment() -> Option<usize> {
    let number = |name| std::env::var(name).ok()?.parse().ok().filter(|&threads| threads > 0);
    THREADS.into_iter().find_map(number)
}
