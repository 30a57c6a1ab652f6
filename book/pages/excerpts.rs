//! Excerpts of the sources: the path of the file above each, without what only rustdoc needs, and in lines that fit the page.

use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Context, Result};
use mdbook_driver::book::Book;
use mdbook_preprocessor::{Preprocessor, PreprocessorContext};
use regex::Regex;

use crate::links::beside;

/// Comments are filled to this width; wide.css leaves room for a few characters more.
const WIDTH: usize = 100;

/// Fills fences that include a part of a source, `{{#include FILE:ANCHOR}}`.
pub struct Excerpts;

impl Preprocessor for Excerpts {
    fn name(&self) -> &str {
        "excerpts"
    }

    fn run(&self, context: &PreprocessorContext, mut book: Book) -> Result<Book> {
        let source = context.root.join(&context.config.book.src);
        let mut failure = None;
        book.for_each_chapter_mut(|chapter| {
            let read = |file: &str| {
                std::fs::read_to_string(source.join(file)).with_context(|| file.to_owned())
            };
            match filled(&chapter.content, read) {
                Ok(content) => chapter.content = content,
                Err(error) => failure = Some(error.context(chapter.name.clone())),
            }
        });
        failure.map_or(Ok(book), Err)
    }
}

fn filled(chapter: &str, read: impl Fn(&str) -> Result<String>) -> Result<String> {
    let mut text = String::with_capacity(chapter.len());
    let mut lines = chapter.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            let fence: Vec<_> =
                lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
            let mut files: Vec<_> = fence.iter().filter_map(|line| included(line)).collect();
            files.dedup_by_key(|(file, _)| *file);
            for (file, _) in files {
                text += &format!("<p class=\"path\">{}</p>\n\n", shown(file));
            }
            text += line;
            for line in fence {
                text.push('\n');
                text += &match included(line) {
                    Some((file, anchor)) => {
                        let source = read(file)?;
                        let part = part(&source, anchor);
                        readable(&part.with_context(|| format!("{file} has no {anchor}"))?)
                    }
                    None => line.to_owned(),
                };
            }
            text += "\n```\n";
        } else {
            text += line;
            text.push('\n');
        }
    }
    Ok(text)
}

/// The file and the anchor that a line includes.
fn included(line: &str) -> Option<(&str, &str)> {
    line.trim().strip_prefix("{{#include ")?.strip_suffix("}}")?.split_once(':')
}

/// What stands between the two marks of an anchor, whatever begins a comment in the language.
fn part(source: &str, anchor: &str) -> Option<String> {
    let is_mark = |line: &str, mark: &str| {
        line.split_once(mark).is_some_and(|(_, name)| name.trim() == anchor)
    };
    let mut lines = source.lines().skip_while(|line| !is_mark(line, "ANCHOR: ")).skip(1).peekable();
    lines.peek()?;
    Some(lines.take_while(|line| !is_mark(line, "ANCHOR_END: ")).collect::<Vec<_>>().join("\n"))
}

/// The path of an included file, as it is in the repository.
fn shown(file: &str) -> String {
    beside(Path::new("book/src/chapter.md"), file).display().to_string()
}

/// A part of a source as one reads it: without the indentation of the block that it stands in, comments filled anew where a
/// line is too long, and in rustdoc's comments `\[out, r\]` without the bars and a link as its text.
pub fn readable(code: &str) -> String {
    let is_text = |line: &&str| !line.contains(" ANCHOR: ") && !line.contains(" ANCHOR_END: ");
    let lines: Vec<&str> = code.lines().filter(is_text).collect();
    let indented = lines.iter().filter(|line| !line.trim().is_empty());
    let outer = indented.map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    let lines: Vec<String> =
        lines.iter().map(|line| plain(line.get(outer..).unwrap_or_default())).collect();
    let too_long = |line: &String| line.chars().count() > WIDTH;
    let paragraphs = lines.chunk_by(|line, next| are_one_paragraph(line, next));
    let readable: Vec<String> = paragraphs
        .map(|lines| match comment(&lines[0]) {
            Some((mark, _)) if lines.iter().any(too_long) => refilled(mark, lines),
            _ => lines.join("\n"),
        })
        .collect();
    readable.join("\n")
}

