//! Real samples of everything that is read.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytes::Bytes;
use candle_core::Device;
use prost::Message;
use serde::Deserialize;
use vpt_actor::config::{ActorConfig, WorldConfig};
use vpt_envserver::EnvserverConfig;
use vpt_envserver::action_log::{Header, record};
use vpt_envserver::task::Task;
use vpt_envserver::worlds::Worlds;
use vpt_learner::config::LearnerConfig;
use vpt_policy::{ExportDType, Parameters, PolicyConfig};
use vpt_proto::common::v1::{ActorIdentity, PolicyVersion};
use vpt_proto::envserver::v1::HumanAction;
use vpt_proto::learner::v1::{
    ActorReport, EpisodeEnd, Hello, LayerState, PushRequest, Unroll, UnrollChunk, UnrollEvent, push_request,
};
use vpt_proto::limits::{PROTOCOL_VERSION, UNROLL_FORMAT_VERSION};
use vpt_proto::shard::{DatasetInfo, RecordedEpisode, RecordedStep, ShardWriter};
use vpt_proto::weights::{Body, WeightSet, delta};
use vpt_proto::{frame_codec as codec, tensor};
use vpt_runtime::security::SecurityConfig;

/// Steps of an unroll.
pub(crate) const STEPS: usize = 4;
/// Name of the first file of a journal.
pub(crate) const SEGMENT: &str = "000000000000.log";

/// A network that takes no time.
pub(crate) fn policy() -> PolicyConfig {
    PolicyConfig {
        image_size: 16,
        impala_chans: vec![4, 4, 4],
        hidsize: 16,
        attention_heads: 2,
        attention_memory_size: 12,
        timesteps: 4,
        pointwise_ratio: 2,
        ..PolicyConfig::tiny()
    }
}

fn frames(side: usize, count: usize) -> Vec<u8> {
    let frame = side * side * 3;
    (0..count * frame).map(|i| (i % frame + i / frame / 2) as u8).collect()
}

fn identity() -> ActorIdentity {
    ActorIdentity { actor_id: "actor-0".to_owned(), incarnation: 7 }
}

pub(crate) fn unroll() -> Vec<Vec<u8>> {
    let config = policy();
    let side = config.image_size;
    let (kind, packed) = codec::encode(frames(side, STEPS).into(), side * side * 3);
    let (memory, width) = (config.maxlen(), config.hidsize);
    let layer = || LayerState {
        mask: Some(tensor::from_u8(&[memory], vec![1; memory])),
        keys: Some(tensor::from_f32(&[memory, width], &vec![0.5; memory * width])),
        values: Some(tensor::from_f32_as_bf16(&[memory, width], &vec![0.5; memory * width])),
    };
    let version = Some(PolicyVersion { epoch: 1, sequence: 2 });
    let unroll = Unroll {
        format_version: UNROLL_FORMAT_VERSION,
        actor: Some(identity()),
        slot: 1,
        sequence: 3,
        policy_version: version,
        oldest_memory_version: version,
        length: STEPS as u32,
        frame_height: side as u32,
        frame_width: side as u32,
        frame_codec: kind.into(),
        frames: packed,
        buttons: vec![1; STEPS],
        camera: vec![60; STEPS],
        buttons_log_prob: vec![-1.0; STEPS],
        camera_log_prob: vec![-1.0; STEPS],
        value: vec![0.0; STEPS],
        reward: vec![1.0; STEPS],
        is_first: vec![false; STEPS],
        terminated: vec![false; STEPS],
        truncated: vec![false; STEPS],
        state: (0..config.n_recurrence_layers).map(|_| layer()).collect(),
        events: vec![UnrollEvent { step: 1, kind: 1, item: "log".to_owned(), quantity: 1, reward: 1.0 }],
        episode_ends: vec![EpisodeEnd { step: 2, episode_length: 10, ..EpisodeEnd::default() }],
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
        ..Unroll::default()
    };
    vec![unroll.encode_to_vec()]
}

