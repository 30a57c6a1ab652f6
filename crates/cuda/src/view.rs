//! Parts of matrices, which are what products, kernels and copies take. Nothing is moved to make one.

use std::marker::PhantomData;
use std::ops::Range;

use ndarray::{Array2, ArrayView2};

use crate::{Device, Element, Matrix, Result, rows};

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
    pub(crate) fn new(device: &'a D, address: u64, shape: [usize; 2], stride: usize) -> Self {
        Self { device, address, stride, shape, transposed: false, element: PhantomData }
    }

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

    /// A copy on the host; exact.
    ///
    /// # Errors
    /// It is transposed, there is not enough memory, or the device refuses.
    pub fn to_host(self) -> Result<Array2<f64>> {
        let mut copy = Matrix::new(self.device, self.shape())?;
        rows::copy(self, copy.view_mut())?;
        copy.to_host()
    }
}

/// A part of a matrix, to write. Two that come from one by a split do not overlap.
pub struct ViewMut<'a, T: Element, D: Device>(pub(crate) View<'a, T, D>);

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

    /// The first rows, and those from row `at` on.
    ///
    /// # Panics
    /// There are not as many.
    pub fn split_rows(self, at: usize) -> [Self; 2] {
        [Self(self.0.rows(0..at)), Self(self.0.rows(at..self.0.shape[0]))]
    }

    /// The first columns, and those from column `at` on.
    ///
    /// # Panics
    /// There are not as many.
    pub fn split_columns(self, at: usize) -> [Self; 2] {
        [Self(self.0.columns(0..at)), Self(self.0.columns(at..self.0.shape[1]))]
    }

    /// Rows and columns.
    pub fn shape(&self) -> [usize; 2] {
        self.0.shape()
    }

    /// The same part, to read.
    pub fn view(&self) -> View<'_, T, D> {
        self.0
    }

    /// The same part, to write and to have again afterwards.
    pub fn reborrow(&mut self) -> ViewMut<'_, T, D> {
        ViewMut(self.0)
    }

    /// Overwrite with a matrix of the host, rounded to `T`.
    ///
    /// # Errors
    /// The shapes differ, there is not enough memory, or the device refuses.
    pub fn write(self, host: ArrayView2<'_, f64>) -> Result<()> {
        let copy = Matrix::from_host(self.0.device, host)?;
        rows::copy(copy.view(), self)
    }

    /// The same part as elements of the master's type, where that is no wider than `T`: all but bf16.
    pub fn as_master(self) -> Option<ViewMut<'a, T::Master, D>> {
        let View { device, address, stride, shape, .. } = self.0;
        let same = size_of::<T>() == size_of::<T::Master>();
        same.then(|| ViewMut(View::new(device, address, shape, stride)))
    }
}
