//! How many threads OpenBLAS uses.
//!
//! OpenBLAS reads `OPENBLAS_NUM_THREADS` once, when it is loaded, so `--threads` starts the program again with the
//! variable set. (Its function to change the number later can only be called from unsafe code.)

use std::process::Command;

use anyhow::{Context, Result, bail};

const VARIABLE: &str = "OPENBLAS_NUM_THREADS";

/// Run with `threads` threads; returns how many there are.
pub fn set(threads: Option<usize>) -> Result<usize> {
    let now = std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok());
    let Some(threads) = threads else {
        return Ok(match now {
            Some(threads) => threads,
            None => std::thread::available_parallelism().map_or(1, usize::from),
        });
    };
    if threads == 0 {
        bail!("--threads is 0: at least one thread is needed");
    }
    if now == Some(threads) {
        return Ok(threads);
    }
    let program = std::env::current_exe().context("where is this program?")?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).env(VARIABLE, threads.to_string());
    restart(command)
}

#[cfg(unix)]
fn restart(mut command: Command) -> Result<usize> {
    use std::os::unix::process::CommandExt;
    Err(command.exec()).context("--threads could not restart the program")
}

#[cfg(not(unix))]
fn restart(mut command: Command) -> Result<usize> {
    let status = command.status().context("--threads could not restart the program")?;
    std::process::exit(status.code().unwrap_or(2));
}
