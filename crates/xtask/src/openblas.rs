//! OpenBLAS: found, or installed with the system's package manager.
//!
//! `find` asks what `crates/adapter/build.rs` asks, so that what is found here links there.

use std::io::IsTerminal;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{command, first_line, run, shown, succeeds};

/// How a C compiler is had.
pub const INSTALL_CC: &str =
    "apt-get install gcc libc6-dev | dnf install gcc | pacman -S gcc | xcode-select --install";

/// A package manager and the commands that install OpenBLAS with it, in order.
struct Manager {
    program: &'static str,
    needs_root: bool,
    steps: &'static [&'static [&'static str]],
}

const MANAGERS: [Manager; 4] = [
    Manager {
        program: "apt-get",
        needs_root: true,
        // A container's image comes without package lists.
        steps: &[&["update"], &["install", "--yes", "libopenblas-dev"]],
    },
    Manager {
        program: "dnf",
        needs_root: true,
        steps: &[&["install", "--assumeyes", "openblas-devel"]],
    },
    Manager {
        program: "pacman",
        needs_root: true,
        steps: &[&["-Sy", "--needed", "--noconfirm", "openblas"]],
    },
    // Homebrew refuses to run as root. openblas-src asks for libomp's place too.
    Manager { program: "brew", needs_root: false, steps: &[&["install", "openblas", "libomp"]] },
];

/// Finds OpenBLAS or installs it; the error is the one command to type.
///
/// Where it is too old to know this processor, this program starts again with the variable that tells it.
pub fn ensure() -> Result<()> {
    install()?;
    let core = linked(|probe| ::openblas::better_core(&mut Command::new(probe))).flatten();
    let Some(core) = core else { return Ok(()) };
    eprintln!("OpenBLAS does not know this processor: {}={core}", ::openblas::CORE);
    let mut again = Command::new(std::env::current_exe().context("where is this program?")?);
    again.args(std::env::args_os().skip(1)).env(::openblas::CORE, core);
    Err(::openblas::replace_by(&mut again)).context("the program could not start itself again")
}

fn install() -> Result<()> {
    if c_compiler().is_none() {
        bail!("no C compiler (`cc`, or $CC) ---> HINT: {INSTALL_CC}");
    }
    if find().is_some() {
        return Ok(());
    }
    let Some(manager) = installed_manager() else {
        bail!("{}", missing());
    };
    let Some(prefix) = privilege(manager) else {
        bail!("{} (needs root, and no sudo can ask for a password here)", missing());
    };
    eprintln!("OpenBLAS was not found. Installing it with {}:", manager.program);
    for step in manager.steps {
        let mut install = with_prefix(prefix, manager.program, step);
        eprintln!("  $ {}", shown(&install));
        // A failed `apt-get update` (one stale source) need not keep the install from working.
        if let Err(error) =
            run(&mut install, &format!("mend the package manager, then type {}", by_hand()))
        {
            if step == manager.steps.last().expect("every manager has a step") {
                return Err(error);
            }
            eprintln!("  {error}");
        }
    }
    match find() {
        Some(by) => {
            eprintln!("OpenBLAS is installed (found by {by}).");
            Ok(())
        }
        None => bail!("{} succeeded, yet OpenBLAS still does not link", manager.program),
    }
}

/// By what OpenBLAS is found, if it is.
pub fn find() -> Option<&'static str> {
    if succeeds(&mut command("pkg-config", ["--exists", "openblas"])) {
        return Some("pkg-config");
    }
    linked(|_| "linking a program with -lopenblas")
}

/// The sentence for a system on which it cannot be installed from here.
pub fn missing() -> String {
    format!("OpenBLAS was not found ---> HINT: {}", by_hand())
}

/// The one command to type; all of them, where no package manager is known.
fn by_hand() -> String {
    let Some(manager) = installed_manager() else {
        return "apt-get install libopenblas-dev | dnf install openblas-devel | pacman -S openblas \
                | brew install openblas libomp"
            .into();
    };
    let sudo: &[&str] = if manager.needs_root && !is_root() { &["sudo"] } else { &[] };
    let last = manager.steps.last().expect("every manager has a step");
    shown(&with_prefix(sudo, manager.program, last))
}

/// The C compiler's version line.
pub fn c_compiler() -> Option<String> {
    first_line(Command::new(cc()).arg("--version"))
}

fn cc() -> std::ffi::OsString {
    std::env::var_os("CC").unwrap_or_else(|| "cc".into())
}

/// What `look` makes of a program that links with OpenBLAS, if one does.
///
/// A bare Debian has no pkg-config, and Homebrew keeps OpenBLAS out of the default search path.
fn linked<T>(look: impl FnOnce(&Path) -> T) -> Option<T> {
    let folder = std::env::temp_dir().join(format!("lowrank-openblas-{}", std::process::id()));
    let (source, probe) = (folder.join("probe.c"), folder.join("probe"));
    let program = "int openblas_get_num_threads(void);\n\
                   int main(void) { return openblas_get_num_threads() < 0; }\n";
    let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&source, program));
    let mut link = Command::new(cc());
    link.arg(&source).arg("-o").arg(&probe);
    if let Some(brew) = first_line(&mut command("brew", ["--prefix", "openblas"])) {
        link.arg(format!("-L{brew}/lib"));
    }
    let links = written.is_ok() && succeeds(link.arg("-lopenblas"));
    let seen = links.then(|| look(&probe));
    // The folder is the system's to clean if this fails.
    let _ = std::fs::remove_dir_all(folder);
    seen
}

fn installed_manager() -> Option<&'static Manager> {
    MANAGERS.iter().find(|manager| succeeds(&mut command(manager.program, ["--version"])))
}

/// What must stand before the manager's name: nothing, or sudo; `None` when root is out of reach.
fn privilege(manager: &Manager) -> Option<&'static [&'static str]> {
    if !manager.needs_root || is_root() {
        Some(&[])
    } else if succeeds(&mut command("sudo", ["--non-interactive", "true"]))
        || (std::io::stdin().is_terminal() && succeeds(&mut command("sudo", ["--version"])))
    {
        Some(&["sudo"])
    } else {
        None
    }
}

fn is_root() -> bool {
    first_line(&mut command("id", ["-u"])).as_deref() == Some("0")
}

fn with_prefix(prefix: &[&str], program: &str, arguments: &[&str]) -> Command {
    let words = [prefix, &[program], arguments].concat();
    let mut command = command(words[0], []);
    command.args(&words[1..]);
    command
}
