//! A recorded step: the operations in their order, with the addresses they were asked for.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use super::memory::Block;
use super::{Emulator, launch, multiply};
use crate::device::{Product, Replay};
use crate::kernel::{Dimensions, Source};
use crate::{Device, Error, Kind, Result};

/// What a device is asked to do, with all that it takes.
#[derive(Clone)]
pub(super) enum Operation {
    Fill {
        to: *mut u8,
        length: usize,
        byte: u8,
    },
    Multiply(Product),
    Launch {
        source: &'static Source,
        kernel: &'static str,
        kind: Kind,
        dimensions: Dimensions,
        arguments: Vec<u64>,
    },
}

/// What a GPU has to prepare before an operation can be part of a graph.
#[derive(PartialEq, Eq, Hash)]
enum Prepared {
    Module(&'static str, Kind),
    Plan([usize; 3], [usize; 3], [bool; 2], [Kind; 2]),
}

#[derive(Default)]
pub(super) struct Recorder {
    recording: RefCell<Option<Vec<Operation>>>,
    prepared: RefCell<HashSet<Prepared>>,
    /// Graphs that may still be replayed.
    graphs: Cell<usize>,
    /// Memory dropped while there were graphs, which may still use it, and its bytes.
    parked: RefCell<Vec<(Block, usize)>>,
}

impl Operation {
    fn takes(&self) -> Option<Prepared> {
        match self {
            Self::Fill { .. } => None,
            Self::Launch { source, kind, .. } => Some(Prepared::Module(source.file, *kind)),
            Self::Multiply(Product { m, n, k, a, b, c, input, output, .. }) => {
                let strides = [a.stride, b.stride, c.stride];
                let transposed = [a.transposed, b.transposed];
                Some(Prepared::Plan([*m, *n, *k], strides, transposed, [*input, *output]))
            }
        }
    }

    /// # Safety
    /// Its addresses are those of memory that lives and that nothing else uses.
    pub(super) unsafe fn carry_out(&self) -> Result<()> {
        // SAFETY: the caller's promise; ranges were checked, and kernels and products described, when it was asked for.
        unsafe {
            match self {
                Self::Fill { to, length, byte } => to.write_bytes(*byte, *length),
                Self::Multiply(product) => multiply::multiply(product),
                Self::Launch { source, kernel, kind, dimensions, arguments } => {
                    launch(source, kernel, *kind, *dimensions, arguments)?;
                }
            }
        }
        Ok(())
    }
}

impl Recorder {
    pub(super) fn is_recording(&self) -> bool {
        self.recording.borrow().is_some()
    }

    /// Keeps the operation while a step is recorded, else hands it back.
    pub(super) fn record(&self, operation: Operation) -> Result<Option<Operation>> {
        let mut recording = self.recording.borrow_mut();
        let Some(operations) = &mut *recording else {
            self.prepared.borrow_mut().extend(operation.takes());
            return Ok(Some(operation));
        };
        if operation.takes().is_some_and(|takes| !self.prepared.borrow().contains(&takes)) {
            let hint = "run the step once before it is recorded";
            return Err(Error::Recording { operation: "what the device has never done", hint });
        }
        operations.push(operation);
        Ok(None)
    }

    /// Keeps the memory while a graph may use it, else hands it back.
    pub(super) fn park(&self, block: Block, bytes: usize) -> Option<Block> {
        if self.graphs.get() == 0 && !self.is_recording() {
            return Some(block);
        }
        self.parked.borrow_mut().push((block, bytes));
        None
    }
}

/// A recorded step.
pub struct Graph {
    operations: Vec<Operation>,
    device: Emulator,
}

impl Graph {
    pub(super) fn record(device: &Emulator, step: impl FnOnce() -> Result<()>) -> Result<Self> {
        device.not_recording("another graph", "record one after the other")?;
        let recorder = &device.0.recorder;
        *recorder.recording.borrow_mut() = Some(Vec::new());
        let stepped = step();
        let operations = recorder.recording.borrow_mut().take().unwrap_or_default();
        stepped?;
        if operations.is_empty() {
            let hint = "the step to record asked for nothing";
            return Err(Error::Recording { operation: "nothing", hint });
        }
        recorder.graphs.set(recorder.graphs.get() + 1);
        Ok(Self { operations, device: device.clone() })
    }
}

impl Replay for Graph {
    fn replay(&self) -> Result<()> {
        self.device.not_recording("a graph", "replay it after the other was recorded")?;
        // SAFETY: memory that was dropped since is parked as long as there is a graph. That nothing is borrowed while a graph
        // writes it is as on a GPU: the host reads and writes by copies, one after another.
        self.operations.iter().try_for_each(|operation| unsafe { operation.carry_out() })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        let inner = &self.device.0;
        let recorder = &inner.recorder;
        recorder.graphs.set(recorder.graphs.get() - 1);
        if recorder.graphs.get() == 0 {
            let bytes: usize = recorder.parked.borrow_mut().drain(..).map(|(_, bytes)| bytes).sum();
            inner.taken.set(inner.taken.get() - bytes);
        }
    }
}
