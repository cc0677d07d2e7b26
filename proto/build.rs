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
    tonic_prost_build::configure()
        // Payload fields are shared, not copied, on their way through.
        .bytes(".")
        // Channels of replies have room for many, and most are small.
        .boxed(".vpt.learner.v1.PushResponse.kind.welcome")
        .codec_path("crate::codec::SmallBuffers")
        .compile_fds(files)?;
    Ok(())
}
