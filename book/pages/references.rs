//! `[@hu2021]` cites an entry of the bibliography, `[@fig:circle]` refers to a figure by its number, and `[@n:share]` is a number
//! that `regen` made. An issue that is in the bibliography, such as PEFT #1388, is linked wherever it is named.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::LazyLock;

use anyhow::{Context, Result, anyhow, bail, ensure};
use book::numbers;
use mdbook_driver::book::{Book, BookItem, Chapter};
use mdbook_markdown::pulldown_cmark::{BrokenLink, Event, Parser, Tag, TagEnd};
use mdbook_preprocessor::{Preprocessor, PreprocessorContext};
use regex::Regex;

use crate::figures;
use crate::formulas::OPTIONS;

/// The page that lists what is cited: `- <a id="hu2021"></a>**Hu et al. 2021.** …`.
const BIBLIOGRAPHY: &str = "bibliography.md";

static ENTRY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?m)^- <a id="([a-z0-9]+)"></a>\*\*(.+?)\.\*\*"#).expect("a valid pattern")
});

/// A paper that is linked or named past the bibliography.
static UNCITED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"arxiv\.org/abs|arXiv:? ?\d{4}\.\d{4,5}").expect("a valid pattern")
});

static NUMBER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\[@(n:[a-z0-9-]+)\]").expect("a valid pattern"));

static ISSUE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[A-Za-z-]+ #\d+").expect("a valid pattern"));

/// Turns references into links.
pub struct References;

/// What a reference becomes: its text, and where it leads; a number leads nowhere.
#[derive(Debug, PartialEq)]
struct Target {
    label: String,
    link: Option<String>,
}

impl Target {
    fn markdown(&self) -> String {
        match &self.link {
            Some(link) => format!("[{}]({link})", self.label),
            None => self.label.clone(),
        }
    }
}

type Targets = BTreeMap<String, Target>;

impl Preprocessor for References {
    fn name(&self) -> &str {
        "references"
    }

    fn run(&self, context: &PreprocessorContext, mut book: Book) -> Result<Book> {
        let mut targets = Targets::new();
        let folder = context.root.join(&context.config.book.src).join("generated");
        let file = std::fs::read_to_string(folder.join(numbers::FILE));
        let file = file.with_context(|| format!("book/src/generated/{}", numbers::FILE))?;
        numbers_of(&file, &mut targets)?;
        for item in book.iter() {
            let BookItem::Chapter(chapter) = item else { continue };
            collect(chapter, &mut targets)?;
        }
        let (mut used, mut failure) = (BTreeSet::new(), None);
        book.for_each_chapter_mut(|chapter| {
            if is_bibliography(chapter) {
                return;
            }
            match resolved(&chapter.content, &targets, &mut used) {
                Ok(content) => chapter.content = content,
                Err(error) => failure = Some(error.context(chapter.name.clone())),
            }
        });
        if let Some(error) = failure {
            return Err(error);
        }
        let unused = targets.keys().filter(|key| !key.starts_with("fig:") && !used.contains(*key));
        let (numbers, papers): (Vec<_>, Vec<_>) = unused.partition(|key| key.starts_with("n:"));
        ensure!(papers.is_empty(), "{BIBLIOGRAPHY} has entries that no page cites: {papers:?}");
        ensure!(numbers.is_empty(), "{} has numbers that no page has: {numbers:?}", numbers::FILE);
        Ok(book)
    }
}

fn is_bibliography(chapter: &Chapter) -> bool {
    chapter.path.as_ref().is_some_and(|path| path.ends_with(BIBLIOGRAPHY))
}

/// The numbers that `regen` made.
fn numbers_of(file: &str, targets: &mut Targets) -> Result<()> {
    for (key, value) in numbers::parse(file) {
        let finite = !["NaN", "inf"].iter().any(|word| value.contains(word));
        ensure!(finite, "{}: {key} is {value}, which no sentence can say", numbers::FILE);
        let number = Target { label: value.to_owned(), link: None };
        let twice = targets.insert(format!("n:{key}"), number);
        ensure!(twice.is_none(), "{}: {key} stands there twice", numbers::FILE);
    }
    Ok(())
}

/// What this chapter can be referred to for: its figures, or its entries if it is the bibliography.
fn collect(chapter: &Chapter, targets: &mut Targets) -> Result<()> {
    let page = chapter.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let mut add = |key: String, label: &str, link: String| {
        let target = Target { label: label.to_owned(), link: Some(link) };
        let twice = targets.insert(key.clone(), target);
        ensure!(twice.is_none(), "{page}: [@{key}] has been defined before");
        Ok(())
    };
    for (name, number) in figures::labels(&chapter.content) {
        add(format!("fig:{name}"), number, format!("{page}#figure-{name}"))?;
    }
    if is_bibliography(chapter) {
        for entry in ENTRY.captures_iter(&chapter.content) {
            add(entry[1].to_owned(), &entry[2], format!("{page}#{}", &entry[1]))?;
        }
    }
    Ok(())
}

