//! Personal fields, sealed: a name or an address is kept as text that only this vault opens, and only as what it was
//! sealed as: a field of one person at one place. Search by equality, keys that rotate, erasure.
//! It leaves to others where sealed text is kept, and who may read it.
//!
//! Sealed text is `v1.<data key>.<nonce and ciphertext, base64url>`. Data keys are wrapped by the root key. The folder:
//!
//! | file | what | backup |
//! | --- | --- | --- |
//! | `root.key` | the root key, unless an operator holds it elsewhere | apart from everything else |
//! | `keys.json` | data keys and the key of the blind index, wrapped | after each rotation |
//! | `erased` | who was erased, as keyed hashes | after each erasure; **never go back to an older one** |
//!
//! Must always hold:
//! - who was erased stays erased, also when a database comes back from an older backup, as long as `erased` is kept: it
//!   only grows. Erasing does not change sealed text that is elsewhere; it ends that any vault with this `erased` opens
//!   it. Whoever holds an old copy of the text *and* of the keys is not stopped by it;
//! - a file of the vault is there whole or not at all, and what was acknowledged survives a crash;
//! - keys that are lost are never replaced by new ones in silence;
//! - whatever moment a change of the root key is cut off at, the root key that is in place opens the vault.

mod cipher;
mod erased;
mod files;
mod keys;
mod rotation;

pub use rotation::{DataKeyState, RootState};

use cipher::{decode, encode};
use erased::ErasedFile;
use keys::{KeyFile, Keys};
use parking_lot::{Mutex, RwLock};
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a vault keeps its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The vault's own folder, made if it is not there.
    pub folder: PathBuf,
    /// A file with the root key, held by the operator: 32 bytes, or 64 hexadecimal digits. Without it the vault has its
    /// own, `root.key` in its folder.
    pub root_key_file: Option<PathBuf>,
}

/// Why the vault does not do what is asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The person was erased: nothing of theirs is sealed any more.
    #[error("this person was erased; nothing of theirs is kept any more")]
    Erased,
    /// The text was not sealed by this version of any vault.
    #[error("the sealed text has no known form")]
    Malformed,
    /// The text was changed, or sealed for another person or place, or by another vault.
    #[error("the sealed text does not belong here: it was changed, or sealed for another person or place")]
    Tampered,
    /// The vault has no data key of this number.
    #[error(
        "the vault has no data key {0}: it was retired, or the vault's folder is older than the text or of another vault"
    )]
    UnknownKey(u32),
    /// The root key is not the one that the vault's keys are wrapped by.
    #[error("{}: this is not the root key of the vault in {}", key.display(), folder.display())]
    WrongRoot {
        /// The file of the root key.
        key: PathBuf,
        /// The vault's folder.
        folder: PathBuf,
    },
    /// The file of the root key holds something else.
    #[error("{}: a root key is 32 bytes, or 64 hexadecimal digits", .0.display())]
    NoRootKey(PathBuf),
    /// There is a vault, and its root key is gone.
    #[error("{}: the root key is missing; without it nothing sealed can be read, so no new one is made", .0.display())]
    RootMissing(PathBuf),
    /// The root key was changed, and the vault was opened by the former one.
    #[error("a change of the root key is not finished: open the vault by the new one, or change it again")]
    RootPending,
    /// The operator holds the root key, and has put no new one beside it.
    #[error("{}: put the new root key there (32 bytes, or 64 hexadecimal digits), and keep the old one in place", .0.display())]
    NoNextRoot(PathBuf),
    /// The root key that is to follow is the one in place.
    #[error("{}: this is the root key that is in place; make a new one", .0.display())]
    SameRoot(PathBuf),
    /// A file of the vault is damaged, or missing where others are there.
    #[error("{}: {why}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Another process has the vault open.
    #[error("the vault in {} is open in another process", .0.display())]
    InUse(PathBuf),
    /// A file of the vault cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The cipher or the source of random numbers failed.
    #[error("the system's cryptography failed")]
    Cipher,
}

/// A vault of personal fields. Cheap to clone. Sealing, opening and blinding touch no disk.
#[derive(Clone)]
pub struct Vault(Arc<Shared>);

struct Shared {
    keys: RwLock<Arc<Keys>>,
    erased: RwLock<HashSet<[u8; 32]>>,
    desk: Mutex<Desk>,
}

/// What changes the vault's files; one change at a time.
struct Desk {
    keys: KeyFile,
    erased: ErasedFile,
    _lock: File,
}

impl Vault {
    /// Opens the vault in this folder with its own root key, making both if they are not there.
    ///
    /// # Errors
    /// As [`Vault::open_with`].
    pub fn open(folder: &Path) -> Result<Vault, Error> {
        Vault::open_with(&Settings { folder: folder.to_owned(), root_key_file: None })
    }

