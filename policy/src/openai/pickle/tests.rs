//! Pickles of every protocol, written by Python, and bytes that no Python wrote.

use super::*;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/fixtures/openai/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn member<'a>(pickle: &'a Pickle, key: &str) -> &'a [NodeId] {
    pickle.sequence(pickle.get(pickle.root(), key).unwrap()).unwrap()
}

fn nodes<'a>(pickle: &'a Pickle, key: &str) -> Vec<&'a Node> {
    member(pickle, key).iter().map(|&id| pickle.node(id)).collect()
}

fn error(bytes: &[u8]) -> String {
    Pickle::parse(bytes).unwrap_err().to_string()
}

#[test]
fn every_protocol_says_the_same() {
    for protocol in 0..=5 {
        let pickle = Pickle::parse(&fixture(&format!("protocol_{protocol}.pickle"))).unwrap();
        let whole = [0, -1, 255, 65_535, -70_000, 1 << 40, i64::MIN].map(Node::Integer);
        let integers = nodes(&pickle, "integers");
        assert_eq!(integers[..7], whole.iter().collect::<Vec<_>>()[..], "protocol {protocol}");
        assert_eq!(integers[7], &Node::LargeInteger);
        let constants = nodes(&pickle, "constants");
        assert_eq!(constants[0], &Node::None);
        // Protocol 0 and 1 spell booleans as integers of two digits.
        assert_eq!(constants[1..], [&Node::Bool(true), &Node::Bool(false)]);
        assert_eq!(nodes(&pickle, "floats"), [&Node::Float(1.5), &Node::Float(-1e-300)]);
        let text = pickle.get(pickle.root(), "text").unwrap();
        assert_eq!(pickle.text(text), Some("é€\n\\u"));
        let lengths: Vec<_> =
            member(&pickle, "tuples").iter().map(|&id| pickle.sequence(id).unwrap().len()).collect();
        assert_eq!(lengths, [0, 1, 2, 3, 4]);
        let nested = pickle.get(pickle.root(), "nested").unwrap();
        assert_eq!(pickle.describe(pickle.entries(nested).unwrap()[0].1), "a dict of 1");
    }
}

#[test]
fn sharing_and_cycles_are_kept() {
    for protocol in 0..=5 {
        let pickle = Pickle::parse(&fixture(&format!("protocol_{protocol}.pickle"))).unwrap();
        let shared = member(&pickle, "shared");
        assert_eq!(shared[0], shared[1]);
        let cycle = pickle.get(pickle.root(), "cycle").unwrap();
        assert_eq!(pickle.sequence(cycle).unwrap(), [cycle]);
    }
}

#[test]
fn sets_and_bytes_of_newer_protocols_are_plain() {
    let pickle = Pickle::parse(&fixture("protocol_4.pickle")).unwrap();
    assert_eq!(nodes(&pickle, "set"), [&Node::Integer(7)]);
    assert_eq!(nodes(&pickle, "frozen"), [&Node::Integer(8)]);
    let bytes = pickle.get(pickle.root(), "bytes").unwrap();
    assert_eq!(pickle.node(bytes), &Node::Bytes(vec![0, 255, b'\n']));
}

#[test]
fn calls_are_noted_and_not_made() {
    for attack in [
        &b"cos\nsystem\n(S'touch /tmp/pwned'\ntR."[..],
        b"(S'touch /tmp/pwned'\nios\nsystem\n.",
        b"(cos\nsystem\nS'touch /tmp/pwned'\no.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x10touch /tmp/pwned\x85R.",
        b"\x80\x02cos\nsystem\nU\x10touch /tmp/pwned\x85\x81}b.",
    ] {
        let pickle = Pickle::parse(attack).unwrap();
        let (class, args) = pickle.object(pickle.root()).unwrap();
        assert_eq!(class, ("os", "system"));
        assert_eq!(args.iter().map(|&id| pickle.text(id)).collect::<Vec<_>>(), [Some("touch /tmp/pwned")]);
        assert_eq!(pickle.describe(pickle.root()), "an object of os.system");
        assert!(pickle.entries(pickle.root()).is_none());
    }
}

