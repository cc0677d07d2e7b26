//! Range asymmetric numeral systems (Duda, arXiv 1311.2540) over bytes, with a static table for each of eight contexts.
//!
//! Eight states lie in `[2^15, 2^31)` and are renormalised by one 16-bit word at most. They take turns symbol by symbol
//! and share one stream of words, which the encoder writes from its end to its start. Interleaving lets the processor
//! work on eight symbols at a time; that, and no branches but the loop's, is where the speed comes from.

/// Tables; the context of a symbol, known to both sides, says which one codes it.
pub(super) const CONTEXTS: usize = 8;
/// Interleaved states.
const LANES: usize = 8;
/// Frequencies of a table add up to `1 << SCALE_BITS`.
const SCALE_BITS: u32 = 12;
const SCALE: usize = 1 << SCALE_BITS;
/// Least value of a state.
const LOW: u32 = 1 << 15;

/// Counts of symbols by `context << 8 | symbol`.
pub(super) type Counts = [u32; CONTEXTS << 8];

/// How often each symbol occurs in its context, in parts of [`SCALE`]; every symbol that occurs has one part at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tables(Vec<[u16; 256]>);

impl Tables {
    pub(super) fn of(counts: &Counts) -> Self {
        Self(counts.as_chunks::<256>().0.iter().map(parts).collect())
    }

    /// Appends the tables: of each how many symbols it knows, the symbols, and their parts in one byte or two.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for parts in &self.0 {
            let known = || parts.iter().enumerate().filter(|&(_, &part)| part > 0);
            out.extend_from_slice(&(known().count() as u16).to_le_bytes());
            for (symbol, &part) in known() {
                out.push(symbol as u8);
                if part < 0x80 {
                    out.push(part as u8);
                } else {
                    out.extend_from_slice(&[0x80 | (part >> 8) as u8, part as u8]);
                }
            }
        }
    }

    /// Reads tables from the front of `input`; none when they are malformed.
    pub(super) fn read(input: &mut &[u8]) -> Option<Self> {
        let mut tables = Vec::with_capacity(CONTEXTS);
        for _ in 0..CONTEXTS {
            let mut parts = [0u16; 256];
            let known = u16::from_le_bytes([next(input)?, next(input)?]);
            let mut sum = 0;
            for _ in 0..known {
                let symbol = usize::from(next(input)?);
                let part = match next(input)? {
                    short @ 0..0x80 => u16::from(short),
                    high => u16::from(high & 0x7f) << 8 | u16::from(next(input)?),
                };
                if part == 0 || parts[symbol] != 0 {
                    return None;
                }
                parts[symbol] = part;
                sum += usize::from(part);
            }
            if known > 0 && (sum != SCALE || known < 2) {
                return None;
            }
            tables.push(parts);
        }
        Some(Self(tables))
    }
}

/// `yes` where `which` is 1, `no` where it is 0, without a branch that nobody can foresee.
fn either(which: u32, yes: u32, no: u32) -> u32 {
    no ^ ((no ^ yes) & which.wrapping_neg())
}

fn next(input: &mut &[u8]) -> Option<u8> {
    let (&first, rest) = input.split_first()?;
    *input = rest;
    Some(first)
}

/// Parts of one context's symbols, at least two of them so that none has all parts; zeros when there are no symbols.
fn parts(counts: &[u32; 256]) -> [u16; 256] {
    let total: u64 = counts.iter().map(|&count| u64::from(count)).sum();
    let mut parts = [0u16; 256];
    if total == 0 {
        return parts;
    }
    for (part, &count) in parts.iter_mut().zip(counts).filter(|(_, count)| **count > 0) {
        let exact = (u64::from(count) * SCALE as u64 + total / 2) / total;
        *part = exact.clamp(1, SCALE as u64 - 1) as u16;
    }
    if counts.iter().filter(|&&count| count > 0).count() == 1 {
        let other = usize::from(parts[0] > 0);
        parts[other] = 1;
    }
    let mut sum: i32 = parts.iter().map(|&part| i32::from(part)).sum();
    // What rounding left over goes to or comes from the symbol where it costs least: the most frequent one.
    while sum != SCALE as i32 {
        let largest = (0..256).max_by_key(|&symbol| parts[symbol]).unwrap_or_default();
        let change = (SCALE as i32 - sum).max(-i32::from(parts[largest]) / 2);
        parts[largest] = (i32::from(parts[largest]) + change) as u16;
        sum += change;
    }
    parts
}

/// What the encoder needs of a symbol, division by its frequency turned into a product.
#[derive(Clone, Copy, Default)]
struct Step {
    reciprocal: u64,
    limit: u32,
    bias: u16,
    complement: u16,
}

