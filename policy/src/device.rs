//! The choice of the device tensors live on: the one place that knows which devices this build has.

use candle_core::Device;

use crate::error::{PolicyError, Result};

/// Opens the device called `name`: `cpu`, or `auto` for the best one this build can use.
///
/// # Errors
/// A name that is not known, or a device this build was not compiled for.
pub fn open(name: &str) -> Result<Device> {
    match name {
        "cpu" | "auto" => Ok(Device::Cpu),
        _ if name.starts_with("cuda") => Err(PolicyError::Device {
            name: name.to_owned(),
            reason: "this build has no CUDA support; use \"cpu\"".to_owned(),
        }),
        _ => Err(PolicyError::Device {
            name: name.to_owned(),
            reason: "not a known device; use \"cpu\" or \"auto\"".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_and_auto_open_and_others_say_what_to_use() {
        assert!(open("cpu").unwrap().is_cpu());
        assert!(open("auto").unwrap().is_cpu());
        for name in ["cuda", "cuda:1", "tpu", ""] {
            let text = open(name).unwrap_err().to_string();
            assert!(text.contains("cpu"), "{text}");
        }
    }
}
