//! Compiles the `.proto` files with protox, so no `protoc` has to be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=vpt");
    let files = protox::compile(
        [
            "vpt/common/v1/identity.proto",
            "vpt/common/v1/tensor.proto",
            "vpt/envserver/v1/envserver.proto",
            "vpt/learner/v1/trajectory.proto",
            "vpt/learner/v1/weights.proto",
            "vpt/learner/v1/status.proto",
        ],
        ["."],
    )?;
    // Payload fields are shared, not copied, on their way through.
    tonic_prost_build::configure().bytes(".").compile_fds(files)?;
    Ok(())
}
