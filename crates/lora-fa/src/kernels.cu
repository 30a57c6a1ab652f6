// LoRA-FA's projection: direction = factor · G (A Aᵀ)⁻¹ with A Aᵀ = L Lᵀ, L lower triangular. The twin on the CPU is
// LoraFa::direction.
//
// G (A Aᵀ)⁻¹ = Z means A Aᵀ Zᵀ = Gᵀ: one small system for each row of G, and rows do not need each other. So each thread
// owns a row: forward through L, then back through Lᵀ. All threads read the same element of L at the same time, which
// costs one read for a warp.

// ANCHOR: project
extern "C" __global__ void lora_fa_project(const M* gradient, const M* l, M* direction, unsigned out,
                                           unsigned rank, M factor) {
    size_t threads = (size_t)gridDim.x * blockDim.x;
    for (size_t row = (size_t)blockIdx.x * blockDim.x + threadIdx.x; row < out; row += threads) {
        const M* g = gradient + row * rank;
        M* z = direction + row * rank;
        // L w = g, from the first element to the last; w takes z's place.
        for (unsigned i = 0; i < rank; ++i) {
            M sum = g[i];
            for (unsigned k = 0; k < i; ++k) {
                sum -= l[(size_t)i * rank + k] * z[k];
            }
            z[i] = sum / l[(size_t)i * rank + i];
        }
        // Lᵀ z = w, from the last element to the first.
        for (unsigned i = rank; i-- > 0;) {
            M sum = z[i];
            for (unsigned k = i + 1; k < rank; ++k) {
                sum -= l[(size_t)k * rank + i] * z[k];
            }
            z[i] = sum / l[(size_t)i * rank + i];
        }
        for (unsigned i = 0; i < rank; ++i) {
            z[i] *= factor;
        }
    }
}
// ANCHOR_END: project
