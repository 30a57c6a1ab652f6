//! Child processes: how they are started, and the one line that is printed when one fails.

use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, anyhow, bail};

use crate::workspace::root;

/// `program` with `arguments`, started in the workspace's root.
pub fn command<const N: usize>(program: &str, arguments: [&str; N]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// The cargo that runs us, without what it told *us*.
///
/// Build scripts such as ring's ask to be rerun when `CARGO_PKG_NAME` and its like change: inherited, they would make
/// every build from here recompile what a build from the shell has just made, and the other way round.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    without_cargo(command.current_dir(root()));
    command
}

/// `command` without what cargo told us, for a program that starts cargo itself.
pub fn without_cargo(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        let ours = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
        if ours.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs it with the terminal's own input and output. `hint` is the way out, should it fail.
pub fn run(command: &mut Command, hint: &str) -> Result<()> {
    let status = command.status().map_err(|error| cannot_start(command, &error))?;
    check(command, status, hint)
}

/// As [`run`], and hands every line of standard output to `line` as it comes.
pub fn run_lines(command: &mut Command, mut line: impl FnMut(&str)) -> Result<ExitStatus> {
    let mut child =
        command.stdout(Stdio::piped()).spawn().map_err(|error| cannot_start(command, &error))?;
    let stdout = child.stdout.take().context("the child's output was piped")?;
    let mut reader = BufReader::new(stdout);
    let mut bytes = Vec::new();
    // Bytes, not `lines()`: a test may print what is not UTF-8.
    while reader.read_until(b'\n', &mut bytes)? > 0 {
        line(String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']));
        bytes.clear();
    }
    Ok(child.wait()?)
}

/// As [`run`], silent; standard error then standard output are returned, also when it fails.
pub fn capture(command: &mut Command) -> Result<(bool, String)> {
    let output = command.output().map_err(|error| cannot_start(command, &error))?;
    let text = [output.stderr, output.stdout].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

/// Whether it starts and succeeds; its output is dropped.
pub fn succeeds(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The first line it prints, if it succeeds.
pub fn first_line(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| text.lines().next().unwrap_or_default().trim().to_owned())
}

/// Fails with the command, its status and the way out.
pub fn check(command: &Command, status: ExitStatus, hint: &str) -> Result<()> {
    if !status.success() {
        bail!("`{}` failed ({status}) ---> HINT: {hint}", shown(command));
    }
    Ok(())
}

fn cannot_start(command: &Command, error: &std::io::Error) -> anyhow::Error {
    let shown = shown(command);
    match error.kind() {
        ErrorKind::NotFound => {
            let program = shown.split(' ').next().unwrap_or_default();
            anyhow!("`{shown}` cannot start ---> HINT: install `{program}` and put it on the PATH")
        }
        _ => anyhow!("`{shown}` cannot start: {error}"),
    }
}

/// The command as one would type it.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
