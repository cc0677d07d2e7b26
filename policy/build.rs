//! Compiles the CUDA kernels to PTX in builds with the feature `cuda`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const FOLDER: &str = "src/ops/cuda/kernels";
const FILES: [&str; 4] = ["images", "norm", "parameters", "rows"];

fn main() {
    println!("cargo::rerun-if-changed={FOLDER}");
    for variable in ["CUDA_HOME", "NVCC", "NVCC_CCBIN", "CUDA_COMPUTE_CAP"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    for file in FILES {
        compile(&Path::new(FOLDER).join(format!("{file}.cu")), &out.join(format!("{file}.ptx")));
    }
}

/// PTX for the oldest GPU that is to run it; the driver compiles it for the one at hand.
fn compile(from: &Path, to: &Path) {
    let home = env::var("CUDA_HOME").map(|home| Path::new(&home).join("bin/nvcc"));
    let nvcc = env::var("NVCC").map(PathBuf::from).or(home).unwrap_or_else(|_| PathBuf::from("nvcc"));
    let capability = env::var("CUDA_COMPUTE_CAP").unwrap_or_else(|_| "80".to_owned());
    let mut command = Command::new(&nvcc);
    command
        .args(["--ptx", "-O3", "-std=c++17", &format!("-arch=compute_{capability}"), "-o"])
        .arg(to)
        .arg(from);
    if let Some(compiler) = env::var_os("NVCC_CCBIN") {
        command.arg("-ccbin").arg(compiler);
    }
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{} on {}: {status}", nvcc.display(), from.display()),
        Err(error) => panic!("{}: {error}; deploy/cuda/install.sh installs it", nvcc.display()),
    }
}
