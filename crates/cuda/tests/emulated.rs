//! Matrices, products, kernels and bad input, on the emulated device.

use cuda::{
    AdamW, Augmented, Bordered, Device, Dimensions, Dropout, Emulator, Error, Launch, Matrix,
    Source, Tf32, Update, bf16, multiply, rows,
};
use ndarray::{Array2, array, s};

static KERNELS: Source = Source::new(
    "tests/emulated.rs",
    r#"
extern "C" __global__ void copy(const T* from, T* to, unsigned count) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) to[i] = from[i];
}
extern "C" __global__ void narrow(const M* from, T* to, unsigned count) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) put(&to[i], from[i]);
}
extern "C" __global__ void one_beyond(T* to, unsigned count) {
    to[count] = to[0];
}
// The sum of a block's numbers, in shared memory.
extern "C" __global__ void block_sum(const M* from, M* to) {
    __shared__ M sums[256];
    sums[threadIdx.x] = from[blockIdx.x * blockDim.x + threadIdx.x];
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) to[blockIdx.x] = sums[0];
}
extern "C" __global__ void waits_for_ever(M* to) {
    if (threadIdx.x > 0) __syncthreads();
    to[0] = 1;
}
"#,
);

/// Only where there is a C++ compiler.
fn device() -> Option<Emulator> {
    let device = Emulator::open();
    if let Err(error) = &device {
        println!("SKIPPED {error}");
    }
    device.ok()
}

fn ramp(rows: usize, columns: usize) -> Array2<f64> {
    Array2::from_shape_fn((rows, columns), |(i, j)| (i * columns + j) as f64 - 7.0)
}

#[test]
fn products_of_parts_and_transposes_are_ndarrays() {
    let Some(device) = device() else { return };
    let (a, b, c) = (ramp(5, 7), ramp(4, 9), ramp(6, 8));
    let on = |host: &Array2<f64>| Matrix::<f32, _>::from_host(&device, host.view()).unwrap();
    let (a_on, b_on, mut c_on) = (on(&a), on(&b), on(&c));
    // C[1..4, 2..6] ← 2 A[1..4, 2..6] B[:, 3..7]ᵀ − C
    let left = a_on.view().rows(1..4).columns(2..6);
    let right = b_on.view().columns(3..7).t();
    multiply(2.0, left, right, -1.0, c_on.view_mut().rows(1..4).columns(2..6)).unwrap();
    let mut want = c.clone();
    let product = a.slice(ndarray::s![1..4, 2..6]).dot(&b.slice(ndarray::s![.., 3..7]).t());
    let mut part = want.slice_mut(ndarray::s![1..4, 2..6]);
    part.zip_mut_with(&product, |c, p| *c = 2.0 * p - *c);
    assert_eq!(c_on.to_host().unwrap(), want); // small integers: exact
}

/// Rows of 5 elements lie 8 apart; what is between them is nobody's.
#[test]
fn padded_rows_are_written_and_read_without_their_gaps() {
    let Some(device) = device() else { return };
    device.accounts().guard();
    let mut padded = Matrix::<bf16, _>::padded(&device, [3, 5]).unwrap();
    assert_eq!(device.accounts().usage().live, 3 * 8 * 2);
    padded.write(ramp(3, 5).view()).unwrap();
    assert_eq!(padded.to_host().unwrap(), ramp(3, 5));
    assert_eq!(padded.rows_to_host(&[2, 0]).unwrap(), ramp(3, 5).select(ndarray::Axis(0), &[2, 0]));
    // A part of it, and a part of another written into a part of it.
    let part = padded.view().rows(1..3).columns(1..4);
    assert_eq!(part.to_host().unwrap(), ramp(3, 5).slice(s![1..3, 1..4]));
    let other = Matrix::<bf16, _>::from_host(&device, ramp(4, 4).view()).unwrap();
    let to = padded.view_mut().rows(1..3).columns(1..4);
    rows::copy(other.view().rows(2..4).columns(0..3), to).unwrap();
    let mut want = ramp(3, 5);
    want.slice_mut(s![1..3, 1..4]).assign(&ramp(4, 4).slice(s![2..4, 0..3]));
    assert_eq!(padded.to_host().unwrap(), want);
    assert!(rows::copy(other.view(), padded.view_mut()).is_err());
    assert!(other.view().t().to_host().is_err());
    drop(padded);
    device.accounts().check().unwrap();
}

