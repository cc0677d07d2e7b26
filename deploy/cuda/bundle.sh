#!/usr/bin/env bash
# Builds, without a GPU, what a GPU machine needs to check and measure this repository, into one folder to carry there:
# the `vpt` binary, the tests of vpt-policy and the cloning-step benchmark, stripped. Run `install.sh` first.
#
#   deploy/cuda/bundle.sh [FOLDER]         FOLDER is target/cuda/bundle unless given
#   deploy/cuda/on-gpu.sh [FOLDER]         there, in a checkout of the same commit
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:-target/cuda/bundle}
options=(--config target/cuda/cargo-config.toml --locked --release --features cuda)
rm -rf "$folder"
mkdir -p "$folder"

cargo build "${options[@]}" -p vpt
cargo build "${options[@]}" -p vpt-policy --example learner_step
strip -o "$folder/vpt" target/release/vpt
strip -o "$folder/learner_step" target/release/examples/learner_step
# Cargo prints where each test's binary is: `Executable unittests src/lib.rs (target/…)`.
cargo test "${options[@]}" -p vpt-policy --lib --test golden_policy --no-run 2>&1 | tee >(cat >&2) |
    sed -n 's/^ *Executable .*[ /]\([a-z_]*\)\.rs (\(.*\))$/\1 \2/p' |
    while read -r name binary; do
        strip -o "$folder/test-$name" "$binary"
    done
du -ch "$folder"/*