/// The chapter with links in the place of its references, whose keys are added to `used`. Code is left alone.
fn resolved(chapter: &str, targets: &Targets, used: &mut BTreeSet<String>) -> Result<String> {
    if let Some(found) = UNCITED.find(chapter) {
        let hint = format!("enter the paper in {BIBLIOGRAPHY} and write [@its-key]");
        bail!("{} is not cited ---> HINT: {hint}", found.as_str());
    }
    let any = |link: BrokenLink<'_>| {
        link.reference.starts_with('@').then(|| (link.reference.into_static(), "".into()))
    };
    let events = Parser::new_with_broken_link_callback(chapter, *OPTIONS, Some(any));
    let (mut text, mut end) = (String::with_capacity(chapter.len()), 0);
    let mut replace = |place: Range<usize>, (key, target): (&String, &Target)| {
        used.insert(key.clone());
        text += &chapter[end..place.start];
        text += &target.markdown();
        end = place.end;
    };
    // How many links, headings and blocks of code are open.
    let mut open = 0;
    for (event, place) in events.into_offset_iter() {
        match event {
            Event::Start(Tag::Link { ref dest_url, .. }) if dest_url.starts_with('@') => {
                open += 1;
                let target = targets.get_key_value(&dest_url[1..]).ok_or_else(|| {
                    anyhow!("[{dest_url}] is neither in {BIBLIOGRAPHY}, nor a figure [@fig:NAME], nor a number [@n:KEY]")
                })?;
                replace(place, target);
            }
            // HTML has no links, but it may have numbers.
            Event::Html(_) | Event::InlineHtml(_) => {
                for number in NUMBER.captures_iter(&chapter[place.clone()]) {
                    let whole = number.get(0).map(|whole| whole.range()).unwrap_or_default();
                    let target = targets
                        .get_key_value(&number[1])
                        .ok_or_else(|| anyhow!("{} is no number [@n:KEY]", &number[0]))?;
                    replace(place.start + whole.start..place.start + whole.end, target);
                }
            }
            Event::Start(Tag::Link { .. } | Tag::Heading { .. } | Tag::CodeBlock(_)) => open += 1,
            Event::End(TagEnd::Link | TagEnd::Heading(_) | TagEnd::CodeBlock) => open -= 1,
            Event::Text(_) if open == 0 => {
                for issue in ISSUE.find_iter(&chapter[place.clone()]) {
                    let is_it = |(_, target): &(_, &Target)| target.label == issue.as_str();
                    if let Some(target) = targets.iter().find(is_it) {
                        let start = place.start + issue.start();
                        replace(start..start + issue.len(), target);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(text + &chapter[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRIES: &str = "# Bibliography\n\n- <a id=\"hu2021\"></a>**Hu et al. 2021.** *LoRA*.\n\
                           - <a id=\"peft1\"></a>**PEFT #1.** An issue.\n";

    fn targets() -> Targets {
        let mut targets = Targets::new();
        let chapter = Chapter::new("Bibliography", ENTRIES.into(), BIBLIOGRAPHY, vec![]);
        collect(&chapter, &mut targets).unwrap();
        let figure = "<figcaption><a class=\"number\" href=\"#figure-circle\">Figure 3.1</a> A.";
        let chapter = Chapter::new("SVD", figure.into(), "svd.md", vec![]);
        collect(&chapter, &mut targets).unwrap();
        targets
    }

    #[test]
    fn papers_and_figures_are_linked_and_code_is_left_alone() {
        let mut used = BTreeSet::new();
        let text = "By [@hu2021], see *[@fig:circle]*. Not `[@hu2021]`, nor a shape [r, in].\n";
        let page = resolved(text, &targets(), &mut used).unwrap();
        assert_eq!(
            page,
            "By [Hu et al. 2021](bibliography.md#hu2021), see *[Figure 3.1](svd.md#figure-circle)*. \
             Not `[@hu2021]`, nor a shape [r, in].\n"
        );
        assert_eq!(used, ["fig:circle", "hu2021"].map(String::from).into());
    }

    #[test]
    fn a_number_stands_in_its_sentence() {
        let mut targets = Targets::new();
        numbers_of("share 43\ntrained 8,064\n", &mut targets).unwrap();
        let mut used = BTreeSet::new();
        let text = "# A\n\n- [@n:share]% of [@n:trained].\n\n<p>[@n:share] of them.</p>\n";
        let page = resolved(text, &targets, &mut used).unwrap();
        assert_eq!(page, "# A\n\n- 43% of 8,064.\n\n<p>43 of them.</p>\n");
        assert_eq!(used, ["n:share", "n:trained"].map(String::from).into());
        assert!(numbers_of("share 1\n", &mut targets).is_err());
        for value in ["NaN", "inf", "-inf"] {
            assert!(numbers_of(&format!("other {value}\n"), &mut targets).is_err());
        }
    }

    #[test]
    fn an_issue_is_linked_where_it_is_named() {
        let text = "## PEFT #1\n\n| seen |\n|---|\n| PEFT #1, PEFT #12 |\n\n`PEFT #1`\n";
        let page = resolved(text, &targets(), &mut BTreeSet::new()).unwrap();
        assert_eq!(page, text.replace("| PEFT #1,", "| [PEFT #1](bibliography.md#peft1),"));
    }

    #[test]
    fn what_does_not_exist_is_named() {
        let error = resolved("As [@nobody] says.\n", &targets(), &mut BTreeSet::new()).unwrap_err();
        assert!(error.to_string().contains("[@nobody]"), "{error}");
    }

    #[test]
    fn a_paper_past_the_bibliography_is_found() {
        for text in ["(Hu et al. 2021, arXiv 2106.09685)", "[x](https://arxiv.org/abs/2106.09685)"]
        {
            let error = resolved(text, &targets(), &mut BTreeSet::new()).unwrap_err();
            assert!(error.to_string().contains("is not cited"), "{error}");
        }
    }

    #[test]
    fn a_key_is_defined_once() {
        let mut targets = targets();
        let chapter = Chapter::new("Bibliography", ENTRIES.into(), BIBLIOGRAPHY, vec![]);
        assert!(collect(&chapter, &mut targets).is_err());
    }
}
