//! Access tokens: JSON Web Tokens, signed with HMAC-SHA-256 by keys that only this installation has. A token names
//! a login session; whether that is still good is not known here.

use crate::secrets;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};

const ISSUER: &str = "drover";
const FILE: &str = "signing.json";
/// How often the file is read again at most, when a token names a key that is not known: another process may have
/// made it.
const READ_AGAIN_MS: i64 = 5_000;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// Who made it.
    iss: String,
    /// Whose it is, as `user/u-…`.
    pub(crate) sub: String,
    /// The login session.
    pub(crate) sid: String,
    /// Made at, seconds.
    iat: i64,
    /// Good until, seconds.
    exp: i64,
}

/// The signing keys. The newest signs; older ones are good for reading until their tokens have ended.
pub(crate) struct Signer {
    path: PathBuf,
    token_ms: i64,
    keys: RwLock<Vec<Key>>,
    read_ms: AtomicI64,
    rotating: Mutex<()>,
}

struct Key {
    /// The token's first part, which is the same for all tokens of a key. Comparing it as it is pins the algorithm.
    head: String,
    key: hmac::Key,
    written: WrittenKey,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct WrittenKey {
    id: String,
    secret: String,
    /// When a newer one took its place; 0 for the one in use.
    retired_ms: i64,
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenKeys {
    keys: Vec<WrittenKey>,
}

impl Signer {
    /// Reads the keys in this folder, or makes the first. Only its owner can read the file.
    pub(crate) fn open(folder: &Path, token_ms: i64) -> io::Result<Signer> {
        fs::create_dir_all(folder)?;
        let (path, keys, read_ms) = (folder.join(FILE), RwLock::default(), AtomicI64::new(0));
        let signer = Signer { path, token_ms, keys, read_ms, rotating: Mutex::default() };
        if signer.path.exists() {
            signer.read_again()?;
        }
        if signer.keys.read().is_empty() {
            signer.rotate(0)?;
        }
        Ok(signer)
    }

    /// A new key signs from now on. On return it is durable; the old ones are kept until their tokens have ended.
    pub(crate) fn rotate(&self, now_ms: i64) -> io::Result<String> {
        // One at a time; who signs and verifies meanwhile does not wait for the disk.
        let _mine = self.rotating.lock();
        if self.path.exists() {
            // Another process may have rotated: its key must not be lost.
            self.read_again()?;
        }
        let mut written: Vec<WrittenKey> = self.keys.read().iter().map(|key| key.written.clone()).collect();
        written.retain(|key| key.retired_ms == 0 || key.retired_ms + self.token_ms > now_ms);
        written.iter_mut().filter(|key| key.retired_ms == 0).for_each(|key| key.retired_ms = now_ms.max(1));
        let id = secrets::name("");
        written.push(WrittenKey { id: id.clone(), secret: secrets::secret(), retired_ms: 0 });
        let file = WrittenKeys { keys: written };
        write_private(&self.path, &serde_json::to_vec_pretty(&file)?)?;
        *self.keys.write() = read_keys(file)?;
        Ok(id)
    }

    /// The id of the key that signs, and how many older ones are good for reading.
    pub(crate) fn in_use(&self, now_ms: i64) -> (String, usize) {
        let keys = self.keys.read();
        let is_older = |key: &&Key| key.written.retired_ms > 0 && key.written.retired_ms + self.token_ms > now_ms;
        let id = keys.last().map(|key| key.written.id.clone()).unwrap_or_default();
        (id, keys.iter().filter(is_older).count())
    }

    /// A token of a session.
    pub(crate) fn sign(&self, sub: &str, sid: &str, now_ms: i64) -> String {
        let (iat, exp) = (now_ms / 1000, (now_ms + self.token_ms) / 1000);
        let claims = Claims { iss: ISSUER.into(), sub: sub.into(), sid: sid.into(), iat, exp };
        let keys = self.keys.read();
        // Opening and rotating leave one key at least.
        let Some(key) = keys.last() else { return String::new() };
        let body = serde_json::to_vec(&claims).unwrap_or_default();
        let signed = format!("{}.{}", key.head, URL_SAFE_NO_PAD.encode(body));
        let tag = hmac::sign(&key.key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }

    /// What a token says, if it is ours, unchanged, and has not ended.
    pub(crate) fn verify(&self, token: &str, now_ms: i64) -> Option<Claims> {
        let (signed, tag) = token.rsplit_once('.')?;
        let (head, body) = signed.split_once('.')?;
        if !self.knows(head) {
            self.look_for_new_keys(now_ms);
        }
        let keys = self.keys.read();
        let key = keys.iter().find(|key| key.head == head)?;
        if key.written.retired_ms > 0 && key.written.retired_ms + self.token_ms < now_ms {
            return None;
        }
        hmac::verify(&key.key, signed.as_bytes(), &URL_SAFE_NO_PAD.decode(tag).ok()?).ok()?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()?;
        (claims.iss == ISSUER && now_ms < claims.exp * 1000).then_some(claims)
    }

    /// How long tokens are good, seconds.
    pub(crate) fn token_s(&self) -> i64 {
        self.token_ms / 1000
    }

    fn knows(&self, head: &str) -> bool {
        self.keys.read().iter().any(|key| key.head == head)
    }

    fn look_for_new_keys(&self, now_ms: i64) {
        let last = self.read_ms.load(Ordering::Relaxed);
        let due = now_ms - last >= READ_AGAIN_MS;
        let is_ours = || self.read_ms.compare_exchange(last, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if due
            && is_ours()
            && let Err(error) = self.read_again()
        {
            tracing::warn!(%error, path = %self.path.display(), "the signing keys cannot be read again");
        }
    }

    fn read_again(&self) -> io::Result<()> {
        let file: WrittenKeys = serde_json::from_slice(&fs::read(&self.path)?)?;
        *self.keys.write() = read_keys(file)?;
        Ok(())
    }
}

fn read_keys(file: WrittenKeys) -> io::Result<Vec<Key>> {
    file.keys.into_iter().map(read_key).collect()
}

fn read_key(written: WrittenKey) -> io::Result<Key> {
    let secret = URL_SAFE_NO_PAD.decode(&written.secret).map_err(io::Error::other)?;
    if secret.len() < 32 {
        return Err(io::Error::other("a signing key has fewer than 32 bytes"));
    }
    let head = format!(r#"{{"alg":"HS256","kid":"{}","typ":"JWT"}}"#, written.id);
    Ok(Key { head: URL_SAFE_NO_PAD.encode(head), key: hmac::Key::new(hmac::HMAC_SHA256, &secret), written })
}

/// The file is there whole or as it was before, and only its owner can read it.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN_MS: i64 = 900_000;

    #[test]
    fn a_token_says_whose_it_is_until_it_ends_or_is_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let signer = Signer::open(folder.path(), TOKEN_MS).expect("opens");
        let token = signer.sign("user/u-1", "s-1", 1_000_000);
        let claims = signer.verify(&token, 1_000_000).expect("ours");
        assert_eq!((claims.sub.as_str(), claims.sid.as_str()), ("user/u-1", "s-1"));
        assert_eq!(signer.verify(&token, 1_000_000 + TOKEN_MS), None, "it has ended");
        let (head, rest) = token.split_once('.').expect("three parts");
        let (body, tag) = rest.split_once('.').expect("three parts");
        let other =
            String::from_utf8(URL_SAFE_NO_PAD.decode(body).expect("base64")).expect("text").replace("u-1", "u-2");
        let forged = format!("{head}.{}.{tag}", URL_SAFE_NO_PAD.encode(other));
        assert_eq!(signer.verify(&forged, 1_000_000), None, "changed");
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        assert_eq!(signer.verify(&format!("{none}.{body}."), 1_000_000), None, "another algorithm");
    }

    #[test]
    fn after_a_rotation_old_tokens_are_good_until_they_end_and_another_process_reads_new_ones() {
        let folder = tempfile::tempdir().expect("a folder");
        let signer = Signer::open(folder.path(), TOKEN_MS).expect("opens");
        let other = Signer::open(folder.path(), TOKEN_MS).expect("opens");
        let old = signer.sign("user/u-1", "s-1", 1_000_000);
        signer.rotate(1_100_000).expect("rotates");
        let new = signer.sign("user/u-1", "s-1", 1_100_000);
        assert_ne!(old.split('.').next(), new.split('.').next());
        assert!(signer.verify(&old, 1_200_000).is_some());
        assert!(other.verify(&new, 1_200_000).is_some());
        assert!(signer.verify(&old, 1_100_000 + TOKEN_MS).is_none());
    }

    #[test]
    fn two_processes_that_rotate_keep_each_others_keys() {
        let folder = tempfile::tempdir().expect("a folder");
        let signer = Signer::open(folder.path(), TOKEN_MS).expect("opens");
        let other = Signer::open(folder.path(), TOKEN_MS).expect("opens");
        signer.rotate(1_000_000).expect("rotates");
        let token = signer.sign("user/u-1", "s-1", 1_000_000);
        let id = other.rotate(1_000_100).expect("rotates");
        assert_eq!(other.in_use(1_000_200), (id, 2));
        assert!(other.verify(&token, 1_000_200).is_some());
        assert_eq!(other.in_use(1_000_200 + TOKEN_MS).1, 0, "they have ended");
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_read_the_keys() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        Signer::open(folder.path(), TOKEN_MS).expect("opens");
        let mode = fs::metadata(folder.path().join(FILE)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
