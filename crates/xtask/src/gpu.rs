//! What can be checked of the GPU path without a GPU, and the folder that checks the rest on a machine that has one.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{capture, cargo, command, first_line, run};
use crate::unchanged::Inputs;
use crate::workspace::{root, target};

/// As pip's requirements file wants it; pip refuses a file with another hash.
const NVRTC: &str = "nvidia-cuda-nvrtc==13.0.88 \
    --hash=sha256:ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575\n";
/// Where the libraries lie in that wheel.
const LIBRARIES: &str = "nvidia/cu13/lib";
/// What a GPU machine can be lent: the folder must stay below it.
const MOST_BYTES: u64 = 60 << 20;

/// The folder of libnvrtc, which compiles kernels and needs no GPU; fetched into `.cache/nvrtc` (90 MB) when it is not here yet.
pub fn nvrtc() -> Result<PathBuf> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!("the wheel nvidia-cuda-nvrtc is for Linux on x86-64");
    }
    let folder = root().join(".cache/nvrtc");
    let libraries = folder.join(LIBRARIES);
    if libraries.join("libnvrtc.so.13").is_file() {
        return Ok(libraries);
    }
    eprintln!("Fetching NVRTC 13.0 (the wheel nvidia-cuda-nvrtc, 90 MB) into .cache/nvrtc");
    std::fs::create_dir_all(&folder).context("cannot make .cache/nvrtc")?;
    let requirements = folder.join("nvrtc.txt");
    std::fs::write(&requirements, NVRTC).context("cannot write .cache/nvrtc/nvrtc.txt")?;
    let mut download = crate::model::pip(["download", "--quiet", "--no-deps", "--dest"]);
    download.arg(&folder).arg("--requirement").arg(&requirements);
    let (fetched, output) = capture(&mut download)?;
    if !fetched {
        let errors = |line: &&str| line.contains("ERROR") || line.contains("No module");
        bail!("{}", output.lines().find(errors).or(output.lines().last()).unwrap_or("no output"));
    }
    let wheel = std::fs::read_dir(&folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("pip fetched no wheel")?;
    // Unpacked beside and renamed last, so that the folder is never there in part.
    let unpacked = folder.join("unpacked");
    let mut unzip = command("python3", ["-m", "zipfile", "--extract"]);
    run(unzip.arg(&wheel).arg(&unpacked), "remove .cache/nvrtc and try again")?;
    std::fs::rename(unpacked.join("nvidia"), folder.join("nvidia"))
        .context("the wheel holds no folder nvidia")?;
    std::fs::remove_dir_all(&unpacked)?;
    std::fs::remove_file(&wheel)?;
    Ok(libraries)
}

/// The tests that need libnvrtc, with it.
pub fn kernels_test(libraries: &Path) -> Command {
    let mut test = cargo();
    test.args(["test", "--workspace", "--test", "across"]);
    test.env("LD_LIBRARY_PATH", libraries);
    test
}

/// The binaries that test the emulated device, and which of their tests do.
pub const EMULATED: [(&str, &str); 2] = [("emulated", ""), ("across", "gpu_emulated::")];

/// What the emulated tests depend on: themselves, with the kernels in them, and the compiler.
pub fn inputs() -> Result<Inputs> {
    let mut build = cargo();
    build.args(["test", "--workspace", "--no-run"]);
    for (binary, _) in EMULATED {
        build.args(["--test", binary]);
    }
    let (built, output) = capture(&mut build)?;
    if !built {
        bail!("the emulated tests do not build:\n{output}");
    }
    let mut inputs = Inputs::of("emulated")?;
    // `  Executable tests/emulated.rs (target/debug/deps/emulated-1f0b)`
    for line in output.lines().filter(|line| line.trim_start().starts_with("Executable")) {
        let path = line.rsplit_once('(').and_then(|(_, path)| path.strip_suffix(')'));
        inputs.path(&root().join(path.context("cargo names the executable in brackets")?))?;
    }
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    inputs.output(Command::new(compiler).arg("--version"));
    Ok(inputs)
}

