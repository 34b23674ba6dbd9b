//! A filter that may only ever say "surely new". It is made of lines of one cache line each; a key touches exactly
//! one of them, so a probe costs one miss in memory, or one read on disk.
//!
//! Every line carries its own check: whoever reads a damaged one takes it for "maybe". Knows nothing of files.

use super::Key;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

/// Bytes of a line.
pub const LINE_BYTES: usize = 64;
/// A key sets one bit in each of so many 64-bit lanes; the eighth lane is the check.
const LANES: usize = 7;
const LINE_BITS: u64 = 64 * LANES as u64;

/// What a filter looks at of a key: computed once for all filters.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    place: u64,
    bits: u64,
}

impl Probe {
    /// Of this key.
    pub fn of(key: Key) -> Probe {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&key[0].to_le_bytes());
        bytes[8..].copy_from_slice(&key[1].to_le_bytes());
        let hash = xxh3_128(&bytes);
        Probe { place: (hash >> 64) as u64, bits: hash as u64 }
    }

    /// The line that this key touches, of so many.
    pub fn line(self, lines: u64) -> u64 {
        ((u128::from(self.place) * u128::from(lines)) >> 64) as u64
    }

    fn mask(self, lane: usize) -> u64 {
        1 << ((self.bits >> (6 * lane)) & 63)
    }
}

/// One cache line of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(align(64))]
pub struct Line([u64; LANES + 1]);

impl Line {
    const EMPTY: Line = Line([0; LANES + 1]);
    /// Rules nothing out.
    pub const MAYBE: Line = Line([u64::MAX; LANES + 1]);

    fn add(&mut self, probe: Probe) {
        for lane in 0..LANES {
            self.0[lane] |= probe.mask(lane);
        }
    }

    /// `false`: the key was surely never added. Without branches, as half of the bits are set.
    pub fn may_hold(&self, probe: Probe) -> bool {
        (0..LANES).fold(0, |missing, lane| missing | (probe.mask(lane) & !self.0[lane])) == 0
    }

    /// For the disk; `number` is the line's place, so that a line elsewhere is not taken for this one.
    fn sealed(mut self, number: u64) -> [u8; LINE_BYTES] {
        let mut bytes = self.bytes();
        self.0[LANES] = check(&bytes, number);
        bytes = self.bytes();
        bytes
    }

    fn bytes(&self) -> [u8; LINE_BYTES] {
        let mut bytes = [0; LINE_BYTES];
        for (lane, word) in bytes.chunks_exact_mut(8).zip(self.0) {
            lane.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// From the disk; a damaged line rules nothing out.
    pub fn read(bytes: &[u8; LINE_BYTES], number: u64) -> Line {
        let mut line = Line::EMPTY;
        for (word, lane) in line.0.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_le_bytes(*lane);
        }
        if line.0[LANES] == check(bytes, number) { line } else { Line::MAYBE }
    }
}

fn check(bytes: &[u8; LINE_BYTES], number: u64) -> u64 {
    xxh3_64_with_seed(&bytes[..LANES * 8], number)
}

/// Lines of a filter for so many keys. Without bits there are none, and the filter rules nothing out.
pub fn lines_for(keys: u64, bits_per_key: u64) -> u64 {
    (keys * bits_per_key).div_ceil(LINE_BITS)
}

/// The filter of these keys as it stands on disk.
pub fn build(probes: &[Probe], bits_per_key: u64) -> Vec<u8> {
    let lines = lines_for(probes.len() as u64, bits_per_key);
    let mut filter = vec![Line::EMPTY; lines as usize];
    if lines > 0 {
        for probe in probes {
            filter[probe.line(lines) as usize].add(*probe);
        }
    }
    filter.iter().zip(0..).flat_map(|(line, number)| line.sealed(number)).collect()
}
