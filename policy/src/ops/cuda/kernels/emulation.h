// Runs kernels on the CPU, for tests: what nvcc knows by itself, and a scheduler that gives every thread of a block a
// stack of its own once it meets a barrier. Blocks run one after another, in one thread of the host.
#pragma once
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>
#include <ucontext.h>

#define __global__
#define __device__
#define __shared__ static

struct Index {
    unsigned x, y, z;
};
inline Index threadIdx, blockIdx, blockDim, gridDim;

namespace emulation {

struct Fiber {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(1 << 17);
    unsigned thread = 0;
    bool ended = false;
};

inline ucontext_t scheduler;
inline Fiber* current;
inline unsigned next;
inline std::function<void()> kernel;

inline void body() {
    // A fiber takes threads until one of them has to wait.
    while (next < blockDim.x) {
        current->thread = next++;
        threadIdx.x = current->thread;
        kernel();
    }
    current->ended = true;
    swapcontext(&current->context, &scheduler);
}

inline void resume(Fiber& fiber) {
    current = &fiber;
    threadIdx.x = fiber.thread;
    swapcontext(&scheduler, &fiber.context);
}

inline std::vector<std::unique_ptr<Fiber>> spare;

inline void run_block() {
    next = 0;
    std::vector<std::unique_ptr<Fiber>> waiting;
    auto keep = [&](std::unique_ptr<Fiber> fiber) { (fiber->ended ? spare : waiting).push_back(std::move(fiber)); };
    while (next < blockDim.x) {
        std::unique_ptr<Fiber> fiber;
        if (spare.empty()) {
            fiber = std::make_unique<Fiber>();
        } else {
            fiber = std::move(spare.back());
            spare.pop_back();
        }
        fiber->ended = false;
        getcontext(&fiber->context);
        fiber->context.uc_stack.ss_sp = fiber->stack.data();
        fiber->context.uc_stack.ss_size = fiber->stack.size();
        makecontext(&fiber->context, body, 0);
        resume(*fiber);
        keep(std::move(fiber));
    }
    // All threads have ended or wait at a barrier: on to the next one, together.
    while (!waiting.empty()) {
        auto round = std::move(waiting);
        waiting.clear();
        for (auto& fiber : round) {
            resume(*fiber);
            keep(std::move(fiber));
        }
    }
}

// A kernel, and the kinds of its parameters: 'p' for a pointer, 'l' for a 64-bit count, 'f' for a float.
struct Entry {
    std::string kinds;
    std::function<void(void**)> call;
};
inline std::map<std::string, Entry>& registry() {
    static std::map<std::string, Entry> all;
    return all;
}

template <typename A>
constexpr char kind() {
    if (std::is_pointer_v<A>) return 'p';
    return std::is_same_v<A, float> ? 'f' : std::is_same_v<A, long long> ? 'l' : '?';
}

template <typename... A, size_t... I>
void call(void (*f)(A...), void** arguments, std::index_sequence<I...>) {
    f(*reinterpret_cast<std::decay_t<A>*>(arguments[I])...);
}

struct Registration {
    template <typename... A>
    Registration(const char* name, void (*f)(A...)) {
        auto run = [f](void** arguments) { call(f, arguments, std::index_sequence_for<A...>{}); };
        registry()[name] = Entry{std::string{kind<A>()...}, run};
    }
};

}  // namespace emulation

#define REGISTER(kernel) static emulation::Registration registered_##kernel(#kernel, kernel);

inline void sync() {
    emulation::Fiber* mine = emulation::current;
    swapcontext(&mine->context, &emulation::scheduler);
    threadIdx.x = mine->thread;
}
