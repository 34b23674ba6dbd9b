//! Random names and secrets, and the digests that are kept in their place. How people's passwords are hashed is
//! in `password`: these secrets are random enough for one round of SHA-256.

use aws_lc_rs::{constant_time, digest, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// SHA-256 of a secret: what is kept of it.
pub(crate) type Digest = [u8; 32];

/// Letters and digits that nobody takes for one another.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Random bytes. A machine without a source of randomness cannot go on.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the system's source of randomness answers");
    bytes
}

/// 256 random bits as text.
pub(crate) fn secret() -> String {
    URL_SAFE_NO_PAD.encode(random::<32>())
}

/// A new name such as `u-7kq2…`, 80 random bits.
pub(crate) fn name(prefix: &str) -> String {
    format!("{prefix}{}", letters::<16>())
}

/// A password to be used once, to be read aloud and typed: 100 random bits.
pub(crate) fn one_time_password() -> String {
    grouped(&letters::<20>(), 5)
}

/// A code to be used once in place of a TOTP code: 80 random bits.
pub(crate) fn recovery_code() -> String {
    grouped(&letters::<16>(), 4)
}

/// What is kept of a secret.
pub(crate) fn digest_of(secret: &str) -> Digest {
    let digest = digest::digest(&digest::SHA256, secret.as_bytes());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

/// A digest as text, for a database.
pub(crate) fn write_digest(digest: &Digest) -> String {
    URL_SAFE_NO_PAD.encode(digest)
}

/// Reads it back.
pub(crate) fn read_digest(text: &str) -> Option<Digest> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// True if both are the same, in a time that does not tell where they differ.
pub(crate) fn same(one: &Digest, other: &Digest) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}

fn letters<const N: usize>() -> String {
    random::<N>().into_iter().map(|byte| LETTERS[usize::from(byte % 32)] as char).collect()
}

fn grouped(letters: &str, each: usize) -> String {
    let groups: Vec<&str> = (0..letters.len()).step_by(each).map(|from| &letters[from..from + each]).collect();
    groups.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_goes_through_text_unchanged_and_differs_from_that_of_another_secret() {
        let digest = digest_of("one");
        assert_eq!(read_digest(&write_digest(&digest)), Some(digest));
        assert!(!same(&digest, &digest_of("two")));
    }

    #[test]
    fn one_time_passwords_are_long_and_each_is_new() {
        let password = one_time_password();
        assert_eq!(password.len(), 23);
        assert_ne!(password, one_time_password());
    }
}
