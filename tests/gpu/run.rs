//! A case on a device.

use std::marker::PhantomData;

use cuda::{AdamW, Device, Element, Error, Kind, Matrix};
use half::bf16;
use ndarray::{Array2, Axis};
use oracle::{Case, Class, Method, Op, Params, Tensor, TensorFile};
use tensor_file::Dtype;

use super::layer::{Layer, Named};

/// What a device made of a case.
pub enum Outcome {
    /// Numbers to be judged.
    Submission(TensorFile),
    /// The GPU path has no such thing; why.
    LeftOut(&'static str),
}

/// Run a case with elements of type `T`.
///
/// # Errors
/// The device fails.
pub fn submit<T: Element, D: Device>(device: &D, file: &TensorFile) -> Result<Outcome, Error> {
    let case = Case::of(file).expect("a shipped case");
    if let Some(why) = left_out(&case, file) {
        return Ok(Outcome::LeftOut(why));
    }
    let params = case.params().expect("a shipped case that is not `reject`");
    let made = TensorFile::default();
    let run = Run::<T, D> { device, case: &case, params, file, made, element: PhantomData };
    Ok(Outcome::Submission(run.run()?))
}

fn left_out(case: &Case, file: &TensorFile) -> Option<&'static str> {
    let Ok(params) = case.params() else { return Some("must be rejected") };
    if case.class == Some(Class::Reject) {
        return Some("must be rejected");
    }
    if case.method == Method::Dora {
        return Some("DoRA runs on the CPU alone");
    }
    if case.op == Op::Init {
        return Some("starts are drawn on the CPU");
    }
    if file.tensors.contains_key("in.bias") {
        return Some("the layer adds a bias, not the adapter");
    }
    if params.dropout_p > 0.0 {
        return Some("masks are drawn on the device, not given");
    }
    if matches!(case.op, Op::Step | Op::Trajectory) && params.optimizer.adamw.is_none() {
        return Some("the optimiser is AdamW");
    }
    None
}

struct Run<'a, T: Element, D: Device> {
    device: &'a D,
    case: &'a Case,
    params: &'a Params,
    file: &'a TensorFile,
    made: TensorFile,
    element: PhantomData<T>,
}

