//! Figures have numbers, "Figure 3.2" for the second of chapter 3 and "Figure B.1" in an appendix, and an anchor that [`references`](crate::references) know.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use mdbook_driver::book::Book;
use mdbook_preprocessor::{Preprocessor, PreprocessorContext};

/// Numbers each `{{#include generated/NAME.svg.html}}`, whose anchor becomes `figure-NAME`.
pub struct Figures;

impl Preprocessor for Figures {
    fn name(&self) -> &str {
        "figures"
    }

    fn run(&self, context: &PreprocessorContext, mut book: Book) -> Result<Book> {
        let source = context.root.join(&context.config.book.src);
        let mut failure = None;
        // Pages without a number, such as the introduction, count on from one to the next: they are chapter 0.
        let mut outside = 0;
        book.for_each_chapter_mut(|chapter| {
            let mut inside = 0;
            let number = chapter.number.as_ref().and_then(|number| number.first());
            let (number, count) = match (number, appendix(&chapter.name)) {
                (Some(number), _) => (number.to_string(), &mut inside),
                (None, Some(letter)) => (letter.to_string(), &mut inside),
                (None, None) => ("0".to_owned(), &mut outside),
            };
            match numbered(&chapter.content, &number, count, &source) {
                Ok(content) => chapter.content = content,
                Err(error) => failure = Some(error.context(chapter.name.clone())),
            }
        });
        failure.map_or(Ok(book), Err)
    }
}

/// The letter of an appendix, whose name in SUMMARY.md is "A. The claims".
pub fn appendix(name: &str) -> Option<char> {
    let (letter, _) = name.split_once(". ")?;
    letter.parse().ok().filter(char::is_ascii_uppercase)
}

fn numbered(chapter: &str, number: &str, count: &mut u32, source: &Path) -> Result<String> {
    let mut text = String::with_capacity(chapter.len());
    for line in chapter.lines() {
        if let Some(name) = name(line) {
            *count += 1;
            let path = source.join(format!("generated/{name}.svg.html"));
            let figure =
                std::fs::read_to_string(&path).with_context(|| format!("{line}: {name}"))?;
            text += &with_number(&figure, name, &format!("Figure {number}.{count}"))?;
        } else {
            text += line;
        }
        text.push('\n');
    }
    Ok(text)
}

/// The name of the figure that a line includes.
fn name(line: &str) -> Option<&str> {
    line.strip_prefix("{{#include generated/")?.strip_suffix(".svg.html}}")
}

fn with_number(figure: &str, name: &str, number: &str) -> Result<String> {
    for tag in ["<figure ", "<figcaption>"] {
        ensure!(figure.matches(tag).count() == 1, "generated/{name}.svg.html needs one {tag}");
    }
    Ok(figure
        .replace("<figure ", &format!("<figure id=\"figure-{name}\" "))
        .replace("<figcaption>", &format!("<figcaption>{} ", label(name, number)))
        .trim_end()
        .to_owned())
}

/// What stands before a caption.
fn label(name: &str, number: &str) -> String {
    format!("<a class=\"number\" href=\"#figure-{name}\">{number}</a>")
}

/// The names and numbers of the figures in a chapter that was numbered.
pub fn labels(chapter: &str) -> impl Iterator<Item = (&str, &str)> {
    chapter.split("<a class=\"number\" href=\"#figure-").skip(1).filter_map(|rest| {
        let (name, rest) = rest.split_once("\">")?;
        Some((name, rest.split_once("</a>")?.0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(figure: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("generated")).unwrap();
        std::fs::write(folder.path().join("generated/circle.svg.html"), figure).unwrap();
        folder
    }

    const CHAPTER: &str = "# A\n\n{{#include generated/circle.svg.html}}\n\nText.\n";

    #[test]
    fn a_figure_gets_the_next_number_of_its_chapter() {
        let folder =
            folder("<figure class=\"pics\">\n<figcaption>A circle.</figcaption>\n</figure>\n");
        let mut count = 1;
        let page = numbered(CHAPTER, "3", &mut count, folder.path()).unwrap();
        assert_eq!(
            page,
            "# A\n\n<figure id=\"figure-circle\" class=\"pics\">\n<figcaption><a class=\"number\" \
             href=\"#figure-circle\">Figure 3.2</a> A circle.</figcaption>\n</figure>\n\nText.\n"
        );
        assert_eq!(labels(&page).collect::<Vec<_>>(), [("circle", "Figure 3.2")]);
        assert_eq!(count, 2);
    }

    #[test]
    fn an_appendix_has_a_letter() {
        assert_eq!(appendix("B. How near is near enough"), Some('B'));
        assert_eq!(appendix("Notation"), None);
        assert_eq!(appendix("SVD. More of it"), None);
    }

    #[test]
    fn a_figure_that_is_missing_or_has_no_caption_is_an_error() {
        let without = folder("<figure class=\"pics\"></figure>");
        let error = numbered(CHAPTER, "1", &mut 0, without.path()).unwrap_err();
        assert!(error.to_string().contains("<figcaption>"), "{error}");
        let other = CHAPTER.replace("circle", "square");
        let error = numbered(&other, "1", &mut 0, without.path()).unwrap_err();
        assert!(error.to_string().contains("square"), "{error}");
    }
}
