//! What those at the two ends of a delivery need of each other, and no more: its driver the name and the number of who waits,
//! its customer a way to say how it is to be handed over.

use crate::Shared;
use crate::deliveries::is_end;
use crate::error::Error;
use crate::record::{Contact, Record};
use crate::resources::{CUSTOMERS, DELIVERIES};
use crate::rows::Row;
use crate::writes::{Write, same_version};
use drover_access::{Caller, Reach};
use drover_answer::now_ms;
use drover_model::Kind;
use serde_json::Value;
use sqlx::AnyConnection;

/// Until it is picked up, its customer may say how a delivery is to be handed over.
const INSTRUCTED_WHILE: [&str; 2] = ["created", "assigned"];

impl Shared {
    pub(crate) async fn contact_of(&self, caller: &Caller, delivery: &str) -> Result<Contact, Error> {
        let mut connection = self.database.read().await?;
        let row = self.row(&mut connection, caller, &DELIVERIES, delivery).await?;
        let mut contact = Contact { delivery_id: row.id.clone(), customer_id: None, name: None, phone: None };
        let Some(id) = row.text(&DELIVERIES, "customer_id") else { return Ok(contact) };
        if let Some(customer) = self.customer_shown(&mut connection, caller, &row, id).await? {
            let text = |field| customer.text(&CUSTOMERS, field).map(str::to_owned);
            (contact.name, contact.phone) = (text("name"), text("phone"));
            contact.customer_id = Some(customer.id.clone());
        }
        Ok(contact)
    }

    /// The customer, to the delivery's own driver until its end; to others if he is within their reach.
    async fn customer_shown(
        &self,
        from: &mut AnyConnection,
        caller: &Caller,
        delivery: &Row,
        id: &str,
    ) -> Result<Option<Row>, Error> {
        let drives = delivery.text(&DELIVERIES, "driver_id").is_some_and(|driver| caller.owns(Kind::Driver, driver));
        if caller.reach != Reach::Own || !drives {
            return self.row(from, caller, &CUSTOMERS, id).await.map(Some);
        }
        if delivery.text(&DELIVERIES, "status").is_none_or(is_end) {
            let message = "a driver is told who waits for a delivery until it comes to its end".to_owned();
            return Err(Error::Forbidden { message });
        }
        self.row_by_id(from, &CUSTOMERS, id).await
    }

    pub(crate) async fn instruct(
        &self,
        caller: &Caller,
        delivery: &str,
        instructions: &Value,
        if_match: Option<i64>,
    ) -> Result<Record, Error> {
        let Some(field) = DELIVERIES.field("instructions") else {
            return Err(Error::damaged("the definition of deliveries", "it has no instructions"));
        };
        let said = field.cell(instructions)?;
        let mut write = Write::begin(&self.database).await?;
        let before = self.row(&mut write.transaction, caller, &DELIVERIES, delivery).await?;
        same_version(&DELIVERIES, &before, if_match)?;
        may_be_instructed(&before)?;
        let mut after = before.clone();
        after.set(&DELIVERIES, field.name, said);
        if after == before {
            return Ok(before.record(&DELIVERIES));
        }
        after.version += 1;
        after.updated_at = now_ms();
        self.overwrite(&mut write.transaction, &DELIVERIES, &after).await?;
        write.note(&DELIVERIES, "update", &caller.subject, Some(&before), Some(&after)).await?;
        write.commit(&self.mirror).await?;
        Ok(after.record(&DELIVERIES))
    }
}

fn may_be_instructed(delivery: &Row) -> Result<(), Error> {
    let status = delivery.text(&DELIVERIES, "status").unwrap_or_default();
    if INSTRUCTED_WHILE.contains(&status) {
        return Ok(());
    }
    Err(Error::Conflict {
        code: "too_late",
        field: Some("instructions".into()),
        message: format!("the delivery {:?} is {status}; instructions are taken until it is picked up", delivery.id),
        help: "call who brings it, or the dispatcher",
    })
}
