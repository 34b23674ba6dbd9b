//! One change of identities: a transaction that says at its end what it touched, and takes the touched records up into
//! memory once they are durable. And the follower of what other hands change, or an older copy of the database brings.

use crate::error::Error;
use crate::memory::{Ended, Row};
use crate::store::{self, What};
use crate::{Auth, Shared};
use drover_answer::now_ms;
use drover_database::Transaction;
use drover_registry::outbox::{self, NewChange};
use serde_json::Value;
use sqlx::AnyConnection;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::MutexGuard;

/// How often memory is held against the clock.
const SWEEP: Duration = Duration::from_secs(1);
/// How often what has ended leaves the tables.
const TIDY_MS: i64 = 600_000;
/// How often times of use are written, and how many in one transaction.
const USES_MS: i64 = 10_000;
const USES_AT_ONCE: usize = 5_000;

/// A change that is under way. Dropped without [`Work::commit`], nothing has happened.
pub(crate) struct Work<'a> {
    shared: &'a Shared,
    transaction: Transaction,
    seq: i64,
    touched: Vec<(What, String)>,
    /// The number up to which memory is as the database; whoever holds it changes both.
    follow: MutexGuard<'a, i64>,
}

impl Auth {
    /// Begins a change. Memory is as the database from here to the end of it.
    pub(crate) async fn work(&self) -> Result<Work<'_>, Error> {
        let shared = &*self.0;
        let mut follow = shared.follow.lock().await;
        let mut transaction = shared.database.begin().await?;
        let seq = store::tick(&mut transaction).await?;
        if seq - 1 != *follow {
            catch_up(shared, &mut transaction, &mut follow, seq - 1).await?;
        }
        Ok(Work { shared, transaction, seq, touched: Vec::new(), follow })
    }
}

impl Work<'_> {
    /// The connection to write on.
    pub(crate) fn on(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }

    /// Says that a record was written or taken out.
    pub(crate) fn touch(&mut self, what: What, id: &str) {
        self.touched.push((what, id.to_owned()));
    }

    /// Ends a session.
    pub(crate) async fn end_session(&mut self, id: &str) -> Result<(), Error> {
        store::delete_session(&mut self.transaction, id).await?;
        self.touch(What::Session, id);
        Ok(())
    }

    /// Ends all sessions of a user but one.
    pub(crate) async fn end_sessions_of(&mut self, user: &str, but: Option<&str>) -> Result<usize, Error> {
        let sessions: Vec<Arc<str>> = {
            let memory = self.shared.memory.read();
            memory.logins_of(user).map(|login| login.session.id.clone()).filter(|id| Some(&**id) != but).collect()
        };
        for id in &sessions {
            self.end_session(id).await?;
        }
        Ok(sessions.len())
    }

    /// Writes a row of the outbox: the change is on record if, and only if, it happens.
    pub(crate) async fn note(&mut self, change: Noted<'_>) -> Result<(), Error> {
        let Noted { actor, what, id, op, version, fleets, before, after } = change;
        let fleet_id = if let [fleet] = fleets { Some(&**fleet) } else { None };
        let change = NewChange { resource: what.table(), id, op, version, actor, fleet_id, before, after };
        outbox::write(&mut self.transaction, change).await?;
        Ok(())
    }

    /// Makes it durable, then true in memory. On an error nothing has happened, except when the database went away at
    /// that very moment: then either all or nothing has.
    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        let (shared, now) = (self.shared, now_ms());
        let mut rows = Vec::with_capacity(self.touched.len());
        for (what, id) in std::mem::take(&mut self.touched) {
            store::record_change(&mut self.transaction, self.seq, now, what, &id).await?;
            rows.push(store::read_one(&mut self.transaction, &shared.vault, what, id).await?);
        }
        self.transaction.commit().await?;
        *self.follow = self.seq;
        shared.take_up(rows);
        Ok(())
    }
}

/// A change, as it goes to the outbox.
pub(crate) struct Noted<'a> {
    pub(crate) actor: &'a str,
    pub(crate) what: What,
    pub(crate) id: &'a str,
    /// `create`, `update`, `remove`.
    pub(crate) op: &'static str,
    pub(crate) version: i64,
    /// If it is exactly one, who manages that fleet sees the change in the audit.
    pub(crate) fleets: &'a [Arc<str>],
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
}

