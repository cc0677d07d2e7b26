//! The state dict in an archive's pickle, flat or nested as training scripts save it.
//!
//! torch pickles a tensor as a call of `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, …)` and a
//! parameter as a call of `_rebuild_parameter(tensor, …)` around it; a storage is a persistent reference
//! `("storage", class, key, device, length)`. The device is where it was saved and has no meaning here.

use std::collections::BTreeMap;

use super::view::View;
use crate::openai::element_type::{ElementType, MAX_RANK};
use crate::openai::error::OpenAiError;
use crate::openai::pickle::{Node, NodeId, Pickle, shortened};

/// Where scripts put the state dict in what they save.
const NESTED: [&str; 3] = ["state_dict", "model_state_dict", "model"];
/// How deep it is looked for.
const MAX_NESTING: usize = 4;
/// The most tensors that are read: one value of the pickle may come under any number of names.
const MAX_TENSORS: usize = 1 << 16;
/// Parameters around a tensor.
const MAX_WRAPPING: usize = 4;

/// The tensors by name.
pub(super) fn views(pickle: &Pickle) -> Result<BTreeMap<String, View>, OpenAiError> {
    let entries = entries(pickle)?;
    if entries.len() > MAX_TENSORS {
        return Err(OpenAiError::Limit { what: "tensors", limit: MAX_TENSORS as u64 });
    }
    let mut views = BTreeMap::new();
    let mut problems = Vec::new();
    for &(key, value) in entries {
        let Some(name) = pickle.text(key) else {
            problems.push(format!("{} is no name", pickle.describe(key)));
            continue;
        };
        match view(pickle, value) {
            Ok(view) => drop(views.insert(name.to_owned(), view)),
            Err(problem) => problems.push(format!("{} {problem}", shortened(name))),
        }
    }
    if problems.is_empty() { Ok(views) } else { Err(OpenAiError::Tensors { problems }) }
}

/// The entries of the state dict, which lies under the usual keys or is the whole.
fn entries(pickle: &Pickle) -> Result<&[(NodeId, NodeId)], OpenAiError> {
    let mut id = pickle.root();
    for _ in 0..MAX_NESTING {
        let no_dict = || OpenAiError::content("the state dict", "a dict", pickle.describe(id));
        let entries = pickle.entries(id).ok_or_else(no_dict)?;
        // No parameter is called so, and none is a dict.
        let mut nested = NESTED.iter().filter_map(|key| pickle.get(id, key));
        match nested.find(|&value| pickle.entries(value).is_some()) {
            Some(value) => id = value,
            None => return Ok(entries),
        }
    }
    Err(OpenAiError::content("the state dict", format!("at most {MAX_NESTING} deep"), "deeper"))
}

/// The tensor that a value is.
fn view(pickle: &Pickle, value: NodeId) -> Result<View, String> {
    let mut id = value;
    for _ in 0..MAX_WRAPPING {
        let no_tensor = || format!("is {}, not a tensor", pickle.describe(id));
        let (class, args) = pickle.object(id).ok_or_else(no_tensor)?;
        match (class, args) {
            (("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state"), [tensor, ..]) => {
                id = *tensor
            }
            (
                ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor"),
                [storage, offset, dims, strides, ..],
            ) => {
                let (storage_key, storage_length, element_type) = storage_of(pickle, *storage)?;
                return Ok(View {
                    storage_key,
                    storage_length,
                    element_type,
                    offset: pickle.size(*offset).ok_or("has an offset that is no count")?,
                    dims: sizes(pickle, *dims).ok_or("has a shape that is no tuple of counts")?,
                    strides: sizes(pickle, *strides).ok_or("has strides that are no tuple of counts")?,
                });
            }
            _ => return Err(no_tensor()),
        }
    }
    Err("is wrapped too often".to_owned())
}

/// Key, length and element type of a storage.
fn storage_of(pickle: &Pickle, id: NodeId) -> Result<(String, usize, ElementType), String> {
    let Node::Persistent(reference) = *pickle.node(id) else {
        return Err(format!("has {} for a storage", pickle.describe(id)));
    };
    let Some(&[tag, class, key, _device, length]) = pickle.sequence(reference) else {
        return Err(format!("has {} for a storage reference", pickle.describe(reference)));
    };
    if pickle.text(tag) != Some("storage") {
        return Err(format!("refers to {}, not to a storage", pickle.describe(tag)));
    }
    let element_type = match pickle.global(class) {
        Some(("torch", name)) => ElementType::of_storage(name),
        _ => None,
    };
    let element_type =
        element_type.ok_or_else(|| format!("is a {}, which is not read", pickle.describe(class)))?;
    let is_key = |key: &&str| (1..=20).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_digit());
    let key = pickle
        .text(key)
        .filter(is_key)
        .ok_or_else(|| format!("has the storage key {}, which is no number", pickle.describe(key)))?;
    let length = pickle.size(length).ok_or("has a storage length that is no count")?;
    Ok((key.to_owned(), length, element_type))
}

fn sizes(pickle: &Pickle, id: NodeId) -> Option<Vec<usize>> {
    // Longer ones are refused later; they need not be copied for that.
    let sizes = pickle.sequence(id)?.iter().take(MAX_RANK + 1);
    sizes.map(|&size| pickle.size(size)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PolicyConfig;
    use crate::parameters::layout;

    #[test]
    fn a_network_that_torch_saved_has_every_name_and_shape() {
        let path = format!("{}/tests/fixtures/openai/policy_tiny.pkl", env!("CARGO_MANIFEST_DIR"));
        let views = views(&Pickle::parse(&std::fs::read(path).unwrap()).unwrap()).unwrap();
        let config = PolicyConfig {
            image_size: 128,
            impala_chans: vec![4, 6, 2],
            hidsize: 32,
            attention_heads: 2,
            attention_memory_size: 12,
            timesteps: 4,
            ..PolicyConfig::tiny()
        };
        let specs = layout::specs(&(&config).into());
        let expected: Vec<_> =
            specs.iter().filter(|spec| !spec.is_aux()).map(|s| (&s.name, &s.shape)).collect();
        assert_eq!(views.iter().map(|(name, view)| (name, &view.dims)).collect::<Vec<_>>(), expected);
        for (name, view) in &views {
            let bytes = view.storage_length as u64 * 4;
            assert_eq!(view.check(bytes), Ok(bytes as usize), "{name}");
            assert_eq!((view.element_type, view.offset), (ElementType::F32, 0));
        }
    }
}
