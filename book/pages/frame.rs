//! What every chapter has: a question at its beginning, figures, and at its end what to remember and exercises. An appendix, to
//! which one turns from a chapter, has the first and the third. And the glossary's own rules.

use mdbook_driver::MDBook;
use mdbook_driver::book::BookItem;

use crate::figures::appendix;

/// How many figures and exercises a chapter has at least.
const FIGURES: usize = 2;
const EXERCISES: usize = 4;

/// What is missing, a sentence each.
pub fn problems(book: &MDBook) -> Vec<String> {
    let mut problems = Vec::new();
    for item in book.iter() {
        let BookItem::Chapter(chapter) = item else { continue };
        let name = &chapter.name;
        let is_chapter = chapter.number.is_some();
        if is_chapter || appendix(name).is_some() {
            if !opens_with_a_question(&chapter.content) {
                problems.push(format!(
                    "{name}: begins without its question ---> HINT: *…?*, a paragraph below the title"
                ));
            }
            if !chapter.content.contains("\n## What to remember\n") {
                problems.push(format!("{name}: has no section `## What to remember`"));
            }
        }
        if is_chapter {
            let figures = chapter.content.matches(".svg.html}}").count();
            if figures < FIGURES {
                problems.push(format!("{name}: has {figures} figures, and should have {FIGURES}"));
            }
            let exercises = exercises(&chapter.content);
            if exercises < EXERCISES {
                problems.push(format!(
                    "{name}: has {exercises} exercises, and should have {EXERCISES}"
                ));
            }
        }
        if chapter.path.as_ref().is_some_and(|path| path.ends_with("glossary.md")) {
            problems.extend(wrong_terms(&chapter.content));
        }
    }
    problems
}

/// Below the title, a paragraph in italics that ends with a question mark.
fn opens_with_a_question(chapter: &str) -> bool {
    let mut paragraphs =
        chapter.split("\n\n").map(str::trim).skip_while(|text| text.starts_with("# "));
    let first = paragraphs.next().unwrap_or_default();
    first.starts_with('*') && !first.starts_with("**") && first.ends_with("?*")
}

/// The numbered items below the heading.
fn exercises(chapter: &str) -> usize {
    let below = chapter.split("\n## Exercises\n").nth(1).unwrap_or_default();
    let numbered =
        |line: &&str| line.split_once(". ").is_some_and(|(n, _)| n.parse::<u8>().is_ok());
    below.lines().filter(numbered).count()
}

/// Terms that stand out of order, and those without a link to the place that explains them.
fn wrong_terms(glossary: &str) -> Vec<String> {
    let entries = glossary.split("\n\n").filter_map(|entry| entry.trim().split_once("\n: "));
    let terms: Vec<(&str, &str)> = entries.collect();
    let mut problems: Vec<String> = terms
        .windows(2)
        .filter(|pair| pair[0].0.to_lowercase() >= pair[1].0.to_lowercase())
        .map(|pair| format!("glossary.md: `{}` stands before `{}`", pair[0].0, pair[1].0))
        .collect();
    let without = terms.iter().filter(|(_, meaning)| !meaning.contains(".md"));
    problems.extend(without.map(|(term, _)| format!("glossary.md: `{term}` leads to no chapter")));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exercises_are_counted() {
        let chapter =
            "# Rank\n\n1. Text.\n\n## Exercises\n1. One. Two\n   lines.\n2. Two.\n\n[Solutions]\n";
        assert_eq!(exercises(chapter), 2);
        assert_eq!(exercises("# Rank\n\n1. Text.\n"), 0);
    }

    #[test]
    fn a_chapter_begins_with_its_question() {
        assert!(opens_with_a_question(
            "# Rank\n\n*How many patterns\nare in a matrix?*\n\nText.\n"
        ));
        assert!(!opens_with_a_question("# Rank\n\nHow many patterns are in a matrix?\n"));
        assert!(!opens_with_a_question("# Rank\n\n*A statement.*\n"));
        assert!(!opens_with_a_question("# Rank\n"));
    }

    #[test]
    fn terms_are_sorted_and_lead_somewhere() {
        let right = "# Glossary\n\nadapter\n: What is trained. [LoRA](lora.md)\n\nRank\n: [Rank](rank.md)\n";
        assert!(wrong_terms(right).is_empty());
        let wrong = "rank\n: A number.\n\nadapter\n: [LoRA](lora.md)\n";
        assert_eq!(
            wrong_terms(wrong),
            [
                "glossary.md: `rank` stands before `adapter`",
                "glossary.md: `rank` leads to no chapter"
            ]
        );
    }
}