pub(crate) fn frame_codec() -> Vec<Vec<u8>> {
    let sample = |side: usize, count: usize| {
        let (kind, packed) = codec::encode(frames(side, count).into(), side * side * 3);
        let mut bytes = vec![i32::from(kind) as u8, side as u8, count as u8];
        bytes.extend_from_slice(&packed);
        bytes
    };
    vec![sample(8, 3), sample(16, 8), sample(64, 32), sample(1, 1)]
}

pub(crate) fn wire_tensor() -> Vec<Vec<u8>> {
    vec![
        tensor::from_f32(&[2, 3], &[1.0; 6]).encode_to_vec(),
        tensor::from_u8(&[4], vec![1; 4]).encode_to_vec(),
        tensor::from_f32_as_bf16(&[3, 1], &[0.5; 3]).encode_to_vec(),
    ]
}

pub(crate) fn frame_resize() -> Vec<Vec<u8>> {
    let sample = |h: u8, w: u8, to: u8| {
        let mut bytes = vec![h, w, to, to];
        bytes.extend((0..usize::from(h) * usize::from(w) * 3).map(|i| i as u8));
        bytes
    };
    vec![sample(36, 64, 16), sample(8, 8, 4), sample(4, 4, 128)]
}

pub(crate) fn push_message() -> Vec<Vec<u8>> {
    let hello = Hello {
        protocol_version: PROTOCOL_VERSION,
        actor: Some(identity()),
        architecture: policy().fingerprint(),
        slots: 8,
        stream: 1,
        ..Hello::default()
    };
    let chunk = UnrollChunk { total_bytes: 64, data: Bytes::from_static(&[7; 64]), ..UnrollChunk::default() };
    let mut report = ActorReport { env_steps_produced: 5, ..ActorReport::default() };
    report.env_steps_dropped.insert("actor_lost".to_owned(), 3);
    let kinds = [
        push_request::Kind::Hello(hello),
        push_request::Kind::Chunk(chunk),
        push_request::Kind::Report(report),
    ];
    kinds.map(|kind| PushRequest { kind: Some(kind) }.encode_to_vec()).to_vec()
}

pub(crate) fn weights_manifest() -> Vec<Vec<u8>> {
    let version = PolicyVersion { epoch: 1, sequence: 2 };
    let payload = Body::whole(versions().0.into());
    let set = WeightSet::new(version, (policy().fingerprint(), "bf16".to_owned()), payload);
    vec![set.manifest().encode_to_vec()]
}

/// Two versions of one network's weights.
pub(crate) fn versions() -> (&'static [u8], &'static [u8]) {
    static VERSIONS: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    let [base, new] = VERSIONS.get_or_init(|| {
        let base = weights_file().remove(0);
        let mut new = base.clone();
        // Low bits of numbers, behind the header.
        new.iter_mut().rev().step_by(2).skip(1).take(4000).step_by(3).for_each(|byte| *byte ^= 1);
        [base, new]
    });
    (base, new)
}

pub(crate) fn weights_delta() -> Vec<Vec<u8>> {
    let (base, new) = versions();
    vec![delta::encode(base, new).expect("a delta")]
}

pub(crate) fn weights_file() -> Vec<Vec<u8>> {
    let parameters = Parameters::init(&policy(), 1, &Device::Cpu).expect("a network");
    vec![parameters.to_safetensors(ExportDType::Bf16, false).expect("weights")]
}

