//! Matrices on a device, row-major, and views of them.

use std::marker::PhantomData;
use std::ops::Range;

use adapter::check_shape;
use ndarray::{Array2, ArrayView2};

use crate::{Device, Element, Result};

/// Bytes on each side of a guarded matrix.
const GUARD: usize = 256;
/// Every element of every kind is NaN if all its bits are set: what reads a guard, or what was never written, gets NaN.
const NAN_BYTE: u8 = 0xff;

/// Rows × columns elements on a device.
pub struct Matrix<T: Element, D: Device> {
    device: D,
    memory: D::Memory,
    /// Where it begins within `memory`.
    offset: usize,
    shape: [usize; 2],
    element: PhantomData<T>,
}

impl<T: Element, D: Device> Matrix<T, D> {
    /// A matrix to be written: what it holds is of no meaning.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn new(device: &D, shape: [usize; 2]) -> Result<Self> {
        let count = shape[0].checked_mul(shape[1]);
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
        Ok(Self { device: device.clone(), memory, offset: guard, shape, element: PhantomData })
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
        let bytes = self.shape_bytes();
        self.device.fill(&mut self.memory, self.offset, bytes, 0)
    }

    /// Overwrite with a matrix of the host, rounded to `T`.
    ///
    /// # Errors
    /// The shapes differ, or the device refuses.
    pub fn write(&mut self, host: ArrayView2<'_, f64>) -> Result<()> {
        check_shape("the matrix to write", host.shape(), &self.shape, "the shape on the device")?;
        let elements: Vec<T> = host.iter().map(|&value| T::from_f64(value)).collect();
        self.device.write(&mut self.memory, self.offset, bytemuck::cast_slice(&elements))
    }

    /// A copy on the host; exact.
    ///
    /// # Errors
    /// The device refuses, or something asked for before has failed.
    pub fn to_host(&self) -> Result<Array2<f64>> {
        let mut elements = vec![T::zeroed(); self.shape[0] * self.shape[1]];
        self.device.read(&self.memory, self.offset, bytemuck::cast_slice_mut(&mut elements))?;
        let values = elements.into_iter().map(T::to_f64).collect();
        Ok(Array2::from_shape_vec(self.shape, values).expect("as many as the shape says"))
    }

    /// Some of its rows on the host, in this order; exact.
    ///
    /// # Errors
    /// There is no such row, the device refuses, or something asked for before has failed.
    pub fn rows_to_host(&self, rows: &[usize]) -> Result<Array2<f64>> {
        let [count, columns] = self.shape;
        let bytes = columns * size_of::<T>();
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

    /// Overwrite with another matrix of the device.
    ///
    /// # Errors
    /// The shapes or the devices differ.
    pub fn copy_from(&mut self, other: &Self) -> Result<()> {
        check_shape("the matrix to copy", &other.shape, &self.shape, "the shape of its target")?;
        if !self.device.same(&other.device) {
            return Err(crate::Error::Devices { operation: "a copy" });
        }
        let bytes = self.shape_bytes();
        self.device.copy(&other.memory, other.offset, &mut self.memory, self.offset, bytes)
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

    fn shape_bytes(&self) -> usize {
        self.shape[0] * self.shape[1] * size_of::<T>()
    }

    /// All of it, to read.
    pub fn view(&self) -> View<'_, T, D> {
        View {
            device: &self.device,
            address: self.address(),
            stride: self.shape[1],
            shape: self.shape,
            transposed: false,
            element: PhantomData,
        }
    }

    /// All of it, to write.
    pub fn view_mut(&mut self) -> ViewMut<'_, T, D> {
        ViewMut(self.view())
    }
}

impl<T: Element, D: Device> Drop for Matrix<T, D> {
    fn drop(&mut self) {
        let bytes = self.shape_bytes();
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

/// A part of a matrix, or its transpose, to read.
pub struct View<'a, T: Element, D: Device> {
    pub(crate) device: &'a D,
    pub(crate) address: u64,
    /// Elements from one stored row to the next.
    pub(crate) stride: usize,
    /// As stored, before transposition.
    shape: [usize; 2],
    pub(crate) transposed: bool,
    element: PhantomData<&'a T>,
}

impl<T: Element, D: Device> Clone for View<'_, T, D> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: Element, D: Device> Copy for View<'_, T, D> {}

impl<'a, T: Element, D: Device> View<'a, T, D> {
    /// Rows and columns.
    pub fn shape(&self) -> [usize; 2] {
        let [rows, columns] = self.shape;
        if self.transposed { [columns, rows] } else { [rows, columns] }
    }

    /// The transpose. Nothing is moved.
    pub fn t(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    /// Some rows of a view that is not transposed.
    ///
    /// # Panics
    /// It is transposed, or there are not as many rows.
    pub fn rows(self, rows: Range<usize>) -> Self {
        assert!(!self.transposed && rows.end <= self.shape[0] && rows.start <= rows.end);
        let address = self.address + (rows.start * self.stride * size_of::<T>()) as u64;
        Self { address, shape: [rows.len(), self.shape[1]], ..self }
    }

    /// Some columns of a view that is not transposed.
    ///
    /// # Panics
    /// It is transposed, or there are not as many columns.
    pub fn columns(self, columns: Range<usize>) -> Self {
        assert!(!self.transposed && columns.end <= self.shape[1] && columns.start <= columns.end);
        let address = self.address + (columns.start * size_of::<T>()) as u64;
        Self { address, shape: [self.shape[0], columns.len()], ..self }
    }

    /// Do its elements lie one after another, row by row?
    pub(crate) fn is_contiguous(&self) -> bool {
        !self.transposed && (self.stride == self.shape[1] || self.shape[0] <= 1)
    }

    /// The device it lies on.
    pub fn device(&self) -> &'a D {
        self.device
    }
}

impl<'a, T: Element, D: Device> View<'a, T, D> {
    /// The same bits as elements of another type.
    ///
    /// # Panics
    /// It has another size.
    pub(crate) fn same_bits<U: Element>(self) -> View<'a, U, D> {
        assert_eq!(size_of::<T>(), size_of::<U>());
        View {
            device: self.device,
            address: self.address,
            stride: self.stride,
            shape: self.shape,
            transposed: self.transposed,
            element: PhantomData,
        }
    }
}

/// A part of a matrix, to write.
pub struct ViewMut<'a, T: Element, D: Device>(View<'a, T, D>);

impl<'a, T: Element, D: Device> ViewMut<'a, T, D> {
    /// Some rows.
    ///
    /// # Panics
    /// There are not as many.
    pub fn rows(self, rows: Range<usize>) -> Self {
        Self(self.0.rows(rows))
    }

    /// Some columns.
    ///
    /// # Panics
    /// There are not as many.
    pub fn columns(self, columns: Range<usize>) -> Self {
        Self(self.0.columns(columns))
    }

    /// Rows and columns.
    pub fn shape(&self) -> [usize; 2] {
        self.0.shape()
    }

    /// The same part, to read.
    pub(crate) fn view(&self) -> View<'a, T, D> {
        self.0
    }
}
