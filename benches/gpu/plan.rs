//! The parts of a run, in the order of what matters most: the first that does not fit any more costs least.

use super::Where;

/// A part, and what it may take.
#[derive(Clone, Debug)]
pub struct Job {
    pub name: String,
    pub program: Program,
    /// Seconds that it is expected to take: with fewer left it is not begun.
    pub expected: u64,
    /// Seconds after which it is killed.
    pub limit: u64,
}

#[derive(Clone, Debug)]
pub enum Program {
    /// `gpu-check part` with these arguments.
    Ours(Vec<String>),
    /// The same under compute-sanitizer with this tool.
    Sanitized(&'static str, Vec<String>),
    /// `peft_layer.py` with these.
    Peft(Vec<String>),
}

fn job(name: &str, program: Program, expected: u64, limit: u64) -> Job {
    Job { name: name.to_owned(), program, expected, limit }
}

fn ours(arguments: &str) -> Program {
    Program::Ours(words(arguments))
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The first part: it also tells whether the libraries are the right ones.
pub fn versions() -> Job {
    // On a machine that has just been started, hundreds of megabytes of libraries are read from its disk.
    job("versions", ours("versions"), 5, 60)
}

/// All that follow.
pub fn jobs(device: Where) -> Vec<Job> {
    match device {
        Where::Gpu => on_gpu(),
        Where::Emulated => emulated(),
    }
}

fn on_gpu() -> Vec<Job> {
    let times = |name, arguments: &str, expected, limit| {
        job(name, ours(&format!("times {arguments}")), expected, limit)
    };
    let peft = |name, arguments, expected, limit| {
        job(name, Program::Peft(words(arguments)), expected, limit)
    };
    let shapes =
        |dtype| job(&format!("shapes {dtype}"), ours(&format!("shapes --dtype {dtype}")), 5, 40);
    let vectors =
        |dtype| job(&format!("vectors {dtype}"), ours(&format!("vectors --dtype {dtype}")), 5, 40);
    let small = "shapes --quick --unguarded --dtype";
    vec![
        times("times bf16", "--dtype bf16", 20, 75),
        peft("PEFT bf16", "--dtypes bf16 --tokens 8192,1024 --compile 8192", 60, 150),
        shapes("bf16"),
        shapes("f32"),
        job("memcheck", Program::Sanitized("memcheck", words(&format!("{small} bf16"))), 15, 60),
        job(
            "synccheck",
            Program::Sanitized("synccheck", words(&format!("{small} bf16 --methods vera"))),
            10,
            30,
        ),
        vectors("bf16"),
        vectors("f32"),
        vectors("tf32"),
        vectors("f64"),
        job("products bf16", ours("products --dtype bf16"), 5, 40),
        job("memory", ours("memory"), 5, 40),
        job("large", ours("large"), 15, 60),
        shapes("tf32"),
        shapes("f64"),
        // Reckoned, not measured: 0.55 Tflop a step at some 50 Tflop/s are 11 ms, and all runs together 40 seconds.
        times("times f32", "--dtype f32", 50, 120),
        times("times tf32", "--dtype tf32", 15, 60),
        times("times bf16, other ranks", "--dtype bf16 --ranks 8,64,256", 40, 90),
        times("times bf16, 14336 x 4096", "--dtype bf16 --weights 14336x4096", 30, 90),
        peft("PEFT f32", "--dtypes f32,tf32 --tokens 8192,1024", 20, 60),
        peft("PEFT VeRA bf16", "--dtypes bf16 --tokens 8192,1024 --methods vera", 15, 60),
        peft("PEFT bf16, other ranks", "--dtypes bf16 --tokens 8192,1024 --ranks 8,64,256", 20, 60),
    ]
}

/// Every kind of part at small shapes.
fn emulated() -> Vec<Job> {
    let small = "--tokens 6,3 --weights 20x24 --ranks 4";
    let quick = "shapes --quick --dtype bf16";
    vec![
        job("times bf16", ours(&format!("times --dtype bf16 {small}")), 1, 120),
        job("PEFT bf16", Program::Peft(words("--dtypes bf16")), 1, 60),
        job("shapes bf16", ours(quick), 1, 120),
        job(
            "memcheck",
            Program::Sanitized("memcheck", words(&format!("{quick} --unguarded"))),
            1,
            60,
        ),
        job("vectors bf16", ours("vectors --dtype bf16"), 1, 120),
        job("products bf16", ours(&format!("products --dtype bf16 {small}")), 1, 60),
        job("memory", ours("memory --steps 3"), 1, 120),
        job("large", ours("large --shapes 9x12x10x3"), 1, 120),
    ]
}

/// What goes wrong, between what goes right.
pub fn with_mishaps(mut jobs: Vec<Job>) -> Vec<Job> {
    jobs.insert(1, job("panics", ours("panics"), 1, 60));
    jobs.insert(1, job("hangs", ours("hangs"), 1, 2));
    jobs.push(job("does not fit", ours("memory"), 1_000_000, 1_000_000));
    jobs
}
