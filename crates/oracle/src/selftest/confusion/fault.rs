//! Faults that are in no catalogue: none of them may be called by the name of a mistake.

use ndarray::{ArrayD, Axis, Slice, concatenate};

use crate::case::{Case, Class, Method, Op, Rule};
use crate::judge::Bench;
use crate::ops::{Output, Problem, evaluate};

/// A fault of no name.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// What is wrong, in a few words.
    pub what: &'static str,
    make: Make,
}

#[derive(Clone, Copy, Debug)]
enum Make {
    /// Changes an output, given its bound and random numbers in ±1.
    OfOutput(Where, fn(&mut ArrayD<f64>, &ArrayD<f64>, &mut dyn FnMut() -> f64)),
    /// Changes the problem; the outputs that it says by name are those of the changed one.
    OfProblem(fn(&str) -> bool, fn(&mut Problem) -> bool),
    /// Two outputs of one shape, each in the place of the other.
    Swapped,
}

/// Which outputs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Where {
    First,
    Last,
    All,
    Gradients,
}

const fn output(
    what: &'static str,
    place: Where,
    change: fn(&mut ArrayD<f64>, &ArrayD<f64>, &mut dyn FnMut() -> f64),
) -> Fault {
    Fault { what, make: Make::OfOutput(place, change) }
}

const fn problem(
    what: &'static str,
    of: fn(&str) -> bool,
    change: fn(&mut Problem) -> bool,
) -> Fault {
    Fault { what, make: Make::OfProblem(of, change) }
}

fn everywhere(_: &str) -> bool {
    true
}

fn of_parameters(name: &str) -> bool {
    name.starts_with("grad_") && !name.starts_with("grad_x")
}

use Where::{All, First, Gradients, Last};

