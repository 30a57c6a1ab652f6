//! `lowrank finetune`.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use adapter::{Decay, Ledger, Real};
use anyhow::{Context, Result, bail};
use finetune::{ByKind, Data, Entry, Origin, Plan, RunFolder, Session, Step};
use llama::{Llama, Score};
use methods::{Tunable, Visitor};
use serde_json::json;

use crate::finetune_args::{Args, Dtype};
use crate::output::{self, Format, Progress};
use crate::source::Source;
use crate::threads;

/// `lowrank finetune`. `run_toml` is what its folder says it was told.
pub fn main(args: &Args, run_toml: &str) -> Result<()> {
    let threads = threads::set(args.threads)?;
    if args.quiet {
        output::be_quiet();
    }
    let mut args = args.clone();
    // A run goes on where it is.
    args.out = args.out.or_else(|| args.resume.as_deref().map(finetune::run_of));
    let finetune = Finetune { args: &args, run_toml, threads };
    match args.dtype {
        Dtype::F32 => args.method.method.visit::<f32, _>(finetune),
        Dtype::F64 => args.method.method.visit::<f64, _>(finetune),
    }
}

struct Finetune<'a> {
    args: &'a Args,
    run_toml: &'a str,
    threads: usize,
}

impl<T: Real> Visitor<T> for Finetune<'_> {
    type Output = Result<()>;

    fn visit<M: Tunable<T>>(self) -> Result<()> {
        let Self { args, run_toml, threads } = self;
        if args.model.is_some() && args.data.is_none() {
            bail!("--data is needed: only the embedded model brings a task of its own");
        }
        if args.save_every.is_some() && args.out.is_none() {
            bail!("--save-every needs --out");
        }
        if args.eval_every.is_some() && args.data.is_some() && args.eval_data.is_none() {
            bail!("--eval-every needs --eval-data");
        }
        let resumed = args.resume.as_deref().map(finetune::furthest).transpose()?;
        check_out(args)?;
        let interrupted = catch_interrupt()?;
        // A method's own options are checked before anything is loaded.
        args.plan(None)?.options::<M::Options>()?;
        let Source { model, words, base } = Source::load(args.model.as_deref())?;
        let (plan, data) = args.plan_and_data(&words, model.config.max_position_embeddings)?;
        let origin = Origin::new(base, args.settings(), &model, &data);
        let mut session: Session<T, M> =
            begin(args, resumed.as_deref(), plan, model, data, &origin)?;
        for warning in session.warnings()? {
            output::note(format_args!("warning: {warning}"));
        }
        tell_memory(&session)?;
        let go_on = || !interrupted.load(Ordering::Relaxed);
        let stop = || match go_on() {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        };
        let before = session.evaluate(&go_on)?;
        let mut folder = match &args.out {
            None => {
                output::note(format_args!("no --out: what is trained will not be kept"));
                None
            }
            // Interrupted before its first step, it replaces nothing.
            Some(_) if !go_on() => None,
            Some(path) => {
                let replaces = args.overwrite && !continues(args);
                if let Some(kept) =
                    replaces.then(|| finetune::set_aside(path)).transpose()?.flatten()
                {
                    let kept = kept.display();
                    output::note(format_args!(
                        "the earlier result is in {kept} until the last step"
                    ));
                }
                let previous = resumed.as_deref().map(|folder| (folder, session.trainer.step));
                Some(RunFolder::begin(path, origin, args.checkpoints(), run_toml, previous)?)
            }
        };

        let bar = Progress::new(session.left(), M::METHOD.name());
        let mut after_step = |session: &Session<T, M>, step: &Step| -> Result<_> {
            let done = step.report.step as u64 + 1;
            let due = args.eval_every.is_some_and(|every| done.is_multiple_of(every));
            let held_out = if due { session.evaluate(&go_on)? } else { None };
            let shown = held_out.map(|score| format!(", held-out {:.4}", score.loss));
            bar.advance(format!("loss {:.4}{}", step.report.loss, shown.unwrap_or_default()));
            if args.format == Format::Json {
                say!("{}", Entry::new(step, held_out).line());
            }
            if let Some(folder) = &mut folder {
                folder.record(session, step, held_out)?;
            }
            Ok(stop())
        };
        // The first evaluation may have been broken off.
        let end = match stop() {
            ControlFlow::Continue(()) => session.train(&mut after_step)?,
            stopped => stopped,
        };
        bar.finish();

        if let Some(folder) = &folder {
            folder.finish(&session)?;
        }
        let kept = || match args.out.as_ref().filter(|_| folder.is_some()) {
            Some(folder) => format!("; it is in {}", folder.display()),
            None => String::new(),
        };
        if end.is_break() {
            report(args, &session, before, None, threads);
            bail!("interrupted after step {}{}", session.trainer.step, kept());
        }
        let after = session.evaluate(&go_on)?;
        report(args, &session, before, after, threads);
        if !go_on() {
            bail!("interrupted in the last evaluation, after the last step{}", kept());
        }
        Ok(())
    }
}

