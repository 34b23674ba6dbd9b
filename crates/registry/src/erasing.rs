//! Erasing a person: the vault forgets the key to what is sealed, the tables empty what is about that person (the record,
//! deliveries with their history, assignments, devices, stops of routes), and the outbox loses what older programs told.
//! Who was erased and comes back with a restored database is erased again when the registry opens.

use crate::Shared;
use crate::check::Cell;
use crate::error::Error;
use crate::persons::is_about_persons;
use crate::resources::{ASSIGNMENTS, CUSTOMERS, DELIVERIES, DEVICES, DRIVERS, ROUTES, STOP};
use crate::rows::{Row, Sql, is_told, listed, person, told};
use crate::schema::{Field, Resource};
use crate::scope;
use crate::writes::Write;
use drover_access::{Caller, Principal, Reach};
use drover_answer::now_ms;
use drover_database::Transaction;
use serde_json::Value;
use sqlx::{AnyConnection, Row as _};
use std::collections::HashSet;

/// Who erases again what a restored database brought back.
const BY_ITSELF: &str = "drover";
/// Routes read at once when stops are looked for.
const ROUTES_AT_ONCE: usize = 500;

/// What an erasure empties beside the person's record and, for a customer, his deliveries: a resource, and its fields.
pub(crate) fn emptied_elsewhere(resource: &Resource) -> Vec<(&'static str, Vec<&'static str>)> {
    let of_stops = ("routes.stops", private(STOP));
    let of_events = |fields: &[&'static str]| ("deliveries.events", fields.to_vec());
    let devices = (DEVICES.name, private(DEVICES.fields));
    match *resource == CUSTOMERS {
        true => vec![of_events(&["latitude", "longitude", "data"]), of_stops, devices],
        false => vec![
            of_events(&["latitude", "longitude"]),
            (ASSIGNMENTS.name, private(ASSIGNMENTS.fields)),
            (ROUTES.name, private(ROUTES.fields)),
            devices,
        ],
    }
}

fn private(fields: &'static [Field]) -> Vec<&'static str> {
    fields.iter().filter(|field| field.is_private()).map(|field| field.name).collect()
}

impl Shared {
    pub(crate) async fn erase_person(
        &self,
        caller: &Caller,
        resource: &'static Resource,
        id: &str,
    ) -> Result<(), Error> {
        is_about_persons(resource)?;
        let mut connection = self.database.read().await?;
        self.row(&mut connection, caller, resource, id).await?;
        drop(connection);
        // The vault goes first: from here on nothing can be opened, whatever becomes of the tables. A call that fails below
        // is repeated.
        let (vault, person) = (self.vault.clone(), person(resource, id));
        let erased = tokio::task::spawn_blocking(move || vault.erase(&person)).await;
        erased.map_err(|error| Error::damaged("the vault's task", error))??;
        self.empty_person(caller, resource, id).await
    }

    /// Erases again whom the vault knows as erased and the tables do not: they came from an older copy.
    pub(crate) async fn erase_restored(&self) -> Result<(), Error> {
        let mut came_back = false;
        for resource in [&CUSTOMERS, &DRIVERS] {
            let mut sql = Sql::new("SELECT id, fleet_id FROM ");
            sql.push(resource.table).push(" WHERE erased = 0");
            let mut connection = self.database.read().await?;
            let rows = sql.all(&mut connection).await?;
            drop(connection);
            for row in rows {
                let id: String = row.try_get(0)?;
                if self.vault.is_erased(&person(resource, &id)) {
                    self.empty_person(&by_itself(row.try_get(1)?), resource, &id).await?;
                    came_back = true;
                    tracing::info!(
                        resource = resource.name,
                        id,
                        "a person who was erased came back and was erased again"
                    );
                }
            }
        }
        if came_back { Ok(self.database.compact().await?) } else { Ok(()) }
    }

    async fn empty_person(&self, caller: &Caller, resource: &'static Resource, id: &str) -> Result<(), Error> {
        let routes = if *resource == CUSTOMERS { self.routes_to(id).await? } else { Vec::new() };
        let mut write = Write::begin(&self.database).await?;
        let Some(before) = self.row_by_id(&mut write.transaction, resource, id).await? else { return Ok(()) };
        let mut after = Row { version: before.version + 1, updated_at: now_ms(), erased: true, ..before.clone() };
        after.empty_private(resource);
        self.overwrite(&mut write.transaction, resource, &after).await?;
        if *resource == CUSTOMERS {
            empty_of_customer(&mut write.transaction, caller, id, &routes).await?;
        } else {
            empty_of_driver(&mut write.transaction, caller, id).await?;
        }
        write.note(resource, "erase", &caller.subject, Some(&before), Some(&after)).await?;
        write.commit(&self.mirror).await
    }

    /// Routes with a stop that names a delivery of the customer.
    async fn routes_to(&self, customer: &str) -> Result<Vec<String>, Error> {
        let mut connection = self.database.read().await?;
        let deliveries = deliveries_of(&mut connection, "customer_id", customer).await?;
        let (mut found, mut last) = (Vec::new(), String::new());
        while !deliveries.is_empty() {
            let mut sql = Sql::new("SELECT id, stops FROM routes WHERE stops IS NOT NULL AND id > ");
            sql.text(last.as_str()).push(&format!(" ORDER BY id LIMIT {ROUTES_AT_ONCE}"));
            let rows = sql.all(&mut connection).await?;
            for row in &rows {
                last = row.try_get(0)?;
                if without_places(&row.try_get::<String, _>(1)?, &deliveries).is_some() {
                    found.push(last.clone());
                }
            }
            if rows.len() < ROUTES_AT_ONCE {
                break;
            }
        }
        Ok(found)
    }
}

/// Who erases again: in the person's own fleet, or in all of them where the person is of none.
fn by_itself(fleet: Option<String>) -> Caller {
    let reach = fleet.map_or(Reach::All, |fleet| Reach::Fleets([fleet.into()].into()));
    Caller::new(Principal { subject: BY_ITSELF.into(), reach, ..(*Caller::dev()).clone() })
}

async fn deliveries_of(from: &mut AnyConnection, column: &str, id: &str) -> Result<HashSet<String>, Error> {
    let mut sql = Sql::new("SELECT id FROM deliveries WHERE ");
    sql.push(column).push(" = ").text(id);
    let rows = sql.all(from).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Stops without where those of these deliveries are; none where there is nothing to take out.
fn without_places(stops: &str, deliveries: &HashSet<String>) -> Option<String> {
    let mut list: Value = serde_json::from_str(stops).ok()?;
    let mut changed = false;
    for stop in list.as_array_mut()?.iter_mut().filter_map(Value::as_object_mut) {
        if stop.get("delivery_id").and_then(Value::as_str).is_some_and(|id| deliveries.contains(id)) {
            for field in private(STOP) {
                changed |= stop.remove(field).is_some();
            }
        }
    }
    changed.then(|| list.to_string())
}

async fn empty_of_customer(to: &mut Transaction, caller: &Caller, id: &str, routes: &[String]) -> Result<(), Error> {
    let deliveries = deliveries_of(to, "customer_id", id).await?;
    for route in routes {
        let mut sql = Sql::new("SELECT stops FROM routes WHERE id = ");
        let row = {
            sql.text(route).push(" AND stops IS NOT NULL");
            sql.one(to).await?
        };
        let stops = row.map(|row| row.try_get::<String, _>(0)).transpose()?;
        if let Some(stops) = stops.and_then(|stops| without_places(&stops, &deliveries)) {
            let mut sql = Sql::new("UPDATE routes SET stops = ");
            sql.text(stops).push(", version = version + 1, updated_at = ").integer(now_ms()).push(" WHERE id = ");
            sql.text(route);
            sql.run(to).await?;
        }
        untell(to, &ROUTES, "id", route).await?;
    }
    untell(to, &CUSTOMERS, "id", id).await?;
    untell(to, &DELIVERIES, "customer_id", id).await?;
    empty_events(to, &["latitude", "longitude", "data"], "customer_id", id).await?;
    let mut sql = Sql::new("UPDATE deliveries SET erased = 1, version = version + 1, updated_at = ");
    sql.integer(now_ms());
    empty(&mut sql, &DELIVERIES);
    sql.push(" WHERE customer_id = ").text(id);
    sql.run(to).await?;
    empty_devices(to, caller, "rider", id).await
}

async fn empty_of_driver(to: &mut Transaction, caller: &Caller, id: &str) -> Result<(), Error> {
    untell(to, &DRIVERS, "id", id).await?;
    empty_events(to, &["latitude", "longitude"], "driver_id", id).await?;
    for resource in [&ASSIGNMENTS, &ROUTES] {
        untell(to, resource, "driver_id", id).await?;
        let mut sql = Sql::new("UPDATE ");
        sql.push(resource.table).push(" SET version = version + 1, updated_at = ").integer(now_ms());
        empty(&mut sql, resource);
        sql.push(" WHERE driver_id = ").text(id);
        sql.run(to).await?;
    }
    empty_devices(to, caller, "driver", id).await
}

/// Of devices within reach: another fleet's rider of that id may be somebody else.
async fn empty_devices(to: &mut Transaction, caller: &Caller, kind: &str, id: &str) -> Result<(), Error> {
    untell(to, &DEVICES, "asset_id", id).await?;
    let mut sql = Sql::new("UPDATE devices SET version = version + 1, updated_at = ");
    sql.integer(now_ms());
    empty(&mut sql, &DEVICES);
    sql.push(" WHERE asset_kind = ").text(kind).push(" AND asset_id = ").text(id).push(" AND ");
    scope::push(&mut sql, caller, &DEVICES);
    sql.run(to).await.map(drop)
}

/// `, field = NULL` for each private field.
fn empty(sql: &mut Sql, resource: &Resource) {
    for field in resource.fields.iter().filter(|field| field.is_private()) {
        sql.push(", ").push(field.name).push(" = NULL");
    }
}

/// The history stays; where it happened, and what was kept with it for a customer, does not.
async fn empty_events(to: &mut AnyConnection, fields: &[&str], column: &str, id: &str) -> Result<(), Error> {
    let mut sql = Sql::new("UPDATE delivery_events SET ");
    for (at, field) in fields.iter().enumerate() {
        sql.push(if at == 0 { "" } else { ", " }).push(field).push(" = NULL");
    }
    sql.push(" WHERE delivery_id IN (SELECT id FROM deliveries WHERE ").push(column).push(" = ").text(id).push(")");
    if column == "customer_id" {
        // Also of deliveries that are another's by now.
        sql.push(" OR person = ").text(person(&CUSTOMERS, id));
    }
    sql.run(to).await.map(drop)
}

/// Takes what is private out of the outbox's rows about records whose `column` is `id`. Programs before this one told more
/// than today's.
async fn untell(to: &mut Transaction, resource: &'static Resource, column: &str, id: &str) -> Result<(), Error> {
    let mut sql = Sql::new("SELECT seq, before_json, after_json FROM outbox WHERE resource = ");
    sql.text(resource.name).push(" AND id IN (SELECT id FROM ").push(resource.table).push(" WHERE ");
    sql.push(column).push(" = ").text(id).push(")");
    for row in sql.all(to).await? {
        let seq: i64 = row.try_get(0)?;
        let (before, after): (Option<String>, Option<String>) = (row.try_get(1)?, row.try_get(2)?);
        let quiet = [&before, &after].map(|json| json.as_deref().map(|json| untold(resource, json)));
        if quiet == [before, after] {
            continue;
        }
        let [before, after] = quiet.map(|json| json.map_or(Cell::Null, Cell::Text));
        let mut sql = Sql::new("UPDATE outbox SET before_json = ");
        sql.bind(before).push(", after_json = ").bind(after).push(" WHERE seq = ").integer(seq);
        sql.run(to).await?;
    }
    Ok(())
}

/// A record of the outbox without what is private. What cannot be read is emptied.
fn untold(resource: &Resource, json: &str) -> String {
    let Ok(Value::Object(mut record)) = serde_json::from_str(json) else { return "{}".into() };
    for field in resource.fields {
        let Some(value) = record.get_mut(field.name) else { continue };
        if !field.is_private() {
            *value = listed(field, value.take());
        } else if !is_told(value) {
            *value = told(true);
        }
    }
    Value::Object(record).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_older_row_loses_what_is_private_and_one_of_today_stays_as_it_is() {
        let old = json!({"status": "created", "dropoff_latitude": 52.5, "dropoff_address": "(sealed)"}).to_string();
        let quiet = untold(&DELIVERIES, &old);
        assert!(!quiet.contains("52.5") && quiet.contains("created"), "{quiet}");
        assert_eq!(untold(&DELIVERIES, &quiet), quiet);
        let stops = json!({"stops": [{"latitude": 52.5, "longitude": 13.4, "delivery_id": "d", "done": true}]});
        let quiet = untold(&ROUTES, &stops.to_string());
        assert!(!quiet.contains("52.5") && quiet.contains("\"done\":true"), "{quiet}");
        let today = json!({"stops": [{"latitude": "(sealed, changed)", "longitude": "(sealed)"}]}).to_string();
        assert_eq!(untold(&ROUTES, &today), today);
    }

    #[test]
    fn only_stops_of_these_deliveries_lose_their_place() {
        let stops = json!([{"delivery_id": "a", "latitude": 1.0, "longitude": 2.0, "name": "Gasse 7", "done": true},
            {"delivery_id": "b", "latitude": 3.0, "longitude": 4.0}, {"latitude": 5.0, "longitude": 6.0}]);
        let deliveries = HashSet::from(["a".to_owned()]);
        let left: Value = serde_json::from_str(&without_places(&stops.to_string(), &deliveries).unwrap()).unwrap();
        assert_eq!(left, json!([{"delivery_id": "a", "done": true}, stops[1], stops[2]]));
        assert_eq!(without_places(&left.to_string(), &deliveries), None, "nothing more to take out");
    }
}
