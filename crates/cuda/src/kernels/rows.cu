// Copies of matrices whose rows lie apart: one thread an element. `from_row` and `to_row` are the elements from one row to the
// next. Thread i does elements i, i + threads, i + 2 threads, …: neighbours read neighbours, and any count fits any grid.

extern "C" __global__ void copy_rows(const T* from, size_t from_row, T* to, size_t to_row, size_t count,
                                     unsigned columns) {
    size_t threads = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += threads) {
        size_t row = i / columns, column = i % columns;
        to[row * to_row + column] = from[row * from_row + column];
    }
}

// The copy of a master that products are made with: adamw writes the same.
extern "C" __global__ void round_rows(const M* from, size_t from_row, T* to, size_t to_row, size_t count,
                                      unsigned columns, M scale) {
    size_t threads = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += threads) {
        size_t row = i / columns, column = i % columns;
        put(&to[row * to_row + column], scale * from[row * from_row + column]);
    }
}
