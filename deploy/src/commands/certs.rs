//! `vpt certs`: a development certificate authority as files.

use vpt_runtime::security::{Authority, SecurityError};

use super::Usage;
use crate::cli::CertsArgs;

pub(crate) fn run(args: &CertsArgs) -> anyhow::Result<()> {
    Authority::create(&args.out, args.days).map_err(|error| match error {
        SecurityError::Exists { .. } => Usage(error.to_string()).into(),
        other => anyhow::Error::from(other),
    })?;
    println!("certificates for {} days, keys and run token in {}", args.days, args.out.display());
    println!(
        "every process: security.mode = \"mtls\", security.certs = {:?}",
        args.out.display().to_string()
    );
    Ok(())
}
