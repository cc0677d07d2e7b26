// Over many tensors in one launch: the sum of squares of all gradients, and Adam's step.
//
// `places` holds five numbers a tensor: the addresses of parameter, gradient, mean and square (what a kernel does not
// use may be 0) and its length. `chunks` holds two numbers a block: a tensor, and which CHUNK of its values.
#include "common.cuh"

#define CHUNK 16384

// Σ x² of each chunk, in f64.
extern "C" __global__ void squares(const i64* places, const u32* chunks, double* to) {
    __shared__ double shared[THREADS];
    const i64* tensor = places + i64(chunks[2 * blockIdx.x]) * 5;
    const float* grad = (const float*)tensor[1];
    i64 start = i64(chunks[2 * blockIdx.x + 1]) * CHUNK, end = start + CHUNK < tensor[4] ? start + CHUNK : tensor[4];
    double sum = 0.0;
    for (i64 i = start + threadIdx.x; i < end; i += THREADS) sum += double(grad[i]) * double(grad[i]);
    sum = over_block(sum, shared, Add());
    if (threadIdx.x == 0) to[blockIdx.x] = sum;
}
REGISTER(squares)

// `numbers` holds eight a tensor, in the order below.
extern "C" __global__ void adam(const i64* places, const u32* chunks, const float* numbers) {
    const i64* tensor = places + i64(chunks[2 * blockIdx.x]) * 5;
    const float* step = numbers + i64(chunks[2 * blockIdx.x]) * 8;
    float grad_scale = step[0], beta1 = step[1], beta2 = step[2], step_size = step[3];
    float root_scale = step[4], eps = step[5], coupled = step[6], shrink = step[7];
    float *p = (float*)tensor[0], *m = (float*)tensor[2], *v = (float*)tensor[3];
    const float* grad = (const float*)tensor[1];
    i64 start = i64(chunks[2 * blockIdx.x + 1]) * CHUNK, end = start + CHUNK < tensor[4] ? start + CHUNK : tensor[4];
    for (i64 i = start + threadIdx.x; i < end; i += THREADS) {
        float g = grad[i] * grad_scale + coupled * p[i];
        float mean = beta1 * m[i] + (1.0f - beta1) * g, square = beta2 * v[i] + (1.0f - beta2) * g * g;
        m[i] = mean;
        v[i] = square;
        p[i] = p[i] * shrink - step_size * mean / (sqrtf(square) * root_scale + eps);
    }
}
REGISTER(adam)
