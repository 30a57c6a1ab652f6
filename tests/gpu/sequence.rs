//! Steps in a row: training, with and without a mask.

use cuda::{AdamW, Device, Dropout, Element, Error, Matrix, Replay};
use ndarray::{Array2, Axis};
use oracle::{Case, Method, Op, Tensor, TensorFile};

use super::layer::{Layer, Named};
use super::random_case;

type Result<T> = std::result::Result<T, Error>;

/// A layer that is trained on one batch, with everything a step needs in place.
pub struct Training<T: Element, D: Device> {
    layer: Layer<T, D>,
    optimizer: AdamW<T, D>,
    dropout: Option<Dropout<D>>,
    room: Matrix<T, D>,
    y: Matrix<T, D>,
    grad_x: Matrix<T, D>,
}

fn host(file: &TensorFile, name: &str) -> Option<Array2<f64>> {
    let tensor = file.tensors.get(&format!("in.{name}"))?.to_f64().expect("F16");
    let matrix = if tensor.ndim() == 1 { tensor.insert_axis(Axis(0)) } else { tensor };
    Some(matrix.into_dimensionality().expect("a matrix or a vector"))
}

/// A layer of this shape, \[tokens, in, out, r\], about to be trained; with a mask, where the method allows it, if `p` > 0.
///
/// # Errors
/// The device fails.
pub fn training<T: Element, D: Device>(
    device: &D,
    method: Method,
    shape: [usize; 4],
    p: f64,
) -> Result<Training<T, D>> {
    let file = random_case(method, Op::Backward, shape, 1);
    let case = Case::of(&file).expect("made above");
    let params = case.params().expect("made above");
    let get = |name: &str| host(&file, name);
    let [tokens, inputs, out, _] = shape;
    let group = adapter::Group { lr: 1e-3, weight_decay: 0.01 };
    let like = adapter::AdamW::new(group, adapter::AdamVariant::Torch);
    let masked = p > 0.0 && method != Method::DeltaLora;
    let mut layer = Layer::new(device, method, params, &get, tokens)?;
    layer.x_mut().write(get("x").expect("there").view())?;
    layer.grad_y_mut().write(get("grad_y").expect("there").view())?;
    Ok(Training {
        layer,
        optimizer: AdamW::new(device, &like)?,
        dropout: if masked { Some(Dropout::new(device, p, 11)?) } else { None },
        room: Matrix::new(device, [tokens, inputs])?,
        y: Matrix::new(device, [tokens, out])?,
        grad_x: Matrix::new(device, [tokens, inputs])?,
    })
}

impl<T: Element, D: Device> Training<T, D> {
    /// Forward, backward, update.
    ///
    /// # Errors
    /// The device fails.
    pub fn step(&mut self) -> Result<()> {
        self.pass()?;
        self.layer.step(&mut self.optimizer)
    }

    /// Forward and backward.
    ///
    /// # Errors
    /// The device fails.
    pub fn pass(&mut self) -> Result<()> {
        let Self { layer, dropout, room, y, grad_x, .. } = self;
        if let Some(dropout) = dropout {
            dropout.advance()?;
        }
        let mut stream = dropout.as_ref().map(|dropout| dropout.layer(3, room));
        layer.forward(stream.as_mut(), y)?;
        layer.backward(stream.as_mut(), grad_x)
    }

    /// What is trained, and W.
    ///
    /// # Errors
    /// The device fails.
    pub fn state(&self) -> Result<Named> {
        let mut state = self.layer.tensors()?;
        state.insert("weight", self.layer.weight()?);
        Ok(state)
    }
}

/// Does every step give back the memory it takes? The bytes that the device's driver has free after the first step and after the
/// last.
///
/// # Errors
/// The device fails.
pub fn steady_memory<T: Element, D: Device>(
    device: &D,
    method: Method,
    steps: usize,
) -> Result<[usize; 2]> {
    let mut training = training::<T, D>(device, method, [8, 16, 12, 4], 0.1)?;
    training.step()?;
    let first = device.free_bytes()?;
    for _ in 1..steps {
        training.step()?;
    }
    Ok([first, device.free_bytes()?])
}

/// Four steps one by one, and one step followed by three replays of it: the name of the first tensor whose bits differ is the
/// inner error.
///
/// # Errors
/// The device fails.
pub fn graph_is_eager<T: Element, D: Device>(
    device: &D,
    method: Method,
) -> Result<std::result::Result<(), &'static str>> {
    const SHAPE: [usize; 4] = [64, 128, 96, 8];
    let mut eager = training::<T, D>(device, method, SHAPE, 0.1)?;
    (0..4).try_for_each(|_| eager.step())?;
    let mut recorded = training::<T, D>(device, method, SHAPE, 0.1)?;
    recorded.step()?;
    let graph = device.record(|| recorded.step())?;
    (0..3).try_for_each(|_| graph.replay())?;
    device.synchronize()?;
    let (eager, recorded) = (eager.state()?, recorded.state()?);
    Ok(eager.iter().try_for_each(|(name, want)| {
        if recorded.get(name) == Some(want) { Ok(()) } else { Err(*name) }
    }))
}

/// The mask that the device draws is the one that `adapter::Dropout::philox` draws: the case has the latter, and the device's
/// numbers are to be judged by it. The case, and what the device made of it.
///
/// # Errors
/// The device fails.
pub fn dropout_case<T: Element, D: Device>(
    device: &D,
    method: Method,
    shape: [usize; 4],
    p: f64,
) -> Result<(TensorFile, TensorFile)> {
    let mut training = training::<T, D>(device, method, shape, p)?;
    // The second step: its masks differ from the first's.
    training.pass()?;
    training.pass()?;
    let [tokens, inputs, ..] = shape;
    let mask = adapter::Dropout::philox((tokens, inputs), p, 11, 3, 2)?;
    let mut file = random_case(method, Op::Backward, shape, 1);
    let text = file.metadata.get_mut("case").expect("made above");
    let with = if method == Method::Vera { r#""params":{"# } else { r#""params":{"alpha":3,"# };
    let without = with.strip_suffix(',').unwrap_or(with);
    *text = text.replace(&format!("{without}}}"), &format!("{with}\"dropout_p\":{p}}}"));
    assert!(text.contains("dropout_p"), "{text}");
    let data = mask.mask().iter().copied().collect();
    let shape = vec![tokens, inputs];
    let tensor = Tensor { dtype: tensor_file::Dtype::U8, shape, data };
    file.tensors.insert("in.dropout_mask".into(), tensor);

    let mut submission = TensorFile::default();
    let mut named = training.layer.gradients()?;
    named.remove("projected_grad_lora_B");
    named.insert("y", training.y.to_host()?);
    named.insert("grad_x", training.grad_x.to_host()?);
    for (name, array) in named {
        let vector = name.contains("vera_lambda");
        let array = array.into_dyn();
        let array = if vector { array.index_axis_move(Axis(0), 0) } else { array };
        submission.tensors.insert(format!("out.{name}"), Tensor::f64(&array));
    }
    Ok((file, submission))
}