/// The run before its first step here: fresh, from an adapter, or where an earlier one stopped.
fn begin<T: Real, M: Tunable<T>>(
    args: &Args,
    resumed: Option<&Path>,
    plan: Plan,
    model: Llama<T>,
    data: Data,
    origin: &Origin,
) -> Result<Session<T, M>> {
    if let Some(folder) = resumed {
        // A constant rate does not depend on how long the run is, and neither does data read from a file.
        let may_grow = plan.decay == Decay::Constant && args.data.is_some();
        let session = Session::resume(plan, model, data, folder, origin, may_grow);
        return session.with_context(|| format!("--resume {}", folder.display()));
    }
    if let Some(folder) = &args.init_adapter {
        return Ok(Session::from_adapter(plan, model, data, folder)?);
    }
    Ok(Session::start(plan, model, data)?)
}

/// Says how much memory the run will take, and warns where the machine has less.
fn tell_memory<T: Real, M: Tunable<T>>(session: &Session<T, M>) -> Result<()> {
    let estimate = session.estimate()?;
    let held = estimate.held;
    let parts = ByKind::NAMES.into_iter().zip(held.values()).chain([("logits", estimate.logits)]);
    let parts: Vec<_> =
        parts.map(|(name, bytes)| format!("{name} {}", output::bytes(bytes))).collect();
    output::note(format_args!(
        "memory: at least {} ({})",
        output::bytes(estimate.total()),
        parts.join(", ")
    ));
    // The weights are here already.
    let wanted = estimate.total() - held.weights;
    if let Some(available) = output::available_bytes().filter(|available| wanted > *available) {
        output::note(format_args!(
            "warning: {} more are needed and {} are free: try a smaller --batch with --accumulate, shorter rows \
             (--seq-len), or --method lora-fa, which keeps less for backward",
            output::bytes(wanted),
            output::bytes(available)
        ));
    }
    Ok(())
}

/// Is there a place for the result? Better to know before the training than after it.
fn check_out(args: &Args) -> Result<()> {
    let Some(folder) = &args.out else { return Ok(()) };
    let inputs = [
        ("--model", args.model.as_ref().map(Path::new)),
        ("--init-adapter", args.init_adapter.as_deref()),
    ];
    let inputs: Vec<_> =
        inputs.into_iter().filter_map(|(name, path)| Some((name, path?))).collect();
    let out = finetune::out(folder);
    out.check(&inputs, args.overwrite || continues(args)).context("--out")?;
    check_writable(folder).with_context(|| format!("--out {}", folder.display()))
}

/// Does the run go on in the folder that it is resumed from, or whose checkpoint it is?
fn continues(args: &Args) -> bool {
    let (Some(resume), Some(out)) = (&args.resume, &args.out) else { return false };
    let of = |path: &Path| std::fs::canonicalize(path).ok();
    let (out, resumed) = (of(out), of(resume).map(|path| finetune::run_of(&path)));
    out.is_some() && resumed == out
}

fn check_writable(folder: &Path) -> Result<()> {
    let exists = folder.ancestors().find(|ancestor| ancestor.exists());
    // An empty path is the current folder.
    let nearest = exists.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::tempfile_in(nearest)
        .with_context(|| format!("{} cannot be written", nearest.display()))?;
    Ok(())
}

/// Ctrl-C, and the signals by which a system asks a program to end, end the run after the step it is in; a second one
/// ends it at once.
fn catch_interrupt() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let seen = flag.clone();
    ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        tell!("stopping after this step (again to stop at once)");
    })
    .context("signals cannot be caught")?;
    Ok(flag)
}

fn report<T: Real, M: Tunable<T>>(
    args: &Args,
    session: &Session<T, M>,
    before: Option<Score>,
    after: Option<Score>,
    threads: usize,
) {
    let trainer = &session.trainer;
    let (trainable, bytes) = (trainer.trainable(), session.bytes());
    let adapter_bytes = Ledger::of(&trainer.adapters);
    if args.format == Format::Json {
        let line = json!({
            "model_parameters": trainer.model.parameters(),
            "trainable": trainable,
            "adapter_bytes": adapter_bytes,
            "optimizer_bytes": bytes.optimizer,
            "gradient_bytes": bytes.gradients,
            "saved_bytes": bytes.saved,
            "adapter_saved_bytes": session.adapter_saved_bytes(),
            "peak_rss_bytes": output::peak_rss_bytes(),
            "threads": threads,
            "seconds_per_step": session.seconds_per_step(),
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
        vec!["gradient bytes".into(), output::bytes(bytes.gradients)],
        vec!["optimizer bytes".into(), output::bytes(bytes.optimizer)],
        vec!["saved for backward".into(), output::bytes(bytes.saved)],
    ];
    if let Some(peak) = output::peak_rss_bytes() {
        rows.push(vec!["peak memory".into(), output::bytes(peak)]);
    }
    for Step { report, .. } in session.steps.first().into_iter().chain(session.steps.last()) {
        let what = format!("training loss, step {}", report.step);
        rows.push(vec![what, format!("{:.4}", report.loss)]);
    }
    for (when, score) in [("before", before), ("after", after)] {
        let Some(score) = score else { continue };
        rows.push(vec![format!("held-out loss {when}"), format!("{:.4}", score.loss)]);
        if session.has_answers() {
            rows.push(vec![format!("answered exactly {when}"), output::percent(score.exact)]);
        }
    }
    if let Some(median) = session.seconds_per_step() {
        rows.push(vec![format!("seconds a step ({threads} threads)"), format!("{median:.3}")]);
    }
    say!("{}", output::table(&[M::METHOD.name(), ""], &rows));
}
