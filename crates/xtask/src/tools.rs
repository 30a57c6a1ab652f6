//! Tools that cargo builds: the book's and cargo-deny.
//!
//! They are kept outside `target`, by version, so that neither `cargo clean` nor a fresh clone builds them again.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{cargo, first_line, run};
use crate::workspace::root;

/// A crate that installs one program of its own name.
pub struct Tool {
    pub name: &'static str,
    version: &'static str,
    /// Arguments for `cargo install` that leave out what is not used here.
    options: &'static [&'static str],
}

const MDBOOK: Tool = Tool { name: "mdbook", version: "0.5.4", options: &[] };
const KATEX: Tool = Tool { name: "mdbook-katex", version: "0.10.0", options: &[] };
const LINKCHECK: Tool = Tool { name: "mdbook-linkcheck2", version: "0.13.0", options: &[] };
const SVGBOB: Tool = Tool { name: "mdbook-svgbob", version: "0.3.1", options: &[] };
pub const DENY: Tool =
    Tool { name: "cargo-deny", version: "0.20.2", options: &["--no-default-features"] };

pub const BOOK: [&Tool; 4] = [&MDBOOK, &KATEX, &LINKCHECK, &SVGBOB];
pub const ALL: [&Tool; 5] = [&MDBOOK, &KATEX, &LINKCHECK, &SVGBOB, &DENY];

impl Tool {
    /// The program: ours, or one of the same version on the PATH.
    pub fn find(&self) -> Option<PathBuf> {
        let own = folder().ok().map(|folder| folder.join(self.own_path()));
        own.filter(|path| path.is_file()).or_else(|| self.on_path())
    }

    /// As `find`; built when it is not there.
    fn ensure(&self) -> Result<PathBuf> {
        if let Some(path) = self.find() {
            return Ok(path);
        }
        let folder = folder()?;
        eprintln!("Building {} {} (once; kept in {})", self.name, self.version, folder.display());
        let mut install = cargo();
        install.args(["install", "--locked", "--quiet", self.name, "--version", self.version]);
        install.args(self.options).arg("--root").arg(folder.join(self.folder_name()));
        // One build folder for all: they share most of their dependencies. `BuildFolder` removes it.
        install.env("CARGO_TARGET_DIR", folder.join("build"));
        // They run for a second or two: a quick build is worth more than a quick program.
        install.envs([
            ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
            ("CARGO_PROFILE_RELEASE_LTO", "off"),
            ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
            ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
            ("CARGO_PROFILE_RELEASE_STRIP", "true"),
        ]);
        run(
            &mut install,
            "be online, and have a Rust that is new enough (1.90 for mdbook-linkcheck2)",
        )?;
        Ok(folder.join(self.own_path()))
    }

    fn on_path(&self) -> Option<PathBuf> {
        let line = first_line(Command::new(self.name).arg("--version"))?;
        let version = line.split(' ').next_back()?.trim_start_matches('v');
        (version == self.version).then(|| PathBuf::from(self.name))
    }

    fn folder_name(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    fn own_path(&self) -> PathBuf {
        let program = format!("{}{}", self.name, std::env::consts::EXE_SUFFIX);
        PathBuf::from(self.folder_name()).join("bin").join(program)
    }
}

/// The first of these tools, ready to run in the root, with all of them on its PATH; what is missing is built.
pub fn command(tools: &[&Tool]) -> Result<Command> {
    let _build = BuildFolder(folder()?.join("build"));
    let programs = tools.iter().map(|tool| tool.ensure()).collect::<Result<Vec<_>>>()?;
    let own = programs.iter().filter_map(|program| program.parent());
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A tool that is already on the PATH has no folder here.
    let own = own.filter(|folder| folder.is_absolute()).map(PathBuf::from);
    let folders = own.chain(std::env::split_paths(&path));
    let path = std::env::join_paths(folders).context("a folder's name has the PATH's separator")?;
    let mut command = Command::new(&programs[0]);
    command.current_dir(root()).env("PATH", path);
    Ok(command)
}

/// Removes the tools' build folder, some hundred megabytes, when it goes out of scope.
struct BuildFolder(PathBuf);

impl Drop for BuildFolder {
    fn drop(&mut self) {
        // It need not be there, and a failure to tidy up is not worth failing for.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn folder() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|cache| !cache.is_empty());
    let cache = cache.map(PathBuf::from).or_else(|| Some(std::env::home_dir()?.join(".cache")));
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("lowrank/tools"))
}
