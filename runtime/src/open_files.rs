//! The limit of open files: systems start processes with a low one that they may raise, and a server needs one a client.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit of this process as far as it may; returns it.
///
/// # Errors
/// What the system says.
pub fn raise() -> nix::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let hard = raise().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap().0, hard);
    }
}
