//! What is known of one person: everything on request, nothing after an erasure.

use crate::Shared;
use crate::check::Cell;
use crate::error::Error;
use crate::record::{DeliveryEvent, Record};
use crate::resources::{ASSIGNMENTS, CUSTOMERS, DELIVERIES, DRIVERS, ROUTES};
use crate::rows::{Row, Sql, person, select};
use crate::schema::{PersonOf, Resource};
use crate::writes::Write;
use drover_access::Caller;
use drover_answer::now_ms;
use serde_json::{Value, json};
use sqlx::AnyConnection;

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
        let mut write = Write::begin(&self.database).await?;
        let before = self.row(&mut write.transaction, caller, resource, id).await?;
        let mut after = Row { version: before.version + 1, updated_at: now_ms(), erased: true, ..before.clone() };
        for (_, cell) in resource.fields.iter().zip(&mut after.cells).filter(|(field, _)| field.is_sealed()) {
            *cell = Cell::Null;
        }
        self.overwrite(&mut write.transaction, resource, &after).await?;
        if *resource == CUSTOMERS {
            blank_deliveries(&mut write.transaction, id, after.updated_at).await?;
        }
        write.note(resource, "erase", &caller.subject, Some(&before), Some(&after)).await?;
        write.commit(&self.mirror).await
    }

    pub(crate) async fn export_person(
        &self,
        caller: &Caller,
        resource: &'static Resource,
        id: &str,
    ) -> Result<Value, Error> {
        is_about_persons(resource)?;
        let mut connection = self.database.read().await?;
        let row = self.row(&mut connection, caller, resource, id).await?;
        let column = if *resource == CUSTOMERS { "customer_id" } else { "driver_id" };
        let mut deliveries = Vec::new();
        for delivery in self.all_of(&mut connection, &DELIVERIES, column, id).await? {
            let events = self.events(&mut connection, &delivery.id).await?;
            deliveries.push(for_person(resource, delivery, events));
        }
        let mut export = json!({ resource.singular: row.record(resource).to_json(), "deliveries": deliveries });
        if *resource == DRIVERS {
            let list = |records: Vec<Record>| Value::Array(records.iter().map(Record::to_json).collect());
            export["assignments"] = list(self.all_of(&mut connection, &ASSIGNMENTS, column, id).await?);
            export["routes"] = list(self.all_of(&mut connection, &ROUTES, column, id).await?);
        }
        Ok(export)
    }

    async fn all_of(
        &self,
        from: &mut AnyConnection,
        resource: &'static Resource,
        column: &str,
        id: &str,
    ) -> Result<Vec<Record>, Error> {
        let mut sql = select(resource);
        sql.push(" WHERE ").push(column).push(" = ").text(id).push(" ORDER BY created_at, id");
        let rows = sql.all(from).await?;
        rows.iter().map(|row| Ok(self.opened(resource, row)?.record(resource))).collect()
    }
}

/// A delivery as its person may have it: a driver's export holds nothing of the customers.
fn for_person(resource: &Resource, mut delivery: Record, mut events: Vec<DeliveryEvent>) -> Value {
    if *resource == DRIVERS {
        for field in DELIVERIES.fields.iter().filter(|field| field.is_sealed() || is_place(field.name)) {
            delivery.fields.remove(field.name);
        }
        events.iter_mut().for_each(|event| event.data = None);
    }
    let mut delivery = delivery.to_json();
    delivery["events"] = json!(events);
    delivery
}

/// Where somebody lives is about the person too.
fn is_place(field: &str) -> bool {
    field.ends_with("_latitude") || field.ends_with("_longitude")
}

fn is_about_persons(resource: &Resource) -> Result<(), Error> {
    match resource.person {
        PersonOf::Itself => Ok(()),
        _ => Err(Error::invalid("resource", format!("{} are no persons; customers and drivers are", resource.name))),
    }
}

/// The sealed columns of a customer's deliveries, and where they went.
async fn blank_deliveries(to: &mut AnyConnection, customer: &str, now: i64) -> Result<(), Error> {
    let mut sql = Sql::new("UPDATE deliveries SET erased = 1, version = version + 1, updated_at = ");
    sql.integer(now);
    for field in DELIVERIES.fields.iter().filter(|field| field.is_sealed() || is_place(field.name)) {
        sql.push(", ").push(field.name).push(" = NULL");
    }
    sql.push(" WHERE customer_id = ").text(customer);
    sql.run(to).await.map(drop)
}
