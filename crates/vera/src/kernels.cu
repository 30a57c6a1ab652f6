// VeRA's vectors, folded into B, and their gradients. The twins on the CPU are lines of Vera::forward and Vera::backward.

// ANCHOR: fold
// F = Λ_b B Λ_d: thread i owns element i. B is read once, F is written once, rounded once.
extern "C" __global__ void vera_fold(const M* lambda_b, const T* b, const M* lambda_d, T* folded, unsigned out,
                                     unsigned rank) {
    size_t count = (size_t)out * rank, threads = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += threads) {
        put(&folded[i], lambda_b[i / rank] * get(b[i]) * lambda_d[i % rank]);
    }
}
// ANCHOR_END: fold

// Rows that a block reduces; the same number stands in gpu.rs.
#define ROWS 64

// ANCHOR: reduce
// P = (∂L/∂y)ᵀ u is [out, r]. A block owns ROWS of its rows and uses them twice, the second time from the cache:
//   across: a thread for each column j adds up b[o] B[o, j] P[o, j] over the block's rows, into partial[block, j]
//   along:  a warp for each row o adds up P[o, j] B[o, j] d[j] over the columns, into ∂L/∂b[o]
// Sums have a fixed order, so that the same input gives the same bits.
extern "C" __global__ void vera_reduce(const M* p, const M* lambda_b, const T* b, const M* lambda_d, M* grad_b,
                                       M* partial, unsigned out, unsigned rank) {
    unsigned first = blockIdx.x * ROWS, last = first + ROWS < out ? first + ROWS : out;

    for (unsigned j = threadIdx.x; j < rank; j += blockDim.x) {
        M sum = 0;
        for (unsigned o = first; o < last; ++o) {
            size_t at = (size_t)o * rank + j;  // neighbours read neighbours
            sum += lambda_b[o] * get(b[at]) * p[at];
        }
        partial[(size_t)blockIdx.x * rank + j] = sum;
    }

    unsigned lane = threadIdx.x % warpSize, warp = threadIdx.x / warpSize, warps = blockDim.x / warpSize;
    for (unsigned o = first + warp; o < last; o += warps) {
        M sum = 0;
        for (unsigned j = lane; j < rank; j += warpSize) {
            size_t at = (size_t)o * rank + j;
            sum += p[at] * get(b[at]) * lambda_d[j];
        }
        // The lanes exchange their sums: after five rounds each has the sum of all 32.
        for (unsigned distance = warpSize / 2; distance > 0; distance /= 2) {
            sum += __shfl_xor_sync(0xffffffffu, sum, distance);
        }
        if (lane == 0) {
            grad_b[o] = sum;
        }
    }
}
// ANCHOR_END: reduce

// ANCHOR: finish
// ∂L/∂d: thread j adds up what the blocks left in column j.
extern "C" __global__ void vera_finish(const M* partial, M* grad_d, unsigned blocks, unsigned rank) {
    unsigned j = blockIdx.x * blockDim.x + threadIdx.x;
    if (j < rank) {
        M sum = 0;
        for (unsigned block = 0; block < blocks; ++block) {
            sum += partial[(size_t)block * rank + j];
        }
        grad_d[j] = sum;
    }
}
// ANCHOR_END: finish
