//! Dropout as an explicit mask.

use adapter::{Dropout, Real};
use ndarray::{Array2, array};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

#[test]
fn what_is_kept_is_divided_by_one_minus_p() {
    let dropout = Dropout::new(array![[1, 0, 1], [0, 1, 1]], 0.75).unwrap();
    let x = array![[1.0, 2.0, -3.0], [f64::NAN, 0.5, f64::INFINITY]];
    // A dropped element is 0 whatever it was: NaN·0 would be NaN.
    let want = array![[4.0, 0.0, -12.0], [0.0, 2.0, f64::INFINITY]];
    assert_eq!(dropout.apply(x.view()).unwrap(), want);
    let narrow = dropout.apply(x.mapv(|value| value as f32).view()).unwrap();
    assert_eq!(narrow.mapv(Real::to_f64), want);
}

/// The share of dropped elements is p: of n draws it strays by more than ε with probability at most 2 exp(−2nε²)
/// (Hoeffding), and ε is set to make that one in a million.
#[test]
fn dropout_drops_a_share_of_p() {
    let (rows, columns, p) = (200, 300, 0.3);
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let dropout = Dropout::draw((rows, columns), p, &mut rng).unwrap();
    let kept = dropout.apply(Array2::<f64>::ones((rows, columns)).view()).unwrap();
    let n = kept.len() as f64;
    let dropped = kept.iter().filter(|&&value| value == 0.0).count() as f64 / n;
    assert!((dropped - p).abs() <= (2e6_f64.ln() / (2.0 * n)).sqrt(), "{dropped}");
    assert!(kept.iter().all(|&value| value == 0.0 || value == 1.0 / (1.0 - p)));
    let all = Dropout::draw((rows, columns), 0.0, &mut rng).unwrap();
    assert_eq!(all.apply(kept.view()).unwrap(), kept);
}

#[test]
fn a_seed_decides() {
    let draw = |seed| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Dropout::draw((8, 8), 0.5, &mut rng).unwrap()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn errors_name_the_parameter() {
    for p in [1.0, 1.5, -0.1, f64::NAN] {
        let text = Dropout::new(Array2::ones((1, 1)), p).unwrap_err().to_string();
        assert!(text.contains("dropout is "), "{text}");
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let text = Dropout::draw((1, 1), p, &mut rng).unwrap_err().to_string();
        assert!(text.contains("dropout is "), "{text}");
    }
    let text = Dropout::new(array![[1, 2]], 0.5).unwrap_err().to_string();
    assert!(text.contains("dropout mask is 2"), "{text}");
    let mask = Dropout::new(array![[1, 0]], 0.5).unwrap();
    let text = mask.apply(array![[1.0, 2.0, 3.0]].view()).unwrap_err().to_string();
    assert!(text.contains("x has shape [1, 3] where [1, 2] is needed"), "{text}");
}
