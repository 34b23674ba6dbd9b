//! How a delivery moves: the table of statuses, transitions, and the history that each leaves.

use crate::Shared;
use crate::check::{Cell, free_object};
use crate::error::Error;
use crate::record::{DeliveryEvent, Record, Transition, time};
use crate::repeats::{self, Made, Repeatable};
use crate::resources::{DELIVERIES, DELIVERY_STATUSES};
use crate::rows::{Row, Sql, select};
use crate::scope;
use crate::writes::{Write, random_word, same_version};
use drover_access::{Caller, Reach};
use drover_answer::now_ms;
use drover_model::{Kind, check_id};
use serde_json::{Map, Value};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

/// Most bytes of what is kept with an event, as JSON.
const DATA_MAX_BYTES: usize = 8192;
/// What requests do that move a delivery on, among those that may come again.
const MOVING: &str = "deliveries.status";
/// Where an event's data are sealed.
pub(crate) const DATA_PLACE: &str = "delivery_events.data";

/// From each status, those that may follow. `delivered`, `returned` and `cancelled` are ends.
pub const TRANSITIONS: &[(&str, &[&str])] = &[
    ("created", &["assigned", "cancelled"]),
    ("assigned", &["picked_up", "created", "failed", "cancelled"]),
    ("picked_up", &["out_for_delivery", "failed", "returned"]),
    ("out_for_delivery", &["arrived", "delivered", "failed"]),
    ("arrived", &["delivered", "out_for_delivery", "failed"]),
    ("failed", &["assigned", "out_for_delivery", "returned", "cancelled"]),
    ("delivered", &[]),
    ("returned", &[]),
    ("cancelled", &[]),
];

/// Statuses that a driver may move his deliveries to.
pub(crate) const BY_DRIVER: [&str; 6] = ["picked_up", "out_for_delivery", "arrived", "delivered", "failed", "returned"];

/// The statuses that may follow.
pub fn next_statuses(status: &str) -> &'static [&'static str] {
    TRANSITIONS.iter().find(|(from, _)| *from == status).map_or(&[], |(_, to)| to)
}

/// True where nothing follows.
pub(crate) fn is_end(status: &str) -> bool {
    next_statuses(status).is_empty()
}

/// A driver is named from `assigned` on; from `picked_up` on the delivery stays with whom it is.
pub(crate) fn check(before: Option<&Row>, row: &Row) -> Result<(), Error> {
    let status = row.text(&DELIVERIES, "status").unwrap_or_default();
    if row.text(&DELIVERIES, "driver_id").is_none() && !matches!(status, "created" | "cancelled") {
        return Err(Error::invalid(
            "driver_id",
            format!("driver_id is missing; a delivery that is {status} has a driver"),
        ));
    }
    before.map_or(Ok(()), |before| stays_with_whom_it_is(before, row))
}

/// Who brings what is on its way, with what, and to whom, is what its history tells, and who sees the driver goes by it: it
/// changes where the delivery rests, and at its end no more.
fn stays_with_whom_it_is(before: &Row, row: &Row) -> Result<(), Error> {
    let status = before.text(&DELIVERIES, "status").unwrap_or_default();
    let (code, help) = match status {
        "picked_up" | "out_for_delivery" | "arrived" => {
            ("under_way", "move it to failed first; then change it, and assign it again")
        }
        _ if is_end(status) => ("at_its_end", "leave it as it was; make a new delivery for what is brought again"),
        _ => return Ok(()),
    };
    let changed = |field: &&str| before.cell(&DELIVERIES, field) != row.cell(&DELIVERIES, field);
    match ["driver_id", "customer_id", "vehicle_id"].into_iter().find(changed) {
        None => Ok(()),
        Some(field) => Err(Error::Conflict {
            code,
            field: Some(field.into()),
            message: format!("the delivery {:?} is {status}; its {field} cannot change", before.id),
            help,
        }),
    }
}

