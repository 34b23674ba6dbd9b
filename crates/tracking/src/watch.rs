//! Follows what changes, once for all connections: the live state, the deliveries under way, and logins that are over.
//! Rings bells; what a change means is for each connection to find out.

use crate::{Shared, Tracking};
use bytes::Bytes;
use drover_live::{Frame, Wish};
use drover_model::Kind;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

/// How often it is looked whether anybody listens, while nobody does.
const NOBODY: Duration = Duration::from_millis(20);
/// Changes of so long travel together.
const TOGETHER: Duration = Duration::from_millis(4);
/// How often it is asked whose login is over.
const SWEEP: Duration = Duration::from_millis(500);

/// Begins to follow, until the last clone of `tracking` is gone.
pub(crate) fn start(tracking: &Tracking) {
    tokio::spawn(follow_live(Arc::downgrade(&tracking.0)));
    tokio::spawn(follow_deliveries(Arc::downgrade(&tracking.0)));
    tokio::spawn(sweep(Arc::downgrade(&tracking.0)));
}

async fn follow_live(shared: Weak<Shared>) {
    // Everything up to here was told, or nobody wanted it. Taken before the look that says so: who begins to listen in
    // between misses nothing.
    let Some(mut told) = shared.upgrade().map(|shared| shared.live.applied()) else { return };
    loop {
        let Some(strong) = shared.upgrade() else { return };
        let now = strong.live.applied();
        if strong.hub.is_idle() {
            told = now;
            drop(strong);
            tokio::time::sleep(NOBODY).await;
            continue;
        }
        let watcher = strong.live.watch(Wish { since: Some(told), ..Wish::default() });
        drop(strong);
        let Ok(mut watcher) = watcher else {
            tokio::time::sleep(NOBODY).await;
            continue;
        };
        loop {
            let frame = watcher.next().await;
            let Some(strong) = shared.upgrade() else { return };
            let Some(frame) = frame else { return strong.hub.close() };
            let (Frame::Snapshot { assets, position, .. } | Frame::Changes { assets, position }) = frame;
            strong.hub.assets_changed(assets.iter().filter_map(named));
            told = position;
            if strong.hub.is_idle() {
                break;
            }
            drop(strong);
            tokio::time::sleep(TOGETHER).await;
        }
    }
}

/// The name in an asset as the node encodes it for watchers: `{"kind":"driver","id":"d-1",…`. Ids need no escapes.
fn named(asset: &Bytes) -> Option<(Kind, &str)> {
    let text = std::str::from_utf8(asset).ok()?.strip_prefix("{\"kind\":\"")?;
    let (kind, rest) = text.split_once('"')?;
    let (id, _) = rest.strip_prefix(",\"id\":\"")?.split_once('"')?;
    Some((Kind::ALL.into_iter().find(|known| known.name() == kind)?, id))
}

async fn follow_deliveries(shared: Weak<Shared>) {
    let Some(mut changes) = shared.upgrade().map(|shared| shared.registry.underway().subscribe()) else { return };
    loop {
        let change = changes.recv().await;
        let Some(shared) = shared.upgrade() else { return };
        match change {
            Ok(change) => {
                let driver = change.after.as_ref().and_then(|passage| passage.driver_id.as_ref());
                shared.hub.delivery_changed(&change.delivery_id, driver);
            }
            // Which ones is not known any more, so all that are followed.
            Err(RecvError::Lagged(_)) => look_at_all(&shared),
            Err(RecvError::Closed) => return,
        }
    }
}

fn look_at_all(shared: &Shared) {
    for id in shared.hub.deliveries() {
        let driver = shared.registry.underway().by_id(&id).and_then(|passage| passage.driver_id.clone());
        shared.hub.delivery_changed(&id, driver.as_ref());
    }
}

async fn sweep(shared: Weak<Shared>) {
    let mut every = tokio::time::interval(SWEEP);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        shared.hub.sweep(&*shared.ended);
    }
}
