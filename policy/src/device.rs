//! The choice of the device tensors live on: the one place that opens devices.

use std::sync::{Mutex, PoisonError};

use candle_core::Device;

use crate::error::{PolicyError, Result};
use crate::ops::cuda;
use crate::precision::Precision;

/// A device, and where `auto` had to take the CPU, why.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Where tensors are to live.
    pub device: Device,
    /// Why there is no GPU, if one was looked for in vain.
    pub fallback: Option<String>,
}

/// Opens the device called `name`: `cpu`; `cuda` or `cuda:N` for a GPU; `auto` for a GPU if there is one, else the CPU.
/// The same GPU opened again is the same device.
///
/// # Errors
/// A name that is not known, or a GPU that this build or this machine does not have, with the reason.
pub fn open(name: &str) -> Result<Opened> {
    let refuse = |reason: String| Err(PolicyError::Device { name: name.to_owned(), reason });
    let found = |device| Ok(Opened { device, fallback: None });
    let ordinal = match name {
        "cpu" => return found(Device::Cpu),
        "auto" => {
            return Ok(match gpu(0) {
                Ok(device) => Opened { device, fallback: None },
                Err(reason) => Opened { device: Device::Cpu, fallback: Some(reason) },
            });
        }
        "cuda" => Some(0),
        _ => name.strip_prefix("cuda:").and_then(|ordinal| ordinal.parse().ok()),
    };
    let Some(ordinal) = ordinal else {
        return refuse("not a known device; use \"cpu\", \"cuda\", \"cuda:1\" or \"auto\"".to_owned());
    };
    match gpu(ordinal) {
        Ok(device) => found(device),
        Err(reason) => refuse(format!("{reason}; \"cpu\" and \"auto\" do without")),
    }
}

fn gpu(ordinal: usize) -> std::result::Result<Device, String> {
    /// Opening takes a second, and tensors of two openings do not mix.
    static OPEN: Mutex<Vec<(usize, Device)>> = Mutex::new(Vec::new());
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, device)) = open.iter().find(|(known, _)| *known == ordinal) {
        return Ok(device.clone());
    }
    let device = cuda::open(ordinal)?;
    open.push((ordinal, device.clone()));
    Ok(device)
}

/// The devices that tests are to run on: the CPU, and the first GPU if there is one; says so if it has to be skipped in a
/// build that could use one.
#[must_use]
pub fn for_tests() -> Vec<Device> {
    let mut devices = vec![Device::Cpu];
    match gpu(0) {
        Ok(device) => devices.push(device),
        Err(reason) if cfg!(feature = "cuda") => println!("SKIP cuda: {reason}"),
        Err(_) => {}
    }
    devices
}

/// Refuses a precision that networks cannot train in on `device`.
///
/// # Errors
/// int8, which is for acting, and bf16 on the CPU, where it would be slower than f32.
pub fn check_training(device: &Device, precision: Precision) -> Result<()> {
    match precision {
        Precision::F32 => Ok(()),
        Precision::Bf16 if device.is_cuda() || cuda::is_emulated() => Ok(()),
        Precision::Bf16 => Err(PolicyError::input(
            "precision",
            "\"f32\" on the CPU",
            "\"bf16\", which needs a GPU".to_owned(),
        )),
        Precision::Int8 => Err(PolicyError::input(
            "precision",
            "\"f32\" or, on a GPU, \"bf16\"",
            "\"int8\", which is for acting only".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_and_auto_open_and_others_say_what_to_use() {
        let cpu = open("cpu").unwrap();
        assert!(cpu.device.is_cpu() && cpu.fallback.is_none());
        let auto = open("auto").unwrap();
        assert_eq!(auto.device.is_cpu(), auto.fallback.is_some());
        for name in ["cuda:99", "cuda:x", "tpu", ""] {
            let text = open(name).unwrap_err().to_string();
            assert!(text.contains("cpu"), "{text}");
        }
    }

    #[test]
    fn a_build_without_cuda_says_so() {
        if cfg!(not(feature = "cuda")) {
            assert!(open("cuda").unwrap_err().to_string().contains("--features cuda"));
        }
    }

    #[test]
    fn precisions_that_do_not_train_are_refused() {
        check_training(&Device::Cpu, Precision::F32).unwrap();
        for (precision, word) in [(Precision::Bf16, "GPU"), (Precision::Int8, "acting")] {
            let text = check_training(&Device::Cpu, precision).unwrap_err().to_string();
            assert!(text.contains(word), "{text}");
        }
    }
}
