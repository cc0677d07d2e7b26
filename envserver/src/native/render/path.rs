//! Which ray caster draws: by name, and which of them this machine can run.

use std::fmt;
use std::str::FromStr;

/// A ray caster. All give the same pixels to the last bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// One ray at a time, on any machine.
    Scalar,
    /// Eight rays at a time.
    Avx2,
    /// Sixteen rays at a time.
    Avx512,
}

impl Path {
    /// Every path, from the plainest to the widest.
    pub const ALL: [Path; 3] = [Path::Scalar, Path::Avx2, Path::Avx512];

    /// The widest this machine can run.
    pub fn best() -> Self {
        Self::available().last().unwrap_or(Path::Scalar)
    }

    /// Those this machine can run, from the plainest to the widest.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|path| path.is_available())
    }

    /// Whether this machine can run it.
    pub fn is_available(self) -> bool {
        match self {
            Path::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => std::arch::is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => {
                std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512bw")
                    && std::arch::is_x86_feature_detected!("avx512dq")
                    && std::arch::is_x86_feature_detected!("avx512vl")
                    && Path::Avx2.is_available()
            }
            #[cfg(not(target_arch = "x86_64"))]
            Path::Avx2 | Path::Avx512 => false,
        }
    }

    /// As it is spelt on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Path::Scalar => "scalar",
            Path::Avx2 => "avx2",
            Path::Avx512 => "avx512",
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Path {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|path| path.name() == name)
            .ok_or_else(|| format!("no ray caster is called `{name}` (known: scalar, avx2, avx512)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_by_their_names_and_the_best_can_run() {
        for path in Path::ALL {
            assert_eq!(path.to_string().parse(), Ok(path));
        }
        assert!("sse".parse::<Path>().is_err());
        assert!(Path::best().is_available() && Path::available().next() == Some(Path::Scalar));
    }
}
