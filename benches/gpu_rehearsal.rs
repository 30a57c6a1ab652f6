//! The dress rehearsal: all of run.sh on the emulated device, with a PEFT that fails, a sanitizer that refuses, a part that
//! panics, one that hangs and one that does not fit. The report must hold everything else: a GPU is at hand rarely, and for a
//! quarter of an hour.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

#[path = "gpu/libraries.rs"]
mod libraries;

/// As a Python without torch: it prints a row, and fails.
const PYTHON: &str = r#"#!/bin/sh
[ "$1" = -c ] && exit 0
echo '{"row":"versions","python":"a stub"}'
echo "Traceback (most recent call last):" >&2
echo "ModuleNotFoundError: No module named 'torch'" >&2
exit 1
"#;

/// As compute-sanitizer on a machine that does not let it: all on standard output.
const SANITIZER: &str = "#!/bin/sh
echo '========= COMPUTE-SANITIZER'
echo '========= Error: Device not supported'
echo '========= ERROR SUMMARY: 0 errors'
exit 1
";

/// As nvidia-smi, whatever it is asked.
const NVIDIA_SMI: &str =
    "#!/bin/sh\necho '580.95, 345 MHz, 1980 MHz, 2619 MHz, 0x0, 31, 75 W, 700 W'\n";

fn program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn whatever_fails_the_report_holds_the_rest() {
    if !Command::new(std::env::var("CXX").unwrap_or("c++".into()))
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        println!("SKIPPED the emulated device needs a C++ compiler");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for file in ["run.sh", "peft_layer.py"] {
        fs::copy(repository.join("benches/gpu").join(file), at(file)).unwrap();
    }
    symlink(env!("CARGO_BIN_EXE_gpu-check"), at("gpu-check")).unwrap();
    symlink(repository.join("tests/vectors/lora-plus"), at("vectors")).unwrap();
    fs::create_dir(at("bin")).unwrap();
    program(&at("bin/python"), PYTHON);
    program(&at("bin/compute-sanitizer"), SANITIZER);
    program(&at("bin/nvidia-smi"), NVIDIA_SMI);
    // OUT is not there yet, and counts from where the user stands.
    fs::create_dir(at("elsewhere")).unwrap();
    let out = |name: &str| at("elsewhere/results").join(name);

    let start = Instant::now();
    let status = Command::new(at("run.sh"))
        .args(["--device", "emulated", "--rehearse"])
        .env("PYTHON", at("bin/python"))
        .env("PATH", format!("{}:{}", at("bin").display(), std::env::var("PATH").unwrap()))
        .env("OUT", "results")
        .current_dir(at("elsewhere"))
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1), "what fails is an exit status too");
    assert!(start.elapsed() < Duration::from_secs(540), "the budget holds");

    let text = fs::read_to_string(out("gpu.jsonl")).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| rows.iter().filter(|row| row["row"] == kind).collect::<Vec<_>>();
    let parts: BTreeMap<&str, &Value> =
        of("part").iter().map(|row| (row["part"].as_str().unwrap(), *row)).collect();
    let expected = [
        ("versions (where the loader looks)", "PASS", ""),
        ("times bf16", "PASS", ""),
        ("hangs", "TIMEOUT", ""),
        ("panics", "PANIC", "this part panics"),
        ("PEFT bf16", "FAIL", "No module named 'torch'"),
        ("shapes bf16", "PASS", ""),
        ("memcheck", "REFUSED", "Device not supported"),
        ("vectors bf16", "PASS", ""),
        ("products bf16", "PASS", ""),
        ("memory", "PASS", ""),
        ("large", "PASS", ""),
        ("does not fit", "NOT_RUN", "are left"),
    ];
    for (part, verdict, detail) in expected {
        let row = parts.get(part).unwrap_or_else(|| panic!("{part} is not in the report"));
        assert_eq!(row["verdict"], verdict, "{row}");
        assert!(row["detail"].as_str().unwrap().contains(detail), "{row}");
    }
    assert_eq!(parts.len(), expected.len(), "{:?}", parts.keys());

    // Base and five methods, eager and as a graph, for two numbers of tokens; six products for each.
    let times = of("time");
    let counted =
        |product: bool| times.iter().filter(|row| (row["mode"] == "product") == product).count();
    assert_eq!((counted(false), counted(true)), (2 * 2 * 6, 2 * 6));
    assert!(times.iter().all(|row| row["ms"].as_f64().unwrap() > 0.0));
    let judged = times.iter().filter(|row| row["rho"].as_f64().is_some_and(|rho| rho <= 1.0));
    assert_eq!(judged.count(), 2 * 2 * 5);
    // Five products, a kernel and a graph; two for each method and one beside; vectors; large in four types; memory.
    let checks = of("check");
    assert_eq!(checks.len(), 7 + 11 + 1 + 4 + 6);
    assert!(checks.iter().all(|row| row["passed"] == true), "{checks:?}");
    let versions = of("versions");
    for moment in ["idle", "at work (bf16, 6 tokens)"] {
        let key = format!("nvidia-smi, {moment}");
        let clocks: Vec<_> = versions.iter().filter_map(|row| row[&key].as_str()).collect();
        assert!(clocks.len() == 1 && clocks[0].contains("clocks.sm 345 MHz"), "{key}: {clocks:?}");
    }

    let tables = fs::read_to_string(out("gpu.md")).unwrap();
    for (part, verdict, _) in expected {
        let line = format!("| {part} | {} |", verdict.replace('_', " "));
        assert!(tables.contains(&line), "{line} is not in\n{tables}");
    }
    assert!(fs::read_to_string(out("gpu.log")).unwrap().contains("this part panics"));
}