/// The mask of an element depends on its place in x, wherever x lies.
#[test]
fn a_mask_is_the_same_where_rows_lie_apart() {
    let Some(device) = device() else { return };
    let dropout = Dropout::new(&device, 0.5, 3).unwrap();
    let ones = Array2::ones((5, 7)); // four elements in a row that share a counter lie in two rows
    let mut x_h = Augmented::<f64, _>::new(&device, 5, [7, 2]).unwrap();
    x_h.left_mut().write(ones.view()).unwrap();
    let mut room = Matrix::new(&device, [5, 7]).unwrap();
    let mut stream = dropout.layer(1, &mut room);
    let masked = stream.apply(x_h.left()).unwrap().to_host().unwrap();
    let want = adapter::Dropout::philox((5, 7), 0.5, 3, 1, 0).unwrap();
    assert_eq!(masked, want.apply(ones.view()).unwrap());
    stream.apply_in_place(x_h.left_mut()).unwrap();
    assert_eq!(x_h.left().to_host().unwrap(), masked);
}

/// M holds what it should where it should; small integers, so that equal is equal.
#[test]
fn a_bordered_weight_adds_what_is_along_its_sides() {
    let Some(device) = device() else { return };
    device.accounts().guard();
    let [tokens, inputs, out, rank] = [4, 5, 3, 2];
    let (weight, a, c) = (ramp(out, inputs), ramp(rank, inputs), ramp(out, rank));
    let mut matrix = Bordered::<f64, _>::new(&device, weight.view(), rank).unwrap();
    assert_eq!(matrix.c().to_host().unwrap(), Array2::zeros((out, rank)));
    let [_, c_on, a_on] = matrix.split_mut();
    c_on.write(c.view()).unwrap();
    a_on.write(a.view()).unwrap();
    let whole = &weight + &c.dot(&a);
    let (x, grad_y) = (ramp(tokens, inputs), ramp(tokens, out));
    let (mut x_h, mut grad_y_h) = (matrix.input(tokens).unwrap(), matrix.grad_y(tokens).unwrap());
    x_h.left_mut().write(x.view()).unwrap();
    grad_y_h.left_mut().write(grad_y.view()).unwrap();
    // y straight into the x of a layer that follows.
    let mut next = Augmented::new(&device, tokens, [out, 7]).unwrap();
    matrix.forward(&mut x_h, None, next.left_mut()).unwrap();
    assert_eq!(next.left().to_host().unwrap(), x.dot(&whole.t()));
    assert_eq!(x_h.right().to_host().unwrap(), x.dot(&a.t()));
    let mut grad_x = Matrix::new(&device, [tokens, inputs]).unwrap();
    matrix.backward(None, &mut grad_y_h, grad_x.view_mut()).unwrap();
    assert_eq!(grad_x.to_host().unwrap(), grad_y.dot(&whole));
    matrix.merge().unwrap();
    assert_eq!(matrix.weight().to_host().unwrap(), whole);
    matrix.unmerge().unwrap();
    assert_eq!(matrix.weight().to_host().unwrap(), weight);
    let wrong = matrix.forward(&mut grad_y_h, None, next.left_mut()).unwrap_err().to_string();
    assert!(wrong.contains("[x | h]") && wrong.contains("[3, 2]"), "{wrong}");
    drop((matrix, x_h, grad_y_h, next));
    device.accounts().check().unwrap();
}

