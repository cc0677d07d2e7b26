// What all kernels share: number types, packs of neighbouring values, sums over a block.
//
// The kernels keep to a small part of CUDA (no warp operations, shared memory of fixed size, `sync()` for the barrier), so
// that the tests can also compile them for the CPU: `emulation.h` then stands in for what nvcc knows by itself.
#pragma once

#ifdef EMULATED
#include "emulation.h"
#else
#define REGISTER(kernel)
#define sync() __syncthreads()
#endif

typedef unsigned char u8;
typedef unsigned int u32;
typedef long long i64;

// Threads of a block, in every kernel that works together.
#define THREADS 256
// What stands for minus infinity in softmax: finite, so that nothing becomes NaN when it meets a zero.
#define HIDDEN (-1e30f)

// The upper half of a float.
struct bf16 {
    unsigned short bits;
};

union Bits {
    float number;
    u32 bits;
};

__device__ inline float widen(float x) { return x; }
__device__ inline float widen(bf16 x) {
    Bits b;
    b.bits = u32(x.bits) << 16;
    return b.number;
}

// To the nearest, ties to even; NaN stays NaN.
__device__ inline void narrow(float x, float& to) { to = x; }
__device__ inline void narrow(float x, bf16& to) {
    Bits b;
    b.number = x;
    if (x != x) {
        to.bits = (unsigned short)((b.bits >> 16) | 64);
    } else {
        to.bits = (unsigned short)((b.bits + 0x7fff + ((b.bits >> 16) & 1)) >> 16);
    }
}

// V neighbouring values, moved together.
template <typename T, int V>
struct alignas(sizeof(T) * V < 16 ? sizeof(T) * V : 16) Pack {
    T v[V];
};

template <typename T, int V>
__device__ inline Pack<T, V> load(const T* from, i64 pack) {
    return reinterpret_cast<const Pack<T, V>*>(from)[pack];
}
template <typename T, int V>
__device__ inline void store(T* to, i64 pack, const Pack<T, V>& values) {
    reinterpret_cast<Pack<T, V>*>(to)[pack] = values;
}

__device__ inline float positive(float x) { return x > 0.0f ? x : 0.0f; }

// The number of this thread among all, blocks in one row.
__device__ inline i64 place() { return i64(blockIdx.x) * blockDim.x + threadIdx.x; }

// Combines one value of each of the block's THREADS threads; all get the result.
template <typename T, typename F>
__device__ inline T over_block(T value, T* shared, F combine) {
    sync();
    shared[threadIdx.x] = value;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        sync();
        if (int(threadIdx.x) < half) {
            shared[threadIdx.x] = combine(shared[threadIdx.x], shared[threadIdx.x + half]);
        }
    }
    sync();
    return shared[0];
}

struct Add {
    template <typename T>
    __device__ T operator()(T a, T b) const { return a + b; }
};
struct Larger {
    // A NaN on either side wins.
    __device__ float operator()(float a, float b) const { return a > b || a != a ? a : b; }
};

// A kernel for each type and pack; PARAMETERS(T) is its parameter list.
#define INSTANTIATE_ONE(name, suffix, T, V, arguments)       \
    extern "C" __global__ void name##_##suffix PARAMETERS(T) { \
        name<T, V> arguments;                                \
    }                                                        \
    REGISTER(name##_##suffix)
#define INSTANTIATE(name, arguments)                 \
    INSTANTIATE_ONE(name, f32_1, float, 1, arguments) \
    INSTANTIATE_ONE(name, f32_8, float, 8, arguments) \
    INSTANTIATE_ONE(name, bf16_1, bf16, 1, arguments) \
    INSTANTIATE_ONE(name, bf16_8, bf16, 8, arguments)
