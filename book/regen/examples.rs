//! What the crates' examples print.

use anyhow::Result;

use crate::printed;
use book::Page;

/// The example and its page.
const EXAMPLES: [(&str, &str); 15] = [
    ("rank-spectrum", "rank-spectrum.txt"),
    ("lora-quickstart", "lora-quickstart.txt"),
    ("anatomy", "lora-anatomy.txt"),
    ("lora-fa-quickstart", "lora-fa-quickstart.txt"),
    ("activations", "lora-fa-activations.txt"),
    ("vera-quickstart", "vera-quickstart.txt"),
    ("checkpoint", "vera-checkpoint.txt"),
    ("delta-lora-quickstart", "delta-lora-quickstart.txt"),
    ("delta-lora-spectrum", "delta-lora-spectrum.txt"),
    ("lora-plus-quickstart", "lora-plus-quickstart.txt"),
    ("rates", "lora-plus-rates.txt"),
    ("dora-quickstart", "dora-quickstart.txt"),
    ("detached", "dora-detached.txt"),
    ("costs", "dora-costs.txt"),
    ("judge", "oracle-judge.txt"),
];

pub fn pages() -> Result<Vec<Page>> {
    let mut pages = Vec::new();
    for (example, page) in EXAMPLES {
        let text = run(example)?;
        pages.extend(printed::picture(example, &text)?);
        pages.push(Page::rounded(page, text));
    }
    Ok(pages)
}

fn run(example: &str) -> Result<String> {
    // Without `-p`, which the book's readers type: the workspace is built already, one package alone would be built anew.
    crate::cargo_run(&["--example", example])
}
