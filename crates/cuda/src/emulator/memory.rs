//! The host's memory as that of a device.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use super::Emulator;
use crate::Result;

/// Bytes of the host, exactly as many as were asked for: AddressSanitizer sees an access to the next one.
pub(super) struct Block {
    start: NonNull<u8>,
    layout: Layout,
}

/// Bytes of the emulated device.
pub struct Memory {
    /// Taken when dropped.
    block: Option<Block>,
    start: NonNull<u8>,
    length: usize,
    device: Emulator,
}

impl Block {
    pub(super) fn new(bytes: usize) -> Result<Self> {
        // 16: what every vector instruction is content with.
        let layout = Layout::from_size_align(bytes.max(1), 16)
            .map_err(|error| adapter::Error::value("bytes", bytes, error.to_string()))?;
        // SAFETY: the layout has at least one byte.
        let start = NonNull::new(unsafe { alloc(layout) });
        let Some(start) = start else { handle_alloc_error(layout) };
        Ok(Self { start, layout })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and dropped once.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

impl Memory {
    pub(super) fn new(block: Block, length: usize, device: Emulator) -> Self {
        Self { start: block.start, block: Some(block), length, device }
    }

    pub(super) fn address(&self) -> u64 {
        self.start.as_ptr().expose_provenance() as u64
    }

    /// Where a range begins.
    pub(super) fn range(&self, offset: usize, length: usize) -> *mut u8 {
        let end = offset.checked_add(length).expect("a range within memory");
        assert!(end <= self.length, "{offset} + {length} bytes of {}", self.length);
        // SAFETY: the offset lies within the allocation, or one past its end.
        unsafe { self.start.as_ptr().add(offset) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let inner = &self.device.0;
        if let Some(block) = self.block.take() {
            // A graph replays with the addresses it was recorded with; its bytes count until then.
            if inner.recorder.park(block, self.length).is_none() {
                return;
            }
            inner.taken.set(inner.taken.get() - self.length);
        }
    }
}
