//! `unsafe` is denied to the whole workspace; only two crates may allow it, which call what takes pointers.

use std::path::Path;

use anyhow::{Result, bail};

use crate::workspace::{read, relative, root, sources};

const LINT: &str = "unsafe_code";
const ALLOWED: [&str; 2] = ["crates/cuda", "crates/matmul"];

/// Fails with a list of the places that lift the lint elsewhere.
pub fn check() -> Result<()> {
    let allowed = |path: &Path| ALLOWED.iter().any(|folder| path.starts_with(root().join(folder)));
    let mut offenders = Vec::new();
    for path in sources(root(), "rs")? {
        if !allowed(&path) && lifts_the_lint(&read(&path)?) {
            offenders.push(format!("{}: allows {LINT}", relative(&path)));
        }
    }
    for path in sources(root(), "toml")? {
        let is_package = path.ends_with("Cargo.toml") && path.parent() != Some(root());
        if is_package && !allowed(&path) && !inherits(&read(&path)?) {
            offenders.push(format!("{}: lacks `[lints]` with `workspace = true`", relative(&path)));
        }
    }
    if !offenders.is_empty() {
        bail!("unsafe code is for {} only:\n  {}", ALLOWED.join(" and "), offenders.join("\n  "));
    }
    Ok(())
}

/// Whether an attribute sets the lint to anything but deny or forbid, alone or in a list, on one line or several.
fn lifts_the_lint(source: &str) -> bool {
    let source: String = source.chars().filter(|c| !c.is_whitespace()).collect();
    ["allow(", "expect(", "warn("].iter().any(|attribute| {
        let lists = source.split(attribute).skip(1).filter_map(|rest| rest.split(')').next());
        lists.into_iter().any(|list| list.split(',').any(|lint| lint == LINT))
    })
}

/// Cargo refuses a `[lints]` that has both `workspace = true` and lints of its own.
fn inherits(manifest: &str) -> bool {
    let manifest: String = manifest.chars().filter(|c| !c.is_whitespace()).collect();
    manifest.contains("[lints]workspace=true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_lift_the_lint_is_seen() {
        for lifted in [
            format!("#![allow({LINT})]"),
            format!("#[allow(\n    dead_code,\n    {LINT},\n)]\nfn f() {{}}"),
            format!("#[expect({LINT}, reason = \"fast\")]"),
            format!("#[cfg_attr(feature = \"x\", allow({LINT}))]"),
        ] {
            assert!(lifts_the_lint(&lifted), "{lifted}");
        }
        for kept in
            [format!("#![forbid({LINT})]"), "#[allow(dead_code)]".into(), format!("// {LINT}")]
        {
            assert!(!lifts_the_lint(&kept), "{kept}");
        }
    }

    #[test]
    fn a_manifest_must_inherit_the_lints() {
        assert!(inherits("[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"));
        assert!(!inherits("[package]\nname = \"a\"\n\n[lints.rust]\nunsafe_code = \"allow\"\n"));
    }
}