#[test]
fn the_last_of_equal_keys_counts() {
    let pickle = Pickle::parse(b"(dS'a'\nI1\nsS'a'\nI2\ns.").unwrap();
    let value = pickle.get(pickle.root(), "a").unwrap();
    assert_eq!(pickle.size(value), Some(2));
    assert!(pickle.get(pickle.root(), "b").is_none());
}

#[test]
fn what_is_no_pickle_says_where_and_why() {
    for (bytes, expected) in [
        (&b""[..], "at byte 0, 1 bytes are announced, 0 are left"),
        (b"K", "at byte 0, 1 bytes are announced, 0 are left"),
        (b"N\xff.", "at byte 1, opcode 0xff is unknown"),
        (b".", "the stack is empty"),
        (b"(.", "the stack is empty"),
        (b"0", "the stack is empty"),
        (b"t.", "there is no mark"),
        (b"N(a.", "the stack is empty"),
        (b"h\x00.", "the memo has no entry 0"),
        (b"q\x00.", "the stack is empty"),
        (b"\x80\x06.", "protocol 6 is newer"),
        (b"X\xff\xff\xff\xffab.", "4294967295 bytes are announced, 3 are left"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffab.", "18446744073709551615 bytes are announced"),
        (b"\x96\x00\x00\x00\x00\x00\x01\x00\x00.", "1099511627776 bytes are announced, 1 are left"),
        (b"T\xff\xff\xff\xff.", "a length is negative"),
        (b"\x8b\xff\xff\xff\xff.", "a length is negative"),
        (b"X\x01\x00\x00\x00\xff.", "not UTF-8"),
        (b"I1", "a line has no end"),
        (b"Ione\n.", "not decimal"),
        (b"I-\n.", "not decimal"),
        (b"Fpi\n.", "no"),
        (b"Sunquoted\n.", "no quotes"),
        (b"S'\n.", "no quotes"),
        (b"S'\\q'\n.", "unknown escape"),
        (b"S'\\xg0'\n.", "not hexadecimal"),
        (b"V\\u12\n.", "inside an escape"),
        (b"V\\ud800\n.", "no character"),
        (b"(NdN.", "a key without a value"),
        (b"NNs.", "the stack is empty"),
        (b"NNNs.", "entries of what is no dict"),
        (b"NNa.", "appends to what is no list"),
        (b"cos\nsystem\nNR.", "no tuple"),
        (b"NN\x93.", "not named by strings"),
        (b"(o.", "an object has no class"),
        (b"\x82\x01.", "a number of some registry"),
        (b"\x97.", "a buffer outside the file"),
        (b"p-1\n.", "out of range"),
    ] {
        let text = error(bytes);
        assert!(text.contains(expected), "{bytes:?}: {text}");
    }
}

#[test]
fn every_beginning_of_a_pickle_is_an_error() {
    for name in ["protocol_0.pickle", "protocol_2.pickle", "protocol_5.pickle", "policy_tiny.model"] {
        let whole = fixture(name);
        for length in 0..whole.len() {
            assert!(Pickle::parse(&whole[..length]).is_err(), "{name} cut to {length}");
        }
    }
}

#[test]
fn length_and_instructions_are_limited() {
    let mut endless = vec![b'N'; MAX_OPERATIONS + 10];
    assert!(error(&endless).contains("instructions of a pickle"));
    endless.resize(MAX_BYTES + 1, b'N');
    assert!(error(&endless).contains("bytes of a pickle"));
    // As deep as the limit allows, which nothing recurses into.
    let mut deep = vec![b']'; 1000];
    deep.extend(vec![b'a'; 999]);
    deep.push(b'.');
    let pickle = Pickle::parse(&deep).unwrap();
    assert_eq!(pickle.describe(pickle.root()), "a list of 1");
}

#[test]
fn long_texts_are_shortened_in_messages() {
    assert_eq!(shortened("héllo"), "héllo");
    let long = "é".repeat(200);
    assert_eq!(shortened(&long), format!("{}…", "é".repeat(80)));
}
