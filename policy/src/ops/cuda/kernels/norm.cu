// The norm over whole images, [N, P, C] over P and C with gain and bias per channel; a layer norm is the case P = 1.
// With `relu` the input is relu(x): what a convolution leaves is normed without storing its ReLU.
#include "common.cuh"

template <typename T>
__device__ inline float read(T x, i64 relu) {
    float v = widen(x);
    return relu ? positive(v) : v;
}

// Sums over a part of an image: of d = x - shift and of its square, shift being the image's first value, so that little
// is lost however far from zero the values lie. Blocks: (images, parts); `sums` is f64 [N, parts, 2].
template <typename T, int V>
__device__ void norm_sums(const T* x, double* sums, i64 size, i64 each, i64 relu) {
    __shared__ double shared[THREADS];
    const T* image = x + blockIdx.x * size;
    float shift = read(image[0], relu), first = 0.0f, second = 0.0f;
    i64 packs = size / V, end = (blockIdx.y + 1) * each;
    for (i64 i = blockIdx.y * each + threadIdx.x; i < end && i < packs; i += THREADS) {
        Pack<T, V> values = load<T, V>(image, i);
        for (int k = 0; k < V; k++) {
            float d = read(values.v[k], relu) - shift;
            first += d;
            second += d * d;
        }
    }
    double total = over_block(double(first), shared, Add());
    double squares = over_block(double(second), shared, Add());
    if (threadIdx.x == 0) {
        double* to = sums + (i64(blockIdx.x) * gridDim.y + blockIdx.y) * 2;
        to[0] = total;
        to[1] = squares;
    }
}
#define PARAMETERS(T) (const T* x, double* sums, i64 size, i64 each, i64 relu)
INSTANTIATE(norm_sums, (x, sums, size, each, relu))
#undef PARAMETERS

// Mean and 1 / standard deviation of every image, f32 [N, 2].
template <typename T, int V>
__device__ void norm_moments(const T* x, const double* sums, float* moments, i64 images, i64 size, i64 parts, i64 relu) {
    i64 n = place();
    if (n >= images) return;
    double first = 0.0, second = 0.0;
    for (i64 i = 0; i < parts; i++) {
        first += sums[(n * parts + i) * 2];
        second += sums[(n * parts + i) * 2 + 1];
    }
    first /= double(size);
    double variance = second / double(size) - first * first;
    moments[2 * n] = float(read(x[n * size], relu) + first);
    moments[2 * n + 1] = float(1.0 / sqrt((variance > 0.0 ? variance : variance == variance ? 0.0 : variance) + 1e-5));
}
#define PARAMETERS(T) \
    (const T* x, const double* sums, float* moments, i64 images, i64 size, i64 parts, i64 relu)
INSTANTIATE(norm_moments, (x, sums, moments, images, size, parts, relu))
#undef PARAMETERS

template <typename T, int V>
__device__ void norm_apply(const T* x, const float* moments, const float* gain, const float* bias, T* to, i64 packs, i64 size, i64 channels, i64 relu) {
    i64 i = place();
    if (i >= packs) return;
    i64 n = i * V / size, c = i * V % channels;
    float mean = moments[2 * n], inverse = moments[2 * n + 1];
    Pack<T, V> values = load<T, V>(x, i);
    for (int k = 0; k < V; k++) {
        narrow((read(values.v[k], relu) - mean) * inverse * gain[c + k] + bias[c + k], values.v[k]);
    }
    store<T, V>(to, i, values);
}
#define PARAMETERS(T) \
    (const T* x, const float* moments, const float* gain, const float* bias, T* to, i64 packs, i64 size, i64 channels, i64 relu)
INSTANTIATE(norm_apply, (x, moments, gain, bias, to, packs, size, channels, relu))
#undef PARAMETERS

