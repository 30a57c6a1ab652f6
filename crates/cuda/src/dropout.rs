//! Dropout whose mask is drawn where it is used.

use adapter::check_shape;

use crate::buffer::Buffer;
use crate::{Device, Dimensions, Element, Launch, Matrix, Result, Source, View, ViewMut};

/// Its kernels.
pub static DROPOUT: Source =
    Source::new("crates/cuda/src/kernels/dropout.cu", include_str!("kernels/dropout.cu"));

/// The masks of a run. The step is counted on the device: call [`advance`](Self::advance) once before each.
pub struct Dropout<D: Device> {
    p: f64,
    seed: u64,
    step: Buffer<u64, D>,
}

/// The masks of one layer of a run, and room for its masked input.
pub struct Stream<'a, T: Element, D: Device> {
    dropout: &'a Dropout<D>,
    layer: u32,
    room: &'a mut Matrix<T, D>,
}

impl<D: Device> Dropout<D> {
    /// Each element is dropped with probability `p`. The first [`advance`](Self::advance) leads to step 1.
    ///
    /// # Errors
    /// `p` is not in \[0, 1), or there is not enough memory.
    pub fn new(device: &D, p: f64, seed: u64) -> Result<Self> {
        if !(0.0..1.0).contains(&p) {
            let hint = "a probability p with 0 ≤ p < 1";
            return Err(adapter::Error::value("dropout", p, hint).into());
        }
        Ok(Self { p, seed, step: Buffer::new(device, &[0])? })
    }

    /// Other masks from here on.
    ///
    /// # Errors
    /// The device refuses.
    pub fn advance(&mut self) -> Result<()> {
        let device = self.step.device().clone();
        Launch::new::<f64>(&device, &DROPOUT, "dropout_advance")
            .address("uint64*", self.step.address())
            .run(Dimensions::each(1))
    }

    /// The masks of layer number `layer`. Layers whose input has the same shape \[tokens, in\] can share the room, if they run
    /// one after another.
    pub fn layer<'a, T: Element>(
        &'a self,
        layer: u32,
        room: &'a mut Matrix<T, D>,
    ) -> Stream<'a, T, D> {
        Stream { dropout: self, layer, room }
    }

    /// The step: what `adapter::Dropout::philox` takes to draw the same mask on the host.
    ///
    /// # Errors
    /// The device refuses.
    pub fn step(&self) -> Result<u64> {
        Ok(self.step.to_host()?[0])
    }
}

impl<T: Element, D: Device> Stream<'_, T, D> {
    /// x̃ = x ⊙ mask/(1 − p), in the room.
    ///
    /// # Errors
    /// The room has another shape than x, or the device refuses.
    pub fn apply(&mut self, x: View<'_, T, D>) -> Result<View<'_, T, D>> {
        check_shape("room", &self.room.shape(), &x.shape(), "the shape of x")?;
        launch(self.dropout, self.layer, x, self.room.view_mut())?;
        Ok(self.room.view())
    }

    /// x ← x ⊙ mask/(1 − p).
    ///
    /// # Errors
    /// The device refuses.
    pub fn apply_in_place(&self, x: ViewMut<'_, T, D>) -> Result<()> {
        launch(self.dropout, self.layer, x.0, x)
    }
}

fn launch<T: Element, D: Device>(
    dropout: &Dropout<D>,
    layer: u32,
    from: View<'_, T, D>,
    to: ViewMut<'_, T, D>,
) -> Result<()> {
    let Dropout { p, seed, step } = dropout;
    let ([rows, columns], device) = (to.shape(), to.0.device);
    if !device.same(step.device()) {
        return Err(crate::Error::Devices { operation: "dropout" });
    }
    // p < 1, so this is below 2³².
    let threshold = (p * 4_294_967_296.0) as usize;
    Launch::new::<T>(device, &DROPOUT, "dropout_apply")
        .read_strided(from)
        .write_strided(to)
        .length(rows * columns)
        .count(columns)
        .count(threshold)
        .real(1.0 - p)
        .bits(*seed)
        .count(layer as usize)
        .address("const uint64*", step.address())
        .run(Dimensions::each((rows * columns).div_ceil(4)))
}
