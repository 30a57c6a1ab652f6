//! `lowrank compare`: the same model, data and number of steps, one method after the other.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::builder::PossibleValuesParser;
use finetune::{Data, Outcome, Plan, Record, Step, Store, Sweep, WEIGHTS, digest};
use llama::data::Example;
use llama::{Llama, Projection};
use methods::{Method, Row};
use serde_json::{Value, json};

use crate::compare_report::{self, Runs};
use crate::method_args::targets;
use crate::output::{self, Format, Progress};
use crate::row_args::RowArgs;
use crate::source::Source;
use crate::threads;

/// The terms of the committed learning rates, beside the embedded model's steps and batch.
const RANK: usize = 8;
const ALPHA: f64 = 16.0;
const TARGETS: &str = "q_proj,v_proj";

/// The options of `lowrank compare`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Model: a Hugging Face folder, a .gguf file, or a hub id [default: the embedded model and its task]
    #[arg(long, value_name = "DIR|FILE.gguf|HUB_ID", requires = "data")]
    model: Option<String>,
    /// Data, as for `lowrank finetune`; of every ten examples one is held out to choose rates by, one to report on
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Methods to compare [default: all]
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(Row::all().iter().map(|row| row.name)))]
    methods: Option<Vec<String>>,
    /// Updates for each method [default: 400 for the embedded model, 100 for others]
    #[arg(long)]
    steps: Option<usize>,
    /// Sequences in a batch [default: 32 for the embedded model, 1 for others]
    #[arg(long)]
    batch: Option<usize>,
    #[command(flatten)]
    rows: RowArgs,
    /// r of all but vera, whose is 256
    #[arg(long, default_value_t = RANK)]
    rank: usize,
    /// α
    #[arg(long, default_value_t = ALPHA)]
    alpha: f64,
    /// Projections to adapt; or all-linear
    #[arg(long, value_delimiter = ',', default_value = TARGETS)]
    targets: Vec<String>,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Find the learning rates anew [default: the committed ones for the embedded model; for others they are always found]
    #[arg(long)]
    sweep: bool,
    /// Take the learning rates from a sweep.json that --sweep wrote
    #[arg(long, value_name = "FILE", conflicts_with = "sweep")]
    rates: Option<PathBuf>,
    /// Make every run anew, and do not read those that the folder has; those of other terms are moved to OUT/earlier-1
    #[arg(long)]
    fresh: bool,
    /// Threads that compute [default: one for each core]
    #[arg(long)]
    threads: Option<usize>,
    /// Folder for the plots, the sweep and the finished runs: the same command again goes on with it
    #[arg(long, value_name = "DIR", default_value = "compare")]
    out: PathBuf,
    /// No progress and no notes on standard error
    #[arg(long)]
    quiet: bool,
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// What is held in common by all runs.
struct Comparison {
    model: Llama<f32>,
    terms: Plan,
    /// Whose change is decomposed.
    targets: Vec<Projection>,
    examples: Examples,
    store: Store,
    fresh: bool,
    threads: usize,
    /// Are the learning rates those that were found for the embedded model?
    committed: bool,
    /// How many runs were read and not made.
    kept: Cell<usize>,
}

enum Examples {
    /// The embedded model's task.
    Embedded,
    /// To train on, to choose rates by, to report on.
    Split([Vec<Example>; 3]),
}

#[derive(Clone, Copy, PartialEq)]
enum Purpose {
    Sweep,
    Report,
}

/// Added to a sweep's seed: its runs are not those that are reported.
const SWEEP_SEED: u64 = 10_000;

