// All kernels in one library for the CPU, see emulation.h.
#include "images.cu"
#include "norm.cu"
#include "parameters.cu"
#include "rows.cu"

// 0; or 1 for a kernel that is not there, 2 for arguments of other kinds than its own.
extern "C" int emulate(const char* name, const unsigned* grid, unsigned block, const char* kinds, void** arguments) {
    auto found = emulation::registry().find(name);
    if (found == emulation::registry().end()) return 1;
    if (found->second.kinds != kinds) return 2;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block, 1, 1};
    emulation::kernel = [&] { found->second.call(arguments); };
    for (blockIdx.z = 0; blockIdx.z < grid[2]; blockIdx.z++) {
        for (blockIdx.y = 0; blockIdx.y < grid[1]; blockIdx.y++) {
            for (blockIdx.x = 0; blockIdx.x < grid[0]; blockIdx.x++) emulation::run_block();
        }
    }
    return 0;
}