/// A line of a comment, as what marks it and its text.
fn comment(line: &str) -> Option<(&str, &str)> {
    static COMMENT: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^\s*//[/!]?\s*").expect("a valid pattern"));
    let mark = COMMENT.find(line)?;
    Some(line.split_at(mark.end()))
}

fn are_one_paragraph(line: &str, next: &str) -> bool {
    match (comment(line), comment(next)) {
        (Some((mark, _)), Some((next_mark, text))) => {
            mark == next_mark && !text.starts_with(['#', '-', '|', '`'])
        }
        _ => false,
    }
}

/// The words of a paragraph in lines that are as long as may be.
fn refilled(mark: &str, lines: &[String]) -> String {
    let words = lines.iter().filter_map(|line| comment(line)).flat_map(|(_, text)| text.split(' '));
    let mut filled: Vec<String> = Vec::new();
    for word in words {
        match filled.last_mut() {
            Some(last) if last.chars().count() + 1 + word.chars().count() <= WIDTH => {
                last.push(' ');
                last.push_str(word);
            }
            _ => filled.push(format!("{mark}{word}")),
        }
    }
    filled.join("\n")
}

/// A comment of rustdoc's without its escapes, and with a link as its text.
fn plain(line: &str) -> String {
    static LINK: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\[(`[^`]+`)\](\([^)]*\))?").expect("a valid pattern"));
    let start = line.trim_start();
    if !start.starts_with("///") && !start.starts_with("//!") {
        return line.to_owned();
    }
    LINK.replace_all(line, "$1").replace("\\[", "[").replace("\\]", "]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_filled_in_below_its_path() {
        let source = "// ANCHOR: a\nfn a() {}\n// ANCHOR_END: a\n    // ANCHOR: b\n    fn b() {\n        1;\n    }\n    // ANCHOR_END: b\n";
        let chapter = "Text.\n\n```rust,ignore,noplayground\n{{#include ../../crates/x/src/cpu.rs:a}}\n\n\
                       {{#include ../../crates/x/src/cpu.rs:b}}\n```\n\n```text\n{{#include generated/x.txt}}\n```\n";
        assert_eq!(
            filled(chapter, |_| Ok(source.into())).unwrap(),
            "Text.\n\n<p class=\"path\">crates/x/src/cpu.rs</p>\n\n```rust,ignore,noplayground\nfn a() {}\n\n\
             fn b() {\n    1;\n}\n```\n\n```text\n{{#include generated/x.txt}}\n```\n"
        );
        let python = source.replace("//", "#");
        assert!(filled(chapter, |_| Ok(python.clone())).is_ok());
        let gone = chapter.replace(":b}", ":c}");
        assert!(filled(&gone, |_| Ok(source.into())).is_err());
    }

    #[test]
    fn rustdoc_is_shown_without_its_escapes() {
        let code = "/// A \\[r, in\\], as [`Lora`](crate::Lora) and [`Saved`].\nlet a = \"\\[\";";
        assert_eq!(readable(code), "/// A [r, in], as `Lora` and `Saved`.\nlet a = \"\\[\";");
    }

    #[test]
    fn a_comment_that_is_too_wide_is_filled_anew() {
        let long = format!("    /// {}end", "word ".repeat(20));
        let code = format!("{long}\n    /// of it.\n    ///\n    /// Short.\n    fn f() {{}}");
        let words = |count| format!("///{}", " word".repeat(count));
        assert_eq!(
            readable(&code),
            format!("{}\n/// word end of it.\n///\n/// Short.\nfn f() {{}}", words(19))
        );
        let two = format!("// - {}\n// - b", "a ".repeat(60).trim_end());
        assert_eq!(readable(&two).lines().last(), Some("// - b"));
    }
}
