//! One LoRA layer: forward, and forward + backward (∂x, ∂A, ∂B), beside the frozen layer alone.
//!
//! `cargo bench -p lowrank-benches`. Times differ between machines; the ratio of `lora` to `frozen` is what to look
//! at. For a comparison with PEFT see `side_by_side`.

use adapter::{Adapter, linear};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lowrank_benches::Layer;

fn layers(criterion: &mut Criterion) {
    for (tokens, out, inputs, rank) in
        [(256, 576, 576, 8), (256, 1536, 576, 8), (512, 2048, 2048, 16)]
    {
        let layer = Layer::<f32>::new(tokens, out, inputs, rank);
        let mut group = criterion.benchmark_group(format!("{tokens}x{out}x{inputs}"));
        // Multiplications and additions of y = x Wᵀ and ∂L/∂x = ∂L/∂y W.
        group.throughput(Throughput::Elements(4 * (tokens * out * inputs) as u64));
        group.bench_function("frozen", |bench| {
            bench.iter(|| {
                let y = linear::forward(layer.weight.view(), layer.x.view()).unwrap();
                let grad_x = linear::backward(layer.weight.view(), layer.grad_y.view()).unwrap();
                (y, grad_x)
            });
        });
        group.bench_function(BenchmarkId::new("lora", rank), |bench| bench.iter(|| layer.run()));
        group.bench_function(BenchmarkId::new("lora forward", rank), |bench| {
            bench.iter(|| layer.lora.forward(layer.weight.view(), &layer.x, None).unwrap());
        });
        group.finish();
    }
}

criterion_group!(benches, layers);
criterion_main!(benches);
