//! Keys that change while the vault is in use: new data keys, old ones that are retired, another root key. Nobody who
//! seals or opens waits for it.

use crate::{Error, Vault};
use std::path::PathBuf;
use std::sync::Arc;

/// A data key, without its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataKeyState {
    /// Its number; texts begin with it.
    pub number: u32,
    /// When it was made, ms UTC.
    pub made_at_ms: u64,
}

/// Where the root key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootState {
    /// The operator's file; none where the vault has its own.
    pub held_in: Option<PathBuf>,
    /// Where the operator puts the one that is to follow.
    pub next_in: Option<PathBuf>,
    /// The keys are wrapped by a newer root key too, which is not in place yet.
    pub is_pending: bool,
}

impl Vault {
    /// Makes a new data key and says its number. What is sealed from now on is sealed by it; older ones stay for reading.
    /// Do it long before 2^32 seals by one key: nonces are random.
    ///
    /// # Errors
    /// The file cannot be written, or a change of the root key is not finished. The former key stays in use then.
    pub fn rotate(&self) -> Result<u32, Error> {
        let desk = self.0.desk.lock();
        let keys = self.keys().with_new()?;
        let number = keys.current().number;
        desk.keys.write(&keys)?;
        *self.0.keys.write() = Arc::new(keys);
        tracing::info!(key = number, "the vault has a new data key");
        Ok(number)
    }

    /// Forgets these data keys, if they are there, and says which it forgot; the one that seals stays. Nothing that they
    /// sealed can be opened again, wherever it is kept: in a backup, too.
    ///
    /// # Errors
    /// The file cannot be written, or a change of the root key is not finished. All keys stay then.
    pub fn retire(&self, numbers: &[u32]) -> Result<Vec<u32>, Error> {
        let desk = self.0.desk.lock();
        let before = self.keys();
        let after = before.without(numbers);
        let retired = before.states().into_iter().map(|key| key.number).filter(|number| after.of(*number).is_none());
        let retired: Vec<u32> = retired.collect();
        if !retired.is_empty() {
            desk.keys.write(&after)?;
            *self.0.keys.write() = Arc::new(after);
            tracing::info!(keys = ?retired, "data keys were retired");
        }
        Ok(retired)
    }

    /// Wraps all keys by another root key. Sealed text stays as it is, and nobody waits. The vault's own `root.key` is
    /// replaced. Where an operator holds the root key, both open the vault from now on, until he has put the new one in
    /// place and [`Vault::settle_root`] has seen it, or the vault was opened by it.
    ///
    /// # Errors
    /// A file cannot be written. The root key that is in place, whichever it is, opens the vault all the same.
    pub fn rotate_root(&self, new_root: &[u8; 32]) -> Result<(), Error> {
        let mut desk = self.0.desk.lock();
        let keys = self.keys();
        desk.keys.change_root(&keys, new_root)?;
        tracing::info!("the vault's keys are wrapped by another root key");
        Ok(())
    }

    /// The same with a root key that is already there: a new random one where the vault has its own, else the one that the
    /// operator put beside his, in a file of the same name with `.new` after it.
    ///
    /// # Errors
    /// As [`Vault::rotate_root`]; or the operator put no new one there.
    pub fn rotate_root_in_place(&self) -> Result<RootState, Error> {
        let mut desk = self.0.desk.lock();
        let keys = self.keys();
        desk.keys.change_root_in_place(&keys)?;
        tracing::info!("the vault's keys are wrapped by another root key");
        Ok(desk.keys.root_state())
    }

    /// Looks whether the operator has put the newest root key in place, and if so shuts the former ones out. True if it
    /// did. Reads a file only while a change is not finished.
    ///
    /// # Errors
    /// A file cannot be read or written; the former ones still open the vault then.
    pub fn settle_root(&self) -> Result<bool, Error> {
        let mut desk = self.0.desk.lock();
        let keys = self.keys();
        let settled = desk.keys.settle_root(&keys)?;
        if settled {
            tracing::info!("the new root key is in place; the former one opens nothing any more");
        }
        Ok(settled)
    }

    /// Where the root key is, and whether a change of it is under way.
    pub fn root_state(&self) -> RootState {
        self.0.desk.lock().keys.root_state()
    }

    /// The number of the data key that seals now.
    pub fn current_key(&self) -> u32 {
        self.keys().current().number
    }

    /// All data keys, oldest first; the last one seals.
    pub fn data_keys(&self) -> Vec<DataKeyState> {
        self.keys().states()
    }
}
