//! AES-256-GCM, HMAC-SHA-256 and random bytes as the vault uses them. What is sealed, and by which key, is others'.

use crate::Error;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// 256 secret bits; wiped when they go.
pub(crate) type Secret = Zeroizing<[u8; 32]>;

pub(crate) fn random_secret() -> Result<Secret, Error> {
    let mut secret = Secret::default();
    rand::fill(&mut secret[..]).map_err(|_| Error::Cipher)?;
    Ok(secret)
}

/// Seals under one key.
pub(crate) struct Cipher(LessSafeKey);

impl Cipher {
    pub(crate) fn new(key: &Secret) -> Result<Cipher, Error> {
        let key = UnboundKey::new(&AES_256_GCM, &key[..]).map_err(|_| Error::Cipher)?;
        Ok(Cipher(LessSafeKey::new(key)))
    }

    /// A random nonce, the ciphertext, the tag.
    pub(crate) fn seal(&self, belongs_to: &[u8], plain: &[u8]) -> Result<Vec<u8>, Error> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| Error::Cipher)?;
        self.seal_with(nonce, belongs_to, plain)
    }

    fn seal_with(&self, nonce: [u8; NONCE_LEN], belongs_to: &[u8], plain: &[u8]) -> Result<Vec<u8>, Error> {
        let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let text = &mut sealed[NONCE_LEN..];
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(belongs_to), text).map_err(|_| Error::Cipher)?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// What was sealed; none where it was changed, or belongs elsewhere, or another key sealed it.
    pub(crate) fn open(&self, belongs_to: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let (nonce, mut text) = (Nonce::assume_unique_for_key(*nonce), text.to_vec());
        let length = self.0.open_in_place(nonce, Aad::from(belongs_to), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }
}

/// Hashes that only this key makes.
pub(crate) struct Hasher(hmac::Key);

impl Hasher {
    /// A hasher for one purpose, from a key that may have several.
    pub(crate) fn new(key: &Secret, purpose: &str) -> Hasher {
        let of_purpose = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key[..]), purpose.as_bytes());
        Hasher(hmac::Key::new(hmac::HMAC_SHA256, of_purpose.as_ref()))
    }

    pub(crate) fn of(&self, fields: &[&str]) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(hmac::sign(&self.0, &joined(fields)).as_ref());
        hash
    }
}

/// Fields one after the other, each with its length before it: other fields never look the same.
pub(crate) fn joined(fields: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(fields.iter().map(|field| 8 + field.len()).sum());
    for field in fields {
        bytes.extend_from_slice(&(field.len() as u64).to_be_bytes());
        bytes.extend_from_slice(field.as_bytes());
    }
    bytes
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// Test case 16 of "The Galois/Counter Mode of Operation" (McGrew and Viega), AES-256 with associated data.
    #[test]
    fn it_is_the_aes_256_gcm_of_the_published_vectors() {
        let key = bytes("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
        let nonce = bytes("cafebabefacedbaddecaf888");
        let belongs_to = bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2");
        let plain = bytes(concat!(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72",
            "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
        ));
        let text_and_tag = bytes(concat!(
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa",
            "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
            "76fc6ece0f4e1768cddf8853bb2d551b"
        ));
        let cipher = Cipher::new(&Secret::new(key.try_into().unwrap())).unwrap();
        let sealed = cipher.seal_with(nonce.clone().try_into().unwrap(), &belongs_to, &plain).unwrap();
        assert_eq!(sealed, [nonce, text_and_tag].concat());
        assert_eq!(cipher.open(&belongs_to, &sealed), Some(plain));
    }

    #[test]
    fn hashes_are_apart_by_purpose_and_by_where_a_field_ends() {
        let key = Secret::new([7; 32]);
        let hasher = Hasher::new(&key, "one");
        assert_eq!(hasher.of(&["ab", "c"]), hasher.of(&["ab", "c"]));
        assert_ne!(hasher.of(&["ab", "c"]), hasher.of(&["a", "bc"]));
        assert_ne!(hasher.of(&["ab", "c"]), Hasher::new(&key, "two").of(&["ab", "c"]));
    }
}
