// Functions of rows of f32 logits or scores, a block a row: softmax, log-probability, entropy, KL divergence.
// With z = x - max and L = ln Σ e^z: ln p = z - L, H = L - Σ p z, KL = Σ p (ln p - ln q).
#include "common.cuh"

// softmax(x * scale + bias) over the keys that `mask` shows. Rows run over [B, H, T], the mask over [B, T]; bias and mask
// may be absent. A row without a visible key is all zeros.
extern "C" __global__ void softmax(const float* x, const float* bias, const u8* mask, float* to, i64 columns, float scale, i64 heads, i64 time) {
    __shared__ float shared[THREADS];
    i64 row = blockIdx.x, at = row * columns;
    const u8* shown = mask ? mask + (row / (heads * time) * time + row % time) * columns : 0;
    float top = HIDDEN;
    for (i64 i = threadIdx.x; i < columns; i += THREADS) {
        float v = x[at + i] * scale + (bias ? bias[at + i] : 0.0f);
        if (shown && !shown[i]) v = HIDDEN;
        to[at + i] = v;
        top = Larger()(top, v);
    }
    top = over_block(top, shared, Larger());
    float sum = 0.0f;
    for (i64 i = threadIdx.x; i < columns; i += THREADS) {
        float v = to[at + i];
        // The comparison is false also for NaN, which must come through.
        float e = v < 0.5f * HIDDEN ? 0.0f : expf(v - top);
        to[at + i] = e;
        sum += e;
    }
    sum = over_block(sum, shared, Add());
    float inverse = sum == 0.0f ? 0.0f : 1.0f / sum;
    for (i64 i = threadIdx.x; i < columns; i += THREADS) to[at + i] *= inverse;
}
REGISTER(softmax)

// p (g - Σ p g) * scale.
extern "C" __global__ void softmax_backward(const float* p, const float* grad, float* to, i64 columns, float scale) {
    __shared__ float shared[THREADS];
    i64 at = blockIdx.x * columns;
    float dot = 0.0f;
    for (i64 i = threadIdx.x; i < columns; i += THREADS) dot += p[at + i] * grad[at + i];
    dot = over_block(dot, shared, Add());
    for (i64 i = threadIdx.x; i < columns; i += THREADS) to[at + i] = p[at + i] * (grad[at + i] - dot) * scale;
}
REGISTER(softmax_backward)

struct Measured {
    float max, log_sum, mean_z;
};

__device__ inline Measured measure(const float* row, i64 columns, float* shared) {
    Measured m;
    m.max = -3.4e38f;
    for (i64 i = threadIdx.x; i < columns; i += THREADS) m.max = Larger()(m.max, row[i]);
    m.max = over_block(m.max, shared, Larger());
    float sum = 0.0f, weighed = 0.0f;
    for (i64 i = threadIdx.x; i < columns; i += THREADS) {
        float z = row[i] - m.max, e = expf(z);
        sum += e;
        // Of a logit of minus infinity: 0 * infinity.
        if (e > 0.0f || z != z) weighed += e * z;
    }
    sum = over_block(sum, shared, Add());
    m.log_sum = logf(sum);
    m.mean_z = over_block(weighed, shared, Add()) / sum;
    return m;
}

extern "C" __global__ void log_prob(const float* x, const u32* index, float* to, i64 columns) {
    __shared__ float shared[THREADS];
    const float* row = x + blockIdx.x * columns;
    Measured m = measure(row, columns, shared);
    if (threadIdx.x == 0) to[blockIdx.x] = row[index[blockIdx.x]] - m.max - m.log_sum;
}
REGISTER(log_prob)

extern "C" __global__ void log_prob_backward(const float* x, const u32* index, const float* grad, float* to, i64 columns) {
    __shared__ float shared[THREADS];
    i64 at = blockIdx.x * columns;
    Measured m = measure(x + at, columns, shared);
    float g = grad[blockIdx.x];
    for (i64 i = threadIdx.x; i < columns; i += THREADS) {
        to[at + i] = g * ((i == index[blockIdx.x] ? 1.0f : 0.0f) - expf(x[at + i] - m.max - m.log_sum));
    }
}
REGISTER(log_prob_backward)

extern "C" __global__ void entropy(const float* x, float* to, i64 columns) {
    __shared__ float shared[THREADS];
    Measured m = measure(x + blockIdx.x * columns, columns, shared);
    if (threadIdx.x == 0) to[blockIdx.x] = m.log_sum - m.mean_z;
}
REGISTER(entropy)

// -p (ln p + H).
extern "C" __global__ void entropy_backward(const float* x, const float* result, const float* grad, float* to, i64 columns) {
    __shared__ float shared[THREADS];
    i64 at = blockIdx.x * columns;
    Measured m = measure(x + at, columns, shared);
    float g = grad[blockIdx.x], h = result[blockIdx.x];
    for (i64 i = threadIdx.x; i < columns; i += THREADS) {
        float log_p = x[at + i] - m.max - m.log_sum, p = expf(log_p);
        to[at + i] = p > 0.0f || p != p ? -g * p * (log_p + h) : 0.0f;
    }
}
REGISTER(entropy_backward)

extern "C" __global__ void kl(const float* p, const float* q, float* to, i64 columns) {
    __shared__ float shared[THREADS];
    i64 at = blockIdx.x * columns;
    Measured mp = measure(p + at, columns, shared), mq = measure(q + at, columns, shared);
    float sum = 0.0f;
    for (i64 i = threadIdx.x; i < columns; i += THREADS) {
        float log_p = p[at + i] - mp.max - mp.log_sum, log_q = q[at + i] - mq.max - mq.log_sum;
        sum += expf(log_p) * (log_p - log_q);
    }
    sum = over_block(sum, shared, Add());
    if (threadIdx.x == 0) to[blockIdx.x] = sum;
}
REGISTER(kl)

// To p: p (ln p - ln q - KL); to q: q - p. Either may be absent.
extern "C" __global__ void kl_backward(const float* p, const float* q, const float* result, const float* grad, float* to_p, float* to_q, i64 columns) {
    __shared__ float shared[THREADS];
    i64 at = blockIdx.x * columns;
    Measured mp = measure(p + at, columns, shared), mq = measure(q + at, columns, shared);
    float g = grad[blockIdx.x], all = result[blockIdx.x];
    for (i64 i = threadIdx.x; i < columns; i += THREADS) {
        float log_p = p[at + i] - mp.max - mp.log_sum, log_q = q[at + i] - mq.max - mq.log_sum;
        float weight = expf(log_p);
        if (to_p) to_p[at + i] = g * weight * (log_p - log_q - all);
        if (to_q) to_q[at + i] = g * (expf(log_q) - weight);
    }
}
REGISTER(kl_backward)
