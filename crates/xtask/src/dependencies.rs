//! What the workspace may depend on: licences, sources, and crates that are kept out.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::process::{capture, cargo};
use crate::workspace::{read, relative, root, sources};

/// Every one lets this workspace stay MIT OR Apache-2.0.
const LICENCES: [&str; 9] = [
    "Apache-2.0",
    "BSD-3-Clause",
    "CC-BY-4.0", // font-awesome-as-a-crate: the icons that mdBook puts on a page
    "CDLA-Permissive-2.0", // webpki-roots: Mozilla's list of certificate authorities
    "ISC",
    "MIT",
    "MPL-2.0", // option-ext, unmodified: its copyleft ends at its own files
    "Unicode-3.0",
    "Zlib",
];

const KEPT_OUT: [(&str, &str); 3] = [
    ("openssl-sys", "wants a system library that a bare machine lacks; rustls does not"),
    ("native-tls", "wants a system library that a bare machine lacks; rustls does not"),
    ("memmap2", "a file cut short under a memory map kills the process"),
];

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Fails with a list of what is not accepted. `crates/xtask/src/dependencies.rs` says what is; add only what is meant.
pub fn check() -> Result<()> {
    let mut tree = cargo();
    tree.args([
        "tree",
        "--workspace",
        "--all-features",
        "--edges",
        "normal,build,dev",
        "--target",
        "all",
    ]);
    let (succeeded, packages) =
        capture(tree.args(["--quiet", "--prefix", "none", "--format", "{p}\t{l}"]))?;
    if !succeeded {
        bail!("cargo tree failed:\n{packages}");
    }
    let mut problems = licences(&packages);
    problems.extend(foreign(&read(&root().join("Cargo.lock"))?));
    for manifest in sources(root(), "toml")? {
        if manifest.ends_with("Cargo.toml") && has_wildcard(&read(&manifest)?) {
            problems.insert(format!("{}: a dependency of any version, `*`", relative(&manifest)));
        }
    }
    if !problems.is_empty() {
        let problems = problems.into_iter().collect::<Vec<_>>().join("\n  ");
        bail!("dependencies that are not accepted:\n  {problems}");
    }
    Ok(())
}

/// Lines of `name version (…)<tab>licence`.
fn licences(packages: &str) -> BTreeSet<String> {
    let mut problems = BTreeSet::new();
    for (package, licence) in packages.lines().filter_map(|line| line.split_once('\t')) {
        let name = package.split(' ').next().unwrap_or_default();
        let licence = licence.trim_end_matches(" (*)").trim();
        if !accepted(licence) {
            problems.insert(format!("{package}: licence `{licence}`"));
        }
        if let Some((_, why)) = KEPT_OUT.iter().find(|(kept_out, _)| *kept_out == name) {
            problems.insert(format!("{package}: {why}"));
        }
    }
    problems
}

/// Whether an SPDX expression can be met with the accepted licences. An exception only ever allows more.
fn accepted(licence: &str) -> bool {
    // `/` is how crates wrote OR before 2018.
    let spaced = licence.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let met = any(&mut words);
    met && words.next().is_none()
}

type Words<'w, 'a> = &'w mut std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: Words<'_, '_>) -> bool {
    let mut met = all(words);
    while words.next_if_eq(&"OR").is_some() {
        met |= all(words);
    }
    met
}

fn all(words: Words<'_, '_>) -> bool {
    let mut met = one(words);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words);
    }
    met
}

fn one(words: Words<'_, '_>) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let met = any(words);
        return words.next() == Some(")") && met;
    }
    let met = words.next().is_some_and(|word| LICENCES.contains(&word));
    if words.next_if_eq(&"WITH").is_some() {
        words.next();
    }
    met
}

/// Packages of Cargo.lock that come from elsewhere than crates.io; ours have no source.
fn foreign(lock: &str) -> Vec<String> {
    let (mut problems, mut name) = (Vec::new(), "");
    for line in lock.lines() {
        let value = |key: &str| line.strip_prefix(key)?.strip_suffix('"');
        name = value("name = \"").unwrap_or(name);
        if let Some(source) = value("source = \"").filter(|source| *source != CRATES_IO) {
            problems.push(format!("{name}: comes from {source}"));
        }
    }
    problems
}

fn has_wildcard(manifest: &str) -> bool {
    let manifest: String = manifest.chars().filter(|c| !c.is_whitespace()).collect();
    manifest.contains("=\"*\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_or_not() {
        for met in [
            "MIT",
            "GPL-3.0 OR MIT",
            "MIT/Apache-2.0",
            "(MIT OR GPL-3.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
        ] {
            assert!(accepted(met), "{met}");
        }
        for not in
            ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND AGPL-3.0", "MIT ISC", "(MIT"]
        {
            assert!(!accepted(not), "{not}");
        }
    }

    #[test]
    fn licences_and_crates_kept_out_are_reported() {
        let tree =
            "good v1.0.0\tMIT\nbad v2.0.0\tGPL-3.0-only (*)\nnone v1.0.0\t\nmemmap2 v0.9.0\tMIT\n";
        let problems = licences(tree);
        let begin = [
            "bad v2.0.0: licence `GPL-3.0-only`",
            "memmap2 v0.9.0: a file",
            "none v1.0.0: licence ``",
        ];
        assert_eq!(problems.len(), begin.len(), "{problems:?}");
        assert!(problems.iter().zip(begin).all(|(problem, begin)| problem.starts_with(begin)));
    }

    #[test]
    fn other_sources_and_wildcards_are_reported() {
        let lock = "name = \"ours\"\n\nname = \"a\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n\
                    name = \"b\"\nsource = \"git+https://example.com/b#1\"\n";
        assert_eq!(foreign(lock), ["b: comes from git+https://example.com/b#1"]);
        assert!(
            has_wildcard("[dependencies]\na = \"*\"\n") && has_wildcard("a = { version = \"*\" }")
        );
        assert!(!has_wildcard("members = [\"crates/*\", \"book\"]\na = \"1\""));
    }
}
