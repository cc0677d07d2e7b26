//! A dict of arguments, asked for by name; every error says where in the file it is.

use crate::openai::error::OpenAiError;
use crate::openai::pickle::{Node, NodeId, Pickle};

/// What an argument must be where it is given.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expected {
    None,
    Bool(bool),
    One,
    Text(&'static str),
    /// A dict in which each of these that is given is so.
    Dict(&'static [(&'static str, Expected)]),
}

/// One dict of a pickle and the way to it.
pub(super) struct Arguments<'a> {
    pickle: &'a Pickle,
    id: NodeId,
    way: String,
}

impl<'a> Arguments<'a> {
    /// The value `id`, reached by `way`.
    pub(super) fn new(pickle: &'a Pickle, id: NodeId, way: String) -> Self {
        Self { pickle, id, way }
    }

    /// How an error names an argument.
    pub(super) fn path(&self, key: &str) -> String {
        format!("{}[{key:?}]", self.way)
    }

    /// The argument, if given.
    pub(super) fn find(&self, key: &str) -> Option<NodeId> {
        self.pickle.get(self.id, key)
    }

    /// Whether the argument is given and not `None`.
    pub(super) fn has_value(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// The dict under `key`.
    pub(super) fn dict(&self, key: &str) -> Result<Self, OpenAiError> {
        let id = self.find(key).ok_or_else(|| self.missing(key, "a dict"))?;
        if self.pickle.entries(id).is_none() {
            return Err(self.wrong(key, "a dict", id));
        }
        Ok(Self { pickle: self.pickle, id, way: self.path(key) })
    }

    /// A count, if given.
    pub(super) fn size(&self, key: &str) -> Result<Option<usize>, OpenAiError> {
        let Some(id) = self.value(key) else { return Ok(None) };
        self.pickle.size(id).map(Some).ok_or_else(|| self.wrong(key, "a count", id))
    }

    /// A count that differs between the published networks.
    pub(super) fn required_size(&self, key: &str) -> Result<usize, OpenAiError> {
        self.size(key)?.ok_or_else(|| self.missing(key, "a count"))
    }

    /// A list or tuple of counts, if given.
    pub(super) fn sizes(&self, key: &str) -> Result<Option<Vec<usize>>, OpenAiError> {
        let Some(id) = self.value(key) else { return Ok(None) };
        let values = self.pickle.sequence(id).filter(|values| values.len() <= 16);
        let sizes = values.and_then(|values| values.iter().map(|&value| self.pickle.size(value)).collect());
        sizes.map(Some).ok_or_else(|| self.wrong(key, "a few counts", id))
    }

    /// A number that must be given: float, integer, text, or a numpy scalar, as OpenAI's code takes any of them.
    pub(super) fn number(&self, key: &str) -> Result<f64, OpenAiError> {
        let id = self.find(key).ok_or_else(|| self.missing(key, "a number"))?;
        let number = match self.pickle.node(id) {
            Node::Float(value) => Some(*value),
            Node::Integer(value) => Some(*value as f64),
            Node::Text(text) => text.trim().parse().ok(),
            _ => self.numpy_scalar(id),
        };
        number.ok_or_else(|| self.wrong(key, "a number", id))
    }

    /// Refuses a count other than `expected`; absent ones pass.
    pub(super) fn require_size(&self, key: &str, expected: usize) -> Result<(), OpenAiError> {
        match self.size(key)? {
            Some(found) if found != expected => {
                Err(OpenAiError::content(self.path(key), expected.to_string(), found.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Refuses counts other than `expected`; absent ones pass.
    pub(super) fn require_sizes(&self, key: &str, expected: &[usize]) -> Result<(), OpenAiError> {
        match self.sizes(key)? {
            Some(found) if found != expected => {
                Err(OpenAiError::content(self.path(key), format!("{expected:?}"), format!("{found:?}")))
            }
            _ => Ok(()),
        }
    }

    /// Refuses arguments that would make another network; absent ones pass.
    pub(super) fn require(&self, all: &[(&'static str, Expected)]) -> Result<(), OpenAiError> {
        for &(key, expected) in all {
            let Some(id) = self.find(key) else { continue };
            let (fits, wanted) = match (expected, self.pickle.node(id)) {
                (Expected::Dict(inner), _) => {
                    self.dict(key)?.require(inner)?;
                    continue;
                }
                (Expected::None, found) => (*found == Node::None, "None".to_owned()),
                (Expected::Bool(wanted), found) => {
                    (*found == Node::Bool(wanted), if wanted { "True" } else { "False" }.to_owned())
                }
                (Expected::One, found) => (*found == Node::Integer(1), "1".to_owned()),
                (Expected::Text(wanted), _) => (self.pickle.text(id) == Some(wanted), format!("{wanted:?}")),
            };
            if !fits {
                return Err(self.wrong(key, &wanted, id));
            }
        }
        Ok(())
    }

    /// The argument, if given and not `None`.
    fn value(&self, key: &str) -> Option<NodeId> {
        self.find(key).filter(|&id| *self.pickle.node(id) != Node::None)
    }

    /// The float that numpy pickles as `scalar(dtype(code, …), bytes)`.
    fn numpy_scalar(&self, id: NodeId) -> Option<f64> {
        let ((module, "scalar"), &[dtype, bytes]) = self.pickle.object(id)? else { return None };
        let (("numpy", "dtype"), &[code, ..]) = self.pickle.object(dtype)? else { return None };
        if !matches!(module, "numpy.core.multiarray" | "numpy._core.multiarray") {
            return None;
        }
        let Node::Bytes(bytes) = self.pickle.node(bytes) else { return None };
        match self.pickle.text(code)? {
            "f8" => Some(f64::from_le_bytes(bytes.as_slice().try_into().ok()?)),
            "f4" => Some(f64::from(f32::from_le_bytes(bytes.as_slice().try_into().ok()?))),
            _ => None,
        }
    }

    fn missing(&self, key: &str, expected: &str) -> OpenAiError {
        OpenAiError::content(self.path(key), expected, "missing")
    }

    fn wrong(&self, key: &str, expected: &str, found: NodeId) -> OpenAiError {
        OpenAiError::content(self.path(key), expected, self.pickle.describe(found))
    }
}
