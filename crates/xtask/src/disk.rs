//! Room on the disk. A compiler or a linker that runs out of it dies with a message that names neither.

use anyhow::{Result, bail};

use crate::process::{capture, command};
use crate::workspace::{root, target};

/// What the whole suite leaves in the folder where cargo builds, and in the environment with PyTorch: 4.9 and 6.5 GB were measured.
const BUILT: u64 = 6;
const ENVIRONMENT: u64 = 7;

/// Fails if what a first run of the whole suite makes does not fit.
pub fn ensure() -> Result<()> {
    let mut needed = 0;
    if !target().join("passed").is_dir() {
        needed += BUILT;
    }
    if !root().join(".cache/venv").is_dir() {
        needed += ENVIRONMENT;
    }
    match free() {
        Some(free) if free < needed => bail!(
            "what is still to be built takes {needed} GB, and {free} GB are free: make room, or name the steps to run \
             (`cargo xtask test --list`)"
        ),
        _ => Ok(()),
    }
}

/// The GB that are free where cargo builds; `None` where `df` is not known.
fn free() -> Option<u64> {
    let (ran, output) = capture(command("df", ["-Pk"]).arg(root())).ok()?;
    ran.then_some(())?;
    available(&output).map(|kilobytes| kilobytes * 1024 / 1_000_000_000)
}

/// The fourth column of the last line, as POSIX has it for `df -P`.
fn available(output: &str) -> Option<u64> {
    output.lines().last()?.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_of_what_is_free_is_read() {
        let output = "Filesystem     1024-blocks     Used Available Capacity Mounted on\n\
                      /dev/vda         263174212 89712312   5767168      94% /\n";
        assert_eq!(available(output), Some(5_767_168));
        assert_eq!(available("df: unknown option"), None);
    }
}
