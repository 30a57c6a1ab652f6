//! `lowrank`: fine-tune a model, compare methods, generate text, merge adapters, judge implementations. Every verb calls
//! a library.

#[macro_use]
mod output;

mod claims;
mod combine;
mod compare;
mod compare_report;
mod config;
mod examples;
mod extract;
mod finetune;
mod finetune_args;
mod fits;
mod follow;
mod generate;
mod inspect;
mod inspect_report;
mod merge;
mod method_args;
mod oracle;
mod plot;
mod plot_logs;
mod resize;
mod row_args;
mod selftest;
mod source;
mod threads;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// Fine-tune a real transformer with low-rank methods, and see what each costs and gives.
#[derive(Parser)]
#[command(name = "lowrank", version, arg_required_else_help = true)]
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
    /// Look into an adapter: singular values, ranks, norms; or how alike two are
    Inspect(inspect::Args),
    /// Make an adapter of what fine-tuning changed: the difference of two models
    Extract(extract::Args),
    /// The nearest adapter of lower rank
    Resize(resize::Args),
    /// A weighted sum of adapters as one adapter
    Combine(combine::Args),
    /// Compute the expected values of a conformance case
    Emit(oracle::EmitArgs),
    /// Judge an implementation's answers to conformance cases
    Check(oracle::CheckArgs),
    /// Find the first wrong step of a recorded training run, and where two runs part
    Follow(follow::Args),
    /// List the conformance cases
    List(oracle::ListArgs),
    /// Show one conformance case
    Show(oracle::ShowArgs),
    /// Let the oracle prove itself: make its cases again, and let every known mistake fail
    Selftest(selftest::Args),
    /// Draw the losses of runs from the logs in their folders
    Plot(plot_logs::Args),
    /// Print what a shell needs to complete these commands
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print tests/vectors/bounds.json: the constants of the error bounds, for other languages
    #[command(hide = true)]
    Bounds,
}

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        tell!("error: {}", one_line(&error));
        ExitCode::from(2)
    })
}

fn run() -> Result<ExitCode> {
    let command = examples::with(Cli::command());
    let arguments = config::expand(std::env::args_os().collect())?;
    let matches = command.clone().get_matches_from(arguments);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    // What a run's folder says it was told.
    let given = || match matches.subcommand() {
        Some((verb, matches)) => {
            let command = command.find_subcommand(verb).expect("the one that matched");
            ::finetune::run_toml(verb, &config::given(command, matches))
        }
        None => unreachable!("a command is required"),
    };
    let done = |()| ExitCode::SUCCESS;
    match cli.verb {
        Verb::Finetune(args) => finetune::main(&args, &given()).map(done),
        Verb::Compare(args) => compare::main(&args).map(done),
        Verb::Claims(args) => claims::main(&args).map(done),
        Verb::Generate(args) => generate::main(&args).map(done),
        Verb::Merge(args) => merge::main(&args, &given()).map(done),
        Verb::Inspect(args) => inspect::main(&args).map(done),
        Verb::Extract(args) => extract::main(&args).map(done),
        Verb::Resize(args) => resize::main(&args).map(done),
        Verb::Combine(args) => combine::main(&args).map(done),
        Verb::Emit(args) => oracle::emit(&args),
        Verb::Check(args) => oracle::check(&args),
        Verb::Follow(args) => follow::main(&args),
        Verb::List(args) => oracle::list(&args),
        Verb::Show(args) => oracle::show(&args),
        Verb::Selftest(args) => selftest::main(&args),
        Verb::Plot(args) => plot_logs::main(&args).map(done),
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "lowrank", &mut script);
            output::print(format_args!("{}", String::from_utf8_lossy(&script)))
                .context("standard output")?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Bounds => oracle::bounds(),
    }
}

/// An error and its causes. An error's message does not repeat its cause.
fn one_line(error: &anyhow::Error) -> String {
    format!("{error:#}").replace('\n', " ")
}
