use live::Experiment;
use live::shared::{Question, Settings, Shared};

#[test]
fn a_layer_is_its_two_vectors() {
    let mut shared = Shared::start(Settings {}, &[]).unwrap();
    let d = [[1.0; 4], [2.0, 0.0, -1.0, 0.0]];
    let b = [[1.0; 6], [0.0, 1.0, 0.0, 3.0, 0.0, 0.0]];
    let answer = shared.ask(Question { d, b }).unwrap();
    assert_eq!(answer.rank, [4, 2]);
    for layer in 0..2 {
        for (i, row) in answer.delta[layer].iter().enumerate() {
            for (j, delta) in row.iter().enumerate() {
                let term = |k: usize| answer.shared_b[i][k] * d[layer][k] * answer.shared_a[k][j];
                let expected = b[layer][i] * (0..4).map(term).sum::<f64>();
                assert!((delta - expected).abs() <= 1e-12, "{delta} {expected}");
            }
        }
    }
}