/// `lowrank compare`.
pub fn main(args: &Args) -> Result<()> {
    let threads = threads::set(args.threads)?;
    if args.quiet {
        output::be_quiet();
    }
    if args.seeds == 0 || args.steps == Some(0) {
        bail!("--seeds and --steps are at least 1");
    }
    let Some(last) = args.seed.checked_add(args.seeds) else {
        bail!("--seed is {}: with --seeds {} the last one is too large", args.seed, args.seeds);
    };
    let rows = rows(args.methods.as_deref());
    // Before the folder that it may be in makes room for another comparison.
    let given = args.rates.as_deref().map(read_rates).transpose()?;
    if let Some(given) = &given {
        for row in &rows {
            rate(given, row)?;
        }
    }
    let comparison = Comparison::new(args, threads)?;
    let sweep = match given {
        Some(given) => given,
        None => comparison.rates(args, &rows)?,
    };
    let mut all = Vec::new();
    for row in rows {
        let lr = rate(&sweep, &row)?;
        let mut records = Vec::new();
        for seed in args.seed..last {
            let record = comparison.run(Purpose::Report, &row, lr, seed)?;
            let record = record.with_context(|| format!("{row} diverged at lr {lr}"))?;
            if args.format == Format::Json {
                let mut line = json!(record);
                line["method"] = json!(row.name);
                say!("{line}");
            }
            records.push(record);
        }
        all.push(Runs { row, records });
    }
    let plots = compare_report::plots(&all, &args.out)?;
    if args.format == Format::Table {
        compare_report::print(&all, comparison.has_answers());
        comparison.explain(&all, args);
        if comparison.kept.get() > 0 {
            say!("{} runs were there already; --fresh makes them anew.", comparison.kept.get());
        }
        say!("plots: {}", plots.map(|plot| plot.display().to_string()).join(", "));
    }
    Ok(())
}

fn read_rates(path: &Path) -> Result<Sweep> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

fn rate(sweep: &Sweep, row: &Row) -> Result<f64> {
    let rate = sweep.rate(row);
    rate.with_context(|| format!("no learning rate is known for {row}: --sweep finds one"))
}

/// The rows that were asked for, in the order asked; all if none was.
fn rows(names: Option<&[String]>) -> Vec<Row> {
    let all = Row::all();
    let Some(names) = names else { return all };
    let named = |name: &String| all.iter().find(|row| row.name == name).copied();
    names.iter().filter_map(named).collect()
}

impl Comparison {
    fn new(args: &Args, threads: usize) -> Result<Self> {
        let source = Source::load(args.model.as_deref())?;
        let (examples, digest) = match &args.data {
            None => (Examples::Embedded, None),
            Some(path) => {
                let context = source.model.config.max_position_embeddings;
                let all = args.rows.read(path, &source.words, context)?;
                let digest = digest::of_examples(&all);
                let split = Data::split(all).with_context(|| path.display().to_string())?;
                (Examples::Split(split), Some(digest))
            }
        };
        let default = match &args.model {
            None => Plan::embedded(Method::Lora, f64::NAN),
            Some(_) => Plan::new(Method::Lora),
        };
        let targets = targets(&args.targets)?;
        let options = [
            ("rank", args.rank.to_string()),
            ("alpha", args.alpha.to_string()),
            ("targets", args.targets.join(",")),
        ];
        let terms = Plan {
            options: options.map(|(name, value)| (name.to_owned(), value)).into(),
            steps: args.steps.unwrap_or(default.steps),
            batch: args.batch.unwrap_or(default.batch),
            ..default
        };
        let shared: [(&str, Value); 9] = [
            ("model", json!(args.model.as_deref().unwrap_or("embedded"))),
            (WEIGHTS, json!(digest::of_model(&source.model))),
            ("data", json!(digest)),
            ("steps", json!(terms.steps)),
            ("batch", json!(terms.batch)),
            ("schedule", json!(format!("{:?}", terms.decay))),
            ("rank", json!(args.rank)),
            ("alpha", json!(args.alpha)),
            ("targets", json!(args.targets)),
        ];
        let shared = shared.map(|(name, value)| (name.to_owned(), value)).into();
        let store = Store::open(&args.out, &shared, args.fresh)?;
        let committed = args.data.is_none() && !args.sweep && args.rates.is_none();
        Ok(Self {
            model: source.model,
            terms,
            targets,
            examples,
            store,
            fresh: args.fresh,
            threads,
            committed,
            kept: Cell::new(0),
        })
    }

