//! Names, shapes and initialisation of every parameter: OpenAI's state dict, plus the policy's auxiliary value head.

use super::Architecture;
use crate::action::{BUTTONS, CAMERA, CAMERA_AXES, CAMERA_BINS, KEYS};
use crate::config::{BLOCKS_PER_STACK, CNN_OUT_SIZE, NetworkKind, PolicyConfig, RELATIVE_BASES};
use crate::inverse_dynamics_config::{CONV3D_TAPS, InverseDynamicsConfig};

pub(crate) const RUNNING_MEAN: &str = "value_head.normalizer.running_mean";
pub(crate) const RUNNING_MEAN_SQ: &str = "value_head.normalizer.running_mean_sq";
pub(crate) const DEBIASING_TERM: &str = "value_head.normalizer.debiasing_term";
/// Starts the names that OpenAI's files do not have.
pub(crate) const AUX_PREFIX: &str = "aux_value_head.";

/// How a fresh parameter starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Initial {
    /// Every output row (or filter) of the given L2 norm.
    RowNorm(f64),
    /// Normal with the given standard deviation.
    Normal(f64),
    /// Uniform in ±1/sqrt(fan in), torch's default for linear layers.
    Uniform {
        /// Inputs of the layer.
        fan_in: usize,
    },
    /// Norm gains.
    Ones,
    /// Biases, and the true value head.
    Zeros,
    /// The value normaliser's running statistics: zero, and never trained.
    Statistic,
}

/// One parameter.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) initial: Initial,
}

impl Spec {
    pub(crate) fn is_aux(&self) -> bool {
        self.name.starts_with(AUX_PREFIX)
    }

    pub(crate) fn is_statistic(&self) -> bool {
        self.initial == Initial::Statistic
    }

