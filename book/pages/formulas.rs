//! Formulas become MathML when the book is built: no script, no font, no network when it is read.

use std::sync::LazyLock;

use anyhow::{Context, Result};
use katex::{Opts, OutputType};
use mdbook_driver::book::{Book, BookItem};
use mdbook_markdown::pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use mdbook_preprocessor::{Preprocessor, PreprocessorContext};
use regex::Regex;

/// What mdBook reads as Markdown, and formulas.
pub static OPTIONS: LazyLock<Options> = LazyLock::new(|| {
    Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_HEADING_ATTRIBUTES
        | Options::ENABLE_DEFINITION_LIST
        | Options::ENABLE_MATH
});

/// KaTeX, run on `$…$` and `$$…$$`.
pub struct Formulas;

impl Preprocessor for Formulas {
    fn name(&self) -> &str {
        "formulas"
    }

    fn run(&self, _: &PreprocessorContext, mut book: Book) -> Result<Book> {
        let mut failure = None;
        book.for_each_mut(|item| {
            let BookItem::Chapter(chapter) = item else { return };
            match rendered(&chapter.content) {
                Ok(content) => chapter.content = content,
                Err(error) => failure = Some(error.context(chapter.name.clone())),
            }
        });
        failure.map_or(Ok(book), Err)
    }
}

/// The chapter with MathML in the place of its formulas.
fn rendered(chapter: &str) -> Result<String> {
    let (mut text, mut end) = (String::with_capacity(2 * chapter.len()), 0);
    let mut in_code = false;
    for (event, place) in Parser::new_ext(chapter, *OPTIONS).into_offset_iter() {
        let math = |latex: &str, display| {
            mathml(latex, display).with_context(|| {
                format!(
                    "${latex}$ is not valid LaTeX ---> HINT: a stray $ in a text is written \\$"
                )
            })
        };
        let html = match event {
            Event::InlineMath(latex) => math(&latex, false)?,
            Event::DisplayMath(latex) => math(&latex, true)?,
            Event::Text(_) if !in_code => with_indices(&chapter[place.clone()]),
            Event::Start(Tag::CodeBlock(_)) | Event::End(TagEnd::CodeBlock) => {
                in_code = !in_code;
                continue;
            }
            _ => continue,
        };
        text += &chapter[end..place.start];
        text += &html;
        end = place.end;
    }
    Ok(text + &chapter[end..])
}

/// VeRA's λ_b and λ_d, which tables take over from what programs print, with the index where it belongs.
fn with_indices(text: &str) -> String {
    static INDEXED: LazyLock<Regex> =
        LazyLock::new(|| Regex::new("([λΛ])_([bd])").expect("a valid pattern"));
    INDEXED.replace_all(text, "$1<sub>$2</sub>").into_owned()
}

fn mathml(latex: &str, display: bool) -> Result<String> {
    let options = Opts::builder().output_type(OutputType::Mathml).display_mode(display).build()?;
    Ok(untouched(&without_source(&katex::render_with_opts(latex, options)?)))
}

/// Without the LaTeX that KaTeX keeps inside: a search would find each formula twice.
fn without_source(html: &str) -> String {
    static SOURCE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new("(?s)<annotation.*?</annotation>").expect("a valid pattern"));
    SOURCE.replace_all(html, "").into_owned()
}

/// HTML whose text means nothing to Markdown, which is to read it yet.
fn untouched(html: &str) -> String {
    let mut result = String::with_capacity(html.len());
    let mut in_tag = false;
    for character in html.chars() {
        in_tag = character == '<' || (in_tag && character != '>');
        match character {
            '\n' => result.push(' '),
            '_' | '*' | '\\' | '[' | ']' | '`' | '~' | '|' | '$' if !in_tag => {
                result += &format!("&#{};", u32::from(character));
            }
            _ => result.push(character),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_rendered_and_code_is_left_alone() {
        let page = rendered("A `$x$` costs \\$2; $a_i$, and\n\n$$\nb\n$$\n").unwrap();
        assert!(page.starts_with("A `$x$` costs \\$2; <span class=\"katex\"><math"), "{page}");
        assert_eq!(page.matches("<math").count(), 2);
        assert_eq!(page.matches("display=\"block\"").count(), 1);
        assert!(!page.contains("a_i"), "Markdown would take the underscore: {page}");
        assert!(!page.contains("annotation"), "a search finds it twice: {page}");
    }

    #[test]
    fn an_index_in_a_table_is_lowered_and_code_is_left_alone() {
        let page = rendered("| λ_b |\n|---|\n| `λ_b` |\n\n```text\nλ_d\n```\n").unwrap();
        assert_eq!(page, "| λ<sub>b</sub> |\n|---|\n| `λ_b` |\n\n```text\nλ_d\n```\n");
    }

    #[test]
    fn a_wrong_formula_is_named() {
        let error = rendered("$\\frac{1}$").unwrap_err();
        assert!(format!("{error:#}").contains("\\frac{1}"), "{error:#}");
    }
}
