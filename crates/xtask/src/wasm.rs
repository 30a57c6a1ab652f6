//! The book's experiments as WebAssembly, for the pages to load.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::process::{capture, cargo, command, first_line, run};
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
    // The messages of panics name the files of the registry's crates: not where this machine keeps them.
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo"))).unwrap_or_default();
    let remap = format!("--remap-path-prefix={}=cargo", home.display());
    let builds = BUILDS.map(|(name, feature)| {
        let mut build = cargo();
        build.args(["build", "--quiet", "--package", "live", "--lib", "--profile", "page"]);
        // A folder for each: in one, other flags would have everything built again.
        let own = folder.join(name);
        build.args(["--target", TARGET, "--target-dir"]).arg(&own).arg("--config");
        let flags = [format!("-Ctarget-feature={feature}"), remap.clone()];
        build.arg(format!("target.{TARGET}.rustflags={flags:?}"));
        (build, own.join(TARGET).join("page/live.wasm"), folder.join(format!("{name}.wasm")))
    });
    // Each ends in minutes of one core: they share no folder, and run beside each other.
    std::thread::scope(|scope| {
        let begun = builds.map(|(mut build, built, kept)| {
            scope.spawn(move || -> Result<()> {
                run(&mut build, "mend what is listed above")?;
                std::fs::copy(&built, &kept).with_context(|| built.display().to_string())?;
                Ok(())
            })
        });
        begun.into_iter().try_for_each(|build| build.join().expect("it does not panic"))
    })?;
    Ok(folder)
}

/// Whether rustc has a standard library for a target.
pub fn has(target: &str) -> bool {
    let mut rustc = command("rustc", ["--print", "target-libdir", "--target", target]);
    first_line(&mut rustc).is_some_and(|folder| std::path::Path::new(&folder).is_dir())
}
