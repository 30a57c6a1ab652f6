//! The book, the crates' documentation and the vectors as one folder of static files, with a page in front.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::process::{cargo, command, run};
use crate::workspace::{entries, read, relative, root, target};
use crate::{book, openblas};

const FRONT: &str = include_str!("site.html");
const STYLE: &str = include_str!("site.css");

/// `cargo xtask site`: fills `target/site`.
pub fn main() -> Result<()> {
    openblas::ensure()?;
    book::check_fences()?;
    book::built()?;
    let mut doc = cargo();
    run(doc.args(["doc", "--workspace", "--no-deps"]), "mend what is listed above")?;

    let site = target().join("site");
    if site.exists() {
        std::fs::remove_dir_all(&site)?;
    }
    copy(&root().join("book/book/html"), &site.join("book"))?;
    copy(&target().join("doc"), &site.join("api"))?;
    let vectors = root().join("tests/vectors");
    copy(&vectors, &site.join("vectors"))?;
    let mut archive = command("tar", ["-czf"]);
    archive.arg(site.join("vectors.tar.gz")).arg("-C").arg(root().join("tests")).arg("vectors");
    run(&mut archive, "install tar")?;

    let (list, cases) = cases(&vectors)?;
    let pages = [
        ("index.html", FRONT.replace("{crates}", &crates()?).replace("{cases}", &cases)),
        ("vectors/index.html", list),
        ("site.css", STYLE.to_owned()),
    ];
    for (name, text) in &pages {
        std::fs::write(site.join(name), text)?;
    }
    for (name, text) in &pages {
        let dead = dead(&site.join(name), text);
        ensure!(dead.is_empty(), "{name} has links that lead nowhere in the site: {dead:?}");
    }
    println!("{}", relative(&site.join("index.html")));
    Ok(())
}

/// A folder and all that is in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for path in entries(from)? {
        let name = path.file_name().context("an entry has a name")?;
        // What cargo keeps for itself.
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        let copied = to.join(name);
        if path.is_dir() {
            copy(&path, &copied)?;
        } else {
            std::fs::copy(&path, &copied).with_context(|| relative(&path))?;
        }
    }
    Ok(())
}

/// Each crate with its description, as entries of a list.
fn crates() -> Result<String> {
    let mut list = Vec::new();
    for folder in entries(&root().join("crates"))? {
        // A program has no documentation to link.
        if !folder.join("src/lib.rs").is_file() {
            continue;
        }
        let manifest = read(&folder.join("Cargo.toml"))?;
        let field = |name: &str| {
            let value =
                manifest.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
            value.map(|value| value.trim_matches('"').to_owned())
        };
        // The library is called after its folder, whatever the package is.
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let page = name.replace('-', "_");
        let what = field("description").with_context(|| relative(&folder))?;
        list.push(format!("<dt><a href=\"api/{page}/index.html\">{name}</a></dt><dd>{what}</dd>"));
    }
    Ok(list.join("\n"))
}

/// A page with a link to each case, and how many there are.
fn cases(vectors: &Path) -> Result<(String, String)> {
    let mut page = String::from(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>lowrank: the vectors</title>\n<link rel=\"icon\" href=\"data:,\">\n         <link rel=\"stylesheet\" href=\"../site.css\">\n\
         </head>\n<body>\n<main>\n<h1>The vectors</h1>\n<p><a href=\"README.md\">README.md</a> says how \
         a case is read and judged, <a href=\"index.json\">index.json</a> lists them with what is special, \
         <a href=\"bounds.json\">bounds.json</a> has the constants of the bounds. \
         <a href=\"../index.html\">Back</a></p>\n",
    );
    let mut count = 0;
    for method in folders(vectors)? {
        for op in folders(&method)? {
            let links: Vec<String> = entries(&op)?
                .iter()
                .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
                .map(|path| {
                    let place = path.strip_prefix(vectors).unwrap_or(path).display();
                    let name = path.file_stem().unwrap_or_default().to_string_lossy();
                    format!("<a href=\"{place}\">{name}</a>")
                })
                .collect();
            if links.is_empty() {
                continue;
            }
            count += links.len();
            let name = op.strip_prefix(vectors).unwrap_or(&op).display();
            page += &format!(
                "<details class=\"cases\"><summary>{name}: {} cases</summary>\n{}\n</details>\n",
                links.len(),
                links.join("\n")
            );
        }
    }
    ensure!(count > 0, "{} has no cases", relative(vectors));
    page += "</main>\n</body>\n</html>\n";
    Ok((page, count.to_string()))
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(entries(folder)?.into_iter().filter(|path| path.is_dir()).collect())
}

/// The links of a page that lead to no file beside it: a folder can be put anywhere only if all of them are relative.
fn dead(page: &Path, html: &str) -> Vec<String> {
    let folder = page.parent().unwrap_or(page);
    let attributes = ["href=\"", "src=\"", "srcset=\""];
    let links = attributes.into_iter().flat_map(|opening| html.split(opening).skip(1));
    let links = links.filter_map(|rest| rest.split('"').next());
    let links = links.filter(|link| !link.starts_with("data:"));
    let leads_nowhere =
        |link: &&str| link.starts_with('/') || link.contains(':') || !folder.join(link).is_file();
    links.filter(leads_nowhere).map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_is_absolute_or_leads_nowhere_is_found() {
        let page = root().join("crates/xtask/src/site.html");
        let link = |to: &str| format!("<a href=\"{to}\">x</a>");
        assert!(dead(&page, &(link("site.css") + &link("../Cargo.toml"))).is_empty());
        for wrong in ["gone.html", "/book/index.html", "https://nowhere.invalid"] {
            assert_eq!(dead(&page, &link(wrong)), [wrong]);
        }
    }

    #[test]
    fn every_library_is_listed_and_every_case() {
        let list = crates().unwrap();
        assert!(
            list.contains("<dt><a href=\"api/lora_fa/index.html\">lora-fa</a></dt><dd>"),
            "{list}"
        );
        assert!(!list.contains(">xtask<"), "{list}");
        let vectors = root().join("tests/vectors");
        let (page, count) = cases(&vectors).unwrap();
        let index = read(&vectors.join("index.json")).unwrap();
        assert_eq!(count, index.matches("\"digest\"").count().to_string());
        let outside = ["../site.css", "../index.html"];
        assert_eq!(dead(&vectors.join("index.html"), &page), outside);
    }
}
