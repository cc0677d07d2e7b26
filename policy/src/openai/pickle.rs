//! Python pickles read as plain data, protocols 0 to 5.
//!
//! A pickle is a program for a stack machine whose instructions may name any function of any module and have it
//! called. This reader never calls anything: a name becomes a [`Node::Global`], a call of it a [`Node::Object`] that
//! remembers name and arguments, and whoever asks for the data decides which of the few names it knows. Written after
//! the opcode table of CPython's `pickletools`.
//!
//! Memory is bounded before any is taken: a file is at most [`MAX_BYTES`] long and makes at most [`MAX_OPERATIONS`]
//! steps, each of which adds at most three fixed-size nodes beyond bytes copied once from the file. Nodes refer to each
//! other by index, so that sharing, cycles and depth cost nothing, and nothing here recurses.

mod input;
mod machine;
mod stack;
mod text;

use crate::openai::error::OpenAiError;

/// The longest pickle that is read; OpenAI's are a thousandth of it.
pub(crate) const MAX_BYTES: usize = 64 << 20;
/// The most instructions a pickle may have; a state dict takes about sixty a tensor.
pub(super) const MAX_OPERATIONS: usize = 1 << 20;

/// Names a node of one [`Pickle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeId(u32);

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer of at most 64 bits.
    Integer(i64),
    /// A larger integer, of which nothing is kept.
    LargeInteger,
    /// A float.
    Float(f64),
    /// A string.
    Text(String),
    /// Bytes, or a string of Python 2 that is not UTF-8.
    Bytes(Vec<u8>),
    /// A list or set.
    List(Vec<NodeId>),
    /// A tuple.
    Tuple(Vec<NodeId>),
    /// A dict, its entries in the order they were set.
    Dict(Vec<(NodeId, NodeId)>),
    /// A class or function by module and name (both texts); never looked up.
    Global { module: NodeId, name: NodeId },
    /// What calling `class` with `args` would have made, and the entries set on it. Other state is not kept.
    Object { class: NodeId, args: NodeId, entries: Vec<(NodeId, NodeId)> },
    /// A reference out of the pickle; torch stores tensors' numbers so.
    Persistent(NodeId),
}

/// The values of one pickle.
#[derive(Debug)]
pub(crate) struct Pickle {
    nodes: Vec<Node>,
    root: NodeId,
}

impl Pickle {
    /// Reads a whole pickle; bytes after its end are ignored, as Python does.
    ///
    /// # Errors
    /// Bytes that are no pickle, are cut short, use an unknown opcode or exceed the limits.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, OpenAiError> {
        if bytes.len() > MAX_BYTES {
            return Err(OpenAiError::Limit { what: "bytes of a pickle", limit: MAX_BYTES as u64 });
        }
        machine::run(bytes)
    }

    /// What the pickle holds.
    pub(crate) fn root(&self) -> NodeId {
        self.root
    }

    /// The value called `id`.
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// The string that `id` is.
    pub(crate) fn text(&self, id: NodeId) -> Option<&str> {
        match self.node(id) {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The integer that `id` is, if not negative.
    pub(crate) fn size(&self, id: NodeId) -> Option<usize> {
        match *self.node(id) {
            Node::Integer(value) => usize::try_from(value).ok(),
            _ => None,
        }
    }

    /// The values of a list or tuple.
    pub(crate) fn sequence(&self, id: NodeId) -> Option<&[NodeId]> {
        match self.node(id) {
            Node::List(values) | Node::Tuple(values) => Some(values),
            _ => None,
        }
    }

    /// The entries of a dict, or of an object that entries were set on, such as an `OrderedDict`.
    pub(crate) fn entries(&self, id: NodeId) -> Option<&[(NodeId, NodeId)]> {
        match self.node(id) {
            Node::Dict(entries) => Some(entries),
            Node::Object { entries, .. } if self.is_dict_object(id) => Some(entries),
            _ => None,
        }
    }

    /// What a dict holds under `key`; the last entry counts, as it does in Python.
    pub(crate) fn get(&self, id: NodeId, key: &str) -> Option<NodeId> {
        let entries = self.entries(id)?;
        entries.iter().rev().find(|&&(name, _)| self.text(name) == Some(key)).map(|&(_, value)| value)
    }

    /// Module and name of a class or function.
    pub(crate) fn global(&self, id: NodeId) -> Option<(&str, &str)> {
        match *self.node(id) {
            Node::Global { module, name } => Some((self.text(module)?, self.text(name)?)),
            _ => None,
        }
    }

    /// Module and name of an object's class, and its arguments.
    pub(crate) fn object(&self, id: NodeId) -> Option<((&str, &str), &[NodeId])> {
        match *self.node(id) {
            Node::Object { class, args, .. } => Some((self.global(class)?, self.sequence(args)?)),
            _ => None,
        }
    }

    fn is_dict_object(&self, id: NodeId) -> bool {
        let class = self.object(id).map(|(class, _)| class);
        matches!(class, Some(("collections", "OrderedDict" | "defaultdict")))
    }

    /// A few words on what a value is, for error messages.
    pub(crate) fn describe(&self, id: NodeId) -> String {
        let class = |id| match self.global(id) {
            Some((module, name)) => format!("{}.{}", shortened(module), shortened(name)),
            None => "something unnamed".to_owned(),
        };
        match self.node(id) {
            Node::None => "None".to_owned(),
            Node::Bool(true) => "True".to_owned(),
            Node::Bool(false) => "False".to_owned(),
            Node::Integer(value) => value.to_string(),
            Node::LargeInteger => "an integer of more than 64 bits".to_owned(),
            Node::Float(value) => value.to_string(),
            Node::Text(text) => format!("{:?}", shortened(text)),
            Node::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Node::List(values) => format!("a list of {}", values.len()),
            Node::Tuple(values) => format!("a tuple of {}", values.len()),
            Node::Dict(entries) => format!("a dict of {}", entries.len()),
            Node::Global { .. } => class(id),
            Node::Object { class: made_by, .. } => format!("an object of {}", class(*made_by)),
            Node::Persistent(_) => "a reference to a storage".to_owned(),
        }
    }
}

/// The beginning of a text that may be megabytes long.
pub(crate) fn shortened(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests;
