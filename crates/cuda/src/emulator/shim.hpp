// Enough of CUDA to run a kernel on the CPU: blocks one after another, the threads of a block as fibers that switch where
// they wait for each other. It finds wrong indices, wrong reductions and, under AddressSanitizer, accesses beyond a matrix.
// It finds no races, and says nothing about speed.

#include <math.h>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ucontext.h>
#include <utility>
#include <vector>

using std::pow;
using std::sqrt;

#define __device__
#define __global__
#define __shared__ static

struct Index { unsigned x, y, z; };
static Index threadIdx, blockIdx, blockDim, gridDim;
static const unsigned warpSize = 32;

namespace shim {

const size_t STACK = 64 * 1024;

struct Fiber {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(STACK);
    bool done = true;
};

// Threads that have arrived where they wait, and how often all have.
struct Barrier { unsigned arrived = 0, passed = 0; };

static std::vector<Fiber> fibers;
static ucontext_t scheduler;
static unsigned current;
static unsigned long progress;
static Barrier block;
static std::vector<Barrier> warps;
static std::vector<double> exchanged;
static void (*body)(void*);
static void* body_arguments;

static void start() {
    body(body_arguments);
    fibers[current].done = true;
    ++progress;
    swapcontext(&fibers[current].context, &scheduler);
}

static void wait(Barrier& barrier, unsigned threads) {
    unsigned passed = barrier.passed;
    if (++barrier.arrived == threads) {
        barrier.arrived = 0;
        ++barrier.passed;
        ++progress;
        return;
    }
    while (barrier.passed == passed) swapcontext(&fibers[current].context, &scheduler);
}

static void wait_for_warp() {
    unsigned warp = threadIdx.x / warpSize, left = blockDim.x - warp * warpSize;
    wait(warps[warp], left < warpSize ? left : warpSize);
}

// One block whose threads wait for each other. False if they wait for ever.
static bool run_block(unsigned threads) {
    if (fibers.size() < threads) fibers.resize(threads);
    block = Barrier();
    warps.assign((threads + warpSize - 1) / warpSize, Barrier());
    exchanged.assign(threads, 0);
    for (unsigned i = 0; i < threads; ++i) {
        Fiber& fiber = fibers[i];
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.data();
        fiber.context.uc_stack.ss_size = STACK;
        fiber.context.uc_link = &scheduler;
        fiber.done = false;
        makecontext(&fiber.context, start, 0);
    }
    for (unsigned left = threads; left > 0;) {
        unsigned long before = progress;
        for (unsigned i = 0; i < threads; ++i) {
            if (fibers[i].done) continue;
            current = i;
            threadIdx = {i, 0, 0};
            swapcontext(&scheduler, &fibers[i].context);
            if (fibers[i].done) --left;
        }
        if (progress == before) return false;
    }
    return true;
}

template <class... P, size_t... I>
static void unpack(void (*kernel)(P...), void** arguments, std::index_sequence<I...>) {
    kernel(*(P*)arguments[I]...);
}

// Run a kernel: 0, or 1 if threads of a block wait for ever.
template <bool WAITS, class... P>
static int run(void (*kernel)(P...), unsigned grid_x, unsigned grid_y, unsigned threads, void** arguments) {
    struct Call { void (*kernel)(P...); void** arguments; } call = {kernel, arguments};
    body = [](void* call_) {
        Call* call = (Call*)call_;
        unpack(call->kernel, call->arguments, std::index_sequence_for<P...>());
    };
    body_arguments = &call;
    gridDim = {grid_x, grid_y, 1};
    blockDim = {threads, 1, 1};
    for (unsigned y = 0; y < grid_y; ++y) {
        for (unsigned x = 0; x < grid_x; ++x) {
            blockIdx = {x, y, 0};
            if (WAITS) {
                if (!run_block(threads)) return 1;
                continue;
            }
            for (unsigned i = 0; i < threads; ++i) {
                threadIdx = {i, 0, 0};
                body(body_arguments);
            }
        }
    }
    return 0;
}

}  // namespace shim

static inline void __syncthreads() { shim::wait(shim::block, blockDim.x); }

template <class N>
static inline N __shfl_xor_sync(unsigned, N value, unsigned lane_mask) {
    shim::exchanged[threadIdx.x] = value;
    shim::wait_for_warp();
    unsigned other = threadIdx.x ^ lane_mask;
    N got = other < blockDim.x ? (N)shim::exchanged[other] : value;
    shim::wait_for_warp();
    return got;
}
