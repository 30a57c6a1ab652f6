//! The examples in the help: each is run, with fewer steps, on what those before it wrote.

use std::path::Path;
use std::process::{Command, Output};

use crate::sorted_down;

/// The words of a line, of which some stand in quotation marks.
fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(|word| word.replace('"', "")).collect()
}

fn run(folder: &Path, arguments: &[String]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lowrank"));
    let output = command.current_dir(folder).args(arguments).output().unwrap();
    let remarks = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {remarks}", arguments.join(" "));
    output
}

#[test]
fn every_example_in_the_help_runs() {
    const VERBS: [&str; 9] = [
        "finetune", "compare", "generate", "merge", "inspect", "extract", "resize", "combine",
        "plot",
    ];
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    sorted_down(folder, 4);
    run(folder, &words("finetune --method full --steps 0 --out model"));
    for verb in VERBS {
        let help =
            String::from_utf8(run(folder, &words(&format!("{verb} --help"))).stdout).unwrap();
        let (_, examples) = help.split_once("Examples:\n").unwrap_or_else(|| panic!("{help}"));
        let lines: Vec<&str> =
            examples.lines().filter_map(|line| line.strip_prefix("  lowrank ")).collect();
        assert!(!lines.is_empty(), "{examples}");
        for line in lines {
            let mut line = words(line);
            assert_eq!(line[0], verb);
            if let "finetune" | "compare" = verb {
                let counted = line.iter().position(|word| word == "--steps" || word == "--epochs");
                counted.map(|place| line.drain(place..place + 2));
                let resumed = line.iter().any(|word| word == "--resume");
                line.extend(["--steps".into(), if resumed { "3" } else { "2" }.into()]);
            }
            run(folder, &line);
        }
    }
}
