//! AdamW for all tensors of a model in one launch.

use std::collections::BTreeMap;

use adapter::{AdamVariant, Group, Optimizer as _, check_shape};
use ndarray::Array2;

use crate::buffer::Buffer;
use crate::{Device, Dimensions, Element, Launch, Matrix, Result, Source, ViewMut};

/// Its kernels.
pub static ADAMW: Source =
    Source::new("crates/cuda/src/kernels/adamw.cu", include_str!("kernels/adamw.cu"));

/// Elements that one thread is meant to update.
const EACH: usize = 8;
/// Numbers of `struct State` in adamw.cu; the first is the learning rate, the sixth the count of updates.
const STATE: usize = 8;

/// `struct Tensor` of adamw.cu: a row of the table. The first five are addresses on the device. Matrices lie without gaps, but
/// for the copy.
#[derive(Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Row {
    parameter: u64,
    gradient: u64,
    exp_avg: u64,
    exp_avg_sq: u64,
    /// 0 where there is no copy.
    copy: u64,
    copy_row: u64,
    columns: u64,
    count: u64,
    scale: f64,
    rate: f64,
    decay: f64,
}

/// A parameter with its gradient, and with the copy of it that products read.
pub struct Update<'a, T: Element, D: Device> {
    /// Under which its moments are kept; unique in the model.
    pub name: String,
    /// Moves. It is the master: small steps would vanish in bf16, whose neighbours are 2⁻⁸ apart.
    pub parameter: &'a mut Matrix<T::Master, D>,
    /// \[as the parameter\].
    pub gradient: &'a Matrix<T::Master, D>,
    /// Follows: `scale` times the parameter, rounded to `T`. \[as the parameter\], wherever it lies.
    pub copy: Option<ViewMut<'a, T, D>>,
    /// s for B of LoRA.
    pub scale: f64,
    /// Its learning rate, as a multiple of the optimiser's: λ for B in LoRA+.
    pub rate: f64,
    /// Does it decay?
    pub decays: bool,
}

impl<'a, T: Element, D: Device> Update<'a, T, D> {
    /// At the optimiser's own rate and with its decay; nothing follows.
    pub fn new(
        name: String,
        parameter: &'a mut Matrix<T::Master, D>,
        gradient: &'a Matrix<T::Master, D>,
    ) -> Self {
        Self { name, parameter, gradient, copy: None, scale: 1.0, rate: 1.0, decays: true }
    }

    /// With a copy that follows, `scale` times the parameter.
    pub fn with_copy(self, scale: f64, copy: ViewMut<'a, T, D>) -> Self {
        Self { copy: Some(copy), scale, ..self }
    }
}

/// m and v of one parameter.
struct Moments<T: Element, D: Device> {
    exp_avg: Matrix<T::Master, D>,
    exp_avg_sq: Matrix<T::Master, D>,
}

/// AdamW, both variants, with the numbers of `adapter::AdamW`.
pub struct AdamW<T: Element, D: Device> {
    /// Rate and decay; change `group.lr` between steps to follow a schedule.
    pub group: Group,
    device: D,
    moments: BTreeMap<String, Moments<T, D>>,
    state: Matrix<f64, D>,
    /// The rate on the device.
    lr: f64,
    /// The table on the device, and what it holds.
    table: Option<(Buffer<Row, D>, Vec<Row>)>,
}

impl<T: Element, D: Device> AdamW<T, D> {
    /// From the optimiser of the CPU: its rate, decay, variant, β and ε, and not its moments.
    ///
    /// # Errors
    /// One of them is out of its range, or there is not enough memory.
    pub fn new(device: &D, like: &adapter::AdamW<f64>) -> Result<Self> {
        like.validate()?;
        let hf = f64::from(u8::from(like.variant == AdamVariant::Hf));
        let lr = like.group.lr;
        let state = [lr, like.betas.0, like.betas.1, like.eps, hf, 0.0, 0.0, 0.0];
        let state = Array2::from_shape_vec((1, STATE), state.to_vec()).expect("eight numbers");
        Ok(Self {
            group: like.group,
            device: device.clone(),
            moments: BTreeMap::new(),
            state: Matrix::from_host(device, state.view())?,
            lr,
            table: None,
        })
    }

    /// Begin with `steps` updates done.
    ///
    /// # Errors
    /// The device refuses.
    pub fn set_steps(&mut self, steps: u64) -> Result<()> {
        let mut state = self.state.to_host()?;
        state[[0, 5]] = steps as f64;
        self.state.write(state.view())
    }

    /// m and v under a name, on the host.
    ///
    /// # Errors
    /// The device refuses.
    pub fn moments(&self, name: &str) -> Result<Option<[Array2<f64>; 2]>> {
        let Some(Moments { exp_avg, exp_avg_sq }) = self.moments.get(name) else {
            return Ok(None);
        };
        Ok(Some([exp_avg.to_host()?, exp_avg_sq.to_host()?]))
    }

