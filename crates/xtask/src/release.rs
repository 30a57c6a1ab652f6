//! What is given to people who have not cloned this repository: the vectors as an archive, the wheel, their digests.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::process::{capture, command, run};
use crate::wasm::has;
use crate::wheel;
use crate::workspace::{entries, relative, target};

/// The wheels of a release: the target of rustc, and who can build it.
const TARGETS: [(&str, Linker); 6] = [
    ("x86_64-unknown-linux-gnu", Linker::Zig),
    ("aarch64-unknown-linux-gnu", Linker::Zig),
    ("x86_64-apple-darwin", Linker::Host),
    ("aarch64-apple-darwin", Linker::Host),
    ("x86_64-pc-windows-msvc", Linker::Host),
    ("aarch64-pc-windows-msvc", Linker::Host),
];

/// What links a wheel.
#[derive(Clone, Copy, PartialEq)]
enum Linker {
    /// zig, which brings the stubs of an old glibc: on every machine.
    Zig,
    /// The system's own: on that system only.
    Host,
}

/// The glibc of 2014: what every Linux in use has.
const GLIBC: &str = "manylinux_2_17";

/// `cargo xtask release`.
pub fn main() -> Result<()> {
    let folder = std::path::absolute(target())?.join("release-files");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let python = wheel::release_environment()?;
    let archive = folder.join(format!("lowrank-vectors-{}.tar.gz", env!("CARGO_PKG_VERSION")));
    let program = "crates/oracle/exact/archive.py";
    let mut pack = command(&python, [program, "tests/vectors"]);
    run(pack.arg(&archive), "its last lines say why")?;

    let host = host()?;
    let mut left_out = Vec::new();
    for (target, linker) in TARGETS {
        if !has(target) {
            left_out.push(format!("{target}: `rustup target add {target}`, then again"));
        } else if linker == Linker::Host && target != host {
            left_out.push(format!("{target}: on that system, `cargo xtask release`"));
        } else {
            wheel::release(&python, target, linker == Linker::Zig, &folder)?;
        }
    }
    for wheel in entries(&folder)?.iter().filter(|path| path.to_string_lossy().contains("linux")) {
        audit(&python, wheel)?;
    }
    run(command(&python, [program, "--digests"]).arg(&folder), "its last lines say why")?;
    println!("{}", folder.display());
    for target in left_out {
        println!("no wheel for {target}");
    }
    Ok(())
}

/// Fails unless auditwheel finds nothing in a wheel that a Linux of [`GLIBC`] does not have.
fn audit(python: &str, wheel: &Path) -> Result<()> {
    let mut show = command(python, ["-m", "auditwheel", "show"]);
    let (passed, text) = capture(show.arg(wheel))?;
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if !passed || !text.contains(&format!("following platform tag: \"{GLIBC}_")) {
        bail!("{} needs more than {GLIBC}: {text}", relative(wheel));
    }
    println!("{}: auditwheel finds {GLIBC}", relative(wheel));
    Ok(())
}

/// The target of this machine.
fn host() -> Result<String> {
    let (_, text) = capture(&mut command("rustc", ["-vV"]))?;
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line.context("`rustc -vV` names no host")?.to_owned())
}
