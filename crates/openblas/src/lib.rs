//! Which of OpenBLAS's kernels this processor can run, where OpenBLAS is too old to know it.
//!
//! OpenBLAS chooses when it is loaded, by the processor's model number. A model newer than the library is taken for the
//! oldest with 64 bits, and every product is several times slower than it need be. The variable [`CORE`] overrides the
//! choice; it must be set before the program starts.

use std::process::{Command, Stdio};

/// The variable that names the kernels.
pub const CORE: &str = "OPENBLAS_CORETYPE";

/// What OpenBLAS calls the processor of 2004 that it falls back to.
const FALL_BACK: &str = "Prescott";

/// What [`CORE`] should be for programs started from here; `None` where OpenBLAS's own choice stands.
///
/// It stands where it is not the fall-back, where the user has set the variable, and where the processor is as old as
/// it is taken for. `probe` must load OpenBLAS and end at once; a program without it has no choice to better.
pub fn better_core(probe: &mut Command) -> Option<&'static str> {
    if std::env::var_os(CORE).is_some() {
        return None;
    }
    let better = best_core()?;
    // OpenBLAS says then, on standard error, what it has chosen.
    let probe = probe.env("OPENBLAS_VERBOSE", "2").stdin(Stdio::null());
    let said = probe.output().ok()?.stderr;
    (chosen(&String::from_utf8_lossy(&said)) == Some(FALL_BACK)).then_some(better)
}

/// Replaces this program by `command`; returns only if that cannot be started.
#[cfg(unix)]
pub fn replace_by(command: &mut Command) -> std::io::Error {
    std::os::unix::process::CommandExt::exec(command)
}

/// Runs `command` in the place of this program and ends as it ends; returns only if it cannot be started.
#[cfg(not(unix))]
pub fn replace_by(command: &mut Command) -> std::io::Error {
    match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(2)),
        Err(error) => error,
    }
}

fn chosen(said: &str) -> Option<&str> {
    said.lines().find_map(|line| line.strip_prefix("Core: ")).map(str::trim)
}

/// The newest kernels, of those that every OpenBLAS since 2017 has, whose instructions this processor knows.
#[cfg(target_arch = "x86_64")]
fn best_core() -> Option<&'static str> {
    use std::arch::is_x86_feature_detected as has;
    if has!("avx512f")
        && has!("avx512cd")
        && has!("avx512bw")
        && has!("avx512dq")
        && has!("avx512vl")
    {
        Some("SkylakeX")
    } else if has!("avx2") && has!("fma") {
        Some("Haswell")
    } else {
        None
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn best_core() -> Option<&'static str> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_read() {
        assert_eq!(chosen("Core: Prescott\n"), Some(FALL_BACK));
        assert_eq!(chosen("a warning\nCore: Zen\n"), Some("Zen"));
        assert_eq!(chosen("error: no such file"), None);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_fall_back_is_bettered() {
        let probe = |said: &str| {
            let mut probe = Command::new("sh");
            probe.args(["-c", &format!("test $OPENBLAS_VERBOSE = 2 && echo '{said}' >&2")]);
            probe
        };
        let of_user = std::env::var_os(CORE).is_some();
        let expected = if of_user { None } else { best_core() };
        assert_eq!(better_core(&mut probe("Core: Prescott")), expected);
        assert_eq!(better_core(&mut probe("Core: SkylakeX")), None);
        assert_eq!(better_core(&mut probe("")), None);
        assert_eq!(better_core(&mut Command::new("/no/such/program")), None);
    }
}
