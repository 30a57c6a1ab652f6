//! Files of rows, however they are written down. The embedded model's digits do for all of them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use finetune::{Reader, Rows, Words};
use flate2::Compression;
use flate2::write::GzEncoder;

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn reader() -> Reader {
    Reader { seq_len: 4, context: 64, ..Reader::default() }
}

fn read(path: &Path) -> Result<Rows, String> {
    reader().read(path, &Words::Digits).map_err(|error| error.to_string())
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn the_same_rows_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let lines = "{\"prompt\": \"12>\", \"completion\": \"34\", \"id\": 1}\n\n{\"id\": 2, \"prompt\": \"5>\", \"completion\": \"6\"}\n";
    let array = "[{\"prompt\": \"12>\", \"completion\": \"34\"},\n {\"prompt\": \"5>\", \"completion\": \"6\"}]";
    let csv = "id,prompt,completion\r\n1,\"12>\",34\r\n2,5>,6\r\n";
    let marked = format!("\u{feff}{lines}");
    let expected = read(&write(folder.path(), "rows.jsonl", lines.as_bytes())).unwrap().examples;
    assert_eq!(expected.len(), 2);
    assert_eq!(expected[0].tokens, [1, 2, 10, 3, 4]);
    assert_eq!(expected[0].learnt, [false, false, false, true, true]);
    for (name, bytes) in [
        ("rows.JSONL", lines.as_bytes()),
        ("rows.ndjson", lines.as_bytes()),
        ("lines.json", lines.as_bytes()),
        ("array.json", array.as_bytes()),
        ("array.jsonl", array.as_bytes()),
        ("marked.jsonl", marked.as_bytes()),
        ("rows.csv", csv.as_bytes()),
        ("marked.csv", format!("\u{feff}{csv}").as_bytes()),
        ("rows.tsv", csv.replace(',', "\t").as_bytes()),
        ("rows.jsonl.gz", &zipped(lines.as_bytes())),
        ("rows.Csv.GZ", &zipped(csv.as_bytes())),
        ("unsaid.jsonl", &zipped(lines.as_bytes())),
    ] {
        let rows = read(&write(folder.path(), name, bytes)).unwrap();
        assert_eq!(rows.examples, expected, "{name}");
        assert!(rows.notes.is_empty(), "{name}: {:?}", rows.notes);
    }
}

#[test]
fn columns_by_other_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "rows.csv", b"question,answer\n12>,34\n");
    let fields = [("prompt", "question"), ("completion", "answer")]
        .map(|(name, column)| (name.to_owned(), column.to_owned()))
        .into();
    let rows = Reader { fields, ..reader() }.read(&path, &Words::Digits).unwrap();
    assert_eq!(rows.examples[0].tokens, [1, 2, 10, 3, 4]);
    // Two columns may change their names.
    let swapped = write(folder.path(), "swapped.csv", b"completion,prompt\n12>,34\n");
    let fields = [("prompt", "completion"), ("completion", "prompt")]
        .map(|(name, column)| (name.to_owned(), column.to_owned()))
        .into();
    let rows = Reader { fields, ..reader() }.read(&swapped, &Words::Digits).unwrap();
    assert_eq!(rows.examples[0].tokens, [1, 2, 10, 3, 4]);
    // A column that is named and not read would be left out without a word.
    let fields = [("prompt", "question"), ("completion", "answer"), ("system", "answer")];
    let fields = fields.map(|(name, theirs)| (name.to_owned(), theirs.to_owned())).into();
    let error = Reader { fields, ..reader() }.read(&path, &Words::Digits).unwrap_err().to_string();
    assert!(
        error.contains("\"answer\" as system, which is not read beside prompt, completion"),
        "{error}"
    );
    let fields = [("prompt".to_owned(), "query".to_owned())].into();
    let error = Reader { fields, ..reader() }.read(&path, &Words::Digits).unwrap_err().to_string();
    assert!(
        error.contains("row 1: --fields names the column \"query\", which is missing"),
        "{error}"
    );
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let good = "{\"prompt\": \"1>\", \"completion\": \"1\"}\n";
    let zip = zipped(good.as_bytes());
    for (name, bytes, expected) in [
        ("a.jsonl", format!("{good}{{\"prompt\": 3").as_bytes(), "line 2: not a JSON object"),
        ("b.json", b"[1, 2]".as_slice(), "not a list of JSON objects"),
        ("c.jsonl", b"\n \n", "is empty"),
        ("d.jsonl", b"\xff\xfe{\0}\0", "UTF-16"),
        ("e.jsonl", b"{\"text\": \"\xe9\"}", "not UTF-8"),
        ("f.csv", b"prompt,completion\n1>,2,3\n", "found record with 3 fields"),
        ("g.csv", b"", "is empty"),
        ("h.jsonl.gz", &zip[..zip.len() - 9], "h.jsonl.gz"),
        ("i.parquet", b"PAR1", "ds.to_json(\"data.jsonl\")"),
        ("j.xlsx", b"PK", "data ends in .txt"),
        // Held-out rows are read the same way, and a row without a target has no score.
        (
            "k.jsonl",
            format!("{good}{{\"prompt\": \"123>\", \"completion\": \"\"}}").as_bytes(),
            "line 2: it has nothing to predict",
        ),
        (
            "l.jsonl",
            format!("{good}{{\"text\": \"1\"}}").as_bytes(),
            "line 2: it has nothing to predict",
        ),
    ] {
        let error = read(&write(folder.path(), name, bytes)).unwrap_err();
        assert!(error.contains(expected), "{name}: {error}");
    }
}

/// Rows and blocks that are longer than what the model was made for are counted.
#[test]
fn what_is_longer_than_the_context_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "{\"text\": \"123\"}\n{\"text\": \"123456\"}\n{\"text\": \"12345\"}\n";
    let path = write(folder.path(), "rows.jsonl", rows.as_bytes());
    let notes = Reader { context: 4, ..reader() }.read(&path, &Words::Digits).unwrap().notes;
    assert_eq!(notes.len(), 1);
    assert!(
        notes[0].contains("2 of 3 examples are longer than the model's context of 4"),
        "{notes:?}"
    );
    let path = write(folder.path(), "text.txt", b"123456789");
    let notes = Reader { context: 3, ..reader() }.read(&path, &Words::Digits).unwrap().notes;
    assert!(notes.iter().any(|note| note.contains("2 of 2 examples are longer")), "{notes:?}");
    assert!(notes.iter().any(|note| note.contains("the last 1 tokens")), "{notes:?}");
}
