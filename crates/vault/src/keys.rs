//! The vault's keys: data keys and the key of the blind index, in `keys.json` wrapped by the root key. While the root key
//! changes they are wrapped by both, so that whichever is in place opens them.

use crate::cipher::{Cipher, Hasher, Secret, decode, encode, joined, random_secret};
use crate::{DataKeyState, Error, RootState, Settings, files};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

const FORMAT: u32 = 1;

/// The keys, ready for use.
pub(crate) struct Keys {
    pub(crate) blind: Hasher,
    pub(crate) erased: Hasher,
    blind_secret: Secret,
    /// By number, ascending; never empty.
    data: Vec<Arc<DataKey>>,
}

/// One key that seals fields.
pub(crate) struct DataKey {
    pub(crate) number: u32,
    pub(crate) cipher: Cipher,
    secret: Secret,
    made_at_ms: u64,
}

impl Keys {
    fn new(blind_secret: Secret, data: Vec<Arc<DataKey>>) -> Keys {
        let (blind, erased) = (Hasher::new(&blind_secret, "blind index"), Hasher::new(&blind_secret, "erased"));
        Keys { blind, erased, blind_secret, data }
    }

    /// The one that seals.
    pub(crate) fn current(&self) -> &DataKey {
        &self.data[self.data.len() - 1]
    }

    pub(crate) fn of(&self, number: u32) -> Option<&DataKey> {
        let at = self.data.binary_search_by_key(&number, |key| key.number).ok()?;
        Some(&self.data[at])
    }

    /// The same with one more data key.
    pub(crate) fn with_new(&self) -> Result<Keys, Error> {
        let number = self.current().number.checked_add(1).ok_or(Error::Cipher)?;
        let mut data = self.data.clone();
        data.push(Arc::new(DataKey::made_now(number)?));
        Ok(Keys::new(self.blind_secret.clone(), data))
    }

    /// The same without some data keys; the one that seals stays.
    pub(crate) fn without(&self, retired: &[u32]) -> Keys {
        let current = self.current().number;
        let stays = |key: &&Arc<DataKey>| key.number == current || !retired.contains(&key.number);
        Keys::new(self.blind_secret.clone(), self.data.iter().filter(stays).cloned().collect())
    }

    pub(crate) fn states(&self) -> Vec<DataKeyState> {
        self.data.iter().map(|key| DataKeyState { number: key.number, made_at_ms: key.made_at_ms }).collect()
    }
}

impl DataKey {
    fn made_now(number: u32) -> Result<DataKey, Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        DataKey::new(number, random_secret()?, u64::try_from(now).unwrap_or(0))
    }

    fn new(number: u32, secret: Secret, made_at_ms: u64) -> Result<DataKey, Error> {
        Ok(DataKey { number, cipher: Cipher::new(&secret)?, secret, made_at_ms })
    }
}

/// A root key: it wraps the others.
pub(crate) struct Root {
    secret: Secret,
    cipher: Cipher,
    /// Tells it from others without telling what it is.
    id: String,
}

impl Root {
    fn new(secret: Secret) -> Result<Root, Error> {
        let id = encode(&Hasher::new(&secret, "root key").of(&[])[..12]);
        Ok(Root { cipher: Cipher::new(&secret)?, secret, id })
    }

    fn wrap(&self, name: &str, secret: &Secret) -> Result<String, Error> {
        Ok(encode(&self.cipher.seal(&joined(&["drover key v1", name]), &secret[..])?))
    }

    fn unwrap(&self, name: &str, wrapped: &str) -> Option<Secret> {
        let secret = Zeroizing::new(self.cipher.open(&joined(&["drover key v1", name]), &decode(wrapped)?)?);
        Some(Secret::new(secret.as_slice().try_into().ok()?))
    }
}

/// `keys.json`.
#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    /// The same keys, wrapped by each root key that is to open them; the newest root key is the last.
    wrapped: Vec<Wrapped>,
}

/// All keys, wrapped by one root key.
#[derive(Serialize, Deserialize)]
struct Wrapped {
    root: String,
    blind: String,
    data: Vec<WrappedKey>,
}

#[derive(Serialize, Deserialize)]
struct WrappedKey {
    number: u32,
    key: String,
    made_at_ms: u64,
}

