//! Links that lead nowhere: `[text][gone]` in a chapter, and in the built pages a file or an anchor that is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use mdbook_driver::MDBook;
use mdbook_driver::book::BookItem;
use mdbook_markdown::pulldown_cmark::{BrokenLink, LinkType, Parser};

use crate::formulas::OPTIONS;

/// References without a definition, which Markdown shows as they are written. `[r, in]` alone is a shape, `[0, 1]` an interval.
pub fn incomplete(book: &MDBook) -> Vec<String> {
    let mut problems = Vec::new();
    for item in book.iter() {
        let BookItem::Chapter(chapter) = item else { continue };
        for reference in undefined(&chapter.content) {
            problems.push(format!(
                "{}: [{reference}] has no definition ---> HINT: write \\[{reference}\\] if no link is meant",
                chapter.name
            ));
        }
    }
    problems
}

fn undefined(chapter: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut note = |link: BrokenLink<'_>| {
        if link.link_type != LinkType::ShortcutUnknown && link.link_type != LinkType::Shortcut {
            found.push(link.reference.into_string());
        }
        None
    };
    Parser::new_with_broken_link_callback(chapter, *OPTIONS, Some(&mut note)).for_each(drop);
    found
}

/// Links of the pages in a folder to files or anchors that are not in it. Links into the web are not followed.
pub fn dead(folder: &Path) -> Result<Vec<String>> {
    let pages = pages(folder)?;
    let anchors: BTreeMap<&Path, BTreeSet<String>> =
        pages.iter().map(|(path, html)| (path.as_path(), values(html, "id"))).collect();
    let mut problems = Vec::new();
    for (page, html) in &pages {
        let links = values(html, "href").into_iter().chain(values(html, "src"));
        for link in links.filter(|link| !leaves_the_book(link)) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let file = file.split('?').next().unwrap_or_default();
            let target = if file.is_empty() { page.clone() } else { beside(page, file) };
            let is_there = folder.join(&target).exists();
            let has_anchor = anchor.is_empty()
                || anchors.get(target.as_path()).is_none_or(|ids| ids.contains(anchor));
            if !is_there || !has_anchor {
                let what = if is_there { "anchor" } else { "file" };
                problems.push(format!("{}: no such {what}: {link}", page.display()));
            }
        }
    }
    Ok(problems)
}

fn leaves_the_book(link: &str) -> bool {
    ["http://", "https://", "mailto:", "data:", "javascript:"]
        .iter()
        .any(|scheme| link.starts_with(scheme))
}

/// The file a page's relative link names.
pub fn beside(page: &Path, link: &str) -> PathBuf {
    let mut path = page.parent().map(Path::to_path_buf).unwrap_or_default();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path
}

/// Every page below a folder, by its path in it.
fn pages(folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let (mut pages, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).with_context(|| next.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                // Parts that chapters include are no pages: their links count from the chapter.
                if path.file_name().is_none_or(|name| name != "generated") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "html") {
                let html =
                    std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                pages.push((path.strip_prefix(folder)?.to_path_buf(), html));
            }
        }
    }
    pages.sort();
    Ok(pages)
}

/// The values of an attribute, as mdBook writes it: ` name="value"`.
fn values(html: &str, attribute: &str) -> BTreeSet<String> {
    let opening = format!(" {attribute}=\"");
    let found = html.split(opening.as_str()).skip(1).filter_map(|rest| rest.split('"').next());
    found.map(|value| value.replace("&amp;", "&").replace("%20", " ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_without_a_definition_is_found() {
        assert_eq!(undefined("[a][b], [c], [d][], `[e][f]`, \\[g\\][h], [i](j.md)"), ["b", "d"]);
        assert!(undefined("[a][b]\n\n[b]: c.md\n").is_empty());
    }

    #[test]
    fn files_and_anchors_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, html: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, html).unwrap();
        };
        let link = |to: &str| format!("<a href=\"{to}\">x</a>");
        write("one.html", &(link("two.html#here") + &link("#own") + "<p id=\"own\"></p>"));
        write("two.html", "<h1 id=\"here\"></h1><a href=\"https://nowhere.invalid/#x\">x</a>");
        write("in/three.html", &(link("../two.html") + "<img src=\"figure.svg\">"));
        write("in/figure.svg", "");
        assert_eq!(dead(folder.path()).unwrap(), Vec::<String>::new());
        write("two.html", &(link("one.html#gone") + &link("gone.html") + &link("#gone")));
        let expected = [
            "one.html: no such anchor: two.html#here",
            "two.html: no such anchor: #gone",
            "two.html: no such file: gone.html",
            "two.html: no such anchor: one.html#gone",
        ];
        assert_eq!(dead(folder.path()).unwrap(), expected);
    }
}
