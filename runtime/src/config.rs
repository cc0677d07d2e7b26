//! One layered TOML configuration: built-in defaults < file < `VPT__SECTION__KEY` in the environment < `--set a.b=c`.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

mod layers;

use layers::Layer;

/// Environment variables that start so override a key: `VPT__LEARNER__BATCH_SIZE` is `learner.batch_size`.
pub const ENV_PREFIX: &str = "VPT__";

/// A configuration that cannot be used; commands exit with [`crate::exit::USAGE`].
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the config file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The text is not TOML.
    #[error("{origin} is not valid TOML: {message}")]
    Syntax {
        /// File, environment variable or option.
        origin: String,
        /// Where and what.
        message: String,
    },
    /// An override is not `key=value`, or its key runs through something that is not a section.
    #[error("{origin}: {message}")]
    Override {
        /// Environment variable or option.
        origin: String,
        /// What is wrong.
        message: String,
    },
    /// A key is unknown, missing or of the wrong type.
    #[error("{origin}: {message}")]
    Value {
        /// The layer that brought it.
        origin: String,
        /// The key and what is wrong with it.
        message: String,
    },
    /// A value has the right type but makes no sense.
    #[error("{key}: {message}")]
    Invalid {
        /// Dotted key.
        key: String,
        /// What is wrong and what would do.
        message: String,
    },
    /// The configuration cannot be written as TOML.
    #[error("cannot write the configuration as TOML: {0}")]
    Dump(#[from] toml::ser::Error),
}

impl ConfigError {
    /// An error about the value of `key`, for checks beyond types.
    pub fn invalid(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { key: key.into(), message: message.into() }
    }

    /// The process exit code for this error.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        crate::exit::USAGE
    }
}

/// Loads a configuration from all layers, later ones overriding earlier ones key by key.
///
/// `base` is the TOML text of built-in defaults (may be empty), `sets` are the values of `--set`.
///
/// # Errors
/// When a layer cannot be read, or a key is unknown or ill-typed: the error names the key and the layer.
pub fn load<T: DeserializeOwned>(file: Option<&Path>, base: &str, sets: &[String]) -> Result<T, ConfigError> {
    load_with_env(
        file,
        base,
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))),
        sets,
    )
}

/// [`load`] with the environment given.
///
/// # Errors
/// As [`load`].
pub fn load_with_env<T: DeserializeOwned>(
    file: Option<&Path>,
    base: &str,
    env: impl IntoIterator<Item = (String, String)>,
    sets: &[String],
) -> Result<T, ConfigError> {
    let mut stack = vec![Layer::text("built-in defaults", base)?];
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        stack.push(Layer::text(&path.display().to_string(), &text)?);
    }
    let mut overrides: Vec<_> = env.into_iter().filter(|(name, _)| name.starts_with(ENV_PREFIX)).collect();
    overrides.sort();
    for (name, value) in &overrides {
        stack.push(Layer::env(name, value)?);
    }
    for set in sets {
        stack.push(Layer::set(set)?);
    }
    let mut merged = Table::new();
    for layer in &stack {
        layer.merge_into(&mut merged)?;
    }
    parse(&merged).map_err(|error| blame(&stack, &error, |table| parse::<T>(table).err()))
}

/// Reads the raw table of every layer without giving it a type, for commands that look at one section.
///
/// # Errors
/// As [`load`].
pub fn load_table(file: Option<&Path>, base: &str, sets: &[String]) -> Result<Table, ConfigError> {
    load(file, base, sets)
}

/// The configuration in force as TOML.
///
/// # Errors
/// When `config` has a shape TOML cannot hold.
pub fn dump<T: Serialize>(config: &T) -> Result<String, ConfigError> {
    Ok(toml::to_string_pretty(config)?)
}

fn parse<T: DeserializeOwned>(table: &Table) -> Result<T, toml::de::Error> {
    Value::Table(table.clone()).try_into()
}

/// Finds the layer that brought the fault: the first one at which the same error appears.
fn blame(
    stack: &[Layer],
    error: &toml::de::Error,
    fault: impl Fn(&Table) -> Option<toml::de::Error>,
) -> ConfigError {
    let text = error.to_string();
    let mut merged = Table::new();
    let guilty = stack.iter().find(|layer| {
        layer.merge_into(&mut merged).is_ok() && fault(&merged).is_some_and(|e| e.to_string() == text)
    });
    let (key, message) = describe(&text);
    let origin = guilty.map_or("configuration", |layer| layer.origin.as_str());
    let line = guilty.and_then(|layer| layer.line_of(&key)).map_or(String::new(), |n| format!(" line {n}"));
    let message = if key.is_empty() { message } else { format!("{key}: {message}") };
    ConfigError::Value { origin: format!("{origin}{line}"), message }
}

/// Splits serde's "unknown field `x`, expected ...\nin `a.b`" into the dotted key and the fault.
fn describe(text: &str) -> (String, String) {
    let (fault, section) = match text.trim_end().rsplit_once("\nin `") {
        Some((fault, section)) => (fault, section.trim_end_matches('`')),
        None => (text.trim_end(), ""),
    };
    let named = ["unknown field `", "missing field `"].iter().find_map(|prefix| {
        let rest = fault.strip_prefix(prefix)?;
        rest.split_once('`').map(|(field, _)| field)
    });
    let key = match (section, named) {
        ("", field) => field.unwrap_or("").to_owned(),
        (section, Some(field)) => format!("{section}.{field}"),
        (section, None) => section.to_owned(),
    };
    (key, fault.replace("unknown field", "unknown key").replace("missing field", "missing key"))
}

#[cfg(test)]
mod tests;
