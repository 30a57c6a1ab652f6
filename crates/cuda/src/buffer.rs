//! Numbers of any one type in a row on a device: tables and counters, which are no matrices.

use std::marker::PhantomData;

use bytemuck::Pod;

use crate::{Device, Result};

/// As many as were written when it was made.
pub(crate) struct Buffer<T: Pod, D: Device> {
    device: D,
    memory: D::Memory,
    length: usize,
    element: PhantomData<T>,
}

impl<T: Pod, D: Device> Buffer<T, D> {
    /// A copy of these on the device.
    pub(crate) fn new(device: &D, host: &[T]) -> Result<Self> {
        let bytes: &[u8] = bytemuck::cast_slice(host);
        let mut memory = device.allocate(bytes.len(), "a table")?;
        device.write(&mut memory, 0, bytes)?;
        device.accounts().add(bytes.len());
        Ok(Self { device: device.clone(), memory, length: host.len(), element: PhantomData })
    }

    pub(crate) fn to_host(&self) -> Result<Vec<T>> {
        let mut host = vec![T::zeroed(); self.length];
        self.device.read(&self.memory, 0, bytemuck::cast_slice_mut(&mut host))?;
        Ok(host)
    }

    pub(crate) fn device(&self) -> &D {
        &self.device
    }

    pub(crate) fn address(&self) -> u64 {
        self.device.address(&self.memory)
    }
}

impl<T: Pod, D: Device> Drop for Buffer<T, D> {
    fn drop(&mut self) {
        self.device.accounts().remove(self.length * size_of::<T>());
    }
}
