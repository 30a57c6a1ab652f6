//! What is trained: a master, and the copy that products are made with.

use ndarray::{Array2, ArrayView2};

use crate::{Device, Dimensions, Element, Kind, Launch, Matrix, Result, Source, View};

/// The kernel that makes a working copy.
pub static ROUND: Source =
    Source::new("crates/cuda/src/kernels/round.cu", include_str!("kernels/round.cu"));

/// A matrix that is trained. Small steps vanish in bf16, whose neighbours are 2⁻⁸ apart; so the master is `f32`, and
/// products use a rounded copy that follows it. Where `T` is as wide as its master there is only the master.
pub struct Parameter<T: Element, D: Device> {
    pub(crate) master: Matrix<T::Master, D>,
    pub(crate) rounded: Option<Matrix<T, D>>,
}

impl<T: Element, D: Device> Parameter<T, D> {
    /// From a matrix of the host.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn from_host(device: &D, host: ArrayView2<'_, f64>) -> Result<Self> {
        let master = Matrix::from_host(device, host)?;
        let rounded = match T::KIND {
            Kind::Bf16 => Some(Matrix::new(device, master.shape())?),
            _ => None,
        };
        let mut made = Self { master, rounded };
        made.round()?;
        Ok(made)
    }

    /// What products are made with.
    pub fn view(&self) -> View<'_, T, D> {
        match &self.rounded {
            Some(rounded) => rounded.view(),
            None => self.master.view().same_bits(),
        }
    }

    /// The master.
    pub fn master(&self) -> &Matrix<T::Master, D> {
        &self.master
    }

    /// The master, to change; then [`round`](Self::round).
    pub fn master_mut(&mut self) -> &mut Matrix<T::Master, D> {
        &mut self.master
    }

    /// Rows and columns.
    pub fn shape(&self) -> [usize; 2] {
        self.master.shape()
    }

    /// The device it lies on.
    pub fn device(&self) -> &D {
        self.master.device()
    }

    /// The master on the host.
    ///
    /// # Errors
    /// The device refuses, or something asked for before has failed.
    pub fn to_host(&self) -> Result<Array2<f64>> {
        self.master.to_host()
    }

    /// Make the working copy follow the master.
    ///
    /// # Errors
    /// The device refuses.
    pub fn round(&mut self) -> Result<()> {
        let Some(rounded) = &mut self.rounded else { return Ok(()) };
        let count = rounded.shape().iter().product();
        let device = self.master.device().clone();
        Launch::new::<T>(&device, &ROUND, "round_master")
            .read(&self.master)
            .write(rounded)
            .length(count)
            .run(Dimensions::each(count))
    }
}
