//! `lowrank finetune`.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use adapter::{Decay, Ledger, Real};
use anyhow::{Context, Result, bail};
use finetune::{Data, Plan, Session, Step};
use llama::{Llama, Score};
use methods::{Options, Tunable, Visitor};
use serde_json::json;

use crate::finetune_args::{Args, Dtype};
use crate::output::{self, Format};
use crate::source::Source;
use crate::threads;

/// `lowrank finetune`.
pub fn main(args: &Args) -> Result<()> {
    let threads = threads::set(args.threads)?;
    let finetune = Finetune { args, threads };
    match args.dtype {
        Dtype::F32 => args.method.method.visit::<f32, _>(finetune),
        Dtype::F64 => args.method.method.visit::<f64, _>(finetune),
    }
}

struct Finetune<'a> {
    args: &'a Args,
    threads: usize,
}

impl<T: Real> Visitor<T> for Finetune<'_> {
    type Output = Result<()>;

    fn visit<M: Tunable<T>>(self) -> Result<()> {
        let Self { args, threads } = self;
        if args.model.is_some() && args.data.is_none() {
            bail!("--data is needed: only the embedded model brings a task of its own");
        }
        if let Some(folder) = &args.out {
            check_writable(folder).with_context(|| format!("--out {}", folder.display()))?;
        }
        let interrupted = catch_interrupt()?;
        let plan = args.plan()?;
        let Source { model, words } = Source::load(args.model.as_deref())?;
        let data = args.data(&plan, &words, model.config.max_position_embeddings)?;
        let mut session: Session<'_, T, M> = begin(args, plan, model, &data)?;
        for warning in session.options.warnings(session.plan.steps) {
            eprintln!("warning: {warning}");
        }
        let before = session.evaluate()?;

        let bar = output::progress(session.left(), M::METHOD.name());
        let stop = || match interrupted.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let mut progress = |Step { report, seconds }: &Step| {
            bar.inc(1);
            bar.set_message(format!("loss {:.4}", report.loss));
            if args.format == Format::Json {
                let line = json!({"step": report.step, "loss": report.loss, "seconds": seconds});
                say!("{line}");
            }
            stop()
        };
        // The first evaluation may have taken long enough to be interrupted.
        let end = match stop() {
            ControlFlow::Continue(()) => session.train(&mut progress)?,
            stopped => stopped,
        };
        bar.finish_and_clear();

        if let Some(folder) = &args.out {
            session.save(folder, args.model.as_deref(), &args.settings())?;
        }
        let after = session.evaluate()?;
        report(args, &session, before, after, threads);
        if end.is_break() {
            let kept = match &args.out {
                Some(folder) => format!("; it is in {}", folder.display()),
                None => String::new(),
            };
            bail!("interrupted after step {}{kept}", session.trainer.step);
        }
        Ok(())
    }
}

/// The run before its first step here: fresh, from an adapter, or where an earlier one stopped.
fn begin<'a, T: Real, M: Tunable<T>>(
    args: &Args,
    plan: Plan,
    model: Llama<T>,
    data: &'a Data,
) -> Result<Session<'a, T, M>> {
    if let Some(folder) = &args.resume {
        // A constant rate does not depend on how long the run is, and neither does data read from a file.
        let may_grow = plan.decay == Decay::Constant && args.data.is_some();
        let session = Session::resume(plan, model, data, folder, &args.settings(), may_grow);
        return session.with_context(|| format!("--resume {}", folder.display()));
    }
    if let Some(folder) = &args.init_adapter {
        return Ok(Session::from_adapter(plan, model, data, folder)?);
    }
    Ok(Session::start(plan, model, data)?)
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

fn report<T: Real, M: Tunable<T>>(
    args: &Args,
    session: &Session<'_, T, M>,
    before: Option<Score>,
    after: Option<Score>,
    threads: usize,
) {
    let trainer = &session.trainer;
    let (trainable, bytes) = (trainer.trainable(), session.bytes());
    let adapter_bytes = Ledger::of(&trainer.adapters);
    if args.format == Format::Json {
        let line = json!({
            "trainable": trainable,
            "adapter_bytes": adapter_bytes,
            "optimizer_bytes": bytes.optimizer,
            "gradient_bytes": bytes.gradients,
            "saved_bytes": bytes.saved,
            "adapter_saved_bytes": session.adapter_saved_bytes(),
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
        rows.push(vec![format!("answered exactly {when}"), output::percent(score.exact)]);
    }
    if let Some(median) = session.seconds_per_step() {
        rows.push(vec![format!("seconds a step ({threads} threads)"), format!("{median:.3}")]);
    }
    say!("{}", output::table(&[M::METHOD.name(), ""], &rows));
}