    /// A sweep that is committed, or made.
    fn rates(&self, args: &Args, rows: &[Row]) -> Result<Sweep> {
        if self.committed {
            return Ok(Sweep::embedded());
        }
        let mut sweep = Sweep::default();
        for row in rows {
            let seed = args.seed.wrapping_add(SWEEP_SEED);
            let trials = Sweep::of(|lr| {
                let outcome = self.run(Purpose::Sweep, row, lr, seed)?;
                Ok::<_, anyhow::Error>(outcome.map(|record| record.after.loss))
            })?;
            sweep.trials.insert(row.name.to_owned(), trials);
        }
        self.store.put_sweep(&sweep)?;
        if args.format == Format::Table {
            compare_report::print_sweep(&sweep, rows);
        } else {
            say!("{}", json!(sweep));
        }
        Ok(sweep)
    }

    /// A run, made or read from the folder. `None` if it diverged.
    fn run(&self, purpose: Purpose, row: &Row, lr: f64, seed: u64) -> Result<Outcome> {
        let kept_as = if purpose == Purpose::Sweep { "sweep" } else { "run" };
        if !self.fresh
            && let Some(outcome) = self.store.get(kept_as, row, lr, seed)?
        {
            self.kept.set(self.kept.get() + 1);
            return Ok(outcome);
        }
        let plan = self.terms.of_row(row, lr, seed);
        let mut data = match &self.examples {
            Examples::Embedded => Data::embedded(&plan, Some(seed))?,
            Examples::Split([training, _, report]) => {
                Data::new(training.clone(), report.clone(), Some(seed))?
            }
        };
        if purpose == Purpose::Sweep {
            data.held_out = match &self.examples {
                Examples::Embedded => Data::embedded_for_choosing(),
                Examples::Split([_, choosing, _]) => choosing.clone(),
            };
        }
        let bar = Progress::new(plan.steps, row.name);
        let mut progress = |Step { report, .. }: &Step| {
            bar.advance(format!("{kept_as}, lr {lr}, seed {seed}: loss {:.4}", report.loss));
        };
        let outcome = match finetune::run(&plan, &self.model, &data, &self.targets, &mut progress) {
            Ok(record) => Some(Record { threads: Some(self.threads), ..record }),
            Err(error) if error.is_divergence() => None,
            Err(error) => return Err(error.into()),
        };
        bar.finish();
        self.store.put(kept_as, row, lr, seed, &outcome)?;
        Ok(outcome)
    }

    /// Do held-out examples have a prompt and an answer, or are they plain text?
    fn has_answers(&self) -> bool {
        match &self.examples {
            Examples::Embedded => true,
            Examples::Split([.., report]) => report.iter().any(Example::is_answer),
        }
    }

    /// What the table shows, in sentences.
    fn explain(&self, runs: &[Runs], args: &Args) {
        let Plan { steps, batch, .. } = self.terms;
        let what = match self.examples {
            Examples::Embedded => {
                "The embedded model sorts 8 digits upwards and is taught to sort downwards"
            }
            Examples::Split(_) => "The model is trained on eight tenths of the data",
        };
        let several = match args.seeds {
            1 => String::new(),
            seeds => format!(", medians of {seeds} seeds (and range)"),
        };
        let of_sweep = Plan::embedded(Method::Lora, f64::NAN);
        let swept = (of_sweep.steps, of_sweep.batch, RANK, ALPHA, TARGETS);
        let same = swept == (steps, batch, args.rank, args.alpha, &args.targets.join(","));
        let rates = match &args.rates {
            Some(path) => format!("The learning rates are those of {}.", path.display()),
            None if self.committed && !same => format!(
                "The learning rates are the best at {} steps of {}, r = {RANK}, α = {ALPHA} and {TARGETS}: --sweep finds the \
                 best for these terms.",
                of_sweep.steps, of_sweep.batch
            ),
            None => "Each learning rate is the best of the same sweep.".to_owned(),
        };
        // Runs that were there already may have had others.
        let threads: BTreeSet<Option<usize>> =
            runs.iter().flat_map(|runs| &runs.records).map(|record| record.threads).collect();
        let number = |threads: &Option<usize>| match threads {
            Some(threads) => threads.to_string(),
            None => "an unknown number of".to_owned(),
        };
        let threads = threads.iter().map(number).collect::<Vec<_>>().join(" or ");
        say!(
            "{what}: {steps} steps of {batch}{several}. Loss and exact answers are on held-out examples; \"saved\" \
             is what a step keeps for its backward pass, \"rank ΔW\" the mean effective rank of what changed in the \
             adapted matrices; {threads} threads. {rates}"
        );
    }
}
