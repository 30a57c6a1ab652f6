//! A whole step as one graph, and how long things take.

use cudarc::driver::{CudaGraph, sys};

use super::{Gpu, driver};
use crate::{Device, Error, Result};

/// A recorded step. Replaying costs one call, however many launches it holds.
///
/// It holds what the device was asked to do: numbers that the host computed (an α, Delta-LoRA's count of updates) are what
/// they were. What counts on the device goes on counting: AdamW's t, the masks of a [`Dropout`](crate::Dropout).
pub struct Graph {
    /// Taken when dropped.
    graph: Option<CudaGraph>,
    gpu: Gpu,
}

impl Gpu {
    /// Record what `step` asks for, without doing it. Run it once before, so that kernels are loaded and moments made.
    ///
    /// # Errors
    /// What `step` returns; it takes memory or copies from or to the host; it asks for nothing.
    pub fn record(&self, step: impl FnOnce() -> Result<()>) -> Result<Graph> {
        let inner = &self.0;
        self.synchronize()?;
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        inner.stream.begin_capture(mode).map_err(driver("beginning to record"))?;
        inner.recording.set(true);
        let stepped = step();
        inner.recording.set(false);
        let captured = inner.stream.end_capture(sys::CUgraphInstantiate_flags(0));
        stepped?;
        let graph = captured.map_err(driver("recording a graph"))?.ok_or(Error::Recording {
            operation: "nothing",
            hint: "the step to record asked for nothing",
        })?;
        inner.graphs.set(inner.graphs.get() + 1);
        Ok(Graph { graph: Some(graph), gpu: self.clone() })
    }

    /// Milliseconds of the GPU that `work` takes, after what was asked for before.
    ///
    /// # Errors
    /// What `work` returns, or the driver refuses.
    pub fn milliseconds(&self, work: impl FnOnce() -> Result<()>) -> Result<f64> {
        let timed = Some(sys::CUevent_flags::CU_EVENT_DEFAULT);
        let event = || self.0.context.new_event(timed).map_err(driver("an event"));
        let (start, end) = (event()?, event()?);
        start.record(&self.0.stream).map_err(driver("an event"))?;
        work()?;
        end.record(&self.0.stream).map_err(driver("an event"))?;
        start.elapsed_ms(&end).map(f64::from).map_err(driver("timing"))
    }
}

impl Graph {
    /// Do it again.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn replay(&self) -> Result<()> {
        match &self.graph {
            Some(graph) => graph.launch().map_err(driver("replaying a graph")),
            None => Ok(()),
        }
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        let inner = &self.gpu.0;
        // It may still be running.
        inner.context.record_err(inner.stream.synchronize());
        drop(self.graph.take());
        inner.graphs.set(inner.graphs.get() - 1);
        if inner.graphs.get() == 0 {
            inner.parked.borrow_mut().clear();
        }
    }
}