impl<T: Element, D: Device> Run<'_, T, D> {
    fn run(mut self) -> Result<TensorFile, Error> {
        match self.case.op {
            Op::Forward | Op::Backward => self.pass("")?,
            Op::Merge | Op::Unmerge => self.merge()?,
            Op::Step => self.step()?,
            Op::Trajectory => self.trajectory()?,
            Op::Init => {}
        }
        Ok(self.made)
    }

    /// A tensor of the case as a matrix, a vector as one row, the weight as [out, in].
    fn get(&self, name: &str) -> Option<Array2<f64>> {
        let tensor = self.file.tensors.get(name)?.to_f64().expect("a shipped tensor");
        let matrix = match tensor.ndim() {
            1 => tensor.insert_axis(Axis(0)),
            _ => tensor,
        };
        let matrix = matrix.into_dimensionality().expect("a matrix or a vector");
        Some(if name.ends_with("in.weight") && self.params.fan_in_fan_out {
            matrix.reversed_axes()
        } else {
            matrix
        })
    }

    fn input(&self, name: &str) -> Option<Array2<f64>> {
        self.get(&format!("in.{name}"))
    }

    fn put(&mut self, name: &str, array: Array2<f64>, suffix: &str) {
        let vector = name.contains("vera_lambda");
        let array = if name == "weight" && self.params.fan_in_fan_out {
            array.reversed_axes().as_standard_layout().into_owned()
        } else {
            array
        };
        let shape = if vector { vec![array.len()] } else { array.shape().to_vec() };
        // Bytes of a type that holds the element and its master.
        let (dtype, data) = match T::KIND {
            Kind::F64 => (Dtype::F64, array.iter().flat_map(|x| x.to_le_bytes()).collect()),
            Kind::Bf16 if array.iter().all(|&x| bf16::from_f64(x).to_f64() == x) => {
                let bytes = |&x: &f64| bf16::from_f64(x).to_le_bytes();
                (Dtype::BF16, array.iter().flat_map(bytes).collect())
            }
            _ => (Dtype::F32, array.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect()),
        };
        self.made.tensors.insert(format!("out.{name}{suffix}"), Tensor { dtype, shape, data });
    }

    fn put_all(&mut self, named: Named, suffix: &str) {
        for (name, array) in named {
            self.put(name, array, suffix);
        }
    }

    fn layer(
        &self,
        given: &dyn Fn(&str) -> Option<Array2<f64>>,
        tokens: usize,
    ) -> Result<Layer<T, D>, Error> {
        Layer::new(self.device, self.case.method, self.params, given, tokens)
    }

    fn pass(&mut self, suffix: &str) -> Result<(), Error> {
        let host_x = self.input("x").expect("a pass has x");
        let mut layer = self.layer(&|name| self.input(name), host_x.nrows())?;
        self.pass_of(&mut layer, &host_x, self.input("grad_y"), suffix)
    }

    fn pass_of(
        &mut self,
        layer: &mut Layer<T, D>,
        host_x: &Array2<f64>,
        grad_y: Option<Array2<f64>>,
        suffix: &str,
    ) -> Result<(), Error> {
        layer.x_mut().write(host_x.view())?;
        let [tokens, outputs] = layer.grad_y_mut().shape();
        let mut y = Matrix::new(self.device, [tokens, outputs])?;
        layer.forward(None, &mut y)?;
        self.put("y", y.to_host()?, suffix);
        if self.case.op == Op::Forward {
            return Ok(());
        }
        layer.grad_y_mut().write(grad_y.expect("backward has a cotangent").view())?;
        let mut grad_x = Matrix::new(self.device, layer.x_mut().shape())?;
        layer.backward(None, &mut grad_x)?;
        if self.case.op == Op::Backward {
            self.put("grad_x", grad_x.to_host()?, suffix);
        }
        let mut gradients = layer.gradients()?;
        if self.params.variant == lora_fa::Variant::Plain || self.case.op == Op::Trajectory {
            gradients.remove("projected_grad_lora_B");
        }
        self.put_all(gradients, suffix);
        Ok(())
    }

    fn merge(&mut self) -> Result<(), Error> {
        let mut layer = self.layer(&|name| self.input(name), 0)?;
        layer.merge(if self.case.op == Op::Merge { 1.0 } else { -1.0 })?;
        self.put("weight", layer.weight()?, "");
        Ok(())
    }

    /// The optimiser of the case, with the moments that are given.
    fn optimizer(
        &self,
        steps: u64,
        moment: &dyn Fn(&str) -> Option<Array2<f64>>,
    ) -> Result<AdamW<T, D>, Error> {
        let given = &self.params.optimizer;
        let (variant, betas, eps) = given.adamw.expect("AdamW, checked before");
        let like = adapter::AdamW { betas, eps, ..adapter::AdamW::new(given.group, variant) };
        let mut optimizer = AdamW::new(self.device, &like)?;
        optimizer.set_steps(steps)?;
        for name in ["lora_A", "lora_B", "vera_lambda_b", "vera_lambda_d"] {
            let moments = ["exp_avg", "exp_avg_sq"].map(|m| moment(&format!("{m}.{name}")));
            if moments.iter().all(Option::is_none) {
                continue;
            }
            let shape = moments.iter().flatten().next().expect("one is there").raw_dim();
            let [m, v] = moments.map(|moment| moment.unwrap_or_else(|| Array2::zeros(shape)));
            optimizer.set_moments(&format!("layer.{name}"), [&m, &v])?;
        }
        Ok(optimizer)
    }

    fn step(&mut self) -> Result<(), Error> {
        let mut layer = self.layer(&|name| self.input(name), 0)?;
        layer.set_gradients(&|name| self.input(name))?;
        let mut optimizer = self.optimizer(self.params.start, &|name| self.input(name))?;
        self.update(&mut layer, &mut optimizer, "")
    }

    fn update(
        &mut self,
        layer: &mut Layer<T, D>,
        optimizer: &mut AdamW<T, D>,
        suffix: &str,
    ) -> Result<(), Error> {
        layer.step(optimizer)?;
        let tensors = layer.tensors()?;
        for name in tensors.keys() {
            let [m, v] = optimizer.moments(&format!("layer.{name}"))?.expect("made by the step");
            self.put(&format!("exp_avg.{name}"), m, suffix);
            self.put(&format!("exp_avg_sq.{name}"), v, suffix);
        }
        self.put_all(tensors, suffix);
        if self.case.method == Method::DeltaLora {
            self.put("weight", layer.weight()?, suffix);
        }
        Ok(())
    }

    /// Each step from the state that the case has after the one before.
    fn trajectory(&mut self) -> Result<(), Error> {
        for t in 0..self.params.steps {
            let state = |run: &Self, name: &str| match t.checked_sub(1) {
                Some(before) => run
                    .get(&format!("out.{name}.{before}"))
                    .map(|array| run.turn(name, array).mapv(grid))
                    .or_else(|| run.input(name)),
                None => run.input(name),
            };
            let suffix = format!(".{t}");
            let host_x = self.input(&format!("x{suffix}")).expect("a trajectory has x");
            let params = Params { start: self.params.start + t, ..self.params.clone() };
            let given = |name: &str| state(self, name);
            let (method, tokens) = (self.case.method, host_x.nrows());
            let mut layer = Layer::new(self.device, method, &params, &given, tokens)?;
            let mut optimizer = self.optimizer(params.start, &given)?;
            let grad_y = self.input(&format!("grad_y{suffix}"));
            self.pass_of(&mut layer, &host_x, grad_y, &suffix)?;
            self.update(&mut layer, &mut optimizer, &suffix)?;
        }
        Ok(())
    }

    fn turn(&self, name: &str, array: Array2<f64>) -> Array2<f64> {
        if name == "weight" && self.params.fan_in_fan_out { array.reversed_axes() } else { array }
    }
}

/// What a state is rounded to before the next step: 8 significant bits, in multiples of 2⁻²⁴, as tests/vectors/README.md has it.
fn grid(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let spacing = 2.0_f64.powi((value.abs().log2().floor() as i32 - 7).max(-24));
    (value / spacing).round_ties_even() * spacing
}
