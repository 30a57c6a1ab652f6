//! No code in the book goes untested.
//!
//! A fence marked `rust` is a doctest of the package `book`, and its chapter must be listed there. A fence marked
//! `rust,ignore` is no doctest: it may hold nothing but includes of tested source. mdBook leaves an include whose file
//! or anchor is gone empty and carries on, so these are looked up here.

/// What is wrong in one chapter, each as `line: sentence`. `read` gives the text of an included file.
pub fn problems(chapter: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut fence: Option<Fence> = None;
    for (number, line) in chapter.lines().enumerate() {
        let mut report = |what: String| problems.push(format!("{}: {what}", number + 1));
        let text = line.trim_start_matches([' ', '\t', '>']).trim_end();
        if !line.contains("\\{{#") {
            for include in includes(line) {
                if let Err(what) = resolve(include, &read) {
                    report(what);
                }
            }
        }
        match &fence {
            Some(open) if open.is_closed_by(text) => fence = None,
            Some(open) => {
                if open.is_untested() && !text.is_empty() && !is_one_include_of_rust(text) {
                    report("an ignored fence may only hold {{#include FILE.rs:ANCHOR}}".into());
                }
            }
            None => {
                fence = Fence::opened_by(text);
                let language = fence.as_ref().map_or("", Fence::language);
                if ["rs", "Rust", "RUST"].contains(&language) {
                    report(format!(
                        "rustdoc does not test a fence marked `{language}`: write `rust`"
                    ));
                }
            }
        }
    }
    problems
}

/// The chapters that a `SUMMARY.md` links to, as it writes them. Drafts, `[Title]()`, are left out.
pub fn chapters(summary: &str) -> Vec<&str> {
    let links = summary.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    links
        .map(|(link, _)| link.trim_start_matches("./"))
        .filter(|link| link.ends_with(".md"))
        .collect()
}

/// Whether a source file includes the chapter as documentation: it names it in a string, with or without a folder.
pub fn includes_chapter(source: &str, chapter: &str) -> bool {
    source.contains(&format!("/{chapter}\"")) || source.contains(&format!("\"{chapter}\""))
}

struct Fence<'a> {
    marker: char,
    length: usize,
    info: &'a str,
}

impl<'a> Fence<'a> {
    fn opened_by(text: &'a str) -> Option<Self> {
        let marker = text.chars().next().filter(|first| ['`', '~'].contains(first))?;
        let info = text.trim_start_matches(marker);
        let length = text.len() - info.len();
        // "```x```" is code within a line.
        (length >= 3 && !info.contains('`')).then_some(Fence { marker, length, info })
    }

    fn is_closed_by(&self, text: &str) -> bool {
        text.len() >= self.length && text.chars().all(|c| c == self.marker)
    }

    fn words(&self) -> impl Iterator<Item = &'a str> {
        self.info.split([',', ' ', '\t']).filter(|word| !word.is_empty())
    }

    fn language(&self) -> &'a str {
        self.words().next().unwrap_or_default()
    }

    /// `ignore`, and `ignore-wasm32` and its like.
    fn is_untested(&self) -> bool {
        self.language() == "rust" && self.words().any(|word| word.starts_with("ignore"))
    }
}

/// The arguments of the includes in a line.
fn includes(line: &str) -> impl Iterator<Item = &str> {
    let openings = ["{{#include ", "{{#rustdoc_include "];
    openings.into_iter().flat_map(move |opening| {
        line.split(opening).skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0.trim()))
    })
}

fn is_one_include_of_rust(text: &str) -> bool {
    let argument = text.strip_prefix("{{#include ").and_then(|rest| rest.strip_suffix("}}"));
    argument.is_some_and(|argument| {
        let file = argument.split(':').next().unwrap_or_default().trim();
        !argument.contains("{{") && file.ends_with(".rs")
    })
}