impl Step {
    /// Exact: a state times the error of the reciprocal stays below `2^64`.
    fn new(start: u32, part: u32) -> Self {
        let (limit, complement) = (part << (31 - SCALE_BITS), (SCALE as u32 - part) as u16);
        if part < 2 {
            // The largest reciprocal makes the quotient one less than the state; the bias makes up for it.
            let bias = (start + SCALE as u32 - 1) as u16;
            return Self { reciprocal: u64::MAX, limit, bias, complement };
        }
        let reciprocal = u64::MAX / u64::from(part) + 1;
        Self { reciprocal, limit, bias: start as u16, complement }
    }

    fn advance(&self, state: u32) -> u32 {
        let quotient = ((u128::from(state) * u128::from(self.reciprocal)) >> 64) as u32;
        state + u32::from(self.bias) + quotient * u32::from(self.complement)
    }
}

fn steps(tables: &Tables) -> Box<[Step; CONTEXTS << 8]> {
    let mut steps = Box::new([Step::default(); CONTEXTS << 8]);
    for (steps, parts) in steps.as_chunks_mut::<256>().0.iter_mut().zip(&tables.0) {
        let mut start = 0;
        for (step, &part) in steps.iter_mut().zip(parts).filter(|(_, part)| **part > 0) {
            *step = Step::new(start, u32::from(part));
            start += u32::from(part);
        }
    }
    steps
}

