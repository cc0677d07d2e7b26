//! Weights and model files that lie, are cut short or were damaged at random: every one is an error or harmless, and
//! none takes more memory than its own length allows.
//!
//! [`digest`] is the body of a fuzz target that runs under the stable toolchain; it is fed archives that are whole but
//! for what they say (here), and the fixtures, mutated (`damage.rs`).

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod counting_allocator;
mod damage;

use std::io::{Cursor, Write};

use vpt_policy::openai::{OpenAiError, parse_weights, read_model};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use counting_allocator::measured;

/// What a file may cost: a buffer or two, eight times itself in tensors, or a hundred bytes for each instruction of one
/// byte (measured: 102).
fn allowance(length: usize) -> usize {
    (1 << 20) + 128 * length
}

/// Reads a file of weights, whatever it is, and holds it to its allowance.
fn digest(bytes: &[u8]) -> Result<usize, OpenAiError> {
    let (result, peak) = measured(|| parse_weights(bytes));
    assert!(peak <= allowance(bytes.len()), "{peak} bytes for a file of {}", bytes.len());
    result.map(|tensors| tensors.len())
}

/// The same for a `.model` file.
fn digest_model(bytes: &[u8]) -> Result<(), OpenAiError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.model");
    std::fs::write(&path, bytes).unwrap();
    let (result, peak) = measured(|| read_model(&path));
    assert!(peak <= allowance(bytes.len()), "{peak} bytes for a file of {}", bytes.len());
    result.map(drop)
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/fixtures/openai/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

const WEIGHTS: [&str; 3] = ["edge_cpu.weights", "edge_nested.pt", "edge_expected.safetensors"];