/// All of them.
pub const FAULTS: &[Fault] = &[
    // An element.
    output("an element of the first output off by 5 %", First, |t, _, _| element(t, |x| x * 1.05)),
    output("an element of the last output off by 5 %", Last, |t, _, _| element(t, |x| x * 1.05)),
    output("an element of the first output doubled", First, |t, _, _| element(t, |x| x * 2.0)),
    output("an element of the last output 0", Last, |t, _, _| element(t, |_| 0.0)),
    output("the sign of an element of the last output", Last, |t, _, _| element(t, |x| -x)),
    output("the last element of every output 0", All, |t, _, _| {
        t.iter_mut().last().into_iter().for_each(|x| *x = 0.0);
    }),
    // A tile's edge.
    output("columns beyond a tile of 8 not written", All, |t, _, _| edge(t, 1, 8, 0.0)),
    output("rows beyond a tile of 4 not written", All, |t, _, _| edge(t, 0, 4, 0.0)),
    output("columns beyond a tile of 4 half summed", All, |t, _, _| edge(t, 1, 4, 0.5)),
    output("the last column off by 10 %", First, |t, _, _| last(t, 1, |x| x * 1.1)),
    output("the last column not written", Last, |t, _, _| last(t, 1, |_| 0.0)),
    // The last row.
    output("the last row not written", First, |t, _, _| last(t, 0, |_| 0.0)),
    output("the last row of every output not written", All, |t, _, _| last(t, 0, |_| 0.0)),
    output("the last row half summed", All, |t, _, _| last(t, 0, |x| x * 0.5)),
    output("the last row with the wrong sign", Last, |t, _, _| last(t, 0, |x| -x)),
    // Noise.
    output("noise of 2 bounds in the first output", First, |t, b, r| noise(t, b, r, 2.0)),
    output("noise of 10 bounds in the first output", First, |t, b, r| noise(t, b, r, 10.0)),
    output("noise of 100 bounds in the first output", First, |t, b, r| noise(t, b, r, 100.0)),
    output("noise of 2 bounds in the last output", Last, |t, b, r| noise(t, b, r, 2.0)),
    output("noise of 10 bounds in the last output", Last, |t, b, r| noise(t, b, r, 10.0)),
    output("noise of 100 bounds in the last output", Last, |t, b, r| noise(t, b, r, 100.0)),
    output("noise of 2 bounds everywhere", All, |t, b, r| noise(t, b, r, 2.0)),
    output("noise of 10 bounds everywhere", All, |t, b, r| noise(t, b, r, 10.0)),
    output("noise of 100 bounds everywhere", All, |t, b, r| noise(t, b, r, 100.0)),
    output("all too large by 2 bounds", All, |t, b, _| t.zip_mut_with(b, |x, b| *x += 2.0 * b)),
    // An accumulator of too few bits.
    output("sums of 6 bits", All, |t, _, _| t.mapv_inplace(|x| bits(x, 6))),
    output("sums of 4 bits", All, |t, _, _| t.mapv_inplace(|x| bits(x, 4))),
    output("gradients of 3 bits", Gradients, |t, _, _| t.mapv_inplace(|x| bits(x, 3))),
    // A stale buffer.
    output("what another call left in the first output", First, |t, _, _| reverse(t, 0.0)),
    output("what another call left in the last output", Last, |t, _, _| reverse(t, 0.0)),
    output("added to what another call left", Last, |t, _, _| reverse(t, 1.0)),
    output("gradients added to those of the step before", Gradients, |t, _, _| *t *= 2.0),
    output("gradients of half their size", Gradients, |t, _, _| *t *= 0.5),
    output("all off by 5 %", All, |t, _, _| *t *= 1.05),
    // Swapped tensors, and off-by-one tokens.
    Fault { what: "two outputs swapped", make: Make::Swapped },
    output("rows shifted by one", First, |t, _, _| rolled(t, 1)),
    output("rows shifted by one the other way", All, |t, _, _| {
        let rows = t.shape().first().copied().unwrap_or(0);
        rolled(t, rows.saturating_sub(1));
    }),
    problem("gradients from the token before", of_parameters, |p| {
        change_all(p, "x", |x| rolled(x, 1))
    }),
    problem(
        "y from the token before",
        |name| name.starts_with('y'),
        |p| change_all(p, "x", |x| rolled(x, 1)),
    ),
    problem("the mask of the token before", everywhere, |p| p.inputs.roll_masks()),
    // Half the batch.
    problem("gradients of the first half of the batch", of_parameters, |p| {
        change_all(p, "grad_y", |g| edge(g, 0, g.shape()[0].div_ceil(2), 0.0))
    }),
    problem("gradients without the last token", of_parameters, |p| {
        change_all(p, "grad_y", |g| last(g, 0, |_| 0.0))
    }),
    problem("half the batch", everywhere, |p| {
        change_all(p, "x", |x| edge(x, 0, x.shape()[0].div_ceil(2), 0.0))
    }),
    // Another formula.
    problem("s too large by 10 %", everywhere, |p| scaled(p, 1.1)),
    problem("3 s", everywhere, |p| scaled(p, 3.0)),
    problem("α/(r + 1)", everywhere, |p| {
        let r = p.inputs.dims.rank as f64;
        scaled(p, r / (r + 1.0))
    }),
    problem("α/r²", everywhere, |p| {
        let r = p.inputs.dims.rank as f64;
        r > 1.0 && scaled(p, 1.0 / r)
    }),
    problem("√s", everywhere, |p| {
        let s = p.scale().unwrap_or(1.0);
        s > 0.0 && s != 1.0 && scaled(p, 1.0 / s.sqrt())
    }),
    problem("the last of the r directions left out", everywhere, |p| {
        ["lora_B", "vera_B"].map(|b| p.inputs.change(b, |b| last(b, 1, |_| 0.0))).contains(&true)
    }),
    problem("the rows of A in another order", everywhere, |p| {
        ["lora_A", "vera_A"].map(|a| p.inputs.change(a, |a| rolled(a, 1))).contains(&true)
    }),
    problem("the bias twice", everywhere, |p| p.inputs.change("bias", |bias| *bias *= 2.0)),
    problem("the bias subtracted", everywhere, |p| p.inputs.change("bias", |bias| *bias *= -1.0)),
    problem("the last row of W not read", everywhere, |p| {
        p.inputs.change("weight", |weight| last(weight, 0, |_| 0.0))
    }),
    problem("a learning rate 10 % too large", everywhere, |p| {
        p.params.optimizer.group.lr *= 1.1;
        p.params.optimizer.group.lr > 0.0
    }),
    problem("β₁ = 0.8", everywhere, |p| {
        let Some((_, betas, _)) = &mut p.params.optimizer.adamw else { return false };
        betas.0 = 0.8;
        true
    }),
    problem("ε 100 times too large", everywhere, |p| {
        let Some((.., eps)) = &mut p.params.optimizer.adamw else { return false };
        *eps *= 100.0;
        true
    }),
    problem("half of the decay", everywhere, |p| {
        p.params.optimizer.group.weight_decay *= 0.5;
        p.params.optimizer.group.weight_decay > 0.0
    }),
    problem("λ of Delta-LoRA halved", everywhere, |p| {
        p.params.delta.lambda *= 0.5;
        p.method == Method::DeltaLora
    }),
];

/// Mistakes of the catalogue that are made two at a time: to name both is right, to name one is wrong.
pub const PAIRS: &[[&str; 2]] = &[
    ["scale-missing", "mask-missing"],
    ["scale-twice", "bias-missing"],
    ["alpha-for-scale", "keep-scale-missing"],
    ["rslora-ignored", "gradients-averaged"],
    ["decay-missing", "t-off-by-one"],
    ["betas-swapped", "decay-without-rate"],
    ["lambda-d-missing", "bias-missing"],
    ["ratio-missing", "decay-missing"],
];

/// Mistakes of the catalogue that are made in one kind of update: to name one without its place is wrong.
pub const IN_RULES: &[(&str, Rule)] = &[
    ("bias-correction-missing", Rule::Torch),
    ("first-correction-missing", Rule::Torch),
    ("t-off-by-one", Rule::Torch),
    ("decay-missing", Rule::Torch),
    ("bias-correction-missing", Rule::Hf),
    ("betas-swapped", Rule::Hf),
    ("decay-missing", Rule::Hf),
    ("decay-missing", Rule::Sgd),
    ("ratio-missing", Rule::Sgd),
];

