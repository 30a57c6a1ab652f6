//! No result is typed: a percentage or a factor in a sentence comes from `regen`, or from a paper that is cited beside it.

use std::sync::LazyLock;

use mdbook_driver::MDBook;
use mdbook_driver::book::BookItem;
use mdbook_markdown::pulldown_cmark::{BrokenLink, Event, HeadingLevel, Parser, Tag, TagEnd};
use regex::Regex;

use crate::formulas::OPTIONS;

static RESULT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\d[\d.,]*[ \u{a0}]?(%|per cent\b|percentage points?\b|times\b|-?fold\b)")
        .expect("a valid pattern")
});

/// Each that was typed, a sentence.
pub fn problems(book: &MDBook) -> Vec<String> {
    let mut problems = Vec::new();
    for item in book.iter() {
        let BookItem::Chapter(chapter) = item else { continue };
        // Solutions are about the numbers that their exercises give.
        if chapter.path.as_ref().is_some_and(|path| path.ends_with("solutions.md")) {
            continue;
        }
        let found = typed(&chapter.content).into_iter().map(|what| {
            format!(
                "{}: `{what}` is typed ---> HINT: a number that regen makes is [@n:KEY], that of a paper has its [@key] beside it",
                chapter.name
            )
        });
        problems.extend(found);
    }
    problems
}

/// Percentages and factors in sentences, but for those in a paragraph, a cell or an item that cites a paper, and in exercises.
fn typed(chapter: &str) -> Vec<String> {
    let any = |link: BrokenLink<'_>| {
        link.reference.starts_with('@').then(|| (link.reference.into_static(), "".into()))
    };
    let (mut found, mut text, mut cited) = (Vec::new(), String::new(), false);
    let (mut in_code, mut in_heading, mut in_number) = (false, false, false);
    for event in Parser::new_with_broken_link_callback(chapter, *OPTIONS, Some(any)) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => in_code = true,
            Event::End(TagEnd::CodeBlock) => in_code = false,
            Event::Start(Tag::Heading { level: HeadingLevel::H2, .. }) => in_heading = true,
            Event::End(TagEnd::Heading(_)) => in_heading = false,
            Event::Text(title) if in_heading && &*title == "Exercises" => break,
            Event::Start(Tag::Link { ref dest_url, .. }) if dest_url.starts_with("@n:") => {
                in_number = true;
                text.push('…');
            }
            Event::End(TagEnd::Link) => in_number = false,
            Event::Start(Tag::Link { ref dest_url, .. }) => {
                cited |= dest_url.starts_with('@') && !dest_url.starts_with("@fig:");
            }
            Event::Text(words) if !in_code && !in_number => text += &words,
            Event::SoftBreak | Event::HardBreak => text.push(' '),
            // What is not a sentence keeps the words around it apart.
            Event::Code(_) | Event::InlineMath(_) => text.push('…'),
            Event::End(TagEnd::Paragraph | TagEnd::Item | TagEnd::TableCell) => {
                if !cited {
                    found.extend(RESULT.find_iter(&text).map(|result| result.as_str().to_owned()));
                }
                text.clear();
                cited = false;
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_that_are_typed_are_found() {
        let chapter = "# A\n\nIt is 38 times as many,\nand 15% less.\n\n- Off by 0.9\n  percentage points.\n\n| a |\n|--|\n| 3-fold |\n";
        assert_eq!(typed(chapter), ["38 times", "15%", "0.9 percentage points", "3-fold"]);
    }

    #[test]
    fn code_papers_exercises_and_what_regen_made_are_left_alone() {
        let chapter = "# A\n\nIt is [@n:full-times] times, `3 %`, $5$ times or [@n:share]%.\n\n\
                       They say 25% ([@hu2021]).\n\n```text\n7%\n```\n\n## Exercises\n1. Take 25% of 4.\n";
        assert!(typed(chapter).is_empty(), "{:?}", typed(chapter));
    }
}