// Of a part of an image's pixels, per channel: Σ grad * xhat and Σ grad, f32 [N, parts, 2, C]. Blocks: (images, parts,
// tiles of channels). A block's threads lie over `wide` packs of channels and THREADS / wide pixels.
template <typename T, int V>
__device__ void norm_grad_sums(const T* x, const float* moments, const T* grad, float* sums, i64 pixels, i64 channels, i64 each, i64 wide, i64 relu) {
    __shared__ float shared[THREADS * V];
    i64 n = blockIdx.x, packs = channels / V, rows = THREADS / wide;
    i64 lane = threadIdx.x % wide, row = threadIdx.x / wide, c = blockIdx.z * wide + lane;
    bool works = row < rows && c < packs;
    float mean = moments[2 * n], inverse = moments[2 * n + 1];
    float plain[V], hat[V];
    for (int k = 0; k < V; k++) plain[k] = hat[k] = 0.0f;
    i64 end = (blockIdx.y + 1) * each;
    for (i64 p = blockIdx.y * each + row; works && p < end && p < pixels; p += rows) {
        i64 at = (n * pixels + p) * packs + c;
        Pack<T, V> values = load<T, V>(x, at), grads = load<T, V>(grad, at);
        for (int k = 0; k < V; k++) {
            float g = widen(grads.v[k]);
            plain[k] += g;
            hat[k] += g * (read(values.v[k], relu) - mean) * inverse;
        }
    }
    float* to = sums + (n * gridDim.y + blockIdx.y) * 2 * channels;
    for (int which = 0; which < 2; which++) {
        sync();
        for (int k = 0; k < V; k++) shared[threadIdx.x * V + k] = which ? plain[k] : hat[k];
        sync();
        if (row > 0 || c >= packs) continue;
        for (int k = 0; k < V; k++) {
            float sum = 0.0f;
            for (i64 r = 0; r < rows; r++) sum += shared[(r * wide + lane) * V + k];
            to[which * channels + c * V + k] = sum;
        }
    }
}
#define PARAMETERS(T) \
    (const T* x, const float* moments, const T* grad, float* sums, i64 pixels, i64 channels, i64 each, i64 wide, i64 relu)
INSTANTIATE(norm_grad_sums, (x, moments, grad, sums, pixels, channels, each, wide, relu))
#undef PARAMETERS

// Of an image: Σ grad * gain and Σ grad * gain * xhat, f32 [N, 2]. A block an image.
extern "C" __global__ void norm_grad_totals(const float* sums, const float* gain, float* totals, i64 parts, i64 channels) {
    __shared__ double shared[THREADS];
    const float* image = sums + blockIdx.x * parts * 2 * channels;
    double total[2] = {0.0, 0.0};
    for (i64 i = threadIdx.x; i < parts * 2 * channels; i += THREADS) {
        total[1 - i / channels % 2] += double(image[i]) * gain[i % channels];
    }
    for (int which = 0; which < 2; which++) {
        double all = over_block(total[which], shared, Add());
        if (threadIdx.x == 0) totals[2 * blockIdx.x + which] = float(all);
    }
}
REGISTER(norm_grad_totals)

// The gradient of x; with `skip` added to it, where there is one.
template <typename T, int V>
__device__ void norm_backward(const T* x, const float* moments, const float* gain, const float* totals, const T* grad, const T* skip, T* to, i64 packs, i64 size, i64 channels, i64 relu) {
    i64 i = place();
    if (i >= packs) return;
    i64 n = i * V / size, c = i * V % channels;
    float mean = moments[2 * n], inverse = moments[2 * n + 1], share = 1.0f / float(size);
    float first = totals[2 * n] * share, second = totals[2 * n + 1] * share;
    Pack<T, V> values = load<T, V>(x, i), grads = load<T, V>(grad, i), out;
    for (int k = 0; k < V; k++) {
        float v = widen(values.v[k]), hat = ((relu ? positive(v) : v) - mean) * inverse;
        float d = inverse * (widen(grads.v[k]) * gain[c + k] - first - hat * second);
        narrow(relu && !(v > 0.0f) ? 0.0f : d, out.v[k]);
        if (skip) narrow(widen(out.v[k]) + widen(skip[i * V + k]), out.v[k]);
    }
    store<T, V>(to, i, out);
}
#define PARAMETERS(T)                                                                                              \
    (const T* x, const float* moments, const float* gain, const float* totals, const T* grad, const T* skip, T* to, \
     i64 packs, i64 size, i64 channels, i64 relu)
INSTANTIATE(norm_backward, (x, moments, gain, totals, grad, skip, to, packs, size, channels, relu))
#undef PARAMETERS
