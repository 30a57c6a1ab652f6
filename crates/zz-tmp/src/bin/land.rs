use live::landscape::{Landscape, Question, Settings};
use live::Experiment;
fn main() {
    for width in [32usize, 64, 128, 256] {
        for tasks in [1u64, 3] {
        let mut l = Landscape::start(Settings { width, tasks }, &[]).unwrap();
        let mut best = (f64::INFINITY, 0, 0); let mut one = (f64::INFINITY, 0);
        let began = std::time::Instant::now();
        for a in -11..=-1 { for b in -11..=-1 {
            let loss = l.ask(Question { lr_a: 2f64.powi(a), lr_b: 2f64.powi(b) }).unwrap().loss;
            if loss < best.0 { best = (loss, a, b); }
            if a == b && loss < one.0 { one = (loss, a); }
        }}
        println!("{width} {tasks}: best {best:?} lambda 2^{} one {one:?} ratio {:.3} in {:?}", best.2 - best.1, best.0 / one.0, began.elapsed());
        }
    }
}
