//! Formulas become MathML when the book is built: no script, no font, no network when it is read.

use std::sync::LazyLock;

use anyhow::{Context, Result};
use katex::{Opts, OutputType};
use mdbook_driver::book::{Book, BookItem};
use mdbook_markdown::pulldown_cmark::{Event, Options, Parser};
use mdbook_preprocessor::{Preprocessor, PreprocessorContext};

/// What mdBook reads as Markdown, and formulas.
pub static OPTIONS: LazyLock<Options> = LazyLock::new(|| {
    Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_HEADING_ATTRIBUTES
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
    for (event, place) in Parser::new_ext(chapter, *OPTIONS).into_offset_iter() {
        let (latex, display) = match event {
            Event::InlineMath(latex) => (latex, false),
            Event::DisplayMath(latex) => (latex, true),
            _ => continue,
        };
        text += &chapter[end..place.start];
        text += &mathml(&latex, display).with_context(|| {
            format!("${latex}$ is not valid LaTeX ---> HINT: a stray $ in a text is written \\$")
        })?;
        end = place.end;
    }
    Ok(text + &chapter[end..])
}

fn mathml(latex: &str, display: bool) -> Result<String> {
    let options = Opts::builder().output_type(OutputType::Mathml).display_mode(display).build()?;
    Ok(untouched(&katex::render_with_opts(latex, options)?))
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
    }

    #[test]
    fn a_wrong_formula_is_named() {
        let error = rendered("$\\frac{1}$").unwrap_err();
        assert!(format!("{error:#}").contains("\\frac{1}"), "{error:#}");
    }
}
