//! One layer of configuration: a table and where it came from.

use toml::{Table, Value};

use super::{ConfigError, ENV_PREFIX};

/// A table to be merged over earlier ones.
pub(super) struct Layer {
    /// File path, environment variable or `--set` text.
    pub(super) origin: String,
    table: Table,
    text: String,
}

impl Layer {
    /// A whole TOML document.
    pub(super) fn text(origin: &str, text: &str) -> Result<Self, ConfigError> {
        let table = text
            .parse::<Table>()
            .map_err(|error| ConfigError::Syntax { origin: origin.to_owned(), message: error.to_string() })?;
        Ok(Self { origin: origin.to_owned(), table, text: text.to_owned() })
    }

    /// One environment variable, `VPT__SECTION__KEY`.
    pub(super) fn env(name: &str, value: &str) -> Result<Self, ConfigError> {
        let key = name.trim_start_matches(ENV_PREFIX).to_lowercase();
        Self::single(format!("environment variable {name}"), key.split("__").collect(), value)
    }

    /// One `--set a.b=c`.
    pub(super) fn set(text: &str) -> Result<Self, ConfigError> {
        let origin = format!("--set {text}");
        match text.split_once('=') {
            Some((key, value)) => Self::single(origin, key.trim().split('.').collect(), value.trim()),
            None => {
                Err(ConfigError::Override { origin, message: "expected KEY=VALUE, as in a.b=3".to_owned() })
            }
        }
    }

    fn single(origin: String, path: Vec<&str>, value: &str) -> Result<Self, ConfigError> {
        let mut current = scalar(value);
        for part in path.into_iter().rev() {
            if part.is_empty() {
                let message = "the key has an empty part".to_owned();
                return Err(ConfigError::Override { origin, message });
            }
            current = Value::Table(Table::from_iter([(part.to_owned(), current)]));
        }
        let Value::Table(table) = current else { unreachable!("a path has at least one part") };
        Ok(Self { origin, table, text: String::new() })
    }

    /// Lays this layer over `target`, key by key; arrays are replaced whole.
    pub(super) fn merge_into(&self, target: &mut Table) -> Result<(), ConfigError> {
        merge(target, &self.table, "")
            .map_err(|message| ConfigError::Override { origin: self.origin.clone(), message })
    }

    /// The line of the document that sets `key` (dotted), counted from 1; a search good enough for a message.
    pub(super) fn line_of(&self, key: &str) -> Option<usize> {
        let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
        let mut current = String::new();
        for (number, line) in self.text.lines().enumerate() {
            let line = line.trim();
            if let Some(header) = line.strip_prefix('[') {
                current = header.trim_matches(['[', ']', ' ']).to_owned();
                if current == key {
                    return Some(number + 1);
                }
            }
            let assigns = line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('='));
            if current == section && assigns {
                return Some(number + 1);
            }
        }
        None
    }
}

/// A TOML value (number, boolean, array, quoted string) where the text is one, a string otherwise.
fn scalar(text: &str) -> Value {
    let parsed = format!("value = {text}").parse::<Table>().ok().filter(|table| table.len() == 1);
    parsed.and_then(|mut table| table.remove("value")).unwrap_or_else(|| Value::String(text.to_owned()))
}

fn merge(target: &mut Table, layer: &Table, path: &str) -> Result<(), String> {
    for (key, value) in layer {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (target.get_mut(key), value) {
            (Some(Value::Table(inner)), Value::Table(value)) => merge(inner, value, &path)?,
            (Some(Value::Table(_)), _) => return Err(format!("{path} is a section, not a value")),
            (Some(old), Value::Table(_)) => {
                return Err(format!("{path} is a value ({}), not a section", old.type_str()));
            }
            (Some(old), value) => *old = value.clone(),
            (None, value) => {
                target.insert(key.clone(), value.clone());
            }
        }
    }
    Ok(())
}
