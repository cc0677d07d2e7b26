#!/usr/bin/env bash
# Installs what a build with `--features cuda` needs, on any machine with Python's pip, g++ and cargo; no GPU, no root.
#
#   deploy/cuda/install.sh [FOLDER]        FOLDER is target/cuda unless given
#   cargo build --config target/cuda/cargo-config.toml --locked --release --features cuda
#
# It leaves in FOLDER:
#   toolkit/            nvcc and headers of CUDA 13.0, from Python packages
#   patched/            cudarc and candle-kernels of the locked versions, copied from cargo's cache and changed:
#                         cudarc loads CUDA at run time though candle asks it to link, so that the binary starts where
#                         there is none; candle-kernels leaves out the kernels for quantised models, which take a quarter
#                         of an hour to compile and which nothing here uses
#   cargo-config.toml   tells cargo about both; Cargo.lock stays as it is
# What is there already is kept: a second run takes seconds.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p "${1:-target/cuda}"
folder=$(cd "${1:-target/cuda}" && pwd)
toolkit="$folder/toolkit/nvidia/cu13"

packages=(
    nvidia-cuda-nvcc==13.0.88
    nvidia-cuda-crt==13.0.88
    nvidia-nvvm==13.0.88
    nvidia-cuda-cccl==13.0.85
    nvidia-cuda-runtime==13.0.96
    nvidia-curand==10.4.0.35 # Only its headers, for candle's kernels.
)
if ! "$toolkit/bin/nvcc" --version >"$folder/nvcc-version" 2>/dev/null; then
    rm -rf "$folder/toolkit"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
        --no-deps --target "$folder/toolkit" "${packages[@]}"
    "$toolkit/bin/nvcc" --version >"$folder/nvcc-version"
fi

# The sources as cargo has unpacked them, wherever its home is.
cargo fetch --locked --quiet
cached() { # name
    local version found
    version=$(awk -v name="\"$1\"" '$1 == "name" { at = $3 } $1 == "version" && at == name { gsub("\"", "", $3); print $3 }' Cargo.lock)
    found=$(ls -d "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$1-$version" 2>/dev/null | head -n 1)
    [ -n "$found" ] || { echo "cargo's cache has no $1 $version" >&2; exit 1; }
    echo "$found"
}
cudarc="$folder/patched/cudarc" kernels="$folder/patched/candle-kernels"
made="$folder/patched/made-of"
now="$(cached cudarc) $(cached candle-kernels) $(cksum <"$0")"
if [ "$(cat "$made" 2>/dev/null)" != "$now" ]; then
    rm -rf "$folder/patched"
    mkdir -p "$folder/patched"
    cp -r "$(cached cudarc)" "$cudarc"
    cp -r "$(cached candle-kernels)" "$kernels"
    chmod -R u+w "$folder/patched"

    # candle-core asks for `dynamic-linking`, and features only add up: here it means `dynamic-loading`.
    for line in '^dynamic-linking = \[\]$:Cargo.toml' 'feature = "dynamic-linking":build.rs'; do
        grep -q "${line%:*}" "$cudarc/${line##*:}" || { echo "cudarc: nothing to patch in ${line##*:}" >&2; exit 1; }
    done
    sed -i 's/^dynamic-linking = \[\]$/dynamic-linking = ["dynamic-loading"]/' "$cudarc/Cargo.toml"
    sed -i 's/feature = "dynamic-linking"/any()/' "$cudarc/build.rs"

    # The functions that candle-core declares and that would be in the library left out.
    names=$(grep -o 'pub fn [a-z0-9_]*' "$kernels/src/ffi.rs" | awk '{ print $3 }' | sort -u)
    {
        echo '//! Stand-ins for the kernels left out of this copy.'
        for name in $names; do
            printf '#[unsafe(no_mangle)]\nextern "C" fn %s() {\n    eprintln!("%s: not in this build");\n    std::process::abort()\n}\n' "$name" "$name"
        done
    } >"$kernels/src/absent.rs"
    { echo '#[allow(clashing_extern_declarations)]'; cat "$kernels/src/lib.rs"; echo 'mod absent;'; } >"$kernels/src/lib.rs.new"
    mv "$kernels/src/lib.rs.new" "$kernels/src/lib.rs"
    echo '// Left out.' >"$kernels/src/quantized.cu"
    cat >"$kernels/build.rs" <<'RUST'
fn main() -> cudaforge::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src");
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR").unwrap());
    cudaforge::KernelBuilder::new()
        .source_dir("src")
        .exclude(&["moe_*.cu", "mmvq_gguf.cu", "mmq_*.cu"])
        .arg("--expt-relaxed-constexpr")
        .arg("-std=c++17")
        .arg("-O3")
        .build_ptx()?
        .write(&out.join("ptx.rs"))?;
    Ok(())
}
RUST
    echo "$now" >"$made"
fi

# `paths`, not `[patch]`: a patch would rewrite Cargo.lock.
cat >"$folder/cargo-config.toml" <<TOML
paths = ["$cudarc", "$kernels"]

[env]
CUDA_HOME = "$toolkit"
NVCC = "$toolkit/bin/nvcc"
NVCC_CCBIN = "g++"
CUDARC_CUDA_VERSION = "13000"
# PTX for this and every later GPU; the driver compiles it at the first start.
CUDA_COMPUTE_CAP = "80"
TOML
echo "ready: cargo build --config $folder/cargo-config.toml --locked --release --features cuda"
