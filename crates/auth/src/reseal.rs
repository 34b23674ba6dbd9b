//! Sealing anew in the background: after a new data key, the registry's and the identities' sealed columns are rewritten
//! by it, a few rows at a time, until no older key is in use. What there is to do is read from the tables themselves, so
//! that a restart goes on where it was. The same task ends changes of the operator's root key.

use crate::Shared;
use crate::error::Error;
use crate::store::{EMAIL, NAME, TOTP};
use drover_registry::reseal::{self, SealedColumn, SealedFor, SealedTable, Step};
use drover_vault::Vault;
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use utoipa::ToSchema;

/// How often it is asked whether there is something to do; after a failure, too.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Rest after a step that wrote: who serves goes first.
const REST: Duration = Duration::from_millis(5);

/// How far sealing anew is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Resealing {
    /// True while tables are looked through.
    pub running: bool,
    /// Rows that were looked at in this round, or in the last.
    #[schema(example = 12_000)]
    pub looked_at: u64,
    /// Rows that there were when it began.
    #[schema(example = 48_000)]
    pub rows: u64,
    /// Rows that it sealed anew.
    #[schema(example = 11_950)]
    pub resealed: u64,
    /// Texts that cannot be opened by any key; they stay as they are, and so does the key that they name.
    pub unreadable: u64,
    /// Why it did not come to its end; it is tried again.
    pub error: Option<String>,
}

/// What is known of it in memory.
#[derive(Default)]
pub(crate) struct Progress {
    now: Mutex<Resealing>,
    /// How many texts each data key sealed, when all tables had been looked through.
    texts: Mutex<Option<BTreeMap<u32, u64>>>,
    /// The data key by which everything was sealed then.
    done_for: Mutex<Option<u32>>,
    /// Tables are looked through by one at a time.
    looking: tokio::sync::Mutex<()>,
    wake: Notify,
}

impl Progress {
    pub(crate) fn now(&self) -> Resealing {
        self.now.lock().clone()
    }

    /// How many texts a data key sealed; none while that is not known.
    pub(crate) fn texts_of(&self, key: u32) -> Option<u64> {
        self.texts.lock().as_ref().map(|texts| texts.get(&key).copied().unwrap_or(0))
    }

    /// There is a new key.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }
}

/// What a look through all tables found.
pub(crate) struct Looked {
    /// The key that sealed from the beginning of it on: nothing new is sealed by those before it.
    pub(crate) current: u32,
    /// How many texts each data key seals, as it was left.
    pub(crate) texts: BTreeMap<u32, u64>,
    passed_over: u64,
    unreadable: u64,
}

/// The tables with sealed columns, in all crates.
fn tables() -> Vec<SealedTable> {
    let column = |(name, place): (&'static str, &str)| {
        // Nothing is NULL in the tables of identities.
        SealedColumn { name, place: place.to_owned(), nullable: false, index: None }
    };
    let columns = [("email", EMAIL), ("name", NAME), ("totp_secret", TOTP)].map(column).into();
    let mut tables = reseal::tables();
    tables.push(SealedTable { table: "users", person: SealedFor::Itself("users"), columns });
    tables
}

