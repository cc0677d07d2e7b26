//! Compiles the shim that is preloaded into Luanti, with the compiler alone: the envserver carries it in itself, so that
//! whoever has the program has the shim.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const FOLDER: &str = "../shim/src";

fn main() {
    println!("cargo::rerun-if-changed={FOLDER}");
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let out = PathBuf::from(variable("OUT_DIR")).join("shim.so");
    // The shim makes system calls by number; elsewhere the world says that it cannot be had.
    if variable("CARGO_CFG_TARGET_OS") != "linux" || variable("CARGO_CFG_TARGET_ARCH") != "x86_64" {
        std::fs::write(&out, []).expect("OUT_DIR can be written");
        return;
    }
    let mut compiler = Command::new(variable("RUSTC"));
    compiler
        .args(["--crate-name", "vpt_luanti_shim", "--crate-type", "cdylib", "--edition", "2024"])
        .args(["-C", "opt-level=2", "-C", "panic=abort", "-C", "strip=symbols", "-C", "lto=fat"])
        .args(["--cap-lints", "allow", "--target", &variable("TARGET")])
        .arg("-o")
        .arg(&out)
        .arg(Path::new(FOLDER).join("lib.rs"));
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        compiler.args(["-C", &format!("linker={linker}")]);
    }
    match compiler.status() {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("the compiler failed on shim/src/lib.rs: {status}"),
        Err(error) => panic!("the compiler cannot be started for shim/src/lib.rs: {error}"),
    }
}