    pub(crate) fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Every parameter of the architecture, sorted by name.
pub(crate) fn specs(architecture: &Architecture) -> Vec<Spec> {
    let mut list = List::default();
    match architecture {
        Architecture::Policy(config) => list.policy(config),
        Architecture::InverseDynamics(config) => list.inverse_dynamics(config),
    }
    list.0.sort_by(|a, b| a.name.cmp(&b.name));
    list.0
}

/// Numbers in OpenAI's state dict.
pub(crate) fn count(architecture: impl Into<Architecture>) -> usize {
    specs(&architecture.into()).iter().filter(|spec| !spec.is_aux()).map(Spec::count).sum()
}

/// Hex of a hash over the sorted names and shapes of OpenAI's state dict.
pub(crate) fn fingerprint(architecture: impl Into<Architecture>) -> String {
    let mut hasher = blake3::Hasher::new();
    for spec in specs(&architecture.into()).iter().filter(|spec| !spec.is_aux()) {
        hasher.update(format!("{} {:?}\n", spec.name, spec.shape).as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// What the architectures have in common, in numbers.
struct Trunk {
    /// Channels of the images that the first stack takes.
    input_channels: usize,
    /// Whether the first convolution of all has a norm rather than a bias.
    first_norm: bool,
    channels: [usize; 3],
    /// Side of the last stack's images.
    side: usize,
    hidsize: usize,
    attention_heads: usize,
    layers: usize,
    pointwise_ratio: usize,
    maxlen: usize,
}

impl From<&PolicyConfig> for Trunk {
    fn from(config: &PolicyConfig) -> Self {
        Self {
            input_channels: 3,
            first_norm: false,
            channels: config.conv_channels(),
            side: config.pooled_sizes()[2],
            hidsize: config.hidsize,
            attention_heads: config.attention_heads,
            layers: config.n_recurrence_layers,
            pointwise_ratio: config.pointwise_ratio,
            maxlen: config.maxlen(),
        }
    }
}

impl From<&InverseDynamicsConfig> for Trunk {
    fn from(config: &InverseDynamicsConfig) -> Self {
        Self {
            input_channels: config.conv3d_channels,
            first_norm: true,
            channels: config.conv_channels(),
            side: config.pooled_size(),
            hidsize: config.hidsize,
            attention_heads: config.attention_heads,
            layers: config.n_recurrence_layers,
            pointwise_ratio: config.pointwise_ratio,
            maxlen: 0,
        }
    }
}

#[derive(Default)]
struct List(Vec<Spec>);

impl List {
    fn add(&mut self, name: impl Into<String>, shape: &[usize], initial: Initial) {
        self.0.push(Spec { name: name.into(), shape: shape.to_vec(), initial });
    }

    fn norm(&mut self, name: &str, channels: usize) {
        self.add(format!("{name}.weight"), &[channels], Initial::Ones);
        self.add(format!("{name}.bias"), &[channels], Initial::Zeros);
    }

    /// Norm over the inputs, then a layer without bias.
    fn fan_in(&mut self, name: &str, weight: &[usize], scale: f64) {
        self.norm(&format!("{name}.norm"), weight[1]);
        self.add(format!("{name}.layer.weight"), weight, Initial::RowNorm(scale));
    }

    fn head(&mut self, name: &str, outputs: usize, inputs: usize) {
        self.add(format!("{name}.weight"), &[outputs, inputs], Initial::Uniform { fan_in: inputs });
        self.add(format!("{name}.bias"), &[outputs], Initial::Uniform { fan_in: inputs });
    }

    fn policy(&mut self, config: &PolicyConfig) {
        let hid = config.hidsize;
        if config.kind == NetworkKind::Transformer {
            self.trunk(&config.into());
        }
        self.head("pi_head.buttons.linear_layer", BUTTONS, hid);
        self.head("pi_head.camera.linear_layer", CAMERA, hid);
        self.head("aux_value_head.linear", 1, hid);
        // A random true value head was destructive early on; it starts at zero.
        self.add("value_head.linear.weight", &[1, hid], Initial::Zeros);
        self.add("value_head.linear.bias", &[1], Initial::Zeros);
        self.add(RUNNING_MEAN, &[1], Initial::Statistic);
        self.add(RUNNING_MEAN_SQ, &[1], Initial::Statistic);
        self.add(DEBIASING_TERM, &[], Initial::Statistic);
    }

    fn inverse_dynamics(&mut self, config: &InverseDynamicsConfig) {
        let (hid, channels) = (config.hidsize, config.conv3d_channels);
        let neighbours = [channels, 3, CONV3D_TAPS, 1, 1];
        self.add("net.conv3d_layer.layer.weight", &neighbours, Initial::RowNorm(1.0));
        self.add("net.conv3d_layer.layer.bias", &[channels], Initial::Zeros);
        self.trunk(&config.into());
        self.head("pi_head.buttons.linear_layer", KEYS * 2, hid);
        self.head("pi_head.camera.linear_layer", CAMERA_AXES * CAMERA_BINS, hid);
    }

    /// Everything from the first stack to the latent that the heads take.
    fn trunk(&mut self, trunk: &Trunk) {
        self.cnn(trunk);
        for layer in 0..trunk.layers {
            self.block(trunk, layer);
        }
        self.fan_in("net.lastlayer", &[trunk.hidsize, trunk.hidsize], 1.0);
        self.norm("net.final_ln", trunk.hidsize);
    }

    fn cnn(&mut self, trunk: &Trunk) {
        let channels = trunk.channels;
        // Stack scale sqrt(stacks), over sqrt(blocks), shared by the two convolutions of a block.
        let block_scale = (3f64.sqrt() / (BLOCKS_PER_STACK as f64).sqrt()).sqrt();
        for (stack, &out) in channels.iter().enumerate() {
            let prefix = format!("net.img_process.cnn.stacks.{stack}");
            let first = format!("{prefix}.firstconv");
            let inputs = if stack == 0 { trunk.input_channels } else { channels[stack - 1] };
            if stack == 0 && !trunk.first_norm {
                self.add(format!("{first}.layer.weight"), &[out, inputs, 3, 3], Initial::RowNorm(1.0));
                self.add(format!("{first}.layer.bias"), &[out], Initial::Zeros);
            } else {
                self.fan_in(&first, &[out, inputs, 3, 3], 1.0);
            }
            self.norm(&format!("{prefix}.n"), out);
            for block in 0..BLOCKS_PER_STACK {
                for conv in 0..2 {
                    let name = format!("{prefix}.blocks.{block}.conv{conv}");
                    self.fan_in(&name, &[out, out, 3, 3], block_scale);
                }
            }
        }
        let flattened = channels[2] * trunk.side * trunk.side;
        self.fan_in("net.img_process.cnn.dense", &[CNN_OUT_SIZE, flattened], 1.4);
        self.fan_in("net.img_process.linear", &[trunk.hidsize, CNN_OUT_SIZE], 1.0);
    }

    fn block(&mut self, trunk: &Trunk, layer: usize) {
        let (hid, wide) = (trunk.hidsize, trunk.hidsize * trunk.pointwise_ratio);
        let prefix = format!("net.recurrent_layer.blocks.{layer}");
        let residual_scale = (trunk.layers as f64).powf(-0.5) * 2f64.powf(-0.5);
        self.norm(&format!("{prefix}.pre_r_ln"), hid);
        self.fan_in(&format!("{prefix}.mlp0"), &[wide, hid], 1.0);
        self.add(format!("{prefix}.mlp1.layer.weight"), &[hid, wide], Initial::RowNorm(residual_scale));
        self.add(format!("{prefix}.mlp1.layer.bias"), &[hid], Initial::Zeros);
        let attention = format!("{prefix}.r.orc_block");
        let bases = trunk.attention_heads * RELATIVE_BASES;
        for (name, outputs, scale, bias) in [
            ("q_layer", hid, 0.1, true),
            ("k_layer", hid, 0.2, false),
            ("v_layer", hid, residual_scale.sqrt(), false),
            ("proj_layer", hid, residual_scale.sqrt(), true),
            ("r_layer", bases, 0.1, true),
        ] {
            self.add(format!("{attention}.{name}.weight"), &[outputs, hid], Initial::RowNorm(scale));
            if bias {
                self.add(format!("{attention}.{name}.bias"), &[outputs], Initial::Zeros);
            }
        }
        self.add(format!("{attention}.b_nd"), &[RELATIVE_BASES, trunk.maxlen], Initial::Normal(0.2));
    }
}
