//! The name of this machine, or of this container.

/// The host's name; `localhost` where the system does not tell.
#[must_use]
pub fn name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty() && !name.contains('/'))
        .unwrap_or_else(|| "localhost".to_owned())
}

/// `text` with `{host}` replaced by the host's name: what several machines with one run file are told apart by.
#[must_use]
pub fn fill_in(text: &str) -> String {
    text.replace("{host}", &name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_filled_in_where_it_is_asked_for() {
        assert!(!name().is_empty());
        assert_eq!(fill_in("actor-0"), "actor-0");
        assert_eq!(fill_in("{host}-1"), format!("{}-1", name()));
    }
}