impl Wrapped {
    fn new(keys: &Keys, root: &Root) -> Result<Wrapped, Error> {
        let wrap = |key: &Arc<DataKey>| {
            let wrapped = root.wrap(&data_name(key.number), &key.secret)?;
            Ok(WrappedKey { number: key.number, key: wrapped, made_at_ms: key.made_at_ms })
        };
        let data = keys.data.iter().map(wrap).collect::<Result<_, Error>>()?;
        Ok(Wrapped { root: root.id.clone(), blind: root.wrap("blind", &keys.blind_secret)?, data })
    }

    fn open(&self, root: &Root, path: &Path) -> Result<Keys, Error> {
        let damaged = |what: &str| Error::Damaged { path: path.to_owned(), why: format!("{what} is damaged") };
        let blind = root.unwrap("blind", &self.blind).ok_or_else(|| damaged("the key of the blind index"))?;
        let mut data = Vec::with_capacity(self.data.len());
        for WrappedKey { number, key, made_at_ms } in &self.data {
            let name = data_name(*number);
            let secret = root.unwrap(&name, key).ok_or_else(|| damaged(&name))?;
            data.push(Arc::new(DataKey::new(*number, secret, *made_at_ms)?));
        }
        match !data.is_empty() && data.is_sorted_by(|a, b| a.number < b.number) {
            true => Ok(Keys::new(blind, data)),
            false => Err(damaged("the list of data keys")),
        }
    }
}

fn data_name(number: u32) -> String {
    format!("data key {number}")
}

/// The file of the keys, and who may open it.
pub(crate) struct KeyFile {
    path: PathBuf,
    /// The file of the root key, whoever holds it.
    root: PathBuf,
    /// All root keys that open what is written from now on; the newest is the last.
    roots: Vec<Root>,
    /// The vault's own root key; none where an operator holds it.
    own_root: Option<PathBuf>,
    /// The file is wrapped by a newer root key too, which is not known here.
    pending: bool,
}

impl KeyFile {
    /// Makes the first keys of a new vault.
    pub(crate) fn make(settings: &Settings, root: Root) -> Result<(KeyFile, Keys), Error> {
        let keys = Keys::new(random_secret()?, vec![Arc::new(DataKey::made_now(1)?)]);
        let file = KeyFile {
            path: path(&settings.folder),
            root: root_path(settings),
            roots: vec![root],
            own_root: own_root(settings),
            pending: false,
        };
        file.write(&keys)?;
        Ok((file, keys))
    }

    pub(crate) fn open(settings: &Settings) -> Result<(KeyFile, Keys), Error> {
        let path = path(&settings.folder);
        let root = read_root(settings)?;
        let written = read_written(&path)?;
        let found = written.wrapped.iter().position(|wrapped| wrapped.root == root.id);
        let at = found.ok_or_else(|| Error::WrongRoot { key: root_path(settings), folder: settings.folder.clone() })?;
        let keys = written.wrapped[at].open(&root, &path)?;
        let own_root = own_root(settings);
        // An operator may still have to put the newest in place; a change of the vault's own was cut off by a crash.
        let pending = own_root.is_none() && at + 1 < written.wrapped.len();
        let file = KeyFile { path, root: root_path(settings), roots: vec![root], own_root, pending };
        if !pending && written.wrapped.len() > 1 {
            file.write(&keys)?;
        }
        Ok((file, keys))
    }

    /// On `Ok` the file is durable and holds these keys.
    pub(crate) fn write(&self, keys: &Keys) -> Result<(), Error> {
        if self.pending {
            return Err(Error::RootPending);
        }
        let wrapped = self.roots.iter().map(|root| Wrapped::new(keys, root)).collect::<Result<_, _>>()?;
        let written = Written { format: FORMAT, wrapped };
        let json = serde_json::to_vec_pretty(&written).map_err(|_| Error::Cipher)?;
        files::replace(&self.path, &json)
    }

    /// From now on the keys are wrapped by this root key: alone where it is the vault's own and now in place, else beside
    /// the former ones. They stay beside it after an error too, since nobody knows which is in place then.
    pub(crate) fn change_root(&mut self, keys: &Keys, new: &[u8; 32]) -> Result<(), Error> {
        let new = Root::new(Secret::new(*new))?;
        self.roots.retain(|root| root.id != new.id);
        self.roots.push(new);
        self.pending = false;
        self.write(keys)?;
        if let Some(own) = &self.own_root {
            files::replace(own, &self.roots[self.roots.len() - 1].secret[..])?;
            self.roots.drain(..self.roots.len() - 1);
            self.write(keys)?;
        }
        Ok(())
    }
}

