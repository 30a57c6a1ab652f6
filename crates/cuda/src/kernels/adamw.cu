// AdamW for all tensors of a model in one launch (Loshchilov & Hutter 2019, arXiv 1711.05101).
//
// A row of the grid is a tensor, found in a table: hundreds of adapters are hundreds of rows, not hundreds of launches.
// A tensor's own rate is what LoRA+ is. The twin on the CPU is adapter::AdamW.

struct Tensor {
    M* parameter;
    const M* gradient;
    M* exp_avg;
    M* exp_avg_sq;
    T* copy;         // what products read, or null
    uint64 copy_row; // elements from one row of it to the next
    uint64 columns;
    uint64 count;
    double scale;    // the copy is the parameter times this: s for B
    double rate;     // times the common learning rate
    double decay;    // the fraction that a step takes away is the tensor's learning rate times this
};

// What all tensors share. t and what follows from it change on the device, so that a graph that is replayed counts too.
struct State {
    double lr, beta1, beta2, eps;
    double hf;       // 1: Hugging Face's AdamW, 0: PyTorch's
    double t;        // updates so far
    double step;     // the factor of m, without the learning rate
    double root;     // what √v is divided by
};

// Before the tensors: one thread counts the step and corrects the biases of m and v, which start at 0.
extern "C" __global__ void adamw_begin(State* state) {
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        state->t += 1;
        double bias1 = 1 - pow(state->beta1, state->t), bias2 = 1 - pow(state->beta2, state->t);
        state->step = state->hf != 0 ? sqrt(bias2) / bias1 : 1 / bias1;
        state->root = state->hf != 0 ? 1 : sqrt(bias2);
    }
}

// ANCHOR: adamw
// blockIdx.y is the tensor. Each thread owns every threads-th element of it; each number is read once and written once.
extern "C" __global__ void adamw(const Tensor* table, const State* state) {
    const Tensor tensor = table[blockIdx.y];
    double lr = state->lr * tensor.rate;
    bool hf = state->hf != 0;
    // Constants in double, rounded once: 1 − 0.999 formed in float has lost 216 roundings.
    M shrink = (M)(1 - lr * tensor.decay);
    M first = hf ? (M)1 : shrink, last = hf ? shrink : (M)1;
    M rate = (M)(lr * state->step), root = (M)state->root, eps = (M)state->eps;
    M beta1 = (M)state->beta1, rest1 = (M)(1 - state->beta1);
    M beta2 = (M)state->beta2, rest2 = (M)(1 - state->beta2);
    M scale = (M)tensor.scale;

    size_t threads = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < tensor.count; i += threads) {
        M g = tensor.gradient[i];
        M m = beta1 * tensor.exp_avg[i] + rest1 * g;
        M v = beta2 * tensor.exp_avg_sq[i] + rest2 * g * g;
        M moved = tensor.parameter[i] * first - rate * m / (sqrt(v) / root + eps);
        M p = moved * last;
        tensor.exp_avg[i] = m;
        tensor.exp_avg_sq[i] = v;
        tensor.parameter[i] = p;
        if (tensor.copy) {
            put(&tensor.copy[i / tensor.columns * tensor.copy_row + i % tensor.columns], scale * p);
        }
    }
}
// ANCHOR_END: adamw
