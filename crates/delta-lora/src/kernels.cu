// The factors of Delta-LoRA's move of W: λ s (B⁺A⁺ − B A) = λ s [B⁺ | −B] [A⁺; A], one product instead of two.
//
// half = 1 before the update, for A and −B; half = 0 after it, for A⁺ and B⁺. Thread i owns element i of A and element i
// of B; each is read once. The rows of A lie one after another, so its half is a block; B's half is a range of columns.

// ANCHOR: pack
extern "C" __global__ void delta_lora_pack(const M* a, const M* b, M* both_a, M* both_b, unsigned inputs,
                                           unsigned out, unsigned rank, unsigned half) {
    size_t threads = (size_t)gridDim.x * blockDim.x;
    size_t count_a = (size_t)rank * inputs, count_b = (size_t)out * rank;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < count_a || i < count_b; i += threads) {
        if (i < count_a) {
            both_a[half * count_a + i] = a[i];
        }
        if (i < count_b) {
            size_t row = i / rank, column = i % rank;
            both_b[row * 2 * rank + half * rank + column] = half ? -b[i] : b[i];
        }
    }
}
// ANCHOR_END: pack
