//! In which numbers a network's heavy operations are done; parameters, memory and results are f32 everywhere.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::PolicyError;

/// The numbers convolutions and dense layers multiply. Sums are f32 (int8: exact 32-bit integers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// bfloat16: 8 bits of exponent, 8 of significand.
    Bf16,
    /// 8-bit integers with scales; acting only.
    Int8,
}

impl Precision {
    /// All of them, most exact first.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::Int8];

    /// The name in configurations and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }
}

impl FromStr for Precision {
    type Err = PolicyError;

    fn from_str(name: &str) -> Result<Self, PolicyError> {
        let known = Self::ALL.into_iter().find(|p| p.name() == name);
        known.ok_or_else(|| PolicyError::input("precision", "\"f32\", \"bf16\" or \"int8\"", name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_others_say_what_to_use() {
        for precision in Precision::ALL {
            assert_eq!(precision.name().parse::<Precision>().unwrap(), precision);
        }
        let text = "f16".parse::<Precision>().unwrap_err().to_string();
        assert!(text.contains("bf16"), "{text}");
    }
}
