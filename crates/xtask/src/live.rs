//! The book's experiments as WebAssembly: built for the pages to load.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::process::{capture, cargo, command, run};
use crate::test::has;
use crate::workspace::target;

pub const TARGET: &str = "wasm32-unknown-unknown";

/// Every browser of today has SIMD; the page takes the other build where it is missing.
const BUILDS: [(&str, &str); 2] = [("simd", "+simd128"), ("plain", "-simd128")];

/// Makes sure that rustc has a standard library for the browser; else why not.
pub fn ensure_target() -> Result<(), String> {
    if has(TARGET) {
        return Ok(());
    }
    match capture(&mut command("rustup", ["target", "add", TARGET])) {
        Ok((true, _)) => Ok(()),
        Ok((false, output)) => Err(output.lines().last().unwrap_or_default().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Builds `book/live` both ways; the folder that holds `simd.wasm` and `plain.wasm`.
pub fn build() -> Result<PathBuf> {
    let folder = target().join("live");
    std::fs::create_dir_all(&folder)?;
    for (name, feature) in BUILDS {
        let mut build = cargo();
        build.args(["build", "--quiet", "--package", "live", "--lib", "--profile", "page"]);
        build.args(["--target", TARGET, "--config"]);
        build.arg(format!("target.{TARGET}.rustflags=[\"-Ctarget-feature={feature}\"]"));
        run(&mut build, "mend what is listed above")?;
        let built = target().join(TARGET).join("page/live.wasm");
        let kept = folder.join(format!("{name}.wasm"));
        std::fs::copy(&built, &kept).with_context(|| built.display().to_string())?;
    }
    Ok(folder)
}
