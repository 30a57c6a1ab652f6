//! The first steps on a real GPU; what is missing where there is none.

use cuda::{Device, Emulator, Error, Gpu, Matrix, bf16, multiply};
use ndarray::Array2;

#[test]
fn opening_a_gpu_works_or_says_what_is_missing() {
    match Gpu::open() {
        Ok(gpu) => assert!(gpu.architecture().starts_with("sm_"), "{}", gpu.architecture()),
        Err(Error::Unavailable { missing, hint }) => {
            assert!(!missing.is_empty() && !hint.is_empty());
            println!("SKIPPED no GPU: {missing}");
            assert_ne!(std::env::var("LOWRANK_REQUIRE_GPU").as_deref(), Ok("1"), "{missing}");
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn small_integers_multiply_exactly_on_both_devices() {
    let (Ok(gpu), Ok(emulator)) = (Gpu::open(), Emulator::open()) else {
        println!("SKIPPED it takes a GPU and a C++ compiler");
        return;
    };
    fn product<D: Device>(device: &D) -> cuda::Result<Array2<f64>> {
        let ramp = |rows, columns| {
            Array2::from_shape_fn((rows, columns), |(i, j)| ((i * 5 + j * 3) % 7) as f64 - 3.0)
        };
        let a = Matrix::<bf16, _>::from_host(device, ramp(5, 9).view())?;
        let b = Matrix::<bf16, _>::from_host(device, ramp(7, 9).view())?;
        let mut c = Matrix::<f32, _>::from_host(device, ramp(5, 7).view())?;
        multiply(0.5, a.view(), b.view().t(), 1.0, c.view_mut())?;
        c.to_host()
    }
    assert_eq!(product(&gpu).unwrap(), product(&emulator).unwrap());
}
