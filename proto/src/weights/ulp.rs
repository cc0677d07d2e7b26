//! One block of a delta: signed steps in units of the last place between bf16 bit patterns, entropy coded.
//!
//! A bit pattern maps to its place in the order of all 65,536 (negative ones reversed, below the positive ones), so that
//! neighbouring numbers are one apart and the mapping loses nothing: NaNs, infinities and both zeros included. The
//! difference of two places, modulo 2^16, is the step; a step of an optimiser is few of them where weights are large and
//! many where they are small, so the exponent of the base chooses the table that codes it.

use super::rans::{self, CONTEXTS, Counts, Tables};

/// Codes of steps from here on are written out as the new bit pattern itself.
const ESCAPE: u16 = 255;
/// Elements looked at together; those without an escape, which are most, take no second look.
const STRIP: usize = 64;

/// How a block is coded: its first byte.
mod kind {
    pub(super) const RAW: u8 = 0;
    pub(super) const SAME: u8 = 1;
    pub(super) const STEPS: u8 = 2;
}

/// Appends the block that turns `base` into `new`, bf16 little-endian and of the same length, or a raw one when that is
/// smaller.
pub(super) fn encode(base: &[u8], new: &[u8], out: &mut Vec<u8>) {
    debug_assert_eq!(base.len(), new.len());
    if base == new {
        out.push(kind::SAME);
        return;
    }
    let start = out.len();
    encode_steps(base.as_chunks().0, new.as_chunks().0, out);
    if out.len() - start > new.len() {
        out.truncate(start);
        encode_raw(new, out);
    }
}

/// Appends `new` as it is, or the note that nothing changed; for elements that are not bf16.
pub(super) fn encode_plain(base: &[u8], new: &[u8], out: &mut Vec<u8>) {
    if base == new { out.push(kind::SAME) } else { encode_raw(new, out) }
}

fn encode_raw(new: &[u8], out: &mut Vec<u8>) {
    out.push(kind::RAW);
    out.extend_from_slice(new);
}

fn encode_steps(base: &[[u8; 2]], new: &[[u8; 2]], out: &mut Vec<u8>) {
    let top = top_exponent(base);
    let mut keys = vec![0; new.len()];
    let mut escapes = Vec::new();
    for ((keys, base), new) in keys.chunks_mut(STRIP).zip(base.chunks(STRIP)).zip(new.chunks(STRIP)) {
        let mut largest = 0;
        for ((key, base), new) in keys.iter_mut().zip(base).zip(new) {
            let base = u16::from_le_bytes(*base);
            let code = code(base, u16::from_le_bytes(*new));
            largest = largest.max(code);
            *key = context(base, u16::from(top)) << 8 | code.min(ESCAPE);
        }
        if largest >= ESCAPE {
            let mut found = [[0; 2]; STRIP];
            let mut many = 0;
            for (key, new) in keys.iter().zip(new) {
                // Written always and kept sometimes: no branch that nobody can foresee.
                found[many % STRIP] = *new;
                many += usize::from(*key & 0xff == ESCAPE);
            }
            escapes.extend_from_slice(&found[..many]);
        }
    }
    let tables = Tables::of(&counts(&keys));
    out.extend_from_slice(&[kind::STEPS, top]);
    out.extend_from_slice(&(escapes.len() as u32).to_le_bytes());
    out.extend_from_slice(escapes.as_flattened());
    tables.write(out);
    rans::encode(&keys, &tables, out);
}

/// Four sets of counters, so that a run of the same key does not wait for its own last increment.
fn counts(keys: &[u16]) -> Counts {
    let mut counts: Box<[Counts; 4]> = Box::new([[0; CONTEXTS << 8]; 4]);
    let (groups, rest) = keys.as_chunks::<4>();
    for group in groups {
        for lane in 0..4 {
            counts[lane][usize::from(group[lane]) % (CONTEXTS << 8)] += 1;
        }
    }
    for &key in rest {
        counts[0][usize::from(key)] += 1;
    }
    std::array::from_fn(|key| counts.iter().map(|counts| counts[key]).sum())
}

/// Fills `new` from `base` and what [`encode`] wrote; none when `input` is not such a block of this length.
pub(super) fn decode(base: &[u8], input: &[u8], new: &mut [u8]) -> Option<()> {
    let (&kind, input) = input.split_first()?;
    match kind {
        kind::RAW if input.len() == new.len() => new.copy_from_slice(input),
        kind::SAME if input.is_empty() => new.copy_from_slice(base),
        kind::STEPS if new.len().is_multiple_of(2) => {
            decode_steps(base.as_chunks().0, input, new.as_chunks_mut().0)?;
        }
        _ => return None,
    }
    Some(())
}

fn decode_steps(base: &[[u8; 2]], input: &[u8], new: &mut [[u8; 2]]) -> Option<()> {
    let (&top, input) = input.split_first()?;
    let (escaped, input) = input.split_first_chunk()?;
    let escaped = (u32::from_le_bytes(*escaped) as usize).checked_mul(2)?;
    let (escapes, mut input) = input.split_at_checked(escaped)?;
    let tables = Tables::read(&mut input)?;
    let contexts: Vec<u8> =
        base.iter().map(|base| context(u16::from_le_bytes(*base), u16::from(top)) as u8).collect();
    let mut symbols = vec![0; new.len()];
    rans::decode(input, &tables, &contexts, &mut symbols)?;
    let mut escapes = escapes.as_chunks::<2>().0.iter();
    for ((base, new), symbols) in base.chunks(STRIP).zip(new.chunks_mut(STRIP)).zip(symbols.chunks(STRIP)) {
        let mut largest = 0;
        for ((new, base), &symbol) in new.iter_mut().zip(base).zip(symbols) {
            *new = stepped(u16::from_le_bytes(*base), u16::from(symbol)).to_le_bytes();
            largest = largest.max(symbol);
        }
        if u16::from(largest) == ESCAPE {
            for (new, _) in new.iter_mut().zip(symbols).filter(|(_, symbol)| u16::from(**symbol) == ESCAPE) {
                *new = *escapes.next()?;
            }
        }
    }
    escapes.next().is_none().then_some(())
}