/// A delivery that has a history stays.
pub(crate) fn removable(row: &Row) -> Result<(), Error> {
    match row.text(&DELIVERIES, "status") {
        Some("created") => Ok(()),
        status => Err(Error::Conflict {
            code: "has_history",
            field: Some("status".into()),
            message: format!(
                "the delivery {:?} is {}; only one that is created can be removed",
                row.id,
                status.unwrap_or("")
            ),
            help: "cancel it instead",
        }),
    }
}

impl Shared {
    pub(crate) async fn transition(
        &self,
        caller: &Caller,
        delivery: &str,
        transition: &Transition,
        if_match: Option<i64>,
    ) -> Result<Record, Error> {
        self.transition_once(caller, delivery, transition, if_match, None).await.map(Made::into_record)
    }

    /// The delivery, if the request moved it before.
    pub(crate) async fn moved_before(
        &self,
        caller: &Caller,
        delivery: &str,
        request: Repeatable<'_>,
    ) -> Result<Option<Record>, Error> {
        let mut connection = self.database.read().await?;
        let before = repeats::look_up(&mut connection, &self.vault, &caller.subject, MOVING, &request).await?;
        match before {
            None => Ok(None),
            Some((id, _)) if id == delivery => {
                Ok(Some(self.row(&mut connection, caller, &DELIVERIES, &id).await?.record(&DELIVERIES)))
            }
            Some(_) => Err(Error::WordReused),
        }
    }

    pub(crate) async fn transition_once(
        &self,
        caller: &Caller,
        delivery: &str,
        transition: &Transition,
        if_match: Option<i64>,
        request: Option<Repeatable<'_>>,
    ) -> Result<Made, Error> {
        let to = known_status(&transition.to)?;
        check_place(transition.place)?;
        let mut write = Write::begin(&self.database).await?;
        let before = self.row(&mut write.transaction, caller, &DELIVERIES, delivery).await?;
        if let Some(request) = &request
            && let Some((id, _)) =
                repeats::look_up(&mut write.transaction, &self.vault, &caller.subject, MOVING, request).await?
        {
            return if id == delivery { Ok(Made::Before(before.record(&DELIVERIES))) } else { Err(Error::WordReused) };
        }
        may_move(caller, &before, to, transition)?;
        same_version(&DELIVERIES, &before, if_match)?;
        allowed(&before, to)?;
        let mut after = before.clone();
        after.version += 1;
        after.updated_at = now_ms();
        after.set(&DELIVERIES, "status", Cell::Text(to.to_owned()));
        if let Some(driver) = &transition.driver_id {
            after.set(&DELIVERIES, "driver_id", Cell::Text(driver.clone()));
        }
        if to == "created" {
            // Taken back: nobody brings it until it is assigned again.
            after.set(&DELIVERIES, "driver_id", Cell::Null);
        }
        if to == "delivered" {
            after.set(&DELIVERIES, "delivered_at", Cell::Integer(after.updated_at));
        }
        self.check_row(&mut write.transaction, caller, &DELIVERIES, Some(&before), &after).await?;
        if let ("assigned", Some(field)) = (to, DELIVERIES.field("driver_id")) {
            // Also one who is named already: he may have gone since.
            let driver = after.cell(&DELIVERIES, "driver_id");
            self.exists(&mut write.transaction, caller, field, "drivers", driver).await?;
        }
        self.overwrite(&mut write.transaction, &DELIVERIES, &after).await?;
        self.event(&mut write.transaction, caller, &after, transition.place, transition.data.as_ref()).await?;
        write.note(&DELIVERIES, "transition", &caller.subject, Some(&before), Some(&after)).await?;
        self.tell_routes(&mut write, caller, &before, &after).await?;
        if let Some(request) = &request {
            let (vault, done) = (&self.vault, (&*after.id, after.updated_at));
            repeats::keep(&mut write.transaction, vault, &caller.subject, MOVING, request, done).await?;
        }
        write.commit(&self.mirror).await?;
        Ok(Made::Now(after.record(&DELIVERIES)))
    }

