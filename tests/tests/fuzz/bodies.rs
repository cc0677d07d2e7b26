//! What is done with an input: one function a decoder. Errors are what inputs deserve.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use prost::Message;
use tempfile::TempDir;
use vpt_learner::admission::UnrollSpec;
use vpt_learner::journal::{Journal, JournalConfig, JournalMode};
use vpt_policy::{Parameters, openai};
use vpt_proto::common::v1::Tensor;
use vpt_proto::frame_resize::Resizer;
use vpt_proto::learner::v1::{PushRequest, WeightsManifest};
use vpt_proto::shard::Dataset;
use vpt_proto::weights::{WeightSet, delta};
use vpt_proto::{frame_codec as codec, tensor};
use vpt_runtime::security::{RunToken, SecurityConfig};

use super::samples;

thread_local! {
    /// For decoders that read files.
    static FOLDER: TempDir = tempfile::tempdir().expect("a folder");
}

fn in_folder(run: impl FnOnce(&Path)) {
    FOLDER.with(|folder| run(folder.path()));
}

pub(crate) fn unroll(data: &[u8]) {
    let spec = UnrollSpec::new(&samples::policy(), samples::STEPS, true);
    // Refusals are as good as unrolls.
    let _ = spec.inspect(Bytes::copy_from_slice(data));
}

pub(crate) fn frame_codec(data: &[u8]) {
    let Some((&[kind, side, count], packed)) = data.split_first_chunk::<3>() else { return };
    let frame = usize::from(side) * usize::from(side) * 3;
    if let Ok(frames) =
        codec::decode_wire(i32::from(kind), &packed.to_vec().into(), frame, usize::from(count))
    {
        assert_eq!(frames.len(), frame * usize::from(count));
    }
}

pub(crate) fn wire_tensor(data: &[u8]) {
    let Ok(wire) = Tensor::decode(data) else { return };
    let Ok(elements) = tensor::check(&wire) else { return };
    let shape: Vec<usize> = wire.shape.iter().map(|&side| side as usize).collect();
    if let Ok(numbers) = tensor::to_f32(&wire, &shape) {
        assert_eq!(numbers.len(), elements);
    }
    let _ = tensor::to_u8(&wire, &shape);
}

pub(crate) fn frame_resize(data: &[u8]) {
    let Some((sizes, pixels)) = data.split_first_chunk::<4>() else { return };
    let [height, width, to_height, to_width] = sizes.map(usize::from);
    let Ok(resize) = Resizer::new((height, width), (to_height, to_width)) else { return };
    let mut out = vec![0; resize.target_bytes()];
    let _ = resize.resize(pixels, &mut out);
}

pub(crate) fn push_message(data: &[u8]) {
    let _ = PushRequest::decode(data);
}

pub(crate) fn weights_manifest(data: &[u8]) {
    let Ok(manifest) = WeightsManifest::decode(data) else { return };
    let _ = WeightSet::announced(&manifest, 1 << 20);
}

pub(crate) fn weights_delta(data: &[u8]) {
    let base = samples::versions().0;
    if let Ok(made) = delta::apply(base, data) {
        assert_eq!(made.len(), base.len());
    }
}

pub(crate) fn weights_file(data: &[u8]) {
    let device = candle_core::Device::Cpu;
    let _ = Parameters::from_safetensors(data, &samples::policy(), false, &device);
}

pub(crate) fn shard(data: &[u8]) {
    in_folder(|folder| {
        let dir = folder.join("dataset");
        if !dir.exists() {
            samples::dataset(&dir);
        }
        let shard = samples::shard_file(&dir);
        fs::write(shard, data).expect("shard");
        let Ok(dataset) = Dataset::open(&dir) else { return };
        for episode in 0..dataset.episodes().len() {
            let _ = dataset.read(episode);
        }
    });
}

/// The body of a record; its length and checksum are made to fit, so that what is inside is looked at.
pub(crate) fn journal(data: &[u8]) {
    in_folder(|folder| {
        let segment = folder.join("journal");
        let _ = fs::remove_dir_all(&segment);
        fs::create_dir_all(&segment).expect("journal");
        let mut file = b"VPTJRNL\n".to_vec();
        file.extend_from_slice(&1u32.to_le_bytes());
        file.extend_from_slice(&0u64.to_le_bytes());
        file.push(1 + data.first().copied().unwrap_or(0) % 2);
        file.extend_from_slice(&(data.len() as u32).to_le_bytes());
        file.extend_from_slice(&crc32c::crc32c(data).to_le_bytes());
        file.extend_from_slice(data);
        // And once more as it is, without a head that fits.
        file.extend_from_slice(data);
        fs::write(segment.join(samples::SEGMENT), file).expect("segment");
        let config = JournalConfig { mode: JournalMode::Payload, ..JournalConfig::default() };
        let _ = Journal::open(folder, &config);
    });
}

pub(crate) fn checkpoint(data: &[u8]) {
    in_folder(|folder| {
        let dir = folder.join("checkpoint");
        fs::create_dir_all(&dir).expect("checkpoint");
        fs::write(dir.join("manifest.json"), data).expect("manifest");
        fs::write(dir.join("policy.safetensors"), b"").expect("weights");
        let _ = vpt_learner::checkpoint::load_policy(&dir);
    });
}

pub(crate) fn run_config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = vpt_runtime::config::load_with_env::<samples::Run>(None, text, [], &[]);
    // Every line is an override, too.
    let sets: Vec<String> = text.lines().take(4).map(str::to_owned).collect();
    let _ = vpt_runtime::config::load_with_env::<SecurityConfig>(None, "", [], &sets);
}

pub(crate) fn model_pickle(data: &[u8]) {
    in_folder(|folder| {
        let file = folder.join("fuzz.model");
        fs::write(&file, data).expect("model");
        let _ = openai::read_model(&file);
    });
}

pub(crate) fn torch_archive(data: &[u8]) {
    let _ = openai::parse_weights(data);
}

pub(crate) fn action_log(data: &[u8]) {
    let _ = vpt_envserver::action_log::Reader::open(data).and_then(|log| log.verify());
}

pub(crate) fn run_token(data: &[u8]) {
    let _ = RunToken::new(&String::from_utf8_lossy(data), "fuzz");
}
