#!/usr/bin/env bash
# On a machine with a GPU: runs the tests that `bundle.sh` built, then measures the learner's cloning step. Needs NVIDIA's
# driver (580 or newer for CUDA 13), cuBLAS, cuRAND and cuDNN 9; no toolkit, no Rust. Their libraries are found where the
# system has them, or in the Python packages that PyTorch for CUDA 13 brings (nvidia-cublas and so on).
#
#   deploy/cuda/on-gpu.sh [FOLDER]         FOLDER is target/cuda/bundle unless given
#   STEPS=20 BATCH=16 deploy/cuda/on-gpu.sh
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
folder=${1:-target/cuda/bundle}

packages=$(python3 -c 'import nvidia; print("\n".join(nvidia.__path__))' 2>/dev/null | head -n 1)
if [ -n "$packages" ]; then
    libraries=$(find "$packages" -maxdepth 3 -type d -name lib | paste -sd :)
    export LD_LIBRARY_PATH="$libraries:${LD_LIBRARY_PATH:-}"
fi
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || echo "no nvidia-smi"

failed=0
export CARGO_MANIFEST_DIR="$PWD/policy"
# One at a time: a GPU's memory is shared.
echo "== operations, networks, optimiser"
"$folder/test-lib" --test-threads 1 ops:: net:: optim:: gradients:: device:: || failed=1
echo "== the policy against the reference's numbers"
"$folder/test-golden_policy" --test-threads 1 || failed=1
if "$folder"/test-lib --nocapture --test-threads 1 ops::tests::pool 2>&1 | grep "SKIP cuda"; then
    echo "the GPU was not used: see the reason above"
    failed=1
fi

echo "== cloning step, frames per second: ours, then PyTorch's where it is installed"
torch=$(python3 -c 'import torch' 2>/dev/null && echo yes)
for model in 1x 2x; do
    for precision in bf16 f32; do
        options=(--model "$model" --device cuda --precision "$precision" --time 128)
        options+=(--batch "${BATCH:-8}" --steps "${STEPS:-10}")
        "$folder/learner_step" "${options[@]}" || failed=1
        [ -z "$torch" ] || python3 deploy/cuda/torch_step.py "${options[@]}" || failed=1
    done
done
exit "$failed"