impl KeyFile {
    /// Changes the root key: to a new one of the vault's own, or to the one that the operator put beside his.
    pub(crate) fn change_root_in_place(&mut self, keys: &Keys) -> Result<(), Error> {
        if self.own_root.is_some() {
            return self.change_root(keys, &*random_secret()?);
        }
        let next = self.next_root();
        if !files::is_there(&next)? {
            return Err(Error::NoNextRoot(next));
        }
        // An earlier change may be at its end, which nobody has seen yet.
        self.settle_root(keys)?;
        let (in_place, new) = (read_root_at(&self.root)?, read_root_at(&next)?);
        if new.id == in_place.id {
            return Err(Error::SameRoot(next));
        }
        if self.roots.iter().all(|known| known.id != in_place.id) {
            // What is written would be shut to the one that is in place.
            let folder = self.path.parent().unwrap_or(&self.path).to_owned();
            return Err(Error::WrongRoot { key: self.root.clone(), folder });
        }
        self.change_root(keys, &new.secret)
    }

    /// Ends a change of the operator's root key, once he has put the new one in place: the former ones open nothing any
    /// more. True if that is so now.
    pub(crate) fn settle_root(&mut self, keys: &Keys) -> Result<bool, Error> {
        if !self.is_pending() {
            return Ok(false);
        }
        let root = read_root_at(&self.root)?;
        let written = read_written(&self.path)?;
        let Some(newest) = written.wrapped.last().filter(|newest| newest.root == root.id) else { return Ok(false) };
        // Never shut the others out before it was seen that this one opens everything.
        newest.open(&root, &self.path)?;
        self.roots = vec![root];
        self.pending = false;
        self.write(keys)?;
        Ok(true)
    }

    pub(crate) fn root_state(&self) -> RootState {
        let held_in = self.own_root.is_none().then(|| self.root.clone());
        RootState { next_in: held_in.is_some().then(|| self.next_root()), held_in, is_pending: self.is_pending() }
    }

    /// The operator has yet to put a new root key in place.
    fn is_pending(&self) -> bool {
        self.own_root.is_none() && (self.pending || self.roots.len() > 1)
    }

    /// Where an operator puts the root key that is to follow.
    fn next_root(&self) -> PathBuf {
        let mut next = self.root.as_os_str().to_owned();
        next.push(".new");
        next.into()
    }
}

fn read_written(path: &Path) -> Result<Written, Error> {
    let bytes = files::at(path, fs::read(path))?;
    let damaged = |why: String| Error::Damaged { path: path.to_owned(), why };
    let written: Written = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    match written.format {
        FORMAT => Ok(written),
        other => Err(damaged(format!("it has format {other}, this version knows {FORMAT}"))),
    }
}

pub(crate) fn path(folder: &Path) -> PathBuf {
    folder.join("keys.json")
}

pub(crate) fn is_there(folder: &Path) -> Result<bool, Error> {
    files::is_there(&path(folder))
}

/// The root key of a new vault: the one that is in place, else a new one, if it is the vault's own.
pub(crate) fn make_root(settings: &Settings) -> Result<Root, Error> {
    if let Some(own) = own_root(settings)
        && !files::is_there(&own)?
    {
        files::replace(&own, &random_secret()?[..])?;
    }
    read_root(settings)
}

fn read_root(settings: &Settings) -> Result<Root, Error> {
    read_root_at(&root_path(settings))
}

fn read_root_at(path: &Path) -> Result<Root, Error> {
    if !files::is_there(path)? {
        return Err(Error::RootMissing(path.to_owned()));
    }
    let bytes = Zeroizing::new(files::at(path, fs::read(path))?);
    Root::new(secret_in(&bytes).ok_or_else(|| Error::NoRootKey(path.to_owned()))?)
}

fn root_path(settings: &Settings) -> PathBuf {
    settings.root_key_file.clone().unwrap_or_else(|| settings.folder.join("root.key"))
}

fn own_root(settings: &Settings) -> Option<PathBuf> {
    settings.root_key_file.is_none().then(|| root_path(settings))
}

/// 32 bytes as they are, or as hexadecimal digits with white space around.
fn secret_in(bytes: &[u8]) -> Option<Secret> {
    if let Ok(secret) = <[u8; 32]>::try_from(bytes) {
        return Some(Secret::new(secret));
    }
    let digits = bytes.trim_ascii();
    let mut secret = Secret::default();
    if digits.len() != 2 * secret.len() {
        return None;
    }
    for (byte, pair) in secret.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(0)? << 4 | digit(1)?;
    }
    Some(secret)
}
