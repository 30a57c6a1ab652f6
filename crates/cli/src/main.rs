//! `lowrank`: fine-tune a model, compare methods, generate text, merge adapters. Every verb calls a library.

mod claims;
mod compare;
mod compare_report;
mod finetune;
mod finetune_args;
mod generate;
mod merge;
mod method_args;
mod output;
mod plot;
mod source;
mod threads;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Fine-tune a real transformer with low-rank methods, and see what each costs and gives.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Fine-tune a model with one method
    Finetune(Box<finetune_args::Args>),
    /// Fine-tune the same model with several methods and put the results side by side
    Compare(compare::Args),
    /// What the papers claim, and what comes out when it is computed
    Claims(claims::Args),
    /// Continue a prompt
    Generate(generate::Args),
    /// Merge an adapter into its model and write the result as a Hugging Face folder
    Merge(merge::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::Finetune(args) => finetune::main(&args),
        Verb::Compare(args) => compare::main(&args),
        Verb::Claims(args) => claims::main(&args),
        Verb::Generate(args) => generate::main(&args),
        Verb::Merge(args) => merge::main(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, whatever the libraries below put into their messages.
            let message = format!("{error:#}").replace('\n', " ");
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}
