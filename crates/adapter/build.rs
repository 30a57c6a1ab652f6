//! With the feature `blas`: finds OpenBLAS and links it. `ndarray/blas` declares its routines but names no library.
//!
//! Without this probe a missing library shows up as a page of linker errors.

use std::path::PathBuf;
use std::process::{Command, Stdio};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_BLAS").is_none() {
        return;
    }
    let Some(folders) = pkg_config().or_else(trial_link) else {
        println!(
            "cargo::error=OpenBLAS was not found. `cargo xtask demo` or `cargo xtask test` installs it; \
             by hand: apt-get install libopenblas-dev | dnf install openblas-devel | \
             pacman -S openblas | brew install openblas. Without it, build with --no-default-features."
        );
        return;
    };
    for folder in folders {
        println!("cargo::rustc-link-search=native={folder}");
    }
    println!("cargo::rustc-link-lib=openblas");
}

/// Where pkg-config says that the library lies, beside the linker's own folders.
fn pkg_config() -> Option<Vec<String>> {
    let flags = output(Command::new("pkg-config").args(["--libs-only-L", "openblas"]))?;
    Some(
        flags.split_whitespace().filter_map(|flag| Some(flag.strip_prefix("-L")?.into())).collect(),
    )
}

/// A bare Debian has no pkg-config, and Homebrew keeps OpenBLAS out of the default search path.
fn trial_link() -> Option<Vec<String>> {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let source = out.join("probe.c");
    std::fs::write(
        &source,
        "int openblas_get_num_threads(void);\nint main(void) { return openblas_get_num_threads() < 0; }\n",
    )
    .expect("OUT_DIR is writable");
    let brew = output(Command::new("brew").args(["--prefix", "openblas"]));
    let folders: Vec<String> =
        brew.map(|prefix| format!("{}/lib", prefix.trim())).into_iter().collect();
    let mut cc = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    cc.arg(&source).arg("-o").arg(out.join("probe"));
    cc.args(folders.iter().map(|folder| format!("-L{folder}")));
    output(cc.arg("-lopenblas")).map(|_| folders)
}

/// What it prints, if it succeeds.
fn output(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
