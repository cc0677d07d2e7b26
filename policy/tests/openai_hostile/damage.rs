//! Damage at random, to whole files and to what lies inside sound ones.

use std::io::Cursor;

use proptest::prelude::*;

use super::{WEIGHTS, archive, digest, digest_model, fixture};

/// Bytes with up to eight changes: bits, bytes, runs taken out or doubled, and numbers that are too large.
fn mutated(mut bytes: Vec<u8>, changes: &[(u8, u32, u8)]) -> Vec<u8> {
    for &(kind, place, value) in changes {
        if bytes.is_empty() {
            break;
        }
        let at = place as usize % bytes.len();
        let end = (at + usize::from(value)).min(bytes.len());
        match kind {
            0 => bytes[at] ^= 1 << (value % 8),
            1 => bytes[at] = value,
            2 => drop(bytes.drain(at..end)),
            3 => {
                let run = bytes[at..end].to_vec();
                bytes.splice(at..at, run);
            }
            4 => bytes.truncate(at),
            _ => {
                let until = (at + 4).min(bytes.len());
                bytes[at..until].fill(if value < 128 { 0xFF } else { 0x7F });
            }
        }
    }
    bytes
}

fn changes() -> impl Strategy<Value = Vec<(u8, u32, u8)>> {
    proptest::collection::vec((0u8..6, any::<u32>(), any::<u8>()), 1..8)
}

/// The pickle of a fixture in an archive whose checksums are right, so that damage to it is seen by what reads it.
fn repacked(damage: &[(u8, u32, u8)]) -> Vec<u8> {
    let mut source = zip::ZipArchive::new(Cursor::new(fixture("edge_cpu.weights"))).unwrap();
    let names: Vec<String> = source.file_names().map(|name| name.unwrap().into_owned()).collect();
    let mut records = Vec::new();
    for name in names {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut source.by_name(&name).unwrap(), &mut bytes).unwrap();
        let bytes = if name.ends_with("data.pkl") { mutated(bytes, damage) } else { bytes };
        records.push((name, bytes));
    }
    let records: Vec<(&str, &[u8])> =
        records.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    archive(&records)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_are_harmless(which in 0..WEIGHTS.len(), damage in changes()) {
        let _ = digest(&mutated(fixture(WEIGHTS[which]), &damage));
    }

    #[test]
    fn damaged_pickles_in_sound_archives_are_harmless(damage in changes()) {
        let _ = digest(&repacked(&damage));
    }

    #[test]
    fn damaged_models_are_harmless(damage in changes()) {
        let _ = digest_model(&mutated(fixture("policy_tiny.model"), &damage));
    }

    #[test]
    fn noise_is_harmless(noise in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = digest(&noise);
        let _ = digest_model(&noise);
        let _ = digest(&archive(&[("x/data.pkl", &noise)]));
    }
}
