//! One part as a process of its own: its rows as they come, and how it ended.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::row::{Row, Verdict};

/// What a part left.
pub struct Ended {
    pub verdict: Verdict,
    pub seconds: f64,
    /// The last line that says what went wrong.
    pub detail: String,
}

enum Line {
    Out(String),
    Err(String),
}

/// What a program that has ended may still have to say.
const GRACE: Duration = Duration::from_millis(500);

/// `program` with its arguments under `timeout`, which kills it with all its children.
pub fn limited(seconds: u64, program: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", &seconds.to_string(), program]);
    command
}

/// Runs it; every row goes to `row` the moment it is there, every other line to standard error.
///
/// `tool`: a tool stands around the part. Where it lets no row come, it is the tool that would not.
pub fn run(command: &mut Command, limit: u64, tool: bool, mut row: impl FnMut(Row)) -> Ended {
    let start = Instant::now();
    let ended = |verdict, detail: &str| {
        let seconds = start.elapsed().as_secs_f64();
        Ended { verdict, seconds, detail: detail.to_owned() }
    };
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return ended(Verdict::Missing, &error.to_string()),
    };
    let lines = listen(child.stdout.take(), child.stderr.take());
    let (mut rows, mut said) = (0, String::new());
    let mut status = None;
    // Children of the child may hold the pipes open after it has gone.
    let mut until = None;
    loop {
        match lines.recv_timeout(Duration::from_millis(20)) {
            Ok(Line::Out(line)) => match serde_json::from_str(&line) {
                Ok(made) => {
                    rows += 1;
                    row(made);
                }
                Err(_) => {
                    eprintln!("{line}");
                    // compute-sanitizer writes there what it has to say.
                    if tool {
                        hear(&mut said, line);
                    }
                }
            },
            Ok(Line::Err(line)) => {
                eprintln!("{line}");
                hear(&mut said, line);
            }
            Err(RecvTimeoutError::Disconnected) if status.is_some() => break,
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(Duration::from_millis(20)),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if status.is_none() {
            status = child.try_wait().ok().flatten();
            until = status.map(|_| Instant::now() + GRACE);
        }
        if until.is_some_and(|until| Instant::now() > until) {
            break;
        }
    }
    let late = start.elapsed().as_secs_f64() >= limit as f64;
    let (verdict, detail) = judge(status, late, said.trim());
    let refused = tool && rows == 0 && verdict == Verdict::Fail;
    ended(if refused { Verdict::Refused } else { verdict }, &detail)
}

fn judge(status: Option<ExitStatus>, late: bool, said: &str) -> (Verdict, String) {
    let Some(status) = status else { return (Verdict::Killed, said.to_owned()) };
    let signal =
        status.signal().or(status.code().filter(|code| *code > 128).map(|code| code - 128));
    match (status.code(), signal) {
        (Some(0), _) => (Verdict::Pass, String::new()),
        (_, Some(9)) if late => (Verdict::Timeout, said.to_owned()),
        (_, Some(signal)) => (Verdict::Killed, format!("signal {signal}. {said}")),
        (Some(101), _) => (Verdict::Panic, said.to_owned()),
        // What `timeout` says of a program that it cannot start.
        (Some(126 | 127), _) => (Verdict::Missing, said.to_owned()),
        _ => (Verdict::Fail, said.to_owned()),
    }
}

/// Keeps the last line that says what went wrong.
fn hear(said: &mut String, line: String) {
    if telling(&line) || said.is_empty() {
        *said = line;
    }
}

/// Does a line say what went wrong, or only where, or how often?
fn telling(line: &str) -> bool {
    let known = [
        "error",
        "Error",
        "Invalid",
        "panic",
        "refuse",
        "not supported",
        "No such file",
        "No module",
    ];
    known.iter().any(|word| line.contains(word)) && !line.contains("ERROR SUMMARY")
}

fn listen(
    out: Option<impl Read + Send + 'static>,
    err: Option<impl Read + Send + 'static>,
) -> Receiver<Line> {
    let (sender, receiver) = channel();
    if let Some(out) = out {
        read(out, sender.clone(), Line::Out);
    }
    if let Some(err) = err {
        read(err, sender, Line::Err);
    }
    receiver
}

fn read(from: impl Read + Send + 'static, to: Sender<Line>, line: fn(String) -> Line) {
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut bytes = Vec::new();
        // Bytes, not `lines()`: a library may print what is not UTF-8.
        while from.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            bytes.clear();
            if to.send(line(text)).is_err() {
                return;
            }
        }
    });
}
