//! How far a route is: a stop that names a delivery shows what became of it, written in the transaction that moves the
//! delivery, and again in each that writes the route. What a request says about it counts for nothing.

use crate::Shared;
use crate::check::Cell;
use crate::error::Error;
use crate::resources::{DELIVERIES, OUTCOMES, ROUTES};
use crate::rows::{Row, Sql, select};
use crate::writes::Write;
use drover_access::Caller;
use serde_json::{Map, Value};
use sqlx::{AnyConnection, Row as _};
use std::collections::{BTreeSet, HashMap};

/// Deliveries asked for at once.
const AT_ONCE: usize = 200;

/// What a status means for the stop: there is nothing left to do at it.
fn outcome(status: Option<&str>) -> Option<&str> {
    status.filter(|status| OUTCOMES.contains(status))
}

/// Makes the stops of a route show what became of the deliveries that they name.
pub(crate) async fn show_outcomes(from: &mut AnyConnection, route: &mut Row) -> Result<(), Error> {
    let Some(mut stops) = stops_of(route) else { return Ok(()) };
    let named: BTreeSet<String> = stops.iter().filter_map(named_by).map(str::to_owned).collect();
    let statuses = statuses_of(from, named.into_iter().collect()).await?;
    for stop in &mut stops {
        let status = named_by(stop).and_then(|delivery| statuses.get(delivery)).cloned();
        show(stop, outcome(status.as_deref()));
    }
    put_stops(route, stops);
    Ok(())
}

async fn statuses_of(from: &mut AnyConnection, ids: Vec<String>) -> Result<HashMap<String, String>, Error> {
    let mut statuses = HashMap::with_capacity(ids.len());
    for some in ids.chunks(AT_ONCE) {
        let mut sql = Sql::new("SELECT id, status FROM deliveries WHERE id IN ");
        sql.any_of(some.iter().map(|id| Cell::Text(id.clone())));
        for row in sql.all(from).await? {
            statuses.insert(row.try_get(0)?, row.try_get(1)?);
        }
    }
    Ok(statuses)
}

/// With an outcome the stop is done; one that loses it is to be served again.
fn show(stop: &mut Map<String, Value>, outcome: Option<&str>) {
    let had_one = stop.remove("outcome").is_some() && named_by(stop).is_some();
    match outcome {
        Some(outcome) => {
            stop.insert("outcome".into(), outcome.into());
            stop.insert("done".into(), true.into());
        }
        None if had_one => drop(stop.remove("done")),
        None => {}
    }
}

fn named_by(stop: &Map<String, Value>) -> Option<&str> {
    stop.get("delivery_id").and_then(Value::as_str)
}

fn stops_of(route: &Row) -> Option<Vec<Map<String, Value>>> {
    serde_json::from_str(route.text(&ROUTES, "stops")?).ok()
}

fn put_stops(route: &mut Row, stops: Vec<Map<String, Value>>) {
    let stops = stops.into_iter().map(Value::Object).collect();
    route.set(&ROUTES, "stops", Cell::Text(Value::Array(stops).to_string()));
}

impl Shared {
    /// Tells the routes with a stop for this delivery what became of it, if its status says so now, or says so no longer.
    /// Routes that are over are left as they are, but for the one that the delivery itself names.
    pub(crate) async fn tell_routes(
        &self,
        write: &mut Write,
        caller: &Caller,
        before: &Row,
        delivery: &Row,
    ) -> Result<(), Error> {
        let now = outcome(delivery.text(&DELIVERIES, "status"));
        if now == outcome(before.text(&DELIVERIES, "status")) {
            return Ok(());
        }
        let mut sql = select(&ROUTES);
        sql.push(" WHERE (status IN ('planned', 'active') OR id = ")
            .bind(delivery.cell(&DELIVERIES, "route_id").clone());
        // More than is looked for may come: `_` stands for any character, and ids may have it.
        sql.push(") AND stops LIKE ").text(format!("%\"{}\"%", delivery.id)).push(" ORDER BY id");
        for row in sql.all(&mut write.transaction).await? {
            let before = self.opened(&ROUTES, &row)?;
            let Some(mut stops) = stops_of(&before) else { continue };
            for stop in stops.iter_mut().filter(|stop| named_by(stop) == Some(&delivery.id)) {
                show(stop, now);
            }
            let mut after = before.clone();
            put_stops(&mut after, stops);
            if after == before {
                continue;
            }
            after.version += 1;
            after.updated_at = delivery.updated_at;
            self.overwrite(&mut write.transaction, &ROUTES, &after).await?;
            write.note(&ROUTES, "update", &caller.subject, Some(&before), Some(&after)).await?;
        }
        Ok(())
    }
}
