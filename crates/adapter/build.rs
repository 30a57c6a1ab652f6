//! With the feature `blas`: is OpenBLAS there to link with?
//!
//! Without this probe a missing library shows up as a page of linker errors.

use std::path::PathBuf;
use std::process::{Command, Stdio};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_BLAS").is_none() || pkg_config() || trial_link() {
        return;
    }
    println!(
        "cargo::error=OpenBLAS was not found. `cargo xtask demo` or `cargo xtask test` installs it; \
         by hand: apt-get install libopenblas-dev | dnf install openblas-devel | \
         pacman -S openblas | brew install openblas. Without it, build with --no-default-features."
    );
}

fn pkg_config() -> bool {
    succeeds(Command::new("pkg-config").args(["--exists", "openblas"]))
}

/// A bare Debian has no pkg-config, and Homebrew keeps OpenBLAS out of the default search path.
fn trial_link() -> bool {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let source = out.join("probe.c");
    std::fs::write(
        &source,
        "int openblas_get_num_threads(void);\nint main(void) { return openblas_get_num_threads() < 0; }\n",
    )
    .expect("OUT_DIR is writable");
    let mut cc = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    cc.arg(&source).arg("-o").arg(out.join("probe"));
    if let Ok(brew) = Command::new("brew").args(["--prefix", "openblas"]).output() {
        let prefix = String::from_utf8_lossy(&brew.stdout);
        cc.arg(format!("-L{}/lib", prefix.trim()));
    }
    succeeds(cc.arg("-lopenblas"))
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
