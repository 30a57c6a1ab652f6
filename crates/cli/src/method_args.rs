//! The options that say which method, and what it is told. Which there are is in the crate `methods`: nothing here
//! knows a method by name.

use anyhow::{Result, anyhow};
use clap::builder::PossibleValuesParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, Error};
use llama::Projection;
use methods::{Method, OptionInfo, Setting};
use serde_json::Value;

/// One method, and what it was told by name.
#[derive(Clone, Debug)]
pub struct MethodArgs {
    pub method: Method,
    pub given: Vec<(String, String)>,
}

impl clap::Args for MethodArgs {
    fn augment_args(command: Command) -> Command {
        let names = Method::ALL.iter().map(|method| method.name());
        let method = Arg::new("method").long("method").help("Method").value_name("METHOD");
        let method = method.default_value("lora");
        let command = command.arg(method.value_parser(PossibleValuesParser::new(names)));
        options().into_iter().fold(command, |command, option| command.arg(option.arg()))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for MethodArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let name = matches.get_one::<String>("method").expect("it has a default");
        let given = options().into_iter().filter_map(|OfMethods { option, .. }| {
            let name = option.name;
            let was_given = matches.value_source(name) == Some(ValueSource::CommandLine);
            let value = || match option.flag {
                true => matches.get_flag(name).to_string(),
                false => matches.get_one::<String>(name).expect("it was given").clone(),
            };
            was_given.then(|| (name.to_owned(), value()))
        });
        Ok(Self {
            method: name.parse().expect("one of the possible values"),
            given: given.collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// An option, and the methods that have it with their defaults.
struct OfMethods {
    option: OptionInfo,
    methods: Vec<(Method, Value)>,
}

/// Every option of every method, each once.
fn options() -> Vec<OfMethods> {
    let mut all: Vec<OfMethods> = Vec::new();
    for &method in Method::ALL {
        for option in method.options() {
            let has = (method, option.default.clone());
            match all.iter_mut().find(|other| other.option.name == option.name) {
                Some(known) => known.methods.push(has),
                None => all.push(OfMethods { option, methods: vec![has] }),
            }
        }
    }
    all
}

/// Is it an option of a method?
pub fn is_option(name: &str) -> bool {
    options().iter().any(|OfMethods { option, .. }| option.name == name)
}

impl OfMethods {
    fn arg(&self) -> Arg {
        let OptionInfo { name, help, values, flag, .. } = self.option;
        let mut arg = Arg::new(name).long(name);
        if flag {
            return self.headed(arg.help(help).action(ArgAction::SetTrue));
        }
        let help = format!("{help} [default: {}]", self.defaults());
        arg = arg.help(help).value_name("VALUE");
        if !values.is_empty() {
            arg = arg.value_parser(PossibleValuesParser::new(values));
        }
        self.headed(arg)
    }

    /// An option of one method stands under that method's name.
    fn headed(&self, arg: Arg) -> Arg {
        match self.methods.as_slice() {
            [(method, _)] => arg.help_heading(method.label()),
            _ => arg,
        }
    }

    /// `8; 256 for vera`.
    fn defaults(&self) -> String {
        let shown = |value: &Value| match value {
            Value::String(text) => text.clone(),
            // Without a point where there is nothing behind it.
            other => other.as_f64().map_or_else(|| other.to_string(), |number| number.to_string()),
        };
        let (_, usual) = &self.methods[0];
        let others = self.methods.iter().filter(|(_, default)| default != usual);
        let others = others.map(|(method, default)| format!("; {} for {method}", shown(default)));
        shown(usual) + &others.collect::<String>()
    }
}

/// # Errors
/// A name that is no projection's, nor `all-linear`.
pub fn targets(names: &[String]) -> Result<Vec<Projection>> {
    Setting::parse(&names.join(",")).map_err(|reason: String| anyhow!(reason))
}