impl Fault {
    /// The outputs with the fault in them, in the order of the expected ones; `None` where it cannot be made.
    pub(super) fn values(
        &self,
        case: &Case,
        bench: &Bench,
        bounds: &[&ArrayD<f64>],
    ) -> Option<Vec<ArrayD<f64>>> {
        let wants = bench.expected.iter().map(|(_, want)| want.clone());
        let mut values: Vec<ArrayD<f64>> = wants.collect();
        let numbers = matches!(bench.class, Class::Bounded | Class::Exact) && case.op != Op::Init;
        if !numbers || values.iter().flatten().any(|number| !number.is_finite()) {
            return None;
        }
        let name = |at: usize| bench.expected[at].0.name.as_str();
        match self.make {
            Make::OfOutput(place, change) => {
                let mut draw = draws(case.id.as_deref().unwrap_or_default(), self.what);
                let count = values.len();
                for (at, value) in values.iter_mut().enumerate() {
                    let chosen = match place {
                        First => at == 0,
                        Last => at + 1 == count,
                        All => true,
                        Gradients => of_parameters(name(at)),
                    };
                    if chosen && !value.is_empty() {
                        change(value, bounds[at], &mut draw);
                    }
                }
            }
            Make::OfProblem(of, change) => {
                let mut changed = bench.problem.clone();
                if !change(&mut changed) {
                    return None;
                }
                let made: Vec<Output> = evaluate(bench.op, &changed).ok()?;
                for (at, value) in values.iter_mut().enumerate().filter(|(at, _)| of(name(*at))) {
                    *value = made.iter().find(|made| made.name == name(at))?.value.clone();
                }
            }
            Make::Swapped => {
                let pairs = (0..values.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
                let same = |&(a, b): &(usize, usize)| values[a].shape() == values[b].shape();
                let (a, b) = pairs.into_iter().find(same)?;
                values.swap(a, b);
            }
        }
        Some(values)
    }
}

fn element(tensor: &mut ArrayD<f64>, change: impl Fn(f64) -> f64) {
    let middle = tensor.len() / 2;
    tensor.iter_mut().nth(middle).into_iter().for_each(|x| *x = change(*x));
}

/// Multiplies what lies beyond a place along an axis.
fn edge(tensor: &mut ArrayD<f64>, axis: usize, from: usize, factor: f64) {
    if axis < tensor.ndim() && from < tensor.shape()[axis] {
        tensor.slice_axis_mut(Axis(axis), Slice::from(from..)).mapv_inplace(|x| x * factor);
    }
}

fn last(tensor: &mut ArrayD<f64>, axis: usize, change: impl Fn(f64) -> f64) {
    if axis < tensor.ndim() && tensor.shape()[axis] > 0 {
        tensor.slice_axis_mut(Axis(axis), Slice::from(-1..)).mapv_inplace(change);
    }
}

fn noise(tensor: &mut ArrayD<f64>, bound: &ArrayD<f64>, draw: &mut dyn FnMut() -> f64, times: f64) {
    tensor.zip_mut_with(bound, |x, bound| *x += times * bound * draw());
}

/// The numbers in the reverse order, added to the tensor `times`.
fn reverse(tensor: &mut ArrayD<f64>, times: f64) {
    let mut other: Vec<f64> = tensor.iter().copied().collect();
    other.reverse();
    tensor.iter_mut().zip(other).for_each(|(x, other)| *x = *x * times + other);
}

/// Row i holds row i − by.
fn rolled(tensor: &mut ArrayD<f64>, by: usize) {
    let rows = tensor.shape().first().copied().unwrap_or(0);
    if rows > 1 {
        let (head, tail) = tensor.view().split_at(Axis(0), rows - by % rows);
        let moved = concatenate(Axis(0), &[tail, head]);
        *tensor = moved.unwrap_or_else(|_| tensor.clone());
    }
}

/// So many significant bits.
fn bits(x: f64, bits: i32) -> f64 {
    if x == 0.0 {
        return x;
    }
    let quantum = 2.0_f64.powi(x.abs().log2().floor() as i32 + 1 - bits);
    (x / quantum).round_ties_even() * quantum
}

fn scaled(problem: &mut Problem, factor: f64) -> bool {
    problem.scale_factor = factor;
    problem.method != Method::Vera
}

/// An input, at every step of a trajectory.
fn change_all(problem: &mut Problem, name: &str, change: impl Fn(&mut ArrayD<f64>)) -> bool {
    let steps = (0..problem.params.steps).map(|step| format!("{name}.{step}"));
    let names: Vec<String> = [name.to_owned()].into_iter().chain(steps).collect();
    names.iter().map(|name| problem.inputs.change(name, &change)).fold(false, |a, b| a | b)
}

/// Numbers in ±1, the same for the same case and fault.
fn draws(id: &str, what: &str) -> impl FnMut() -> f64 {
    let seed = id.bytes().chain(what.bytes());
    let mut state = seed.fold(0x9e37_79b9_7f4a_7c15_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    }) | 1;
    move || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}