/// Writes a dataset of one shard.
pub(crate) fn dataset(dir: &Path) {
    let info = DatasetInfo {
        world: "null".to_owned(),
        task: "null".to_owned(),
        player: "scripted".to_owned(),
        frame_height: 4,
        frame_width: 6,
    };
    let step = |t: usize| RecordedStep {
        action: HumanAction { keys: t as u32, pitch_delta: 0.5, yaw_delta: -1.5 },
        reward: 0.0,
        is_first: t == 0,
        terminated: false,
        truncated: t == 39,
        gui_open: false,
        events: Vec::new(),
    };
    let mut writer = ShardWriter::create(dir, info).expect("dataset");
    let frames: Vec<u8> = (0..40 * 4 * 6 * 3).map(|i| (i / 7) as u8).collect();
    writer.push(&RecordedEpisode { seed: 1, frames, steps: (0..40).map(step).collect() }).expect("episode");
    writer.finish().expect("index");
}

/// The only shard of [`dataset`].
pub(crate) fn shard_file(dir: &Path) -> PathBuf {
    let files = fs::read_dir(dir).expect("dataset").map(|entry| entry.expect("entry").path());
    files.into_iter().find(|path| path.extension().is_none_or(|kind| kind != "json")).expect("a shard")
}

pub(crate) fn shard() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().expect("folder");
    let dir = dir.path().join("dataset");
    dataset(&dir);
    vec![fs::read(shard_file(&dir)).expect("shard")]
}

/// Bodies of records: an unroll's, and a publication's.
pub(crate) fn journal() -> Vec<Vec<u8>> {
    let mut unroll = 7u16.to_le_bytes().to_vec();
    unroll.extend_from_slice(b"actor-0");
    unroll.extend_from_slice(&[1; 28]);
    unroll.extend_from_slice(&[9; 100]);
    vec![unroll, vec![1; 52]]
}

pub(crate) fn checkpoint() -> Vec<Vec<u8>> {
    let empty = blake3::hash(b"").to_hex().to_string();
    let manifest = serde_json::json!({
        "format_version": 1, "architecture": policy().fingerprint(),
        "policy": serde_json::to_value(policy()).expect("json"),
        "version": {"epoch": 1, "sequence": 2}, "stage": "ppg",
        "files": {"policy.safetensors": {"blake3": empty, "bytes": 0}},
    });
    vec![serde_json::to_vec_pretty(&manifest).expect("json")]
}

/// The sections of a run file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(dead_code, reason = "reading it is the point")]
pub(crate) struct Run {
    config_version: u32,
    world: WorldConfig,
    policy: PolicyConfig,
    envserver: EnvserverConfig,
    actor: ActorConfig,
    learner: LearnerConfig,
    security: SecurityConfig,
}

pub(crate) fn run_config() -> Vec<Vec<u8>> {
    let text = "config_version = 1\n[learner]\nstage = \"ppg\"\nthreads = 2\n[learner.ppg]\nlr = 1e-4\n\
                [security]\nmode = \"mtls\"\n[actor]\ngroups = 2\n[policy]\nimage_size = 64\n";
    vec![text.into(), "security.mode=mtls\nmode=\"loopback\"\nmax_connections=7\na.b=[1,2]".into()]
}

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/tests/fixtures/openai").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn model_pickle() -> Vec<Vec<u8>> {
    let protocols = (0..=5).map(|n| fixture(&format!("protocol_{n}.pickle")));
    ["policy_tiny.model", "inverse_dynamics_tiny.model"].map(fixture).into_iter().chain(protocols).collect()
}

pub(crate) fn torch_archive() -> Vec<Vec<u8>> {
    ["edge_cpu.weights", "edge_cuda0.weights", "edge_nested.pt", "edge_expected.safetensors"]
        .map(fixture)
        .to_vec()
}

pub(crate) fn action_log() -> Vec<Vec<u8>> {
    let task = Task::resolve("name = 'n'\nworld = 'null'\nepisode_steps = 5").expect("task");
    let header = Header::new(&task, 7, 18, 32).expect("header");
    vec![record(&Worlds::built_in(), &header, 250, Vec::new()).expect("log")]
}

pub(crate) fn run_token() -> Vec<Vec<u8>> {
    vec![b"0123456789abcdef0123456789abcdef\n".to_vec()]
}