fn resolve(include: &str, read: impl Fn(&str) -> Option<String>) -> Result<(), String> {
    let (file, anchor) = include.split_once(':').map_or((include, None), |(f, a)| (f, Some(a)));
    let text = read(file).ok_or_else(|| format!("included file {file} cannot be read"))?;
    let Some(anchor) = anchor else { return Ok(()) };
    if anchor.starts_with(|first: char| first.is_ascii_digit() || first == ':') {
        return Err(format!("{file} is included by line numbers, which drift: use an anchor"));
    }
    for mark in ["ANCHOR", "ANCHOR_END"] {
        let is_mark = |line: &str| {
            let name = line.split_once(&format!("{mark}:")).map(|(_, name)| name.trim());
            name.is_some_and(|name| name.split(' ').next() == Some(anchor))
        };
        if !text.lines().any(is_mark) {
            return Err(format!("{file} has no `{mark}: {anchor}`"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str) -> Option<String> {
        match file {
            "cpu.rs" => {
                Some("// ANCHOR: forward\nfn forward() {}\n// ANCHOR_END: forward\n".into())
            }
            "open.rs" => Some("// ANCHOR: open\nfn open() {}\n".into()),
            "table.md" => Some("| a |\n".into()),
            _ => None,
        }
    }

    #[test]
    fn tested_code_and_includes_pass() {
        let chapter = "\
            Text with `{{x}}`.\n\n\
            ```rust\nassert_eq!(1 + 1, 2);\n```\n\n\
            ```rust,ignore,noplayground\n{{#include cpu.rs:forward}}\n\n{{#include cpu.rs}}\n```\n\n\
            > ~~~rust,no_run\n> main();\n> ~~~\n\n\
            ````text\n```rust,ignore\nnot a fence of its own\n```\n````\n\n\
            {{#include table.md}}\n\
            \\{{#include missing.rs}}\n\
            ```inline```\nplain\n";
        assert_eq!(problems(chapter, read), Vec::<String>::new());
    }

    #[test]
    fn code_in_an_ignored_fence_is_reported() {
        for info in
            ["rust,ignore", "rust, ignore", "rust ignore", "rust,noplayground,ignore-wasm32"]
        {
            let found = problems(&format!("```{info}\nlet x = 1;\n```\n"), read);
            assert_eq!(
                found,
                ["2: an ignored fence may only hold {{#include FILE.rs:ANCHOR}}"],
                "{info}"
            );
        }
        let nested =
            "1. a list\n\n   ```rust,ignore\n   {{#include cpu.rs:forward}} // and more\n   ```\n";
        assert_eq!(problems(nested, read).len(), 1);
        assert_eq!(problems("```rust,ignore\n{{#include table.md}}\n```\n", read).len(), 1);
    }

    #[test]
    fn an_include_of_nothing_is_reported() {
        let cases = [
            ("{{#include missing.rs}}", "1: included file missing.rs cannot be read"),
            ("{{#include cpu.rs:back}}", "1: cpu.rs has no `ANCHOR: back`"),
            ("{{#include cpu.rs:for}}", "1: cpu.rs has no `ANCHOR: for`"),
            ("{{#include open.rs:open}}", "1: open.rs has no `ANCHOR_END: open`"),
            (
                "{{#include cpu.rs:2:5}}",
                "1: cpu.rs is included by line numbers, which drift: use an anchor",
            ),
        ];
        for (text, problem) in cases {
            assert_eq!(problems(text, read), [problem]);
        }
    }

    #[test]
    fn a_fence_that_rustdoc_passes_over_is_reported() {
        assert_eq!(problems("```rs\nfn f() {}\n```\n", read).len(), 1);
        assert_eq!(problems("```text\nfn f() {}\n```\n", read).len(), 0);
    }

    #[test]
    fn chapters_are_read_from_the_summary() {
        let summary = "# Summary\n\n[Intro](introduction.md)\n\n\
            - [Rank](./rank.md)\n  - [SVD](rank/svd.md)\n- [Later]()\n";
        assert_eq!(chapters(summary), ["introduction.md", "rank.md", "rank/svd.md"]);
        let source = r#"#[doc = include_str!("src/rank/svd.md")] mod svd {}"#;
        assert!(includes_chapter(source, "rank/svd.md"));
        assert!(!includes_chapter(source, "k/svd.md"));
        assert!(!includes_chapter(source, "rank.md"));
    }
}