/// Seals anew whenever there is a new data key, for as long as anybody has the identities open.
pub(crate) async fn follow(shared: Weak<Shared>) {
    describe();
    let Some(progress) = shared.upgrade().map(|shared| shared.resealing.clone()) else { return };
    let mut is_failing = false;
    loop {
        let Some(vault) = shared.upgrade().map(|shared| shared.vault.clone()) else { return };
        settle_root(vault.clone()).await;
        let due = is_due(&vault, &progress);
        publish(&vault, &progress);
        drop(vault);
        if due && let Ok(_mine) = progress.looking.try_lock() {
            let looked = look_through(&shared).await;
            match looked {
                Ok(Some(_)) => is_failing = false,
                Ok(None) => return,
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(%error, "sealed fields cannot be sealed anew; it is tried again");
                    }
                    progress.now.lock().error = Some(error.to_string());
                }
            }
        }
        tokio::select! {
            () = progress.wake.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// True if an older key may be in use.
fn is_due(vault: &Vault, progress: &Progress) -> bool {
    let keys = vault.data_keys();
    keys.len() > 1 && *progress.done_for.lock() != keys.last().map(|key| key.number)
}

async fn settle_root(vault: Vault) {
    let settled = tokio::task::spawn_blocking(move || vault.settle_root()).await;
    if let Ok(Err(error)) = settled {
        tracing::debug!(%error, "whether the new root key is in place cannot be seen");
    }
}

impl Shared {
    /// Looks through all tables now. None if somebody else is at it.
    pub(crate) async fn look_through_now(self: &Arc<Shared>) -> Result<Option<Looked>, Error> {
        let Ok(_mine) = self.resealing.looking.try_lock() else { return Ok(None) };
        look_through(&Arc::downgrade(self)).await
    }
}

/// Looks through all tables, and seals anew what an older key sealed. None if the identities were closed meanwhile.
async fn look_through(shared: &Weak<Shared>) -> Result<Option<Looked>, Error> {
    let Some(progress) = shared.upgrade().map(|shared| shared.resealing.clone()) else { return Ok(None) };
    *progress.now.lock() = Resealing { running: true, ..Resealing::default() };
    let looked = look_through_all(shared, &progress).await;
    progress.now.lock().running = false;
    let looked = looked?;
    if let Some(looked) = &looked {
        progress.note(looked);
    }
    Ok(looked)
}

impl Progress {
    fn note(&self, looked: &Looked) {
        // What was passed over is looked at again.
        *self.done_for.lock() = (looked.passed_over == 0).then_some(looked.current);
        *self.texts.lock() = Some(looked.texts.clone());
        let resealed = self.now.lock().resealed;
        tracing::info!(
            key = looked.current,
            resealed,
            passed_over = looked.passed_over,
            "sealed fields were looked through"
        );
        if looked.unreadable > 0 {
            tracing::warn!(texts = looked.unreadable, "sealed texts that no key of the vault opens");
        }
    }
}

async fn look_through_all(shared: &Weak<Shared>, progress: &Progress) -> Result<Option<Looked>, Error> {
    let tables = tables();
    let Some(open) = shared.upgrade() else { return Ok(None) };
    let current = reseal::barrier(&open.database, &open.vault).await?;
    for table in &tables {
        progress.now.lock().rows += reseal::count(&open.database, table).await?;
    }
    drop(open);
    let mut looked = Looked { current, texts: BTreeMap::new(), passed_over: 0, unreadable: 0 };
    for table in &tables {
        let mut after = None;
        loop {
            let Some(open) = shared.upgrade() else { return Ok(None) };
            let step = reseal::step(&open.database, &open.vault, table, after.as_deref()).await?;
            publish(&open.vault, progress);
            drop(open);
            after = step.next.clone();
            looked.add(&step, progress);
            if after.is_none() {
                break;
            }
            if step.resealed > 0 {
                tokio::time::sleep(REST).await;
            }
        }
    }
    Ok(Some(looked))
}

impl Looked {
    fn add(&mut self, step: &Step, progress: &Progress) {
        self.passed_over += step.passed_over;
        self.unreadable += step.unreadable;
        for (key, texts) in &step.texts {
            *self.texts.entry(*key).or_default() += texts;
        }
        metrics::counter!("drover_resealed_rows_total").increment(step.resealed);
        let mut now = progress.now.lock();
        now.looked_at += step.looked_at;
        now.resealed += step.resealed;
        now.unreadable += step.unreadable;
    }
}

fn describe() {
    use metrics::{describe_counter as counter, describe_gauge as gauge};
    counter!("drover_resealed_rows_total", "Rows whose personal fields were sealed by a newer data key");
    gauge!("drover_vault_data_key", "Number of the data key that seals personal fields");
    gauge!("drover_vault_data_keys", "Data keys that are kept");
    gauge!(
        "drover_resealing_rows_left",
        "Rows to look at before all personal fields are sealed by the newest data key"
    );
    gauge!("drover_vault_root_pending", "1 while a new root key has yet to be put in place");
}

fn publish(vault: &Vault, progress: &Progress) {
    metrics::gauge!("drover_vault_data_key").set(f64::from(vault.current_key()));
    metrics::gauge!("drover_vault_data_keys").set(vault.data_keys().len() as f64);
    metrics::gauge!("drover_vault_root_pending").set(f64::from(u8::from(vault.root_state().is_pending)));
    let now = progress.now.lock();
    let left = if now.running { now.rows.saturating_sub(now.looked_at) } else { 0 };
    metrics::gauge!("drover_resealing_rows_left").set(left as f64);
}