/// An archive of these records, stored.
fn archive(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in records {
        writer
            .start_file(*name, SimpleFileOptions::default().compression_method(CompressionMethod::Stored))
            .unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// An archive with one tensor `w` over a storage of 16 bytes. The parts are pickle text: class, key and length of
/// the storage, then offset, shape and strides.
fn one_tensor(class: &str, key: &str, length: &str, view: [&str; 3]) -> Vec<u8> {
    let pickle = format!(
        "(dS'w'\nctorch._utils\n_rebuild_tensor_v2\n((S'storage'\nc{class}\nS'{key}'\nS'cpu'\nI{length}\ntQI{}\n({}t({}tI00\nNtRs.",
        view[0],
        integers(view[1]),
        integers(view[2]),
    );
    archive(&[("x/data.pkl", pickle.as_bytes()), ("x/data/0", &[0u8; 16])])
}

fn integers(list: &str) -> String {
    list.split_whitespace().map(|number| format!("I{number}\n")).collect()
}

fn refused(bytes: &[u8], expected: &str) {
    let text = digest(bytes).unwrap_err().to_string();
    assert!(text.contains(expected), "{text}, not {expected}");
}

#[test]
fn an_honest_archive_is_read() {
    assert_eq!(digest(&one_tensor("torch\nFloatStorage", "0", "4", ["0", "2 2", "2 1"])).unwrap(), 1);
    // The stride of an axis of one element reaches nothing, however long it is.
    let huge = i64::MAX.to_string();
    let view = ["1", "3 1", &format!("1 {huge}")];
    assert_eq!(digest(&one_tensor("torch\nFloatStorage", "0", "4", view)).unwrap(), 1);
    assert_eq!(digest(&one_tensor("torch\nCharStorage", "0", "16", ["0", "2", "8"])).unwrap(), 1);
}

#[test]
fn tensors_that_lie_about_their_shape_are_refused() {
    let huge = i64::MAX.to_string();
    let twice = format!("{huge} {huge}");
    for (view, expected) in [
        (["0", "5", "1"], "reaches past the 4 numbers"),
        (["4", "1", "1"], "reaches past the 4 numbers"),
        (["1", "2 2", "2 1"], "reaches past the 4 numbers"),
        ([&huge, "1", "1"], "reaches past the 4 numbers"),
        (["0", "2", &huge], "reaches past the 4 numbers"),
        ([&huge, "3", &huge], "reaches past the 4 numbers"),
        (["0", "1 1", "1"], "2 sizes but 1 strides"),
        (["0", &twice, "0 0"], "is too large"),
        (["0", &format!("0 {twice}"), "0 0 0"], "is too large"),
        (["0", &format!("{twice} 0"), "1 1 1"], "is too large"),
        (["0", &"1 ".repeat(17), &"1 ".repeat(17)], "is too large"),
        (["0", "4000000", "0"], "bytes of tensors (eight times the file)"),
        (["-1", "1", "1"], "an offset that is no count"),
        (["0", "-1", "1"], "a shape that is no tuple of counts"),
        (["0", "1", "-1"], "strides that are no tuple of counts"),
    ] {
        refused(&one_tensor("torch\nFloatStorage", "0", "4", view), expected);
    }
}

#[test]
fn storages_that_lie_are_refused() {
    let view = ["0", "1", "1"];
    for (class, key, length, expected) in [
        ("torch\nFloatStorage", "0", "5", "5 numbers of 4 bytes, but that has 16 bytes"),
        ("torch\nFloatStorage", "0", "9223372036854775807", "but that has 16 bytes"),
        ("torch\nFloatStorage", "0", "-4", "a storage length that is no count"),
        ("torch\nFloatStorage", "1", "4", "needs storage \"1\", which is missing"),
        ("torch\nFloatStorage", "../../etc/passwd", "4", "which is no number"),
        ("torch\nFloatStorage", "/0", "4", "which is no number"),
        ("torch\nFloatStorage", "", "4", "which is no number"),
        ("torch\nComplexFloatStorage", "0", "2", "torch.ComplexFloatStorage, which is not read"),
        ("os\nsystem", "0", "4", "os.system, which is not read"),
    ] {
        refused(&one_tensor(class, key, length, view), expected);
    }
}

#[test]
fn pickles_that_hold_no_state_dict_are_refused() {
    let with = |pickle: &[u8]| archive(&[("x/data.pkl", pickle), ("x/data/0", &[0; 16])]);
    for (pickle, expected) in [
        (&b"N."[..], "the state dict should be a dict, but is None"),
        (b"cos\nsystem\n(S'touch /tmp/pwned'\ntR.", "but is an object of os.system"),
        (
            b"(dS'a'\nI1\nsI2\nI3\nsS'b'\ncos\nsystem\n(S'x'\ntRs.",
            "a is 1, not a tensor; 2 is no name; b is an object of os.system",
        ),
        (b"(dS'w'\nctorch._utils\n_rebuild_tensor_v2\n)Rs.", "not a tensor"),
        (b"(dS'w'\nctorch._utils\n_rebuild_tensor_v2\n(NI0\n))tRs.", "has None for a storage"),
        (b"(dS'w'\nctorch._utils\n_rebuild_tensor_v2\n(NQI0\n))tRs.", "has None for a storage reference"),
        (b"(dp0\nS'model'\ng0\ns.", "at most 4 deep"),
        (b"(dS'w'\nctorch._utils\n_rebuild_parameter\n)p1\n0(g1\ntRs.", "not a tensor"),
    ] {
        refused(&with(pickle), expected);
    }
    // A parameter around itself is followed a few times only.
    let cycle = b"(dS'w'\nctorch._utils\n_rebuild_parameter\n(]p1\ng1\nag1\ntRs.";
    assert!(digest(&with(cycle)).is_err());
}

#[test]
fn archives_that_torch_would_not_write_are_refused() {
    let pickle = ("x/data.pkl", &b"}."[..]);
    refused(&archive(&[("x/other", b"")]), "without");
    refused(&archive(&[pickle, ("y/data.pkl", b"}.")]), "several");
    refused(&archive(&[pickle, ("x/byteorder", b"big")]), "little, but is big");
    refused(&archive(&[pickle, ("x/byteorder", &[b'l'; 1000])]), "at most 16 bytes");
    let mut compressed = archive(&[pickle]);
    // The method in the local and the central header: deflated.
    let central = compressed.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    compressed[8] = 8;
    compressed[central + 10] = 8;
    assert!(digest(&compressed).is_err());
    // Sizes in the central header that are not in the file.
    let mut lying = archive(&[pickle, ("x/data/0", &[0; 16])]);
    let central = lying.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    for at in [20, 24] {
        lying[central + at..central + at + 4].copy_from_slice(&0x7FFF_FFFFu32.to_le_bytes());
    }
    assert!(digest(&lying).is_err());
    // A wrong checksum.
    let mut damaged = archive(&[pickle]);
    let start = damaged.windows(2).position(|bytes| bytes == b"}.").unwrap();
    damaged[start] = b']';
    assert!(digest(&damaged).is_err());
}

#[test]
fn other_files_are_told_apart() {
    refused(b"", "it is empty");
    refused(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "as torch wrote before 1.6");
    refused(b"hello, this is a text", "neither");
    refused(b"PK\x03\x04", "torch archive");
    refused(&[&u64::MAX.to_le_bytes()[..], b"{}"].concat(), "bytes of a safetensors header");
    refused(&[&(1u64 << 20).to_le_bytes()[..], b"{}"].concat(), "inside the 10 bytes");
    let file = |header: &str, data: &[u8]| {
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
    };
    let one = |dtype: &str, shape: &str, end: usize| {
        format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{end}]}}}}"#)
    };
    assert_eq!(digest(&file(&one("I8", "[4]", 4), &[255; 4])).unwrap(), 1);
    refused(&file(&one("F32", "[1]", 4), &[]), "4 bytes, but is 0 bytes");
    refused(&file(&one("F32", "[1]", 4), &[0; 5]), "4 bytes, but is 5 bytes");
    refused(&file(&one("F32", "[2]", 4), &[0; 4]), "safetensors");
    refused(&file(&one("U64", "[1]", 8), &[0; 8]), "w is U64 of shape [1], which is not read");
    refused(&file(&one("F32", "[0,9223372036854775807]", 0), &[]), "which is not read");
}

