//! How entries hang together: the hash of an entry is SHA-256 over the hash of the one before and all its fields, each
//! with its length before it. Before the first stands a hash of the ledger's own random name.

use crate::entry::Recorded;
use aws_lc_rs::digest::{Context, SHA256};
use std::fmt;

/// A hash of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hash([u8; 32]);

impl Hash {
    pub(crate) fn of(bytes: &[u8]) -> Hash {
        let mut context = Context::new(&SHA256);
        context.update(bytes);
        Hash::finished(context)
    }

    /// What stands before the first entry.
    pub(crate) fn before_the_first(ledger: &str) -> Hash {
        let mut context = Context::new(&SHA256);
        field(&mut context, Some(b"drover audit v1"));
        field(&mut context, Some(ledger.as_bytes()));
        Hash::finished(context)
    }

    /// Reads 64 hexadecimal digits, lowercase.
    pub(crate) fn parse(text: &str) -> Option<Hash> {
        let mut hash = [0; 32];
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Hash(hash))
    }

    fn finished(context: Context) -> Hash {
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Hash(hash)
    }
}

fn digit(char: u8) -> Option<u8> {
    match char {
        b'0'..=b'9' => Some(char - b'0'),
        b'a'..=b'f' => Some(char - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Recorded {
    /// The hash that it must have after an entry of the hash `previous`.
    pub(crate) fn hash_after(&self, previous: Hash) -> Hash {
        let mut context = Context::new(&SHA256);
        context.update(&previous.0);
        field(&mut context, Some(&self.seq.to_be_bytes()));
        field(&mut context, Some(&self.time_ms.to_be_bytes()));
        for text in [&self.actor, &self.action, &self.subject] {
            field(&mut context, Some(text.as_bytes()));
        }
        for text in [&self.fleet, &self.address] {
            field(&mut context, text.as_ref().map(String::as_bytes));
        }
        for value in [&self.before, &self.after] {
            field(&mut context, value.as_ref().map(|value| value.get().as_bytes()));
        }
        field(&mut context, Some(self.outcome.as_bytes()));
        let origin = self.origin.as_ref();
        field(&mut context, origin.map(|origin| origin.source.as_bytes()));
        field(&mut context, origin.map(|origin| origin.seq.to_be_bytes()).as_ref().map(|seq| seq.as_slice()));
        Hash::finished(context)
    }

    /// Gives it its place after an entry of the hash `previous`.
    pub(crate) fn chained(mut self, seq: u64, previous: Hash) -> (Recorded, Hash) {
        self.seq = seq;
        let hash = self.hash_after(previous);
        (self.previous_hash, self.hash) = (previous.to_string(), hash.to_string());
        (self, hash)
    }
}

/// The length and the bytes; where nothing is, a length that no field has.
fn field(context: &mut Context, bytes: Option<&[u8]>) {
    let length = bytes.map_or(u64::MAX, |bytes| bytes.len() as u64);
    context.update(&length.to_be_bytes());
    context.update(bytes.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Entry;

    #[test]
    fn every_field_counts_and_so_does_where_it_ends() {
        let hash = |entry: Entry| Recorded { time_ms: 7, ..entry.draft() }.hash_after(Hash::of(b"before"));
        let plain = || Entry::new("ab", "c", "d");
        let others = [
            Entry::new("a", "bc", "d"),
            Entry { fleet: Some(String::new()), ..plain() },
            Entry { address: Some([127, 0, 0, 1].into()), ..plain() },
            Entry { before: Some(1.into()), ..plain() },
            Entry { after: Some(1.into()), ..plain() },
            Entry { outcome: crate::Outcome::Failed, ..plain() },
            Entry { origin: Some(("x", 1)), ..plain() },
            Entry { origin: Some(("x", 2)), ..plain() },
        ];
        let mut hashes: Vec<_> = others.into_iter().map(hash).chain([hash(plain())]).collect();
        hashes.push(Recorded { time_ms: 8, ..plain().draft() }.hash_after(Hash::of(b"before")));
        hashes.push(Recorded { time_ms: 7, ..plain().draft() }.hash_after(Hash::of(b"another before")));
        for (at, one) in hashes.iter().enumerate() {
            assert!(!hashes[at + 1..].contains(one), "{at}");
        }
    }

    #[test]
    fn a_hash_and_its_digits_go_both_ways() {
        // SHA-256 of "abc", FIPS 180-2.
        let digits = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Hash::of(b"abc").to_string(), digits);
        assert_eq!(Hash::parse(digits), Some(Hash::of(b"abc")));
        assert!(Hash::parse(&digits.to_uppercase()).is_none() && Hash::parse(&digits[1..]).is_none());
    }
}