/// The emulated tests under AddressSanitizer and UBSan, or why they cannot run.
pub fn sanitized_test() -> Result<Command, String> {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    let library = |name: &str| {
        let mut ask = Command::new(&compiler);
        let path = first_line(ask.arg(format!("-print-file-name={name}")))?;
        Path::new(&path).is_absolute().then_some(path)
    };
    let Some((address, undefined)) = library("libasan.so").zip(library("libubsan.so")) else {
        return Err(format!("{compiler} has no libasan.so and libubsan.so to preload"));
    };
    let host = first_line(Command::new("rustc").args(["--print", "host-tuple"]));
    let host = host.ok_or("rustc does not say what it compiles for")?;
    let mut test = cargo();
    // Only the test runs under the sanitizers, not the compiler that builds it. Fibers are not leaks.
    test.env(
        format!("CARGO_TARGET_{}_RUNNER", host.replace('-', "_").to_uppercase()),
        format!(
            "env LD_PRELOAD={address}:{undefined} LOWRANK_SANITIZE=1 ASAN_OPTIONS=detect_leaks=0"
        ),
    );
    Ok(test)
}

/// A test that overruns a matrix must be caught, or the others prove nothing.
pub fn sanitizer_sees() -> Result<()> {
    let mut test = sanitized_test().map_err(anyhow::Error::msg)?;
    test.args(["test", "--workspace", "--test", "emulated", "--", "--ignored", "--exact"]);
    let (passed, output) = capture(test.arg("an_overrun_is_seen_by_address_sanitizer"))?;
    if passed || !output.contains("AddressSanitizer: heap-buffer-overflow") {
        bail!("AddressSanitizer did not see a kernel that writes beyond its matrix:\n{output}");
    }
    Ok(())
}

/// `cargo xtask gpu-check`: one folder that runs on a machine with a driver, CUDA's libraries and no Rust.
pub fn pack() -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--release", "--no-default-features", "--config"]);
    build.args(["profile.release.strip=true", "--package", "lowrank-benches"]);
    build.args(["--bin", "gpu-check"]);
    run(&mut build, "mend what is listed above")?;
    let folder = target().join("gpu-check");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).context("cannot replace the folder of before")?;
    }
    std::fs::create_dir_all(&folder)?;
    let built = target().join("release/gpu-check");
    std::fs::copy(&built, folder.join("gpu-check"))
        .with_context(|| format!("{} was not built", built.display()))?;
    for file in ["peft_layer.py", "run.sh", "README.md"] {
        std::fs::copy(root().join("benches/gpu").join(file), folder.join(file))
            .with_context(|| format!("benches/gpu/{file} is missing"))?;
    }
    copy_folder(&root().join("tests/vectors"), &folder.join("vectors"))?;
    let bytes = size(&folder)?;
    if bytes > MOST_BYTES {
        bail!("{} has {bytes} bytes, more than {MOST_BYTES}", folder.display());
    }
    println!(
        "{} ({:.0} MB). Copy it to a machine with a GPU and run ./run.sh there.",
        folder.display(),
        bytes as f64 / 1e6
    );
    Ok(())
}

/// `cargo xtask gpu-report FILE`: the tables of a run, as Markdown for README, book and benches/results.
pub fn report(file: &Path) -> Result<()> {
    let mut report = cargo();
    // The path is relative to where the user stands, not to the root.
    report.current_dir(std::env::current_dir()?);
    report.args(["run", "--quiet", "--release", "--no-default-features"]);
    report.args(["--package", "lowrank-benches", "--bin", "gpu-check", "--", "report"]);
    run(report.arg(file), "give it the gpu.jsonl that run.sh wrote")
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().context("an entry without a name")?);
        if path.is_dir() {
            copy_folder(&path, &target)?;
        } else {
            std::fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        bytes += if path.is_dir() { size(&path)? } else { path.metadata()?.len() };
    }
    Ok(bytes)
}
