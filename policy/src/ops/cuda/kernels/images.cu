// Images with their channels last, [N, H, W, C]: in and out of that layout, pooling, bias, ReLU.
#include "common.cuh"

// u8 [pixels, 3] to T [pixels, padded], i / 255, zeros beyond.
template <typename T, int V>
__device__ void frames(const u8* from, T* to, i64 pixels, i64 padded) {
    i64 pixel = place();
    if (pixel >= pixels) return;
    for (i64 c = 0; c < padded; c++) {
        narrow(c < 3 ? from[pixel * 3 + c] / 255.0f : 0.0f, to[pixel * padded + c]);
    }
}
#define PARAMETERS(T) (const u8* from, T* to, i64 pixels, i64 padded)
INSTANTIATE(frames, (from, to, pixels, padded))
#undef PARAMETERS

// u8 [N, pixels, 3] to f32 [N, 3, pixels].
extern "C" __global__ void frames_to_planes(const u8* from, float* to, i64 images, i64 pixels) {
    i64 i = place();
    if (i >= images * 3 * pixels) return;
    i64 image = i / (3 * pixels), c = i / pixels % 3, pixel = i % pixels;
    to[i] = from[(image * pixels + pixel) * 3 + c] / 255.0f;
}
REGISTER(frames_to_planes)

// f32 [N, C, P] to T [N, P, padded], zeros beyond C.
template <typename T, int V>
__device__ void channels_last(const float* from, T* to, i64 count, i64 channels, i64 inner, i64 padded) {
    i64 i = place();
    if (i >= count * inner * padded) return;
    i64 c = i % padded, p = i / padded % inner, n = i / (padded * inner);
    narrow(c < channels ? from[(n * channels + c) * inner + p] : 0.0f, to[i]);
}
#define PARAMETERS(T) (const float* from, T* to, i64 count, i64 channels, i64 inner, i64 padded)
INSTANTIATE(channels_last, (from, to, count, channels, inner, padded))
#undef PARAMETERS

// T [N, P, padded] to f32 [N, C, P].
template <typename T, int V>
__device__ void channels_first(const T* from, float* to, i64 count, i64 channels, i64 inner, i64 padded) {
    i64 i = place();
    if (i >= count * channels * inner) return;
    i64 p = i % inner, c = i / inner % channels, n = i / (inner * channels);
    to[i] = widen(from[(n * inner + p) * padded + c]);
}
#define PARAMETERS(T) (const T* from, float* to, i64 count, i64 channels, i64 inner, i64 padded)
INSTANTIATE(channels_first, (from, to, count, channels, inner, padded))
#undef PARAMETERS

// 3x3 maximum with stride 2, then bias (where there is one) and ReLU (if asked): the same as bias and ReLU before.
// `taps` (where wanted) gets the place in the window, 3 * row + column, the first of equals.
template <typename T, int V>
__device__ void pool(const T* from, const float* bias, T* to, u8* taps, i64 images, i64 h, i64 w, i64 channels, i64 relu) {
    i64 oh = (h + 1) / 2, ow = (w + 1) / 2, packs = channels / V;
    i64 i = place();
    if (i >= images * oh * ow * packs) return;
    i64 c = i % packs, x = i / packs % ow, y = i / (packs * ow) % oh, image = i / (packs * ow * oh);
    float best[V];
    u8 tap[V];
    bool first = true;
    for (int t = 0; t < 9; t++) {
        i64 line = 2 * y + t / 3 - 1, column = 2 * x + t % 3 - 1;
        if (line < 0 || line >= h || column < 0 || column >= w) continue;
        Pack<T, V> values = load<T, V>(from, ((image * h + line) * w + column) * packs + c);
        for (int k = 0; k < V; k++) {
            float v = widen(values.v[k]);
            if (first || v > best[k]) {
                best[k] = v;
                tap[k] = u8(t);
            }
        }
        first = false;
    }
    Pack<T, V> out;
    Pack<u8, V> where;
    for (int k = 0; k < V; k++) {
        float v = best[k] + (bias ? bias[c * V + k] : 0.0f);
        narrow(relu ? positive(v) : v, out.v[k]);
        where.v[k] = tap[k];
    }
    store<T, V>(to, i, out);
    if (taps) store<u8, V>(taps, i, where);
}
#define PARAMETERS(T) \
    (const T* from, const float* bias, T* to, u8* taps, i64 images, i64 h, i64 w, i64 channels, i64 relu)
INSTANTIATE(pool, (from, bias, to, taps, images, h, w, channels, relu))
#undef PARAMETERS

// The gradient of `pool`: a pixel gathers from the windows whose maximum it was (and, with ReLU, that came out positive).
template <typename T, int V>
__device__ void pool_backward(const T* grad, const T* result, const u8* taps, T* to, i64 images, i64 h, i64 w, i64 channels, i64 relu) {
    i64 oh = (h + 1) / 2, ow = (w + 1) / 2, packs = channels / V;
    i64 i = place();
    if (i >= images * h * w * packs) return;
    i64 c = i % packs, x = i / packs % w, y = i / (packs * w) % h, image = i / (packs * w * h);
    float sum[V];
    for (int k = 0; k < V; k++) sum[k] = 0.0f;
    // Window `oy` covers lines 2 oy - 1 to 2 oy + 1.
    for (i64 oy = y / 2; oy <= (y + 1) / 2 && oy < oh; oy++) {
        for (i64 ox = x / 2; ox <= (x + 1) / 2 && ox < ow; ox++) {
            i64 at = ((image * oh + oy) * ow + ox) * packs + c;
            int tap = int((y - 2 * oy + 1) * 3 + (x - 2 * ox + 1));
            Pack<u8, V> where = load<u8, V>(taps, at);
            Pack<T, V> g = load<T, V>(grad, at), r = load<T, V>(result, at);
            for (int k = 0; k < V; k++) {
                if (where.v[k] == tap && (!relu || widen(r.v[k]) > 0.0f)) sum[k] += widen(g.v[k]);
            }
        }
    }
    Pack<T, V> out;
    for (int k = 0; k < V; k++) narrow(sum[k], out.v[k]);
    store<T, V>(to, i, out);
}
#define PARAMETERS(T) \
    (const T* grad, const T* result, const u8* taps, T* to, i64 images, i64 h, i64 w, i64 channels, i64 relu)
