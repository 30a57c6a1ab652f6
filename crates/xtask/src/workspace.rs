//! Where things are in this repository.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("crates/xtask is two folders deep")
}

/// Where cargo builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A program of the workspace, as `cargo build` leaves it.
pub fn program(name: &str) -> PathBuf {
    target().join("debug").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// The folders of the crates that hold a method: those with a reference implementation in `src/cpu.rs`.
pub fn methods() -> Result<Vec<String>> {
    let folders = entries(&root().join("crates"))?;
    let methods = folders.into_iter().filter(|folder| folder.join("src/cpu.rs").is_file());
    Ok(methods.map(|folder| stem(&folder)).collect())
}

/// The names in `crates/<name>/examples`.
pub fn examples(name: &str) -> Result<Vec<String>> {
    let folder = root().join("crates").join(name).join("examples");
    let files = if folder.is_dir() { entries(&folder)? } else { Vec::new() };
    let sources = files.into_iter().filter(|file| file.extension().is_some_and(|e| e == "rs"));
    Ok(sources.map(|file| stem(&file)).collect())
}

/// Every file with this extension under the root's own folders, sorted; build output and hidden folders left out.
pub fn sources(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in entries(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_output = path == root().join("target") || path == root().join("book/book");
        if path.is_dir() && !name.starts_with('.') && !is_output {
            found.extend(sources(&path, extension)?);
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    Ok(found)
}

/// `path` as it is written in the repository.
pub fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Reads a text file, naming it when that fails.
pub fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", relative(path)))
}

/// What a folder holds, sorted.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let listing = std::fs::read_dir(folder)
        .with_context(|| format!("cannot list {}", relative(folder)))?
        .map(|entry| entry.map(|entry| entry.path()));
    let mut paths = listing.collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
