//! `lowrank finetune`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use adapter::{Decay, Ledger, Real};
use anyhow::{Context, Result, bail};
use finetune::{Job, Method, Plan};
use llama::state::{self, State};
use llama::{Llama, Report, Score, Trainer};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::finetune_args::{Args, Dtype};
use crate::output::{self, Format};
use crate::source::Source;
use crate::threads;

/// `lowrank finetune`.
pub fn main(args: &Args) -> Result<()> {
    let threads = threads::set(args.threads)?;
    let job = Finetune { args, threads };
    match args.dtype {
        Dtype::F32 => args.method.method.dispatch::<f32, _>(job),
        Dtype::F64 => args.method.method.dispatch::<f64, _>(job),
    }
}

struct Finetune<'a> {
    args: &'a Args,
    threads: usize,
}

impl<T: Real> Job<T> for Finetune<'_> {
    type Output = Result<()>;

    fn run<M: Method<T>>(self) -> Result<()> {
        let Self { args, threads } = self;
        if args.model.is_some() && args.data.is_none() {
            bail!("--data is needed: only the embedded model brings a task of its own");
        }
        if let Some(folder) = &args.out {
            check_writable(folder).with_context(|| format!("--out {}", folder.display()))?;
        }
        let interrupted = catch_interrupt()?;
        let mut plan = args.plan()?;
        let Source { model, words } = Source::load(args.model.as_deref())?;
        let data = args.data(&plan, &words)?;
        let mut trainer: Trainer<T, M> = trainer(args, &mut plan, model)?;
        for warning in plan.warnings() {
            eprintln!("warning: {warning}");
        }
        let first = trainer.step;
        let before = data.evaluate(&trainer.model, &trainer.adapters)?;

        let bar = output::progress(plan.steps.saturating_sub(first), plan.method.name());
        let mut reports: Vec<(Report, f64)> = Vec::new();
        while trainer.step < plan.steps && !interrupted.load(Ordering::Relaxed) {
            let start = Instant::now();
            let report = trainer.step(&data.batches(&plan, trainer.step)?)?;
            let seconds = start.elapsed().as_secs_f64();
            bar.inc(1);
            bar.set_message(format!("loss {:.4}", report.loss));
            if args.format == Format::Json {
                let line = json!({"step": report.step, "loss": report.loss, "seconds": seconds});
                say!("{line}");
            }
            reports.push((report, seconds));
        }
        bar.finish_and_clear();

        if let Some(folder) = &args.out {
            let base = args.model.as_deref();
            M::save(&trainer.model, &trainer.adapters, &plan.options, base, folder)?;
            let state = State { step: trainer.step, settings: args.settings(&plan) };
            let method = M::state(&trainer.model, &trainer.adapters);
            state::save(folder, &state, &*trainer.optimizer, &method)?;
        }
        let after = data.evaluate(&trainer.model, &trainer.adapters)?;
        report(args, &trainer, &reports, before, after, threads);
        if interrupted.load(Ordering::Relaxed) {
            let kept = match &args.out {
                Some(folder) => format!("; it is in {}", folder.display()),
                None => String::new(),
            };
            bail!("interrupted after step {}{kept}", trainer.step);
        }
        Ok(())
    }
}

/// Better to know before the training than after it.
fn check_writable(folder: &Path) -> Result<()> {
    let exists = folder.ancestors().find(|ancestor| ancestor.exists());
    // An empty path is the current folder.
    let nearest = exists.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::tempfile_in(nearest)
        .with_context(|| format!("{} cannot be written", nearest.display()))?;
    Ok(())
}

/// Ctrl-C ends the run after the step it is in; a second one ends it at once.
fn catch_interrupt() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let seen = flag.clone();
    ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("stopping after this step (again to stop at once)");
    })
    .context("Ctrl-C cannot be caught")?;
    Ok(flag)
}

