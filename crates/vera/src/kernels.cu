// VeRA's vectors, folded into B, and their gradients. The twins on the CPU are lines of Vera::delta_weight and
// Vera::backward.

// ANCHOR: fold
// F = Λ_b B Λ_d: thread i owns element i. B is read once, F is written once, rounded once, where it lies beside W:
// `folded_row` elements from one row to the next.
extern "C" __global__ void vera_fold(const M* lambda_b, const T* b, const M* lambda_d, T* folded, size_t folded_row,
                                     unsigned out, unsigned rank) {
    size_t count = (size_t)out * rank, threads = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += threads) {
        size_t row = i / rank, column = i % rank;
        put(&folded[row * folded_row + column], lambda_b[row] * get(b[i]) * lambda_d[column]);
    }
}
// ANCHOR_END: fold

// Rows that a block reduces; the same number stands in kernels.rs.
#define ROWS 32

// A number and that of the lane whose index differs in the bits of `distance`, added up. All 32 lanes of a warp call it.
__device__ inline M add_across(M sum, unsigned distance) {
    return sum + __shfl_xor_sync(0xffffffffu, sum, distance);
}

// ANCHOR: reduce
// P = (∂L/∂y)ᵀ u is [out, r]. A block owns ROWS of its rows and uses them twice, the second time from the cache:
//   across: each thread adds up b[o] B[o, j] P[o, j] over its rows, the threads of a warp add up theirs: partial[warp, j]
//   along:  a team for each row o adds up P[o, j] B[o, j] d[j] over the columns, into ∂L/∂b[o]
// A team is as many threads as a row has columns, up to a warp: at r = 16 a warp works on two rows at once.
// Sums have a fixed order, so that the same input gives the same bits.
extern "C" __global__ void vera_reduce(const M* p, const M* lambda_b, const T* b, const M* lambda_d,
                                       M* grad_b, M* partial, unsigned out, unsigned rank) {
    unsigned first = blockIdx.x * ROWS, last = first + ROWS < out ? first + ROWS : out;
    unsigned width = 1;  // of a team: a power of two
    while (width < rank && width < warpSize) {
        width *= 2;
    }
    unsigned lane = threadIdx.x % width, team = threadIdx.x / width, teams = blockDim.x / width;
    unsigned warp = blockIdx.x * (blockDim.x / warpSize) + threadIdx.x / warpSize;

    for (unsigned left = 0; left < rank; left += width) {
        unsigned j = left + lane;
        M sum = 0;
        for (unsigned o = first + team; o < last && j < rank; o += teams) {
            size_t at = (size_t)o * rank + j;  // neighbours read neighbours
            sum += lambda_b[o] * get(b[at]) * p[at];
        }
        // Column j lies in the lanes that differ in the bits above a team's.
        for (unsigned distance = width; distance < warpSize; distance *= 2) {
            sum = add_across(sum, distance);
        }
        if (threadIdx.x % warpSize < width && j < rank) {
            partial[(size_t)warp * rank + j] = sum;
        }
    }

    // All threads go round equally often, since a warp adds up together.
    for (unsigned top = first; top < last; top += teams) {
        unsigned o = top + team;
        M sum = 0;
        for (unsigned j = lane; j < rank && o < last; j += width) {
            size_t at = (size_t)o * rank + j;
            sum += p[at] * get(b[at]) * lambda_d[j];
        }
        for (unsigned distance = width / 2; distance > 0; distance /= 2) {
            sum = add_across(sum, distance);
        }
        if (lane == 0 && o < last) {
            grad_b[o] = sum;
        }
    }
}
// ANCHOR_END: reduce

// ANCHOR: finish
// ∂L/∂d: a warp for each column j adds up what the others left in it.
extern "C" __global__ void vera_finish(const M* partial, M* grad_d, unsigned rows, unsigned rank) {
    unsigned lane = threadIdx.x % warpSize;
    unsigned j = (blockIdx.x * blockDim.x + threadIdx.x) / warpSize;
    M sum = 0;
    for (unsigned row = lane; row < rows && j < rank; row += warpSize) {
        sum += partial[(size_t)row * rank + j];
    }
    for (unsigned distance = warpSize / 2; distance > 0; distance /= 2) {
        sum = add_across(sum, distance);
    }
    if (lane == 0 && j < rank) {
        grad_d[j] = sum;
    }
}
// ANCHOR_END: finish
