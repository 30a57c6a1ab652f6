//! Bytes of a file to text or to records.

use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde_json::{Map, Value};

use super::wrong;
use crate::{Error, Result};

/// What a file holds.
pub(super) enum Content {
    /// One text, to be cut into blocks.
    Text(String),
    /// Rows.
    Records(Vec<Record>),
}

/// A row as it is in the file.
pub(super) struct Record {
    /// Where it is: `line 3`.
    pub place: String,
    /// Its columns.
    pub fields: Map<String, Value>,
}

enum Format {
    Text,
    Json,
    Csv(u8),
}

/// What messages call the file.
pub(super) fn name(path: &Path) -> String {
    if is_standard_input(path) { "standard input".to_owned() } else { path.display().to_string() }
}

fn is_standard_input(path: &Path) -> bool {
    path == Path::new("-")
}

/// Read a file, or standard input for `-`.
pub(super) fn read(path: &Path) -> Result<Content> {
    let format = format(path)?;
    let io = |source| Error::Io { path: name(path).into(), source };
    let mut bytes = Vec::new();
    match is_standard_input(path) {
        true => std::io::stdin().lock().read_to_end(&mut bytes).map_err(io)?,
        false => std::fs::File::open(path)
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .map_err(io)?,
    };
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut plain).map_err(io)?;
        bytes = plain;
    }
    let text = text(bytes).map_err(|reason| wrong(path, &reason))?;
    let records = match format {
        Format::Text => return Ok(Content::Text(text)),
        Format::Json if text.trim_start().starts_with('[') => array(&text),
        Format::Json => lines(&text),
        Format::Csv(delimiter) => table(&text, delimiter),
    };
    let records = records.map_err(|reason| wrong(path, &reason))?;
    if records.is_empty() {
        return Err(wrong(
            path,
            "it is empty: give rows, such as lines of {\"prompt\": …, \"completion\": …}",
        ));
    }
    Ok(Content::Records(records))
}

/// By the end of the name, in letters of either case.
fn format(path: &Path) -> Result<Format> {
    if is_standard_input(path) {
        return Ok(Format::Json);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "txt" => Ok(Format::Text),
        "jsonl" | "ndjson" | "json" => Ok(Format::Json),
        "csv" => Ok(Format::Csv(b',')),
        "tsv" => Ok(Format::Csv(b'\t')),
        "parquet" | "arrow" => Err(wrong(
            path,
            "this format is not read: with Hugging Face's datasets, `ds.to_json(\"data.jsonl\")` writes one that is",
        )),
        _ => Err(wrong(
            path,
            "data ends in .txt, .jsonl, .ndjson, .json, .csv or .tsv, with .gz or without",
        )),
    }
}

/// UTF-8, without the mark that some programs write before it.
fn text(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("it is UTF-16 and not UTF-8 text: save it as UTF-8".into());
    }
    let text = String::from_utf8(bytes).map_err(|error| format!("not UTF-8 text: {error}"))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn lines(text: &str) -> Result<Vec<Record>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let record = |(i, line)| {
        let place = format!("line {}", i + 1);
        match serde_json::from_str(line) {
            Ok(fields) => Ok(Record { place, fields }),
            Err(error) => Err(format!("{place}: not a JSON object: {error}")),
        }
    };
    lines.map(record).collect()
}

fn array(text: &str) -> Result<Vec<Record>, String> {
    let rows: Vec<Map<String, Value>> = serde_json::from_str(text)
        .map_err(|error| format!("not a list of JSON objects: {error}"))?;
    let record = |(i, fields)| Record { place: format!("row {}", i + 1), fields };
    Ok(rows.into_iter().enumerate().map(record).collect())
}

fn table(text: &str, delimiter: u8) -> Result<Vec<Record>, String> {
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
    let says = |error: csv::Error| error.to_string();
    let names = reader.headers().map_err(says)?.clone();
    let record = |(i, record): (usize, csv::Result<csv::StringRecord>)| {
        let values = record.map_err(says)?;
        let cell = |(name, value): (&str, &str)| (name.trim().to_owned(), value.into());
        Ok(Record {
            place: format!("row {}", i + 1),
            fields: names.iter().zip(&values).map(cell).collect(),
        })
    };
    reader.records().enumerate().map(record).collect()
}