#[test]
fn beta_zero_does_not_look_at_what_was_there() {
    let Some(device) = device() else { return };
    device.accounts().guard();
    let a = Matrix::<f64, _>::from_host(&device, ramp(2, 0).view()).unwrap();
    let mut c = Matrix::<f64, _>::new(&device, [2, 3]).unwrap();
    assert!(c.to_host().unwrap().iter().all(|x| x.is_nan())); // poisoned
    let b = Matrix::<f64, _>::new(&device, [0, 3]).unwrap();
    multiply(1.0, a.view(), b.view(), 0.0, c.view_mut()).unwrap();
    assert_eq!(c.to_host().unwrap(), Array2::zeros((2, 3))); // a sum of nothing
}

#[test]
fn tf32_and_bf16_round_where_tensor_cores_do() {
    let Some(device) = device() else { return };
    let one = Matrix::<f32, _>::from_host(&device, array![[1.0]].view()).unwrap();
    // 1 + 2⁻¹¹ is half way between two numbers of 11 bits and rounds to the even one; a little more rounds up.
    for (x, want) in
        [(1.0 + 2.0_f64.powi(-11), 1.0), (1.0 + 1.5 * 2.0_f64.powi(-11), 1.0 + 2.0_f64.powi(-10))]
    {
        let x_on = Matrix::<Tf32, _>::from_host(&device, array![[x]].view()).unwrap();
        let one_on = Matrix::<Tf32, _>::from_host(&device, array![[1.0]].view()).unwrap();
        let mut y = Matrix::<f32, _>::new(&device, [1, 1]).unwrap();
        multiply(1.0, x_on.view(), one_on.view(), 0.0, y.view_mut()).unwrap();
        assert_eq!(y.to_host().unwrap()[[0, 0]], want);
        let mut full = Matrix::<f32, _>::new(&device, [1, 1]).unwrap();
        let x_full = Matrix::<f32, _>::from_host(&device, array![[x]].view()).unwrap();
        multiply(1.0, x_full.view(), one.view(), 0.0, full.view_mut()).unwrap();
        assert_eq!(full.to_host().unwrap()[[0, 0]], x);
    }
    // Sums are in f32: 256 + 1 is no number of bf16, and comes out in f32.
    let a = Matrix::<bf16, _>::from_host(&device, array![[256.0, 1.0]].view()).unwrap();
    let b = Matrix::<bf16, _>::from_host(&device, array![[1.0], [1.0]].view()).unwrap();
    let mut sum = Matrix::<f32, _>::new(&device, [1, 1]).unwrap();
    multiply(1.0, a.view(), b.view(), 0.0, sum.view_mut()).unwrap();
    assert_eq!(sum.to_host().unwrap()[[0, 0]], 257.0);
}

#[test]
fn the_kernels_bf16_is_the_librarys() {
    let Some(device) = device() else { return };
    let special = [
        0.0,
        -0.0,
        1.0,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::from(f32::MAX),
        f64::from(f32::MIN_POSITIVE),
        1e-40,
        1.00390625,
        1.01171875,
        -65536.5,
    ];
    let value = |(i, j): (usize, usize)| special[j] * (1.0 + i as f64 / 256.0);
    let host = Array2::from_shape_fn((40, special.len()), value);
    let from = Matrix::<f32, _>::from_host(&device, host.view()).unwrap();
    let mut to = Matrix::<bf16, _>::new(&device, [40, special.len()]).unwrap();
    let launch = Launch::new::<bf16>(&device, &KERNELS, "narrow").read(&from).write(&mut to);
    launch.count(host.len()).run(Dimensions::each(host.len())).unwrap();
    for (got, x) in to.to_host().unwrap().iter().zip(&host) {
        let want = bf16::from_f32(*x as f32).to_f64();
        assert!(got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()), "{x}: {got}");
    }
}

