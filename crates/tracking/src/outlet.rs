//! Telling a client what changed, over whatever carries it: each topic's newest state, made when it can be taken.

use crate::hub::Topic;
use crate::session::{Out, Session};
use crate::wire::PATIENCE;
use hashbrown::HashSet;
use std::time::Duration;
use tokio::time::Instant;

/// How long to wait before a client that took nothing is offered something again.
const AGAIN: Duration = Duration::from_millis(50);

/// The client is gone, or takes nothing any more.
#[derive(Debug)]
pub(crate) struct Gone;

/// What carries events to a client.
pub(crate) trait Outlet: Send {
    /// Sends an event if it can be taken now; false where it cannot. A carrier that waits by itself waits here.
    fn offer(&mut self, out: &Out) -> impl Future<Output = Result<bool, Gone>> + Send;
}

/// Sends an event, waiting for room.
pub(crate) async fn send(outlet: &mut impl Outlet, out: &Out) -> Result<(), Gone> {
    let since = Instant::now();
    while !outlet.offer(out).await? {
        if since.elapsed() > PATIENCE {
            return Err(Gone);
        }
        tokio::time::sleep(AGAIN).await;
    }
    Ok(())
}

/// Tells what changed. A place that finds no room is made anew a little later.
pub(crate) async fn tell(
    session: &mut Session,
    outlet: &mut impl Outlet,
    changed: HashSet<Topic>,
    stuck_since: &mut Option<Instant>,
) -> Result<(), Gone> {
    let mut stuck = false;
    for topic in changed {
        loop {
            let before = session.told(&topic);
            let Some(out) = session.next_of(&topic).await else { break };
            if !out.is_place {
                send(outlet, &out).await?;
            } else if stuck || !outlet.offer(&out).await? {
                session.untell(&topic, before);
                stuck = true;
                break;
            }
        }
    }
    if !stuck {
        *stuck_since = None;
        return Ok(());
    }
    if stuck_since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
        return Err(Gone);
    }
    tokio::time::sleep(AGAIN).await;
    Ok(())
}