INSTANTIATE(pool_backward, (grad, result, taps, to, images, h, w, channels, relu))
#undef PARAMETERS

// to = x + bias of the last dimension (where there is one), then ReLU (if asked); `to` may be x.
template <typename T, int V>
__device__ void bias_relu(const T* x, const float* bias, T* to, i64 packs, i64 channels, i64 relu) {
    i64 i = place();
    if (i >= packs) return;
    Pack<T, V> values = load<T, V>(x, i);
    for (int k = 0; k < V; k++) {
        float v = widen(values.v[k]) + (bias ? bias[i * V % channels + k] : 0.0f);
        narrow(relu ? positive(v) : v, values.v[k]);
    }
    store<T, V>(to, i, values);
}
#define PARAMETERS(T) (const T* x, const float* bias, T* to, i64 packs, i64 channels, i64 relu)
INSTANTIATE(bias_relu, (x, bias, to, packs, channels, relu))
#undef PARAMETERS

// The gradient where `gate` is positive, else 0.
template <typename T, int V>
__device__ void relu_backward(const T* gate, const T* grad, T* to, i64 packs) {
    i64 i = place();
    if (i >= packs) return;
    Pack<T, V> gates = load<T, V>(gate, i), values = load<T, V>(grad, i);
    for (int k = 0; k < V; k++) {
        if (!(widen(gates.v[k]) > 0.0f)) narrow(0.0f, values.v[k]);
    }
    store<T, V>(to, i, values);
}
#define PARAMETERS(T) (const T* gate, const T* grad, T* to, i64 packs)
INSTANTIATE(relu_backward, (gate, grad, to, packs))
#undef PARAMETERS

// x + relu(z).
template <typename T, int V>
__device__ void add_relu(const T* x, const T* z, T* to, i64 packs) {
    i64 i = place();
    if (i >= packs) return;
    Pack<T, V> values = load<T, V>(x, i), other = load<T, V>(z, i);
    for (int k = 0; k < V; k++) narrow(widen(values.v[k]) + positive(widen(other.v[k])), values.v[k]);
    store<T, V>(to, i, values);
}
#define PARAMETERS(T) (const T* x, const T* z, T* to, i64 packs)
INSTANTIATE(add_relu, (x, z, to, packs))
#undef PARAMETERS

// What each pixel's 3x3 window holds: T [N, H, W, C] to T [N, H, W, 9, C], zeros beyond the image.
template <typename T, int V>
__device__ void windows(const T* from, T* to, i64 images, i64 h, i64 w, i64 channels) {
    i64 packs = channels / V;
    i64 i = place();
    if (i >= images * h * w * 9 * packs) return;
    i64 c = i % packs, tap = i / packs % 9, pixel = i / (packs * 9);
    i64 line = pixel / w % h + tap / 3 - 1, column = pixel % w + tap % 3 - 1;
    Pack<T, V> values;
    if (line < 0 || line >= h || column < 0 || column >= w) {
        for (int k = 0; k < V; k++) narrow(0.0f, values.v[k]);
    } else {
        values = load<T, V>(from, ((pixel / (h * w) * h + line) * w + column) * packs + c);
    }
    store<T, V>(to, i, values);
}
#define PARAMETERS(T) (const T* from, T* to, i64 images, i64 h, i64 w, i64 channels)
INSTANTIATE(windows, (from, to, images, h, w, channels))
#undef PARAMETERS

// Filters T [Co, 9, Ci] to those that carry gradients back, T [Ci, 9, Co] with the taps in reverse.
template <typename T, int V>
__device__ void turned(const T* from, T* to, i64 outputs, i64 inputs) {
    i64 i = place();
    if (i >= outputs * 9 * inputs) return;
    i64 o = i % outputs, tap = i / outputs % 9, c = i / (outputs * 9);
    to[i] = from[(o * 9 + 8 - tap) * inputs + c];
}
#define PARAMETERS(T) (const T* from, T* to, i64 outputs, i64 inputs)
INSTANTIATE(turned, (from, to, outputs, inputs))
#undef PARAMETERS

// f32 sums of the columns of T [rows, columns], one row of sums for every `each` rows. A block takes
// THREADS columns; blocks: (parts of the rows, tiles of columns), as only the first may be many.
template <typename T, int V>
__device__ void column_sums(const T* from, float* to, i64 rows, i64 columns, i64 each) {
    i64 c = i64(blockIdx.y) * THREADS + threadIdx.x;
    if (c >= columns) return;
    i64 end = (blockIdx.x + 1) * each;
    float sum = 0.0f;
    for (i64 r = blockIdx.x * each; r < end && r < rows; r++) sum += widen(from[r * columns + c]);
    to[blockIdx.x * columns + c] = sum;
}
#define PARAMETERS(T) (const T* from, float* to, i64 rows, i64 columns, i64 each)
INSTANTIATE(column_sums, (from, to, rows, columns, each))
#undef PARAMETERS