/// Ratios are against the same layer, and a last line that was cut off is left out.
#[test]
fn rows_become_tables() {
    let time = |implementation: &str, mode: &str, tokens: u32, ms: f64, more: &str| {
        format!(
            r#"{{"row":"time","implementation":"{implementation}","method":"lora","mode":"{mode}","tokens":{tokens},"out":4,"in":2,"rank":1,"dtype":"bf16","ms":{ms}{more}}}"#
        )
    };
    let run = |date| format!(r#"{{"row":"run","date":"{date}","device":"gpu","budget":540}}"#);
    let part = |name| {
        format!(r#"{{"row":"part","part":"{name}","verdict":"PASS","seconds":1.5,"detail":""}}"#)
    };
    let rows = [
        run("yesterday"),
        time("lowrank", "graph", 8, 77.0, ""),
        run("today"),
        time("lowrank", "eager", 8, 3.0, ""),
        time("lowrank", "graph", 8, 2.5, r#","of_base":1.25"#),
        time("peft", "eager", 16, 99.0, ""),
        time("peft", "eager", 8, 6.0, ""),
        r#"{"row":"plans","cublaslt":24,"cublas":1,"invalid":0}"#.to_owned(),
        part("times bf16"),
        r#"{"row":"plans","cublaslt":7,"cublas":3,"invalid":2}"#.to_owned(),
        part("products bf16"),
        part("PEFT bf16"),
        r#"{"row":"time","implem"#.to_owned(),
    ];
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), rows.join("\n")).unwrap();
    let mut report = Command::new(env!("CARGO_BIN_EXE_gpu-check"));
    let output = report.arg("report").arg(file.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let want =
        "| 8 | 4 x 2 | bf16 | lora | 1 | 3.000 | 2.500 | - | 1.250 | 2.00 | 2.40 | - | - | - |";
    assert!(text.contains(want) && text.contains("today"), "{text}");
    assert!(!text.contains("yesterday") && !text.contains("77.000"), "{text}");
    for planned in [
        "| times bf16 | PASS | 1.5 | 24 + 1 |",
        "| products bf16 | PASS | 1.5 | 7 + 3, INVALID_VALUE of 2 |",
        "| PEFT bf16 | PASS | 1.5 | - |",
    ] {
        assert!(text.contains(planned), "{planned} is not in\n{text}");
    }
}

/// cudarc opens `libcublas.so` first, and a wheel holds `libcublas.so.13`.
#[test]
fn the_wheels_libraries_come_first_by_the_names_that_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    let wheels = folder.path().join("nvidia/cu13/lib");
    fs::create_dir_all(&wheels).unwrap();
    for library in ["libcublas.so.13", "libcublasLt.so.13", "libnvrtc.so.13", "libnvrtc.alt.so.13"]
    {
        fs::write(wheels.join(library), library).unwrap();
    }
    let python = folder.path().join("python");
    program(&python, &format!("#!/bin/sh\necho '{}'\n", wheels.display()));
    let found = libraries::candidates(python.to_str().unwrap());
    assert_eq!(found[0].name, "Python's wheels");
    let path = found[0].path().unwrap();
    let folders: Vec<_> = path.split(':').map(Path::new).collect();
    assert_eq!(folders[1], wheels);
    for name in ["libcublas.so", "libcublasLt.so", "libnvrtc.so"] {
        let opened = fs::read_to_string(folders[0].join(name)).unwrap();
        assert_eq!(opened, format!("{name}.13"));
    }
    drop(found);
    assert!(!folders[0].exists() && wheels.exists(), "the links are gone, and only they");
}

#[test]
fn a_library_that_is_there_twice_is_told_twice() {
    let maps = "\
7f10-7f20 r-xp 00000000 fd:01 12                         /opt/a b/libcublasLt.so.13
7f20-7f30 r--p 00000000 fd:01 12                         /opt/a b/libcublasLt.so.13
7f30-7f40 r-xp 00000000 fd:01 13                         /usr/lib/libcublasLt.so.12
7f40-7f50 r-xp 00000000 fd:01 14                         /opt/a b/libcublas.so.13
7f50-7f60 r-xp 00000000 fd:01 15                         /opt/a b/libnvrtc-builtins.so.13.0
7f60-7f70 rw-p 00000000 00:00 0                          [heap]
";
    let opened: Vec<_> = libraries::opened(maps).into_iter().collect();
    let twice = "/opt/a b/libcublasLt.so.13, /usr/lib/libcublasLt.so.12".to_owned();
    let want = [("libcublas.so", "/opt/a b/libcublas.so.13".to_owned()), ("libcublasLt.so", twice)];
    assert_eq!(opened, want);
}
