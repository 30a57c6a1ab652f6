//! What the crates' examples print.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::Page;

const EXAMPLES: [(&str, &str, &str); 15] = [
    ("rank", "spectrum", "rank-spectrum.txt"),
    ("lora", "quickstart", "lora-quickstart.txt"),
    ("lora", "anatomy", "lora-anatomy.txt"),
    ("lora-fa", "quickstart", "lora-fa-quickstart.txt"),
    ("lora-fa", "activations", "lora-fa-activations.txt"),
    ("vera", "quickstart", "vera-quickstart.txt"),
    ("vera", "checkpoint", "vera-checkpoint.txt"),
    ("delta-lora", "quickstart", "delta-lora-quickstart.txt"),
    ("delta-lora", "spectrum", "delta-lora-spectrum.txt"),
    ("lora-plus", "quickstart", "lora-plus-quickstart.txt"),
    ("lora-plus", "rates", "lora-plus-rates.txt"),
    ("dora", "quickstart", "dora-quickstart.txt"),
    ("dora", "detached", "dora-detached.txt"),
    ("dora", "costs", "dora-costs.txt"),
    ("oracle", "judge", "oracle-judge.txt"),
];

pub fn pages() -> Result<Vec<Page>> {
    EXAMPLES.iter().map(|&(package, example, page)| run(package, example, page)).collect()
}

fn run(package: &str, example: &str, page: &'static str) -> Result<Page> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // The very command that the book tells its readers to type.
    command.args(["run", "--quiet", "-p", package, "--example", example]);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = command
        .current_dir(folder)
        .output()
        .with_context(|| format!("cannot run the example {example}"))?;
    if !output.status.success() {
        bail!("{example} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(Page::rounded(page, String::from_utf8(output.stdout)?))
}
