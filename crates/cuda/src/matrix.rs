//! Matrices on a device, row-major.

use std::marker::PhantomData;

use adapter::check_shape;
use ndarray::{Array2, ArrayView2, s};

use crate::{Device, Element, Result, View, ViewMut};

/// Bytes on each side of a guarded matrix.
const GUARD: usize = 256;
/// Every element of every kind is NaN if all its bits are set: what reads a guard, or what was never written, gets NaN.
const NAN_BYTE: u8 = 0xff;
/// Elements that a padded row's length is a multiple of: 16 bytes in bf16, which the loads of tensor cores ask for.
const PADDED: usize = 8;

/// Rows × columns elements on a device.
pub struct Matrix<T: Element, D: Device> {
    device: D,
    memory: D::Memory,
    /// Where it begins within `memory`.
    offset: usize,
    shape: [usize; 2],
    /// Elements from one row to the next.
    stride: usize,
    element: PhantomData<T>,
}

impl<T: Element, D: Device> Matrix<T, D> {
    /// A matrix to be written: what it holds is of no meaning.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn new(device: &D, shape: [usize; 2]) -> Result<Self> {
        Self::with_stride(device, shape, shape[1])
    }

    /// [`new`](Self::new), with rows that begin at multiples of 8 elements: of such a matrix every row can be read by the
    /// widest loads, whatever its length.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn padded(device: &D, shape: [usize; 2]) -> Result<Self> {
        Self::with_stride(
            device,
            shape,
            shape[1].checked_next_multiple_of(PADDED).unwrap_or(usize::MAX),
        )
    }

    fn with_stride(device: &D, shape: [usize; 2], stride: usize) -> Result<Self> {
        let count = shape[0].checked_mul(stride);
        let bytes = count.and_then(|count| count.checked_mul(size_of::<T>()));
        let bytes = bytes.filter(|bytes| *bytes <= isize::MAX as usize - 2 * GUARD);
        let Some(bytes) = bytes else {
            let hint = "a matrix of that many bytes cannot be addressed";
            return Err(adapter::Error::value("shape", format!("{shape:?}"), hint).into());
        };
        let guard = if device.accounts().guarded() { GUARD } else { 0 };
        let mut memory = device.allocate(bytes + 2 * guard, "a matrix")?;
        if device.accounts().poisoned() {
            device.fill(&mut memory, 0, bytes + 2 * guard, NAN_BYTE)?;
        }
        device.accounts().add(bytes);
        let device = device.clone();
        Ok(Self { device, memory, offset: guard, shape, stride, element: PhantomData })
    }

    /// A matrix of zeros.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn zeros(device: &D, shape: [usize; 2]) -> Result<Self> {
        let mut made = Self::new(device, shape)?;
        made.clear()?;
        Ok(made)
    }

    /// A copy of a matrix of the host, rounded to `T`.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn from_host(device: &D, host: ArrayView2<'_, f64>) -> Result<Self> {
        let mut made = Self::new(device, [host.nrows(), host.ncols()])?;
        made.write(host)?;
        Ok(made)
    }

    /// Every element to zero.
    ///
    /// # Errors
    /// The device refuses.
    pub fn clear(&mut self) -> Result<()> {
        let bytes = self.bytes();
        self.device.fill(&mut self.memory, self.offset, bytes, 0)
    }

    /// Overwrite with a matrix of the host, rounded to `T`.
    ///
    /// # Errors
    /// The shapes differ, or the device refuses.
    pub fn write(&mut self, host: ArrayView2<'_, f64>) -> Result<()> {
        check_shape("the matrix to write", host.shape(), &self.shape, "the shape on the device")?;
        let mut elements = vec![T::zeroed(); self.shape[0] * self.stride];
        for (host, row) in host.outer_iter().zip(elements.chunks_exact_mut(self.stride.max(1))) {
            host.iter().zip(row).for_each(|(&value, element)| *element = T::from_f64(value));
        }
        self.device.write(&mut self.memory, self.offset, bytemuck::cast_slice(&elements))
    }

    /// A copy on the host; exact.
    ///
    /// # Errors
    /// The device refuses, or something asked for before has failed.
    pub fn to_host(&self) -> Result<Array2<f64>> {
        let mut elements = vec![T::zeroed(); self.shape[0] * self.stride];
        self.device.read(&self.memory, self.offset, bytemuck::cast_slice_mut(&mut elements))?;
        let stored = ArrayView2::from_shape((self.shape[0], self.stride), &elements);
        let stored = stored.expect("as many as were read");
        Ok(stored.slice(s![.., ..self.shape[1]]).mapv(T::to_f64))
    }

    /// Some of its rows on the host, in this order; exact.
    ///
    /// # Errors
    /// There is no such row, the device refuses, or something asked for before has failed.
    pub fn rows_to_host(&self, rows: &[usize]) -> Result<Array2<f64>> {
        let [count, columns] = self.shape;
        let bytes = self.stride * size_of::<T>();
        let mut elements = vec![T::zeroed(); rows.len() * columns];
        for (row, elements) in rows.iter().zip(elements.chunks_exact_mut(columns.max(1))) {
            if *row >= count {
                let hint = format!("the matrix has {count} rows");
                return Err(adapter::Error::value("row", row, hint).into());
            }
            let at = self.offset + row * bytes;
            self.device.read(&self.memory, at, bytemuck::cast_slice_mut(elements))?;
        }
        let values = elements.into_iter().map(T::to_f64).collect();
        Ok(Array2::from_shape_vec((rows.len(), columns), values).expect("as many as asked for"))
    }

    /// The device it lies on.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// Rows and columns.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// Where its first element lies.
    pub(crate) fn address(&self) -> u64 {
        self.device.address(&self.memory) + self.offset as u64
    }

    fn bytes(&self) -> usize {
        self.shape[0] * self.stride * size_of::<T>()
    }

    /// All of it, to read.
    pub fn view(&self) -> View<'_, T, D> {
        View::new(&self.device, self.address(), self.shape, self.stride)
    }

    /// All of it, to write.
    pub fn view_mut(&mut self) -> ViewMut<'_, T, D> {
        ViewMut(self.view())
    }
}

impl<T: Element, D: Device> Drop for Matrix<T, D> {
    fn drop(&mut self) {
        let bytes = self.bytes();
        self.device.accounts().remove(bytes);
        if self.offset == 0 {
            return;
        }
        let mut guards = [0; 2 * GUARD];
        let (before, after) = guards.split_at_mut(GUARD);
        let read = self
            .device
            .read(&self.memory, 0, before)
            .and_then(|()| self.device.read(&self.memory, self.offset + bytes, after));
        if read.is_err() || guards.iter().any(|byte| *byte != NAN_BYTE) {
            self.device.accounts().overrun();
        }
    }
}