impl Shared {
    /// Takes records up into memory, and says what ended by it.
    fn take_up(&self, rows: Vec<Row>) {
        let mut ended = Vec::new();
        {
            let mut memory = self.memory.write();
            memory.apply(rows, &mut ended);
        }
        self.tell(ended);
    }

    pub(crate) fn tell(&self, ended: Vec<Ended>) {
        for one in ended {
            // Nobody listens: nobody has anything open.
            let _ = self.ended.send(one);
        }
    }
}

/// Takes up what others changed between `follow` and `seq`.
async fn catch_up(shared: &Shared, on: &mut AnyConnection, follow: &mut i64, seq: i64) -> Result<(), Error> {
    // A smaller number than before: an older database was put in place.
    let changes = if seq < *follow { None } else { store::changes_after(on, *follow).await? };
    match changes {
        Some(changes) => {
            let mut rows = Vec::with_capacity(changes.len());
            for (what, id) in changes {
                rows.push(store::read_one(&mut *on, &shared.vault, what, id).await?);
            }
            shared.take_up(rows);
        }
        None => read_everything(shared, on).await?,
    }
    *follow = seq;
    Ok(())
}

/// Reads all tables into memory.
pub(crate) async fn read_everything(shared: &Shared, on: &mut AnyConnection) -> Result<(), Error> {
    let rows = store::read_all(on, &shared.vault).await?;
    let mut ended = Vec::new();
    shared.memory.write().replace(rows, &mut ended);
    shared.tell(ended);
    Ok(())
}

/// Follows what others change, ends what has ended by itself, and writes when keys were used, for as long as anybody has the
/// identities open.
pub(crate) async fn upkeep(shared: std::sync::Weak<Shared>) {
    let mut ticks = tokio::time::interval(SWEEP);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut tidied_ms, mut used_ms, mut is_away) = (now_ms(), now_ms(), false);
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        let now = now_ms();
        let mut ended = Vec::new();
        shared.memory.write().expire(now, &mut ended);
        shared.tell(ended);
        let mut done = follow_others(&shared).await;
        if done.is_ok() && now - used_ms > USES_MS {
            used_ms = now;
            done = write_uses(&shared).await;
        }
        if done.is_ok() && now - tidied_ms > TIDY_MS {
            tidied_ms = now;
            done = tidy(&shared, now).await;
        }
        match done {
            Ok(()) if is_away => tracing::info!("changes of identities are followed again"),
            Err(ref error) if !is_away => tracing::warn!(%error, "changes of identities cannot be followed"),
            _ => {}
        }
        is_away = done.is_err();
    }
}

async fn follow_others(shared: &Shared) -> Result<(), Error> {
    let mut follow = shared.follow.lock().await;
    let mut on = shared.database.read().await?;
    let seq = store::clock(&mut on).await?;
    if seq != *follow {
        catch_up(shared, &mut on, &mut follow, seq).await?;
    }
    Ok(())
}

/// Each key and token at most once a minute: more often it does not come to the list.
async fn write_uses(shared: &Shared) -> Result<(), Error> {
    let mut uses: Vec<(What, Arc<str>)> = {
        let mut waiting = shared.uses.lock();
        let take = waiting.len().min(USES_AT_ONCE);
        waiting.drain(..take).collect()
    };
    if uses.is_empty() {
        return Ok(());
    }
    let mut transaction = shared.database.begin().await?;
    for (what, id) in uses.drain(..) {
        let used_ms = {
            let memory = shared.memory.read();
            match what {
                What::Key => memory.keys.get(&id).map(|key| key.used_ms.load(Ordering::Relaxed)),
                _ => memory.tokens.get(&id).map(|token| token.used_ms.load(Ordering::Relaxed)),
            }
        };
        if let Some(used_ms) = used_ms {
            store::put_use(&mut transaction, what, &id, used_ms).await?;
        }
    }
    Ok(transaction.commit().await?)
}

async fn tidy(shared: &Shared, now: i64) -> Result<(), Error> {
    let mut transaction = shared.database.begin().await?;
    store::tidy(&mut transaction, now).await?;
    Ok(transaction.commit().await?)
}
