//! PEFT's side: `peft_layer.py`, a JSON object a line.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Arguments;

/// Its rows, and the versions it ran with. The script lies beside this program, or in the repository.
pub fn run(python: &Path, arguments: &Arguments) -> Result<(Vec<Value>, Value)> {
    let beside = std::env::current_exe()?.with_file_name("peft_layer.py");
    let in_repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("gpu/peft_layer.py");
    let script = [beside, in_repository].into_iter().find(|path| path.is_file());
    let script =
        script.context("peft_layer.py lies neither beside this program nor in benches/gpu")?;
    let list = |items: Vec<String>| items.join(",");
    let output = Command::new(python)
        .arg(&script)
        .args(["--tokens", &list(arguments.tokens.iter().map(usize::to_string).collect())])
        .args([
            "--weights",
            &list(arguments.weights.iter().map(|w| format!("{}x{}", w.out, w.inputs)).collect()),
        ])
        .args(["--ranks", &list(arguments.ranks.iter().map(usize::to_string).collect())])
        .args(["--dtypes", &list(arguments.dtypes.clone())])
        .args(["--repeats", &arguments.repeats.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{} does not start", python.display()))?;
    if !output.status.success() {
        bail!("{} failed ({}): its message is above", script.display(), output.status);
    }
    let (mut rows, mut versions) = (Vec::new(), Value::Null);
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let value: Value =
            serde_json::from_str(line).with_context(|| format!("PEFT's side says {line:?}"))?;
        match value.get("versions") {
            Some(found) => versions = found.clone(),
            None => rows.push(value),
        }
    }
    Ok((rows, versions))
}