#[test]
fn one_tensor_under_many_names_is_limited() {
    let mut pickle =
        b"(dctorch._utils\n_rebuild_tensor_v2\n((S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI4\ntQ"
            .to_vec();
    pickle.extend(b"I0\n(I1\nt(I1\ntI00\nNtRq\x000(");
    for name in 0..100_000u32 {
        pickle.extend(b"U\x04");
        pickle.extend(name.to_be_bytes().map(|byte| byte & 0x7F));
        pickle.extend(b"h\0");
    }
    pickle.extend(b"u.");
    refused(&archive(&[("x/data.pkl", &pickle), ("x/data/0", &[0; 16])]), "more than 65536 tensors");
}

#[test]
fn records_over_the_same_bytes_are_refused() {
    let tensor = |name: u8| {
        let key = char::from(name);
        format!(
            "S'{key}'\nctorch._utils\n_rebuild_tensor_v2\n((S'storage'\nctorch\nByteStorage\nS'{key}'\nS'cpu'\nI4000\ntQI0\n(I1\nt(I1\ntI00\nNtRs"
        )
    };
    let pickle = format!("(d{}{}{}.", tensor(b'0'), tensor(b'1'), tensor(b'2'));
    let mut bytes = archive(&[
        ("x/data.pkl", pickle.as_bytes()),
        ("x/data/0", &[0; 4000]),
        ("x/data/1", &[]),
        ("x/data/2", &[]),
    ]);
    // The central headers of the empty records take over sizes, checksum and place of the full one.
    let headers: Vec<usize> =
        (0..bytes.len() - 4).filter(|&at| &bytes[at..at + 4] == b"PK\x01\x02").collect();
    for part in [16..28, 42..46] {
        let full = bytes[headers[1] + part.start..headers[1] + part.end].to_vec();
        for header in &headers[2..] {
            bytes[header + part.start..header + part.end].copy_from_slice(&full);
        }
    }
    refused(&bytes, "bytes of storages (the whole file)");
}

#[test]
fn long_pickles_cost_in_proportion() {
    for filler in [b")".as_slice(), b"]", b"}", b"(", b"Nh\0", b"2", b"c\n\n"] {
        let pickle = [b"Nq\0", filler.repeat(1 << 18).as_slice(), b"."].concat();
        let _ = digest(&archive(&[("x/data.pkl", &pickle)]));
        assert!(digest_model(&pickle).is_err());
    }
}

#[test]
fn every_beginning_of_a_file_is_an_error() {
    for name in WEIGHTS {
        let whole = fixture(name);
        for length in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
            assert!(digest(&whole[..length]).is_err(), "{name} cut to {length}");
        }
    }
}