    /// Begin with these moments under a name: \[as the parameter\].
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn set_moments(&mut self, name: &str, [m, v]: [&Array2<f64>; 2]) -> Result<()> {
        let exp_avg = Matrix::from_host(&self.device, m.view())?;
        let exp_avg_sq = Matrix::from_host(&self.device, v.view())?;
        self.moments.insert(name.to_owned(), Moments { exp_avg, exp_avg_sq });
        Ok(())
    }

    /// Follow `group.lr` on the device. [`step`](Self::step) does it; between replays of a graph, call it.
    ///
    /// # Errors
    /// A graph is being recorded: what it would copy is a number of the host, and every replay would copy it again.
    pub fn set_rate(&mut self) -> Result<()> {
        if self.lr != self.group.lr {
            self.group.validate()?;
            let mut state = self.state.to_host()?;
            state[[0, 0]] = self.group.lr;
            self.state.write(state.view())?;
            self.lr = self.group.lr;
        }
        Ok(())
    }

    /// One update of all: two launches, whatever their number.
    ///
    /// To record it in a graph, run it once before: then moments and table are in place.
    ///
    /// # Errors
    /// A gradient does not have its parameter's shape, a name occurs twice, the tensors lie on different devices, or the device
    /// refuses.
    pub fn step(&mut self, updates: Vec<Update<'_, T, D>>) -> Result<()> {
        self.set_rate()?;
        let mut table = Vec::with_capacity(updates.len());
        let mut most = 0;
        for update in &updates {
            table.push(self.row(update)?);
            most = most.max(update.parameter.shape().iter().product());
        }
        let mut names: Vec<_> = updates.iter().map(|update| update.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let hint = "two parameters cannot share their moments";
            return Err(adapter::Error::value("the name of a parameter", twice[0], hint).into());
        }
        if updates.is_empty() {
            return Ok(());
        }
        let address = self.place(table)?;
        Launch::new::<f64>(&self.device, &ADAMW, "adamw_begin")
            .address("State*", self.state.address())
            .run(Dimensions::each(1))?;
        let blocks = Dimensions::each(most.div_ceil(EACH));
        Launch::new::<T>(&self.device, &ADAMW, "adamw")
            .address("const Tensor*", address)
            .address("const State*", self.state.address())
            .run(blocks.times(updates.len())?)
    }

    /// A row of the table.
    fn row(&mut self, update: &Update<'_, T, D>) -> Result<Row> {
        let Update { name, parameter, gradient, copy, scale, rate, decays } = update;
        let shape = parameter.shape();
        let what = || format!("the gradient of {name}");
        check_shape(what(), &gradient.shape(), &shape, "its parameter's shape")?;
        let mut devices = vec![parameter.device(), gradient.device()];
        if let Some(copy) = copy {
            check_shape(format!("the copy of {name}"), &copy.shape(), &shape, "its parameter's")?;
            devices.push(copy.0.device);
        }
        if !devices.iter().all(|device| self.device.same(device)) {
            return Err(crate::Error::Devices { operation: "AdamW" });
        }
        if !self.moments.contains_key(name) {
            let fresh = Moments {
                exp_avg: Matrix::zeros(&self.device, shape)?,
                exp_avg_sq: Matrix::zeros(&self.device, shape)?,
            };
            self.moments.insert(name.clone(), fresh);
        }
        let moments = &self.moments[name];
        check_shape(what(), &gradient.shape(), &moments.exp_avg.shape(), "the shape of m")?;
        check_shape(what(), &gradient.shape(), &moments.exp_avg_sq.shape(), "the shape of v")?;
        let decay = if *decays { self.group.weight_decay } else { 0.0 };
        Ok(Row {
            parameter: parameter.address(),
            gradient: gradient.address(),
            exp_avg: moments.exp_avg.address(),
            exp_avg_sq: moments.exp_avg_sq.address(),
            copy: copy.as_ref().map_or(0, |copy| copy.0.address),
            copy_row: copy.as_ref().map_or(0, |copy| copy.0.stride as u64),
            columns: shape[1] as u64,
            count: shape.iter().product::<usize>() as u64,
            scale: *scale,
            rate: *rate,
            decay,
        })
    }

    /// Bring the table to the device, unless it is there.
    fn place(&mut self, table: Vec<Row>) -> Result<u64> {
        let there = self.table.as_ref().is_some_and(|(_, there)| *there == table);
        if !there {
            self.table = Some((Buffer::new(&self.device, &table)?, table));
        }
        Ok(self.table.as_ref().expect("placed above").0.address())
    }
}
