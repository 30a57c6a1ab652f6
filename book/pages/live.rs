//! What the book's experiments load: the page's own modules, the crates as WebAssembly with their door to JavaScript, the
//! model, the methods with their defaults, and the lines of code that are shown.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use finetune::{Plan, Sweep};
use methods::Method;
use serde_json::{Value, json};
use wasm_bindgen_cli_support::Bindgen;

use crate::excerpts::readable;

/// With and without SIMD: the page loads the one that the browser can run.
const BUILDS: [&str; 2] = ["simd", "plain"];

/// Problems a step, unless the reader says more: a quarter of the command line's, for a phone.
const BATCH: usize = 8;

/// Fills `html/live`. `built` holds `simd.wasm` and `plain.wasm`; without them the pages keep their still text.
pub fn write(root: &Path, html: &Path, built: Option<&Path>) -> Result<()> {
    let folder = html.join("live");
    std::fs::create_dir_all(&folder)?;
    for entry in std::fs::read_dir(root.join("book/live/page"))? {
        let path = entry?.path();
        let text = std::fs::read(&path)?;
        let name = path.file_name().context("a file has a name")?;
        std::fs::write(folder.join(name), if built.is_some() { &text[..] } else { &[] })?;
    }
    let Some(built) = built else { return Ok(()) };
    for build in BUILDS {
        let wasm = built.join(format!("{build}.wasm"));
        let mut bindgen = Bindgen::new();
        bindgen
            .web(true)?
            .omit_default_module_path(false)
            .typescript(false)
            .input_path(&wasm)
            .out_name("live");
        bindgen.remove_name_section(true).remove_producers_section(true);
        bindgen.generate(folder.join(build)).with_context(|| wasm.display().to_string())?;
    }
    let model = root.join("crates/llama/assets/tiny.safetensors");
    std::fs::copy(model, folder.join("tiny.safetensors"))?;
    let code = code(root)?;
    std::fs::write(folder.join("methods.json"), methods(&code).to_string())?;
    std::fs::write(folder.join("code.json"), json!(code).to_string())?;
    Ok(())
}

/// The anchored parts of each source file of the crates, by the file's path and the anchor's name.
type Code = BTreeMap<String, BTreeMap<String, String>>;

fn code(root: &Path) -> Result<Code> {
    let mut code = Code::new();
    for package in std::fs::read_dir(root.join("crates"))? {
        let sources = package?.path().join("src");
        for entry in std::fs::read_dir(&sources).with_context(|| sources.display().to_string())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                let mut anchors = anchors(&std::fs::read_to_string(&path)?);
                anchors.values_mut().for_each(|text| *text = readable(text));
                if !anchors.is_empty() {
                    code.insert(path.strip_prefix(root)?.display().to_string(), anchors);
                }
            }
        }
    }
    Ok(code)
}

fn anchors(source: &str) -> BTreeMap<String, String> {
    let mut anchors = BTreeMap::new();
    for part in source.split("// ANCHOR: ").skip(1) {
        let Some((name, rest)) = part.split_once('\n') else { continue };
        let Some((text, _)) = rest.split_once(&format!("// ANCHOR_END: {name}\n")) else {
            continue;
        };
        anchors.insert(name.to_owned(), text.trim_end().to_owned());
    }
    anchors
}

/// Each method with its options as they are when nothing is said, the best rate of the book's sweep, and its code.
fn methods(code: &Code) -> Value {
    let sweep = Sweep::embedded();
    let one = |method: &Method| {
        let plan = Plan::embedded(*method, f64::NAN);
        let options = method.options().into_iter();
        let options: BTreeMap<_, _> = options.map(|option| (option.name, option.default)).collect();
        let file = match method {
            Method::Full => "crates/adapter/src/full.rs".to_owned(),
            method => format!("crates/{method}/src/cpu.rs"),
        };
        let has = |name: &&str| code.get(&file).is_some_and(|anchors| anchors.contains_key(*name));
        let anchors: Vec<_> = ["forward", "backward", "step"].into_iter().filter(has).collect();
        json!({
            "name": method.name(),
            "label": method.label(),
            "options": options,
            "run": {"lr": sweep.rate(&plan.row()), "batch": BATCH, "steps": plan.steps},
            "code": {"file": file, "anchors": anchors},
        })
    };
    Method::ALL.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_source_file_is_found_by_its_anchor() {
        let source = "// ANCHOR: a\nfn a() {}\n// ANCHOR_END: a\nfn b() {}\n    // ANCHOR: ab\n    fn c() {}\n    \
                      // ANCHOR_END: ab\n// ANCHOR: open\n";
        let expected = [("a", "fn a() {}"), ("ab", "    fn c() {}")];
        assert_eq!(anchors(source), expected.map(|(a, b)| (a.to_owned(), b.to_owned())).into());
    }

    #[test]
    fn every_method_has_a_rate_and_lines_to_show() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for method in methods(&code(root).unwrap()).as_array().unwrap() {
            assert!(method["run"]["lr"].as_f64().is_some_and(|lr| lr > 0.0), "{method}");
            assert!(!method["code"]["anchors"].as_array().unwrap().is_empty(), "{method}");
        }
    }
}