/// The model with fresh or loaded adapters, and the optimiser; of a resumed run as they were when it stopped.
fn trainer<T: Real, M: Method<T>>(
    args: &Args,
    plan: &mut Plan,
    mut model: Llama<T>,
) -> Result<Trainer<T, M>> {
    let mut optimizer = plan.optimizer::<T>();
    let mut step = 0;
    let adapters = if let Some(folder) = &args.resume {
        let (saved, method) = state::load(folder, &mut *optimizer)?;
        check_settings(&saved.settings, args, plan)
            .with_context(|| format!("--resume {}", folder.display()))?;
        step = saved.step;
        M::resume(&mut model, &mut plan.options, folder, step, method)?
    } else if let Some(folder) = &args.init_adapter {
        M::load(&model.config, &mut plan.options, folder)?
    } else {
        let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
        M::fresh(&model.config, &plan.options, &mut rng)?
    };
    if let Some(rank) = args.method.rank
        && rank != plan.options.rank
    {
        bail!("--rank is {rank}, and the adapter that was read has rank {}", plan.options.rank);
    }
    let mut trainer = plan.trainer(model, adapters)?;
    (trainer.optimizer, trainer.step) = (optimizer, step);
    Ok(trainer)
}

fn check_settings(saved: &BTreeMap<String, Value>, args: &Args, plan: &Plan) -> Result<()> {
    // A constant rate does not depend on how long the run is, and neither does data read from a file.
    let may_grow = plan.decay == Decay::Constant && args.data.is_some();
    for (name, now) in args.settings(plan) {
        let before = saved.get(&name).unwrap_or(&Value::Null);
        if *before != now && !(name == "steps" && may_grow) {
            bail!("--{name} is {now}, and the run to be resumed had {before}");
        }
    }
    Ok(())
}

fn report<T: Real, M: Method<T>>(
    args: &Args,
    trainer: &Trainer<T, M>,
    reports: &[(Report, f64)],
    before: Option<Score>,
    after: Option<Score>,
    threads: usize,
) {
    let trainable = trainer.trainable();
    let adapter_bytes = Ledger::of(&trainer.adapters);
    let most =
        |bytes: fn(&Report) -> usize| reports.iter().map(|(r, _)| bytes(r)).max().unwrap_or(0);
    let saved_bytes = most(|report| report.saved_bytes);
    let mut seconds: Vec<f64> = reports.iter().map(|(_, seconds)| *seconds).collect();
    seconds.sort_by(f64::total_cmp);
    let median = seconds.get(seconds.len() / 2).copied();
    if args.format == Format::Json {
        let line = json!({
            "trainable": trainable,
            "adapter_bytes": adapter_bytes,
            "optimizer_bytes": trainer.optimizer_bytes(),
            "gradient_bytes": most(|report| report.grad_bytes),
            "saved_bytes": saved_bytes,
            "adapter_saved_bytes": most(|report| report.adapter_saved_bytes),
            "peak_rss_bytes": output::peak_rss_bytes(),
            "threads": threads,
            "before": before,
            "after": after,
        });
        say!("{line}");
        return;
    }
    let mut rows = vec![
        vec!["model parameters".into(), output::count(trainer.model.parameters())],
        vec!["trained".into(), output::count(trainable)],
        vec!["adapter bytes".into(), output::bytes(adapter_bytes)],
        vec!["gradient bytes".into(), output::bytes(most(|report| report.grad_bytes))],
        vec!["optimizer bytes".into(), output::bytes(trainer.optimizer_bytes())],
        vec!["saved for backward".into(), output::bytes(saved_bytes)],
    ];
    if let Some(peak) = output::peak_rss_bytes() {
        rows.push(vec!["peak memory".into(), output::bytes(peak)]);
    }
    if let (Some((first, _)), Some((last, _))) = (reports.first(), reports.last()) {
        rows.push(vec![
            format!("training loss, step {}", first.step),
            format!("{:.4}", first.loss),
        ]);
        rows.push(vec![format!("training loss, step {}", last.step), format!("{:.4}", last.loss)]);
    }
    for (when, score) in [("before", before), ("after", after)] {
        let Some(score) = score else { continue };
        rows.push(vec![format!("held-out loss {when}"), format!("{:.4}", score.loss)]);
        rows.push(vec![format!("answered exactly {when}"), output::percent(score.exact)]);
    }
    if let Some(median) = median {
        rows.push(vec![format!("seconds a step ({threads} threads)"), format!("{median:.3}")]);
    }
    say!("{}", output::table(&[M::NAME.name(), ""], &rows));
}