    /// The event of a new delivery. An id that has a history is not used again.
    pub(crate) async fn first_event(&self, to: &mut AnyConnection, caller: &Caller, row: &Row) -> Result<(), Error> {
        let mut sql = Sql::new("SELECT 1 FROM delivery_events WHERE delivery_id = ");
        sql.text(&row.id).push(" LIMIT 1");
        if sql.one(to).await?.is_some() {
            return Err(Error::Conflict {
                code: "already_exists",
                field: Some("id".into()),
                message: format!("there was a delivery {:?}, and its history is kept", row.id),
                help: "choose another id",
            });
        }
        self.event(to, caller, row, None, None).await
    }

    /// The event of a change that is no transition: a delivery that is assigned was given to another driver.
    pub(crate) async fn event_of_change(
        &self,
        to: &mut AnyConnection,
        caller: &Caller,
        before: &Row,
        after: &Row,
    ) -> Result<(), Error> {
        let driver = |row: &Row| row.text(&DELIVERIES, "driver_id").map(str::to_owned);
        if after.text(&DELIVERIES, "status") != Some("assigned") || driver(before) == driver(after) {
            return Ok(());
        }
        self.event(to, caller, after, None, None).await
    }

    async fn event(
        &self,
        to: &mut AnyConnection,
        caller: &Caller,
        row: &Row,
        place: Option<(f64, f64)>,
        data: Option<&Map<String, Value>>,
    ) -> Result<(), Error> {
        let person = row.person(&DELIVERIES).unwrap_or_default();
        let data = match data {
            Some(data) if self.vault.is_erased(&person) => {
                // Checked, then left out: nothing of that person is kept any more.
                free_object("data", data, DATA_MAX_BYTES)?;
                Cell::Null
            }
            Some(data) => {
                let json = free_object("data", data, DATA_MAX_BYTES)?;
                Cell::Text(self.vault.seal(&person, DATA_PLACE, &json)?)
            }
            None => Cell::Null,
        };
        let place = place.filter(|_| !self.vault.is_erased(&person));
        let real = |number: Option<f64>| number.map_or(Cell::Null, Cell::Real);
        let status = row.text(&DELIVERIES, "status").unwrap_or_default();
        let mut sql = Sql::new(
            "INSERT INTO delivery_events (id, delivery_id, event_type, time, latitude, longitude, person, data, actor) \
             VALUES (",
        );
        sql.text(format!("ev-{}", random_word(10)?)).push(", ").text(&row.id).push(", ").text(status).push(", ");
        sql.integer(row.updated_at).push(", ").bind(real(place.map(|(latitude, _)| latitude))).push(", ");
        sql.bind(real(place.map(|(_, longitude)| longitude))).push(", ").text(person).push(", ").bind(data);
        sql.push(", ").text(&caller.subject).push(")");
        sql.run(to).await.map(drop)
    }

    pub(crate) async fn order(&self, caller: &Caller, name: &str) -> Result<Record, Error> {
        let not_found = || Error::NotFound { singular: "order", id: name.chars().take(64).collect() };
        check_id(name).map_err(|_| not_found())?;
        let mut connection = self.database.read().await?;
        let mut sql = select(&DELIVERIES);
        sql.push(" WHERE (order_id = ").text(name).push(" OR id = ").text(name).push(") AND ");
        scope::push(&mut sql, caller, &DELIVERIES);
        sql.push(" ORDER BY CASE WHEN status IN ('delivered', 'returned', 'cancelled') THEN 1 ELSE 0 END, ");
        sql.push("CASE WHEN order_id = ").text(name).push(" THEN 0 ELSE 1 END LIMIT 2");
        let rows = sql.all(&mut connection).await?;
        let rows = rows.iter().map(|row| self.opened(&DELIVERIES, row)).collect::<Result<Vec<_>, _>>()?;
        let rank = |row: &Row| {
            let over = row.text(&DELIVERIES, "status").is_some_and(is_end);
            (over, row.text(&DELIVERIES, "order_id") != Some(name))
        };
        match &*rows {
            [] => Err(not_found()),
            [one, other] if rank(one) == rank(other) => Err(Error::ambiguous_order(name)),
            [one, ..] => Ok(one.record(&DELIVERIES)),
        }
    }

