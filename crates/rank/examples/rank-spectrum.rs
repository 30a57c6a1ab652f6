//! One matrix, all its ranks: `cargo run -p lowrank-rank --example rank-spectrum`.
//!
//! A sum of three strong directions and noise. Every notion of rank counts something else.

use ndarray::{Array1, Array2};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rank::{Svd, Tolerance};

fn main() -> Result<(), adapter::Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut gaussian = |rows, columns| -> Array2<f64> {
        Array2::random_using((rows, columns), StandardNormal, &mut rng)
    };
    let (left, right, noise) = (gaussian(64, 3), gaussian(3, 48), gaussian(64, 48));
    let strength = Array1::from(vec![4.0, 2.0, 1.0]);
    let a = (&left * &strength).dot(&right) + 0.01 * noise;

    let svd: Svd = rank::svd(a.view())?;
    println!("A is 64 x 48: three directions of strength 4, 2, 1, and noise of strength 0.01");
    println!("rank, numpy's tolerance      {}", svd.rank(Tolerance::Numpy));
    println!("rank, tolerance 1            {}", svd.rank(Tolerance::Absolute(1.0)));
    println!("effective rank               {:.2}", svd.effective_rank());
    println!("stable rank                  {:.2}", svd.stable_rank());
    println!();
    println!(" k   sigma_k+1   error of the best rank k (spectral, Frobenius, share of A)");
    for k in 0..6 {
        let best = svd.truncate(k)?;
        println!(
            "{k:2}   {:9.4}   {:9.4}   {:9.4}   {:6.2}%",
            svd.s[k],
            best.spectral_error,
            best.frobenius_error,
            100.0 * best.frobenius_error / svd.frobenius_norm()
        );
    }
    Ok(())
}