/// The place of a bit pattern in the order of all of them.
fn place(bits: u16) -> u16 {
    bits ^ ((bits as i16 >> 15) as u16 | 0x8000)
}

/// The bit pattern at a place.
fn pattern(place: u16) -> u16 {
    place ^ ((!place as i16 >> 15) as u16 | 0x8000)
}

/// The step from `base` to `new`: 0, -1, 1, -2, 2, ... as 0, 1, 2, 3, 4, ...
fn code(base: u16, new: u16) -> u16 {
    let step = place(new).wrapping_sub(place(base)) as i16;
    (step << 1 ^ step >> 15) as u16
}

/// The pattern that `code` leads to from `base`.
fn stepped(base: u16, code: u16) -> u16 {
    let step = code >> 1 ^ (code & 1).wrapping_neg();
    pattern(place(base).wrapping_add(step))
}

fn exponent(bits: u16) -> u16 {
    bits >> 7 & 0xff
}

/// A context for each exponent from `top` down; the first has those above it too, the last those below.
fn context(base: u16, top: u16) -> u16 {
    top.saturating_sub(exponent(base)).min(CONTEXTS as u16 - 1)
}

/// The exponent above which there are few of a block's numbers.
fn top_exponent(base: &[[u8; 2]]) -> u8 {
    let mut counts = [0u32; 256];
    for bits in base.iter().step_by(7) {
        counts[usize::from(exponent(u16::from_le_bytes(*bits)))] += 1;
    }
    let total: u32 = counts.iter().sum();
    let mut above = 0;
    for (exponent, &count) in counts.iter().enumerate().rev() {
        above += count;
        if above > total / 64 {
            return exponent as u8;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(patterns: &[u16]) -> Vec<u8> {
        patterns.iter().flat_map(|bits| bits.to_le_bytes()).collect()
    }

    fn round_trip(base: &[u16], new: &[u16]) -> usize {
        let (base, new) = (bytes(base), bytes(new));
        let mut coded = Vec::new();
        encode(&base, &new, &mut coded);
        let mut back = vec![0x55; new.len()];
        decode(&base, &coded, &mut back).expect("its own block");
        assert!(back == new);
        assert!(coded.len() <= new.len() + 1, "{} for {}", coded.len(), new.len());
        coded.len()
    }

    #[test]
    fn every_pattern_has_one_place_and_neighbours_are_one_apart() {
        for bits in 0..=u16::MAX {
            assert_eq!(pattern(place(bits)), bits);
        }
        assert_eq!(place(0x0000), place(0x8000) + 1, "the zeros are neighbours");
        assert_eq!((code(0x3f80, 0x3f80), code(0x3f80, 0x3f7f), code(0x3f80, 0x3f81)), (0, 1, 2));
        assert_eq!((code(0xbf80, 0xbf81), code(0xbf80, 0xbf7f)), (1, 2), "up is up below zero too");
    }

    #[test]
    fn every_pattern_becomes_every_other_kind_of_pattern() {
        let all: Vec<u16> = (0..=u16::MAX).collect();
        for target in [0, 0x8000, 0x7f80, 0xff80, 0x7fc1, 0xffff, 0x3f80] {
            round_trip(&all, &vec![target; all.len()]);
            round_trip(&vec![target; all.len()], &all);
        }
    }

    #[test]
    fn small_steps_are_small() {
        let base: Vec<u16> =
            (0..100_000u32).map(|n| 0x3c00 + (n.wrapping_mul(2_654_435_761) >> 23) as u16).collect();
        let step = |n: usize| u16::from(n.is_multiple_of(20));
        let new: Vec<u16> = base.iter().enumerate().map(|(n, bits)| bits + step(n)).collect();
        assert!(round_trip(&base, &new) < 100_000 / 20, "less than a byte for each that changed");
        assert_eq!(round_trip(&base, &base), 1);
    }

    proptest! {
        #[test]
        fn any_patterns_come_back(pairs in proptest::collection::vec(any::<(u16, u16)>(), 1..2000)) {
            let (base, new): (Vec<u16>, Vec<u16>) = pairs.into_iter().unzip();
            round_trip(&base, &new);
        }

        #[test]
        fn near_patterns_come_back(pairs in proptest::collection::vec((any::<u16>(), -300i16..300), 1..2000)) {
            let base: Vec<u16> = pairs.iter().map(|pair| pair.0).collect();
            let new: Vec<u16> = pairs.iter().map(|pair| pair.0.wrapping_add_signed(pair.1)).collect();
            round_trip(&base, &new);
        }

        #[test]
        fn damage_is_refused_or_gives_other_numbers(at in 0usize..400, to in any::<u8>()) {
            let base: Vec<u16> = (0..500).map(|n| 0x3c00 + n).collect();
            let new: Vec<u16> = base.iter().map(|bits| bits + bits % 3).collect();
            let (base, new) = (bytes(&base), bytes(&new));
            let mut coded = Vec::new();
            encode(&base, &new, &mut coded);
            let at = at % coded.len();
            coded[at] = to;
            let _ = decode(&base, &coded, &mut vec![0; new.len()]);
        }
    }
}