#[test]
fn threads_that_wait_for_each_other_add_up() {
    let Some(device) = device() else { return };
    let from = Matrix::<f64, _>::from_host(&device, ramp(3, 256).view()).unwrap();
    let mut to = Matrix::<f64, _>::new(&device, [1, 3]).unwrap();
    let launch = Launch::new::<f64>(&device, &KERNELS, "block_sum").read(&from).write(&mut to);
    launch.run(Dimensions::blocks(3).unwrap()).unwrap();
    assert_eq!(to.to_host().unwrap().row(0), ramp(3, 256).sum_axis(ndarray::Axis(1)));
}

#[test]
fn threads_that_wait_for_ever_are_an_error() {
    let Some(device) = device() else { return };
    let mut to = Matrix::<f32, _>::new(&device, [1, 1]).unwrap();
    let launch = Launch::new::<f32>(&device, &KERNELS, "waits_for_ever").write(&mut to);
    let error = launch.run(Dimensions::each(1)).unwrap_err();
    assert!(error.to_string().contains("for ever"), "{error}");
}

#[test]
fn arguments_are_checked_against_the_source() {
    let Some(device) = device() else { return };
    let from = Matrix::<bf16, _>::zeros(&device, [1, 4]).unwrap();
    let mut to = Matrix::<bf16, _>::zeros(&device, [1, 4]).unwrap();
    let mut master = Matrix::<f32, _>::zeros(&device, [1, 4]).unwrap();
    let launch = || Launch::new::<bf16>(&device, &KERNELS, "copy");
    launch().read(&from).write(&mut to).count(4).run(Dimensions::each(4)).unwrap();
    for wrong in [
        launch().read(&from).write(&mut to).run(Dimensions::each(4)),
        launch().read(&from).write(&mut master).count(4).run(Dimensions::each(4)),
        launch().read(&from).read(&from).count(4).run(Dimensions::each(4)),
        launch().read(&from).write(&mut to).count(1 << 40).run(Dimensions::each(4)),
        launch().read(&from).write(&mut to).real(4.0).run(Dimensions::each(4)),
        Launch::new::<bf16>(&device, &KERNELS, "copi").run(Dimensions::each(4)),
    ] {
        assert!(matches!(wrong, Err(Error::Launch { .. })), "{wrong:?}");
    }
    assert!(Dimensions::each(1).times(65536).is_err());
    assert!(Dimensions::blocks(1 << 31).is_err());
}

#[test]
fn bad_input_is_an_error_that_names_it() {
    let Some(device) = device() else { return };
    let Some(other) = self::device() else { return };
    let a = Matrix::<f32, _>::zeros(&device, [2, 3]).unwrap();
    let b = Matrix::<f32, _>::zeros(&device, [4, 2]).unwrap();
    let mut c = Matrix::<f32, _>::zeros(&device, [2, 2]).unwrap();
    let text = |result: Result<(), Error>| result.unwrap_err().to_string();
    let shapes = text(multiply(1.0, a.view(), b.view(), 0.0, c.view_mut()));
    assert!(shapes.contains("[4, 2]") && shapes.contains("[3, 2]"), "{shapes}");
    let elsewhere = Matrix::<f32, _>::zeros(&other, [3, 2]).unwrap();
    let devices = text(multiply(1.0, a.view(), elsewhere.view(), 0.0, c.view_mut()));
    assert!(devices.contains("different devices"), "{devices}");
    let half = Matrix::<bf16, _>::zeros(&device, [2, 2]).unwrap();
    let kinds = text(multiply(
        1.0,
        c.view().t(),
        c.view(),
        0.0,
        Matrix::<bf16, _>::zeros(&device, [2, 2]).unwrap().view_mut(),
    ));
    assert!(kinds.contains("f32 into bf16"), "{kinds}");
    drop(half);
    let write = text(c.write(ramp(2, 3).view()));
    assert!(write.contains("[2, 3]") && write.contains("[2, 2]"), "{write}");
    assert!(Dropout::new(&device, 1.0, 0).is_err() && Dropout::new(&device, f64::NAN, 0).is_err());
    assert!(Matrix::<f32, _>::new(&device, [usize::MAX, 2]).is_err());
}

