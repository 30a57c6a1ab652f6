//! A whole step as one graph.

use cudarc::driver::{CudaGraph, sys};

use super::{Gpu, driver};
use crate::device::Replay;
use crate::{Device, Error, Result};

/// A recorded step, instantiated.
pub struct Graph {
    /// Taken when dropped.
    graph: Option<CudaGraph>,
    gpu: Gpu,
}

impl Graph {
    pub(super) fn record(gpu: &Gpu, step: impl FnOnce() -> Result<()>) -> Result<Self> {
        let inner = &gpu.0;
        gpu.synchronize()?;
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
        Ok(Self { graph: Some(graph), gpu: gpu.clone() })
    }
}

impl Replay for Graph {
    fn replay(&self) -> Result<()> {
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
