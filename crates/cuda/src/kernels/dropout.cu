// Inverted dropout with a mask that is never stored: each thread draws the bits of its own elements.
//
// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") turns a counter into four words of
// random bits. The counter of an element is its place, so forward and backward draw the same mask, in any order, on any
// device. The twin on the CPU is adapter::Dropout::philox.

__device__ inline unsigned high(unsigned a, unsigned b) {
    return (unsigned)(((uint64)a * b) >> 32);
}

__device__ inline void philox(unsigned counter[4], unsigned key0, unsigned key1) {
    for (int round = 0; round < 10; ++round) {
        unsigned high0 = high(0xD2511F53u, counter[0]), low0 = 0xD2511F53u * counter[0];
        unsigned high1 = high(0xCD9E8D57u, counter[2]), low1 = 0xCD9E8D57u * counter[2];
        counter[0] = high1 ^ counter[1] ^ key0;
        counter[1] = low1;
        counter[2] = high0 ^ counter[3] ^ key1;
        counter[3] = low0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
}

// The next step draws other masks. It counts on the device, so that a graph that is replayed counts too.
extern "C" __global__ void dropout_advance(uint64* step) {
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        *step += 1;
    }
}

// to = from ⊙ mask/(1 − p). A word below `threshold` = ⌊p 2³²⌋ drops its element. `from` and `to` may be the same; `from_row`
// and `to_row` are the elements from one of their rows to the next.
// Each thread owns four elements in a row: one counter, four words.
extern "C" __global__ void dropout_apply(const T* from, size_t from_row, T* to, size_t to_row, size_t count,
                                         unsigned columns, unsigned threshold, M keep, uint64 seed, unsigned layer,
                                         const uint64* step) {
    size_t threads = (size_t)gridDim.x * blockDim.x;
    for (size_t four = (size_t)blockIdx.x * blockDim.x + threadIdx.x; four * 4 < count; four += threads) {
        unsigned words[4] = {(unsigned)four, (unsigned)((uint64)four >> 32), layer, (unsigned)*step};
        philox(words, (unsigned)seed, (unsigned)(seed >> 32));
        // The four may lie in two rows.
        size_t row = four * 4 / columns, column = four * 4 % columns;
        for (int i = 0; i < 4 && four * 4 + i < count; ++i) {
            // A dropped element is 0 even where x is NaN.
            put(&to[row * to_row + column],
                words[i] < threshold ? (M)0 : get(from[row * from_row + column]) / keep);
            if (++column == columns) {
                column = 0;
                ++row;
            }
        }
    }
}
