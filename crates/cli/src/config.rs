//! `--config run.toml`: the options of an earlier run, and those of this one as such a file.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use crate::method_args;

/// What a run is not described by: where its result goes, whether it was made in one go, and this file itself.
const LEFT_OUT: [&str; 4] = ["config", "out", "overwrite", "resume"];

/// Of these one is said in the place of the other.
const INSTEAD: [[&str; 2]; 2] = [["steps", "epochs"], ["init-adapter", "resume"]];

/// The arguments, with the options that the file of `--config` has. An option that is also given on the command line
/// is taken from there.
///
/// # Errors
/// The file cannot be read, is no such file, or belongs to another command.
pub fn expand(arguments: Vec<OsString>) -> Result<Vec<OsString>> {
    let Some(path) = value_of(&arguments, "config") else {
        return Ok(arguments);
    };
    let options = read(Path::new(&path), arguments.get(1).and_then(|verb| verb.to_str()));
    let options = options.with_context(|| format!("--config {}", path.display()))?;
    let typed = |name: &str| arguments.iter().any(|argument| is_option(argument, name));
    let given = |name: &str| {
        let instead = INSTEAD.iter().filter(|pair| pair.contains(&name)).flatten();
        typed(name) || instead.into_iter().any(|other| typed(other))
    };
    let mut more = Vec::new();
    for (name, value) in options {
        if given(&name) {
            continue;
        }
        let option = OsString::from(format!("--{name}"));
        match value {
            toml::Value::Boolean(false) => {}
            toml::Value::Boolean(true) => more.push(option),
            toml::Value::String(text) => more.extend([option, text.into()]),
            toml::Value::Array(values) => {
                let texts: Option<Vec<&str>> = values.iter().map(toml::Value::as_str).collect();
                let texts =
                    texts.with_context(|| format!("{name} is {values:?}: texts are needed"))?;
                more.extend([option, texts.join(",").into()]);
            }
            number => more.extend([option, number.to_string().into()]),
        }
    }
    let mut arguments = arguments;
    arguments.splice(2..2, more);
    Ok(arguments)
}

/// The options that were given, by name.
pub fn given(command: &Command, matches: &ArgMatches) -> Vec<(String, Value)> {
    let mut given = Vec::new();
    for argument in command.get_arguments() {
        let name = argument.get_id().as_str();
        let Some(long) = argument.get_long().filter(|long| !LEFT_OUT.contains(long)) else {
            continue;
        };
        if matches.value_source(name) != Some(ValueSource::CommandLine) {
            continue;
        }
        if !argument.get_action().takes_values() {
            given.push((long.to_owned(), json!(true)));
            continue;
        }
        let texts = matches.get_raw(name).into_iter().flatten();
        let texts: Vec<String> = texts.map(|text| text.to_string_lossy().into_owned()).collect();
        given.push((long.to_owned(), json!(texts.join(","))));
    }
    let resumed = matches.try_get_raw("resume").ok().flatten().and_then(|mut paths| paths.next());
    let before = resumed.map(|path| started_with(Path::new(path))).unwrap_or_default();
    for (name, value) in before {
        if !given.iter().any(|(other, _)| *other == name) {
            given.push((name, value));
        }
    }
    given
}

/// What a run was started with and need not be told again: it is still described by that when it has gone on.
fn started_with(resumed: &Path) -> Vec<(String, Value)> {
    let path = ::finetune::run_of(resumed).join(::finetune::RUN);
    let options = read(&path, Some("finetune")).unwrap_or_default();
    let kept = |name: &str| name == "init-adapter" || method_args::is_option(name);
    let options = options.into_iter().filter(|(name, _)| kept(name));
    options.filter_map(|(name, value)| Some((name, serde_json::to_value(value).ok()?))).collect()
}

fn read(path: &Path, verb: Option<&str>) -> Result<toml::Table> {
    let text = std::fs::read_to_string(path)?;
    let mut table: toml::Table = text.parse()?;
    match table.get("command").and_then(toml::Value::as_str) {
        Some(command) if verb == Some(command) => {}
        Some(command) => bail!("it is for lowrank {command}"),
        None => bail!("it has no `command`, which says what the options are for"),
    }
    match table.remove("options") {
        Some(toml::Value::Table(options)) => Ok(options),
        _ => bail!("it has no table `[options]`"),
    }
}

/// `--name VALUE` or `--name=VALUE`.
fn value_of(arguments: &[OsString], name: &str) -> Option<OsString> {
    let place = arguments.iter().position(|argument| is_option(argument, name))?;
    let equals = format!("--{name}=");
    match arguments[place].to_str().and_then(|text| text.strip_prefix(&equals)) {
        Some(value) => Some(value.into()),
        None => arguments.get(place + 1).cloned(),
    }
}

fn is_option(argument: &OsStr, name: &str) -> bool {
    let rest = argument.to_str().and_then(|text| text.strip_prefix("--")?.strip_prefix(name));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}
