// The working copy of a master: one thread an element.

extern "C" __global__ void round_master(const M* master, T* rounded, size_t count) {
    // Thread i does elements i, i + threads, i + 2 threads, …: neighbours read neighbours, and any count fits any grid.
    size_t threads = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += threads) {
        put(&rounded[i], get(master[i]));
    }
}
