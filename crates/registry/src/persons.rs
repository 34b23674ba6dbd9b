//! What is known of one person, on request. Erasing is in `erasing`.

use crate::Shared;
use crate::error::Error;
use crate::record::{DeliveryEvent, Record};
use crate::resources::{ASSIGNMENTS, CUSTOMERS, DELIVERIES, DRIVERS, ROUTES, STOP};
use crate::rows::select;
use crate::schema::{PersonOf, Resource};
use drover_access::Caller;
use serde_json::{Value, json};
use sqlx::AnyConnection;

impl Shared {
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
            let mut routes = self.all_of(&mut connection, &ROUTES, column, id).await?;
            routes.iter_mut().for_each(without_customers);
            export["routes"] = list(routes);
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
        for field in DELIVERIES.fields.iter().filter(|field| field.is_private()) {
            delivery.fields.remove(field.name);
        }
        events.iter_mut().for_each(|event| event.data = None);
    }
    let mut delivery = delivery.to_json();
    delivery["events"] = json!(events);
    delivery
}

/// A driver's routes lead to customers: what a stop says of them is theirs.
fn without_customers(route: &mut Record) {
    let stops = route.fields.get_mut("stops").and_then(Value::as_array_mut);
    for stop in stops.into_iter().flatten().filter_map(Value::as_object_mut) {
        for field in STOP.iter().filter(|field| field.is_private()) {
            stop.remove(field.name);
        }
    }
}

pub(crate) fn is_about_persons(resource: &Resource) -> Result<(), Error> {
    match resource.person {
        PersonOf::Itself => Ok(()),
        _ => Err(Error::invalid("resource", format!("{} are no persons; customers and drivers are", resource.name))),
    }
}
