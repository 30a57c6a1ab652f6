//! The folder of a run: its result, what it takes to go on, its log and its checkpoints.
//!
//! | name | what |
//! |---|---|
//! | `adapter_model.safetensors`, `adapter_config.json` | the adapter after the last step; `model.safetensors` and the rest of a Hugging Face folder after full fine-tuning |
//! | `training_state.safetensors` | what [`Session::resume`] needs beside it |
//! | `run.toml` | the command and its options |
//! | `log.jsonl` | an [`Entry`] for each step |
//! | `checkpoint-000300/` | adapter and state after 300 steps, if such were asked for |
//! | `best-000200/` | the same, where the held-out loss was smallest |
//!
//! A checkpoint appears whole or not at all. The result's files take their places one after the other once all of them
//! are written; the state, the last of them, knows the digests of the others.

use std::fs;
use std::path::{Path, PathBuf};

use adapter::Real;
use llama::{Score, state};
use methods::Tunable;
use tensor_file::Staging;

use crate::contents::{self, RUN};
use crate::log::Log;
use crate::out::Out;
use crate::{Entry, Error, LOG, Origin, Result, Session, Step, replaced};

/// When a run writes, beside its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    /// A checkpoint after so many steps, and again.
    pub every: Option<usize>,
    /// How many are kept, the youngest; the best one is kept beside them.
    pub keep: usize,
}

/// A run's folder, while it runs.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    origin: Origin,
    checkpoints: Checkpoints,
    log: Log,
}

const CHECKPOINT: &str = "checkpoint-";
const BEST: &str = "best-";

/// The folder at `path`, as what [`Out::check`] wants to know of it.
pub fn out(path: &Path) -> Out<'_> {
    let ours = |name: &str| {
        is_checkpoint(name)
            || [LOG, state::FILE].contains(&name)
            || peft::FILES.contains(&name)
            || llama::save::is_written(name)
    };
    Out { folder: path, command: "finetune", ours }
}

fn is_checkpoint(name: &str) -> bool {
    let step = [CHECKPOINT, BEST].iter().find_map(|prefix| name.strip_prefix(prefix));
    step.is_some_and(|step| step.parse::<usize>().is_ok())
}

/// The folder of the run whose checkpoint this is; of any other folder itself.
pub fn run_of(folder: &Path) -> PathBuf {
    // A link may have another name, and the current folder has none.
    let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let name = real.file_name().unwrap_or_default().to_string_lossy();
    let run = real.parent().filter(|run| is_checkpoint(&name) && run.join(RUN).is_file());
    run.unwrap_or(folder).to_owned()
}

impl RunFolder {
    /// Make the folder, with `run.toml` and a log that goes on from `previous`: the folder that is resumed, and the steps
    /// it has behind it.
    ///
    /// # Errors
    /// The disk is read-only; or the run goes back in its own folder, which has later steps.
    pub fn begin(
        path: &Path,
        origin: Origin,
        checkpoints: Checkpoints,
        run_toml: &str,
        previous: Option<(&Path, usize)>,
    ) -> Result<Self> {
        let mut log = String::new();
        if let Some((previous, step)) = previous {
            let reached =
                furthest(path).ok().and_then(|folder| Some(state::peek(&folder).ok()?.step));
            if let Some(reached) = reached.filter(|reached| *reached > step) {
                let reason = format!(
                    "it has step {reached} of the run, beyond the step {step} that is resumed: give --out another folder"
                );
                return Err(Error::File { path: path.to_owned(), reason });
            }
            // A checkpoint's log is that of its run.
            let folder = [Some(previous), previous.parent()].into_iter().flatten();
            let folder = folder.into_iter().find(|folder| folder.join(LOG).is_file());
            for entry in folder.map_or(Ok(Vec::new()), Entry::read_all)? {
                if entry.step < step {
                    log += &(entry.line() + "\n");
                }
            }
        }
        contents::remove_unfinished(path)?;
        let mut files = Staging::new(path)?;
        files.write(RUN, run_toml.as_bytes())?;
        files.write(LOG, log.as_bytes())?;
        files.commit()?;
        Ok(Self { path: path.to_owned(), origin, checkpoints, log: Log::append(path)? })
    }

