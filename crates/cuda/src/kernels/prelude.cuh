// What every kernel may use. It is put before each source, with T (the element) and M (its master) chosen:
// T is float or double, or bf16 with M = float.
//
// No header is included, so that NVRTC needs none.

typedef unsigned long long uint64;

// bf16 is the upper half of a float.
struct bf16 {
    unsigned short bits;
};

// A number of any kind, ready to compute with.
__device__ inline float get(float x) { return x; }
__device__ inline double get(double x) { return x; }
__device__ inline float get(bf16 x) {
    union { unsigned bits; float value; } wide;
    wide.bits = (unsigned)x.bits << 16;
    return wide.value;
}

// The same back, rounded to nearest, ties to even.
__device__ inline void put(float* to, float x) { *to = x; }
__device__ inline void put(double* to, double x) { *to = x; }
__device__ inline void put(bf16* to, float x) {
    union { unsigned bits; float value; } wide;
    wide.value = x;
    // A NaN keeps its upper half and is kept from becoming infinite.
    if (x != x) {
        to->bits = (unsigned short)((wide.bits >> 16) | 0x40);
        return;
    }
    // Half of the lower 16 bits, less one if the upper half is even: a carry rounds up.
    wide.bits += 0x7fff + ((wide.bits >> 16) & 1);
    to->bits = (unsigned short)(wide.bits >> 16);
}
