//! `.model` files: a pickle of nested dicts that holds the arguments a network was made with.
//!
//! The network's are at `["model"]["args"]["net"]["args"]`, those of the action head at
//! `["model"]["args"]["pi_head_opts"]`, as OpenAI's agents look them up. Arguments that change nothing here are
//! ignored; those that would make a network other than the one built here are refused by name. Absent ones have the
//! value they have in all published files.

mod arguments;

use std::path::Path;

use super::error::OpenAiError;
use super::pickle::{self, NodeId, Pickle};
use crate::config::{NetworkKind, PolicyConfig};
use crate::inverse_dynamics_config::{CONV3D_TAPS, InverseDynamicsConfig};
use arguments::{Arguments, Expected};

/// The network that a `.model` file describes.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelFile {
    /// One that acts.
    Policy(PolicyConfig),
    /// One that tells from a video which actions were taken.
    InverseDynamics(InverseDynamicsConfig),
}

/// What every network here is made of, whichever it is.
const SHARED: [(&str, Expected); 10] = [
    ("recurrence_type", Expected::Text("transformer")),
    ("recurrence_is_residual", Expected::Bool(true)),
    ("use_pre_lstm_ln", Expected::Bool(false)),
    ("use_pointwise_layer", Expected::Bool(true)),
    ("pointwise_use_activation", Expected::Bool(false)),
    ("only_img_input", Expected::Bool(true)),
    ("diff_mlp_embedding", Expected::Bool(false)),
    ("img_statistics", Expected::None),
    (
        "init_norm_kwargs",
        Expected::Dict(&[("batch_norm", Expected::Bool(false)), ("group_norm_groups", Expected::One)]),
    ),
    ("impala_kwargs", Expected::Dict(&[("post_pool_groups", Expected::One)])),
];
const POLICY_ONLY: [(&str, Expected); 2] =
    [("attention_mask_style", Expected::Text("clipped_causal")), ("first_conv_norm", Expected::Bool(false))];
const INVERSE_DYNAMICS_ONLY: [(&str, Expected); 3] = [
    ("attention_mask_style", Expected::Text("none")),
    ("first_conv_norm", Expected::Bool(true)),
    ("single_output", Expected::Bool(true)),
];

/// Reads a `.model` file.
///
/// # Errors
/// A file that cannot be read, is no pickle, lacks an argument or has one that no network here can have.
pub fn read_model(path: &Path) -> Result<ModelFile, OpenAiError> {
    let bytes = super::read_file(path, pickle::MAX_BYTES)?;
    parse(&bytes).map_err(OpenAiError::within(path))
}

/// As [`read_model`], of a file's bytes.
fn parse(bytes: &[u8]) -> Result<ModelFile, OpenAiError> {
    let pickle = Pickle::parse(bytes)?;
    let model = Arguments::new(&pickle, pickle.root(), String::new()).dict("model")?;
    let args = model.dict("args")?;
    let net = args.dict("net")?.dict("args")?;
    let head = args.dict("pi_head_opts")?;
    net.require(&SHARED)?;
    if is_inverse_dynamics(&pickle, &model, &net) {
        net.require(&INVERSE_DYNAMICS_ONLY)?;
        return Ok(ModelFile::InverseDynamics(inverse_dynamics(&net, &head)?));
    }
    net.require(&POLICY_ONLY)?;
    Ok(ModelFile::Policy(policy(&net, &head)?))
}

/// Only inverse dynamics networks convolve over time, or are made by a function that says so.
fn is_inverse_dynamics(pickle: &Pickle, model: &Arguments<'_>, net: &Arguments<'_>) -> bool {
    let function = model.find("function").map(|id: NodeId| match pickle.global(id) {
        Some((module, name)) => format!("{module}:{name}"),
        None => pickle.text(id).unwrap_or_default().to_owned(),
    });
    net.has_value("conv3d_params") || function.is_some_and(|name| name.contains("inverse_action_model"))
}

fn policy(net: &Arguments<'_>, head: &Arguments<'_>) -> Result<PolicyConfig, OpenAiError> {
    let shared = PolicyConfig::two_x();
    let config = PolicyConfig {
        kind: NetworkKind::Transformer,
        image_size: image_size(net, 3)?,
        impala_width: net.required_size("impala_width")?,
        impala_chans: net.sizes("impala_chans")?.unwrap_or(shared.impala_chans),
        hidsize: net.required_size("hidsize")?,
        attention_heads: net.required_size("attention_heads")?,
        attention_memory_size: net.size("attention_memory_size")?.unwrap_or(shared.attention_memory_size),
        timesteps: net.size("timesteps")?.unwrap_or(shared.timesteps),
        n_recurrence_layers: net.size("n_recurrence_layers")?.unwrap_or(shared.n_recurrence_layers),
        pointwise_ratio: net.size("pointwise_ratio")?.unwrap_or(shared.pointwise_ratio),
        temperature: head.number("temperature")? as f32,
    };
    config.validate()?;
    Ok(config)
}

fn inverse_dynamics(net: &Arguments<'_>, head: &Arguments<'_>) -> Result<InverseDynamicsConfig, OpenAiError> {
    let shared = InverseDynamicsConfig::four_x();
    let conv3d_channels = match net.has_value("conv3d_params") {
        true => convolution_over_time(&net.dict("conv3d_params")?)?,
        false => shared.conv3d_channels,
    };
    let config = InverseDynamicsConfig {
        image_size: image_size(net, conv3d_channels)?,
        conv3d_channels,
        impala_width: net.required_size("impala_width")?,
        impala_chans: net.sizes("impala_chans")?.unwrap_or(shared.impala_chans),
        hidsize: net.required_size("hidsize")?,
        attention_heads: net.required_size("attention_heads")?,
        attention_memory_size: net.size("attention_memory_size")?.unwrap_or(shared.attention_memory_size),
        timesteps: net.size("timesteps")?.unwrap_or(shared.timesteps),
        n_recurrence_layers: net.size("n_recurrence_layers")?.unwrap_or(shared.n_recurrence_layers),
        pointwise_ratio: net.size("pointwise_ratio")?.unwrap_or(shared.pointwise_ratio),
        temperature: head.number("temperature")? as f32,
    };
    config.validate()?;
    Ok(config)
}

/// Output channels of the first layer of an inverse dynamics network, whose kernel and padding are fixed.
fn convolution_over_time(params: &Arguments<'_>) -> Result<usize, OpenAiError> {
    params.require_sizes("kernel_size", &[CONV3D_TAPS, 1, 1])?;
    params.require_sizes("padding", &[CONV3D_TAPS / 2, 0, 0])?;
    params.require_size("inchan", 3)?;
    params.required_size("outchan")
}

/// The side of the square images that the first two-dimensional convolution takes.
fn image_size(net: &Arguments<'_>, channels: usize) -> Result<usize, OpenAiError> {
    let Some(shape) = net.sizes("img_shape")? else {
        return Ok(PolicyConfig::two_x().image_size);
    };
    match *shape.as_slice() {
        [height, width, depth] if height == width && depth == channels => Ok(height),
        _ => {
            let expected = format!("[side, side, {channels}]");
            Err(OpenAiError::content(net.path("img_shape"), expected, format!("{shape:?}")))
        }
    }
}

#[cfg(test)]
mod tests;