/// Appends the states and words that code `keys` (`context << 8 | symbol`), all of which `tables` must know.
pub(super) fn encode(keys: &[u16], tables: &Tables, out: &mut Vec<u8>) {
    let steps = steps(tables);
    let (groups, rest) = keys.as_chunks::<LANES>();
    let mut words = vec![[0u8; 2]; keys.len() + LANES];
    let mut at = words.len();
    let mut states = [LOW; LANES];
    for (lane, &key) in rest.iter().enumerate().rev() {
        let step = &steps[usize::from(key) % steps.len()];
        if states[lane] >= step.limit {
            at -= 1;
            words[at] = (states[lane] as u16).to_le_bytes();
            states[lane] >>= 16;
        }
        states[lane] = step.advance(states[lane]);
    }
    for group in groups.iter().rev() {
        let window: &mut [[u8; 2]; LANES] = words[..at].last_chunk_mut().expect("a word for each symbol");
        let mut free = LANES;
        for lane in (0..LANES).rev() {
            let step = &steps[usize::from(group[lane]) % steps.len()];
            window[(free - 1) % LANES] = (states[lane] as u16).to_le_bytes();
            // A shift rather than a choice, which would be a branch that nobody can foresee.
            let full = u32::from(states[lane] >= step.limit);
            free -= full as usize;
            states[lane] = step.advance(either(full, states[lane] >> 16, states[lane]));
        }
        at -= LANES - free;
    }
    for state in states {
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.extend_from_slice(words[at..].as_flattened());
}

/// Fills `symbols`, whose contexts are `contexts`, from all of `input`; none when it is not what [`encode`] writes.
pub(super) fn decode(input: &[u8], tables: &Tables, contexts: &[u8], symbols: &mut [u8]) -> Option<()> {
    let slots = slots(tables);
    let (head, words) = input.split_at_checked(4 * LANES)?;
    let mut states = [0; LANES];
    for (state, bytes) in states.iter_mut().zip(head.as_chunks::<4>().0) {
        *state = u32::from_le_bytes(*bytes);
    }
    let (words, odd) = words.as_chunks::<2>();
    let mut at = 0;
    let (groups, rest) = symbols.as_chunks_mut::<LANES>();
    let (known, known_rest) = contexts.as_chunks::<LANES>();
    let mut whole = 0;
    for (group, contexts) in groups.iter_mut().zip(known) {
        // As long as a whole window of words lies ahead nothing has to be checked within it.
        let Some(window) = words.get(at..).and_then(|ahead| ahead.first_chunk::<LANES>()) else { break };
        let mut used = 0;
        for lane in 0..LANES {
            let (symbol, state) = slots.step(contexts[lane], states[lane]);
            group[lane] = symbol;
            let word = u32::from(u16::from_le_bytes(window[used % LANES]));
            let low = u32::from(state < LOW);
            states[lane] = either(low, state << 16 | word, state);
            used += low as usize;
        }
        at += used;
        whole += 1;
    }
    let left = groups[whole..].iter_mut().flatten().chain(rest);
    for (index, (symbol, &context)) in left.zip(known[whole..].iter().flatten().chain(known_rest)).enumerate()
    {
        let lane = index % LANES;
        let (found, state) = slots.step(context, states[lane]);
        *symbol = found;
        states[lane] = state;
        if state < LOW {
            states[lane] = state << 16 | u32::from(u16::from_le_bytes(*words.get(at)?));
            at += 1;
        }
    }
    // The encoder began with these; anything else was not written by it.
    (at == words.len() && odd.is_empty() && states == [LOW; LANES]).then_some(())
}

/// For every context and residue of a state: symbol (8 bits), parts (12 bits), distance to the symbol's start (12 bits).
struct Slots(Box<[u32; CONTEXTS << SCALE_BITS]>);

fn slots(tables: &Tables) -> Slots {
    let mut slots = Box::new([0; CONTEXTS << SCALE_BITS]);
    for (slots, parts) in slots.as_chunks_mut::<SCALE>().0.iter_mut().zip(&tables.0) {
        let mut slots = slots.iter_mut();
        for (symbol, &part) in parts.iter().enumerate() {
            for (distance, slot) in (0..u32::from(part)).zip(&mut slots) {
                *slot = symbol as u32 | u32::from(part) << 8 | distance << 20;
            }
        }
    }
    Slots(slots)
}

impl Slots {
    /// The symbol that `state` stands for in `context`, and the state before it.
    fn step(&self, context: u8, state: u32) -> (u8, u32) {
        let entry = self.0[((usize::from(context) % CONTEXTS) << SCALE_BITS) | (state as usize % SCALE)];
        (entry as u8, (entry >> 8 & 0xfff) * (state >> SCALE_BITS) + (entry >> 20))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts(keys: &[u16]) -> Counts {
        let mut counts = [0; CONTEXTS << 8];
        keys.iter().for_each(|&key| counts[usize::from(key)] += 1);
        counts
    }

    fn round_trip(keys: &[u16]) -> usize {
        let tables = Tables::of(&counts(keys));
        let mut coded = Vec::new();
        tables.write(&mut coded);
        encode(keys, &tables, &mut coded);
        let mut input = coded.as_slice();
        let read = Tables::read(&mut input).expect("tables");
        assert_eq!(read, tables);
        let contexts: Vec<u8> = keys.iter().map(|key| (key >> 8) as u8).collect();
        let mut symbols = vec![0; keys.len()];
        decode(input, &read, &contexts, &mut symbols).expect("its own words");
        assert!(keys.iter().zip(&symbols).all(|(key, symbol)| key & 0xff == u16::from(*symbol)));
        for cut in [1, 2, 3, input.len()] {
            assert_eq!(decode(&input[..input.len() - cut], &read, &contexts, &mut symbols), None);
        }
        coded.len()
    }

    #[test]
    fn one_symbol_and_all_symbols() {
        assert!(round_trip(&[0; 10_000]) < 100, "a block of one symbol costs next to nothing");
        round_trip(&[7]);
        round_trip(&(0..2048).collect::<Vec<u16>>());
        let rare: Vec<u16> =
            (0..100_000).map(|n| if n % 10_000 == 0 { n / 10_000 } else { 255 }).map(|s| s as u16).collect();
        round_trip(&rare);
    }

    #[test]
    fn skewed_symbols_come_near_their_entropy() {
        // One in sixteen is not zero: 0.337 bits each.
        let keys: Vec<u16> =
            (0..64_000u32).map(|n| u16::from(n.wrapping_mul(2_654_435_761) >> 28 == 0)).collect();
        let bits = round_trip(&keys) as f64 * 8.0 / 64_000.0;
        assert!(bits < 0.36, "{bits}");
    }

    #[test]
    fn a_step_divides_exactly() {
        for part in 1..SCALE as u32 {
            let step = Step::new(5, part);
            let edges = [LOW, LOW + 1, part * 16 - 1, part * 16, 99_999, step.limit / 2, step.limit - 1];
            for state in edges.into_iter().filter(|state| *state < step.limit) {
                let expected = ((state / part) << SCALE_BITS) + state % part + 5;
                assert_eq!(step.advance(state), expected, "{part} parts, state {state}");
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_is_coded_comes_back(keys in proptest::collection::vec(0u16..2048, 1..3000)) {
            round_trip(&keys);
        }

        #[test]
        fn garbage_is_refused_or_decoded_without_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            contexts in proptest::collection::vec(0u8..8, 0..300),
        ) {
            let tables = Tables::of(&counts(&[1, 2, 3, 300]));
            let mut symbols = vec![0; contexts.len()];
            let _ = decode(&bytes, &tables, &contexts, &mut symbols);
            let _ = Tables::read(&mut bytes.as_slice());
        }
    }
}