    pub(crate) async fn events_of(&self, caller: &Caller, delivery: &str) -> Result<Vec<DeliveryEvent>, Error> {
        let mut connection = self.database.read().await?;
        let row = self.row(&mut connection, caller, &DELIVERIES, delivery).await?;
        self.events(&mut connection, &row.id).await
    }

    pub(crate) async fn events(&self, from: &mut AnyConnection, delivery: &str) -> Result<Vec<DeliveryEvent>, Error> {
        let mut sql = Sql::new(
            "SELECT id, delivery_id, event_type, time, latitude, longitude, person, data, actor FROM delivery_events \
             WHERE delivery_id = ",
        );
        sql.text(delivery).push(" ORDER BY seq");
        sql.all(from).await?.iter().map(|row| self.opened_event(row)).collect()
    }

    fn opened_event(&self, row: &AnyRow) -> Result<DeliveryEvent, Error> {
        let person: String = row.try_get(6)?;
        let data = match row.try_get::<Option<String>, _>(7)? {
            Some(sealed) => self.vault.open_sealed(&person, DATA_PLACE, &sealed)?,
            None => None,
        };
        let at: i64 = row.try_get(3)?;
        let is_erased = self.vault.is_erased(&person);
        Ok(DeliveryEvent {
            id: row.try_get(0)?,
            delivery_id: row.try_get(1)?,
            event_type: row.try_get(2)?,
            time: time(at).as_str().unwrap_or_default().to_owned(),
            latitude: row.try_get::<Option<f64>, _>(4)?.filter(|_| !is_erased),
            longitude: row.try_get::<Option<f64>, _>(5)?.filter(|_| !is_erased),
            data: data.and_then(|json| serde_json::from_str(&json).ok()),
            actor: row.try_get(8)?,
        })
    }
}

fn known_status(to: &str) -> Result<&'static str, Error> {
    DELIVERY_STATUSES.iter().copied().find(|status| *status == to).ok_or_else(|| {
        let to: String = to.chars().take(60).collect();
        Error::invalid("status", format!("status is {to:?}; allowed are {}", DELIVERY_STATUSES.join(", ")))
    })
}

fn check_place(place: Option<(f64, f64)>) -> Result<(), Error> {
    let Some((latitude, longitude)) = place else { return Ok(()) };
    for (field, value, most) in [("latitude", latitude, 90.0), ("longitude", longitude, 180.0)] {
        if !(-most..=most).contains(&value) {
            return Err(Error::invalid(
                field,
                format!("{field} is {value}; a number from -{most} to {most} is needed"),
            ));
        }
    }
    Ok(())
}

/// A driver moves his own deliveries on; he does not hand them out or cancel them.
fn may_move(caller: &Caller, row: &Row, to: &str, transition: &Transition) -> Result<(), Error> {
    if caller.reach != Reach::Own {
        return Ok(());
    }
    let drives = row.text(&DELIVERIES, "driver_id").is_some_and(|driver| caller.owns(Kind::Driver, driver));
    if !drives || !BY_DRIVER.contains(&to) || transition.driver_id.is_some() {
        let message =
            format!("only a dispatcher may move this delivery to {to}; its driver may to {}", BY_DRIVER.join(", "));
        return Err(Error::Forbidden { message });
    }
    Ok(())
}

fn allowed(row: &Row, to: &str) -> Result<(), Error> {
    let from = row.text(&DELIVERIES, "status").unwrap_or_default();
    let next = next_statuses(from);
    if next.contains(&to) {
        return Ok(());
    }
    let may = match next {
        [] => "nothing follows it".to_owned(),
        next => format!("it may be moved to {}", next.join(", ")),
    };
    Err(Error::Conflict {
        code: "illegal_transition",
        field: Some("status".into()),
        message: format!("the delivery {:?} is {from} and cannot be moved to {to}; {may}", row.id),
        help: "read the delivery again, and move it to one of the statuses that may follow",
    })
}