    /// After a step: a line of the log, and a checkpoint if it is time for one or if the held-out loss was never smaller.
    ///
    /// # Errors
    /// The disk is full or read-only, or a number is not finite.
    pub fn record<T: Real, M: Tunable<T>>(
        &mut self,
        session: &Session<T, M>,
        step: &Step,
        held_out: Option<Score>,
    ) -> Result<()> {
        self.log.write(&Entry::new(step, held_out))?;
        let done = step.report.step + 1;
        if self.checkpoints.every.is_some_and(|every| done.is_multiple_of(every)) {
            self.write(session, CHECKPOINT, held_out)?;
            let older = numbered(&self.path, CHECKPOINT)?;
            let surplus = older.len().saturating_sub(self.checkpoints.keep);
            older[..surplus].iter().try_for_each(|(_, folder)| remove(folder))?;
        }
        if let Some(Score { loss, .. }) = held_out {
            let before = numbered(&self.path, BEST)?;
            let smallest = before.last().and_then(|(_, folder)| state::peek(folder).ok()?.held_out);
            if smallest.is_none_or(|smallest| loss < smallest) {
                self.write(session, BEST, held_out)?;
                before.iter().try_for_each(|(_, folder)| remove(folder))?;
            }
        }
        Ok(())
    }

    /// Write the result. After the last step, the one that it replaces is removed.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub fn finish<T: Real, M: Tunable<T>>(&self, session: &Session<T, M>) -> Result<()> {
        session.save(&self.path, &self.origin, None)?;
        if session.left() == 0 {
            replaced::forget(&self.path);
        }
        Ok(())
    }

    fn write<T: Real, M: Tunable<T>>(
        &self,
        session: &Session<T, M>,
        prefix: &str,
        held_out: Option<Score>,
    ) -> Result<()> {
        let folder = self.path.join(format!("{prefix}{:06}", session.trainer.step));
        session.save(&folder, &self.origin, held_out)
    }
}

/// Of a run's folder and its checkpoints the one with the most steps behind it; any other folder itself.
///
/// # Errors
/// The folder cannot be read, or a state in it is damaged.
pub fn furthest(folder: &Path) -> Result<PathBuf> {
    let mut best = (None, folder.to_owned());
    let own = folder.join(state::FILE).is_file().then(|| folder.to_owned());
    let checkpoints = numbered(folder, CHECKPOINT)?.into_iter().chain(numbered(folder, BEST)?);
    let checkpoints = checkpoints.map(|(_, folder)| folder);
    // One without a state was being removed when the machine stopped.
    let checkpoints = checkpoints.filter(|folder| folder.join(state::FILE).is_file());
    for folder in own.into_iter().chain(checkpoints) {
        let step = Some(state::peek(&folder)?.step);
        if step > best.0 {
            best = (step, folder);
        }
    }
    Ok(best.1)
}

/// The folders in `folder` that are called `prefix` and a number, by number.
fn numbered(folder: &Path, prefix: &str) -> Result<Vec<(usize, PathBuf)>> {
    let fail = |source| Error::Io { path: folder.to_owned(), source };
    let mut found = Vec::new();
    if !folder.is_dir() {
        return Ok(found);
    }
    for entry in fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(Ok(number)) = name.strip_prefix(prefix).map(str::parse) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

/// By another name first, so that half a checkpoint is never taken for one.
fn remove(folder: &Path) -> Result<()> {
    let fail = |source| Error::Io { path: folder.to_owned(), source };
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let removed = folder.with_file_name(format!("{}{name}", contents::WRITING));
    fs::rename(folder, &removed).map_err(fail)?;
    fs::remove_dir_all(removed).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_belongs_to_its_run() {
        let folder = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(folder.path()).unwrap();
        let checkpoint = folder.path().join("checkpoint-000300");
        fs::create_dir(&checkpoint).unwrap();
        // One that was copied elsewhere has none.
        assert_eq!(run_of(&checkpoint), checkpoint);
        fs::write(folder.path().join(RUN), "").unwrap();
        assert_eq!(run_of(&checkpoint), real);
        assert_eq!(run_of(folder.path()), folder.path());
        assert_eq!(run_of(&checkpoint.join(".")), real);
        #[cfg(unix)]
        {
            let link = folder.path().join("latest");
            std::os::unix::fs::symlink(&checkpoint, &link).unwrap();
            assert_eq!(run_of(&link), real);
        }
    }

    /// One that was being removed when the machine stopped.
    #[test]
    fn half_a_checkpoint_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("checkpoint-000300")).unwrap();
        assert_eq!(furthest(folder.path()).unwrap(), folder.path());
    }
}