    /// Opens a vault as the settings say. One process can have it open.
    ///
    /// # Errors
    /// The root key is wrong or missing; a file is damaged, or missing while others are there; it is open elsewhere. The
    /// vault is as it was then.
    pub fn open_with(settings: &Settings) -> Result<Vault, Error> {
        let folder = &settings.folder;
        files::make_folder(folder)?;
        let lock = files::lock(folder)?;
        let (keys_file, keys) = match keys::is_there(folder)? {
            true => KeyFile::open(settings)?,
            false => make(settings)?,
        };
        files::remove(&folder.join(MAKING))?;
        let (erased_file, erased) = ErasedFile::open(folder)?;
        let desk = Desk { keys: keys_file, erased: erased_file, _lock: lock };
        let keys = RwLock::new(Arc::new(keys));
        Ok(Vault(Arc::new(Shared { keys, erased: RwLock::new(erased), desk: Mutex::new(desk) })))
    }

    /// Seals a field of a person (`customers/c-1`) at a place (`customers.email`). Two seals of the same text differ.
    ///
    /// # Errors
    /// [`Error::Erased`] for who was erased.
    pub fn seal(&self, person: &str, place: &str, plain: &str) -> Result<String, Error> {
        if self.is_erased(person) {
            return Err(Error::Erased);
        }
        let keys = self.keys();
        let key = keys.current();
        let sealed = key.cipher.seal(&belongs_to(person, place), plain.as_bytes())?;
        Ok(format!("v1.{}.{}", key.number, encode(&sealed)))
    }

    /// Opens what [`Vault::seal`] gave for the same person and place; none where that person was erased.
    ///
    /// # Errors
    /// The text is not what was sealed, or not for this person and place, or not by a key of this vault.
    pub fn open_sealed(&self, person: &str, place: &str, sealed: &str) -> Result<Option<String>, Error> {
        if self.is_erased(person) {
            return Ok(None);
        }
        let (number, body) = parts(sealed).ok_or(Error::Malformed)?;
        let body = decode(body).ok_or(Error::Malformed)?;
        let keys = self.keys();
        let key = keys.of(number).ok_or(Error::UnknownKey(number))?;
        let plain = key.cipher.open(&belongs_to(person, place), &body).ok_or(Error::Tampered)?;
        String::from_utf8(plain).map(Some).map_err(|_| Error::Tampered)
    }

    /// What equal values of a place have in common: to search by, not to be read. Spaces around and case do not matter;
    /// of a place whose name ends in `phone`, only digits and `+` do. It stays the same however keys rotate.
    pub fn blind(&self, place: &str, plain: &str) -> String {
        let value = match place.ends_with("phone") {
            true => plain.chars().filter(|char| char.is_ascii_digit() || *char == '+').collect(),
            false => plain.trim().to_lowercase(),
        };
        encode(&self.keys().blind.of(&[place, &value]))
    }

    /// Erases a person for good. On `Ok` it is durable: nothing of theirs is sealed or opened again. On `Err` the caller
    /// still owes it. To erase twice does no harm.
    pub fn erase(&self, person: &str) -> Result<(), Error> {
        let mut desk = self.0.desk.lock();
        let mark = self.mark(person);
        if self.0.erased.read().contains(&mark) {
            return Ok(());
        }
        desk.erased.append(&mark, || self.0.erased.read().clone())?;
        self.0.erased.write().insert(mark);
        tracing::info!("a person was erased from the vault");
        Ok(())
    }

    /// Whether a person was erased.
    pub fn is_erased(&self, person: &str) -> bool {
        let mark = self.mark(person);
        self.0.erased.read().contains(&mark)
    }

    /// The number of the data key that sealed this text: one below [`Vault::current_key`] means that it may be sealed
    /// anew. None where the text was not sealed.
    pub fn key_of(sealed: &str) -> Option<u32> {
        parts(sealed).map(|(number, _)| number)
    }

    fn keys(&self) -> Arc<Keys> {
        self.0.keys.read().clone()
    }

    /// Who a person is in the list of the erased.
    fn mark(&self, person: &str) -> [u8; 32] {
        self.keys().erased.of(&[person])
    }
}

/// There while a vault is made for the first time.
const MAKING: &str = "making";

/// Makes the files of a new vault; `keys.json` is the last.
fn make(settings: &Settings) -> Result<(KeyFile, Keys), Error> {
    let making = settings.folder.join(MAKING);
    if ErasedFile::is_there(&settings.folder)? && !files::is_there(&making)? {
        let why = "it is missing, but the vault is not new; bring it back from a backup";
        return Err(Error::Damaged { path: keys::path(&settings.folder), why: why.to_owned() });
    }
    files::replace(&making, b"")?;
    let root = keys::make_root(settings)?;
    ErasedFile::make(&settings.folder)?;
    KeyFile::make(settings, root)
}

/// The data key's number, and what it sealed.
fn parts(sealed: &str) -> Option<(u32, &str)> {
    let (number, body) = sealed.strip_prefix("v1.")?.split_once('.')?;
    let plain_number = number.bytes().all(|byte| byte.is_ascii_digit());
    Some((number.parse().ok().filter(|_| plain_number)?, body))
}

/// What is sealed together with the text, so that it opens nowhere else.
fn belongs_to(person: &str, place: &str) -> Vec<u8> {
    cipher::joined(&["drover field v1", person, place])
}