#[test]
fn out_of_memory_says_how_much_was_asked_and_how_much_is_free() {
    let Ok(device) = Emulator::with_memory(1000) else { return };
    let kept = Matrix::<f32, _>::new(&device, [10, 10]).unwrap();
    let error = Matrix::<f64, _>::new(&device, [10, 10]).err().unwrap();
    let want = Error::OutOfMemory { operation: "a matrix", asked: 800, free: 600, total: 1000 };
    assert_eq!(error, want);
    drop(kept);
    Matrix::<f64, _>::new(&device, [10, 10]).unwrap();
    assert_eq!(device.accounts().usage(), cuda::Usage { live: 0, peak: 800 });
}

#[test]
fn an_overrun_is_seen_by_the_guards() {
    let Some(device) = device() else { return };
    device.accounts().guard();
    let mut to = Matrix::<f32, _>::zeros(&device, [1, 4]).unwrap();
    Launch::new::<f32>(&device, &KERNELS, "one_beyond")
        .write(&mut to)
        .count(4)
        .run(Dimensions { grid: [1, 1], block: 1 })
        .unwrap();
    device.accounts().check().unwrap();
    drop(to);
    assert_eq!(device.accounts().check(), Err(Error::Overrun { count: 1 }));
}

/// `cargo xtask test emulated` runs this one under AddressSanitizer, where it must fail.
#[test]
#[ignore = "must fail, and only under AddressSanitizer"]
fn an_overrun_is_seen_by_address_sanitizer() {
    let device = Emulator::open().expect("the sanitizer came with a compiler");
    let mut to = Matrix::<f32, _>::zeros(&device, [1, 4]).unwrap();
    let launch = Launch::new::<f32>(&device, &KERNELS, "one_beyond").write(&mut to).count(4);
    launch.run(Dimensions { grid: [1, 1], block: 1 }).unwrap();
}

#[test]
fn adamw_refuses_what_does_not_fit() {
    let Some(device) = device() else { return };
    let group = adapter::Group { lr: 0.1, weight_decay: 0.0 };
    let like = adapter::AdamW::new(group, adapter::AdamVariant::Torch);
    let mut optimizer = AdamW::<f32, _>::new(&device, &like).unwrap();
    let [mut p, mut q] =
        [0, 1].map(|_| Matrix::<f32, _>::from_host(&device, ramp(2, 3).view()).unwrap());
    let [good, wrong] = [[2, 3], [3, 2]].map(|shape| Matrix::zeros(&device, shape).unwrap());
    fn update<'a>(
        name: &str,
        parameter: &'a mut Matrix<f32, Emulator>,
        gradient: &'a Matrix<f32, Emulator>,
    ) -> Update<'a, f32, Emulator> {
        Update::new(name.into(), parameter, gradient)
    }
    let error = optimizer.step(vec![update("p", &mut p, &wrong)]).unwrap_err().to_string();
    assert!(error.contains("the gradient of p") && error.contains("[3, 2]"), "{error}");
    let mut small = Matrix::<f32, _>::zeros(&device, [2, 2]).unwrap();
    let copied = update("p", &mut p, &good).with_copy(1.0, small.view_mut());
    let error = optimizer.step(vec![copied]).unwrap_err().to_string();
    assert!(error.contains("the copy of p") && error.contains("[2, 2]"), "{error}");
    let twice = vec![update("p", &mut p, &good), update("p", &mut q, &good)];
    assert!(optimizer.step(twice).unwrap_err().to_string().contains("share their moments"));
    assert!(AdamW::<f32, _>::new(&device, &adapter::AdamW { eps: f64::NAN, ..like }).is_err());
}
