//! Changing: each change is checked, written and put into the outbox in one transaction; what is in memory follows after
//! the commit.

use crate::Shared;
use crate::check::{self, Cell, known_only};
use crate::claims;
use crate::deliveries;
use crate::error::Error;
use crate::mirror::{Heard, Mirror};
use crate::outbox::{self, NewChange};
use crate::progress::show_outcomes;
use crate::record::{Record, SET_BY_DROVER};
use crate::references::not_referred_to;
use crate::repeats::{Made, Repeatable};
use crate::resources::{DELIVERIES, RESOURCES, ROUTES, resource as resource_named};
use crate::rows::{Row, Sql, select};
use crate::schema::{Field, FleetOf, Resource, Unique};
use crate::scope;
use drover_access::{Caller, Reach};
use drover_answer::now_ms;
use drover_database::{Database, Transaction};
use drover_model::Kind;
use serde_json::{Map, Value};
use sqlx::{AnyConnection, Row as _};

/// A transaction, and what it changes.
pub(crate) struct Write {
    pub(crate) transaction: Transaction,
    noted: Vec<Noted>,
}

struct Noted {
    seq: i64,
    resource: &'static Resource,
    id: String,
    version: i64,
    time_ms: i64,
    after: Option<Value>,
}

impl Write {
    pub(crate) async fn begin(database: &Database) -> Result<Write, Error> {
        Ok(Write { transaction: database.begin().await?, noted: Vec::new() })
    }

    /// Puts a change into the outbox.
    pub(crate) async fn note(
        &mut self,
        resource: &'static Resource,
        op: &str,
        actor: &str,
        before: Option<&Row>,
        after: Option<&Row>,
    ) -> Result<(), Error> {
        let Some(row) = after.or(before) else { return Ok(()) };
        let fleet = fleet_of(&mut self.transaction, resource, row).await?;
        let change = NewChange {
            resource: resource.name,
            id: &row.id,
            op,
            version: row.version,
            actor,
            fleet_id: fleet.as_deref(),
            before: before.map(|row| row.change_json(resource, None)),
            after: after.map(|row| row.change_json(resource, before)),
        };
        let after = change.after.clone();
        let seq = outbox::write(&mut self.transaction, change).await?;
        let (version, time_ms) = (row.version, row.updated_at);
        self.noted.push(Noted { seq, resource, id: row.id.clone(), version, time_ms, after });
        Ok(())
    }

    /// Makes it durable, then tells what is in memory.
    pub(crate) async fn commit(self, mirror: &Mirror) -> Result<(), Error> {
        self.transaction.commit().await?;
        for Noted { seq, resource, id, version, time_ms, after } in &self.noted {
            let (seq, version, time_ms) = (*seq, *version, *time_ms);
            mirror.apply(&Heard { seq, resource: resource.name, id, version, time_ms, after: after.as_ref() });
        }
        Ok(())
    }
}

impl Shared {
    pub(crate) async fn create(
        &self,
        caller: &Caller,
        resource: &'static Resource,
        body: Map<String, Value>,
        request: Option<Repeatable<'_>>,
    ) -> Result<Made, Error> {
        let (write, made) = self.creating(caller, resource, body, request).await?;
        write.commit(&self.mirror).await?;
        Ok(made)
    }

    /// Everything that making a record does, and nothing stays of it.
    pub(crate) async fn would_create(
        &self,
        caller: &Caller,
        resource: &'static Resource,
        body: Map<String, Value>,
    ) -> Result<(), Error> {
        let (write, _) = self.creating(caller, resource, body, None).await?;
        Ok(write.transaction.rollback().await?)
    }

    async fn creating(
        &self,
        caller: &Caller,
        resource: &'static Resource,
        mut body: Map<String, Value>,
        request: Option<Repeatable<'_>>,
    ) -> Result<(Write, Made), Error> {
        may_make(caller, resource)?;
        fill_fleet(caller, resource, &mut body);
        let id = match body.get("id") {
            None | Some(Value::Null) => made_id(resource)?,
            Some(value) => check::id("id", value)?,
        };
        let now = now_ms();
        let nothing =
            Row { id, version: 1, created_at: now, updated_at: now, erased: false, cells: defaults(resource)? };
        let mut row = merged(resource, &body, &nothing, true)?;
        if *resource == DELIVERIES {
            row.set(resource, "tracking_number", Cell::Text(random_word(TRACKING_BYTES)?.to_ascii_uppercase()));
        }
        let mut write = Write::begin(&self.database).await?;
        if let Some(request) = &request
            && let Some(made) = self.made_before(&mut write.transaction, caller, resource, request).await?
        {
            return Ok((write, Made::Before(made)));
        }
        if self.row_by_id(&mut write.transaction, resource, &row.id).await?.is_some() {
            return Err(taken(resource, "id", &row.id));
        }
        if *resource == ROUTES {
            show_outcomes(&mut write.transaction, &mut row).await?;
        }
        self.check_row(&mut write.transaction, caller, resource, None, &row).await?;
        self.insert(&mut write.transaction, resource, &row).await?;
        if *resource == DELIVERIES {
            self.first_event(&mut write.transaction, caller, &row).await?;
        }
        write.note(resource, "create", &caller.subject, None, Some(&row)).await?;
        self.settle_after(&mut write, resource, None, Some(&row)).await?;
        if let Some(request) = &request {
            self.remember(&mut write.transaction, caller, resource, request, &row).await?;
        }
        Ok((write, Made::Now(row.record(resource))))
    }

    /// A patch, or a whole record in place of the other.
    pub(crate) async fn update(
        &self,
        caller: &Caller,
        resource: &'static Resource,
        id: &str,
        body: Map<String, Value>,
        if_match: Option<i64>,
        whole: bool,
    ) -> Result<Record, Error> {
        let (write, record, _) = self.updating(caller, resource, id, body, if_match, whole).await?;
        write.commit(&self.mirror).await?;
        Ok(record)
    }

    /// Everything that a change does, and nothing stays of it; true if it would change anything.
    pub(crate) async fn would_update(
        &self,
        caller: &Caller,
        resource: &'static Resource,
        id: &str,
        patch: Map<String, Value>,
    ) -> Result<bool, Error> {
        let (write, _, changes) = self.updating(caller, resource, id, patch, None, false).await?;
        write.transaction.rollback().await?;
        Ok(changes)
    }

    /// What is written, the record after it, and whether that is another one.
    async fn updating(
        &self,
        caller: &Caller,
        resource: &'static Resource,
        id: &str,
        body: Map<String, Value>,
        if_match: Option<i64>,
        whole: bool,
    ) -> Result<(Write, Record, bool), Error> {
        may_change(caller, resource)?;
        let mut write = Write::begin(&self.database).await?;
        let before = self.row(&mut write.transaction, caller, resource, id).await?;
        same_version(resource, &before, if_match)?;
        if let Some(given) = body.get("id")
            && check::id("id", given)? != before.id
        {
            return Err(Error::invalid("id", format!("the id of {:?} cannot be changed", before.id)));
        }
        let mut after = merged(resource, &body, &before, whole)?;
        if *resource == ROUTES {
            show_outcomes(&mut write.transaction, &mut after).await?;
        }
        if after.cells == before.cells {
            return Ok((write, before.record(resource), false));
        }
        after.version += 1;
        after.updated_at = now_ms();
        self.check_row(&mut write.transaction, caller, resource, Some(&before), &after).await?;
        self.overwrite(&mut write.transaction, resource, &after).await?;
        if *resource == DELIVERIES {
            self.event_of_change(&mut write.transaction, caller, &before, &after).await?;
        }
        write.note(resource, "update", &caller.subject, Some(&before), Some(&after)).await?;
        self.settle_after(&mut write, resource, Some(&before), Some(&after)).await?;
        claims::keep_former(&mut write.transaction, resource, &before, Some(&after)).await?;
        Ok((write, after.record(resource), true))
    }

    pub(crate) async fn remove(
        &self,
        caller: &Caller,
        resource: &'static Resource,
        id: &str,
        if_match: Option<i64>,
    ) -> Result<(), Error> {
        may_make(caller, resource)?;
        let mut write = Write::begin(&self.database).await?;
        let row = self.row(&mut write.transaction, caller, resource, id).await?;
        same_version(resource, &row, if_match)?;
        if *resource == DELIVERIES {
            deliveries::removable(&row)?;
        }
        not_referred_to(&mut write.transaction, caller, resource, id).await?;
        let mut sql = Sql::new("DELETE FROM ");
        sql.push(resource.table).push(" WHERE id = ").text(id);
        sql.run(&mut write.transaction).await?;
        write.note(resource, "remove", &caller.subject, Some(&row), None).await?;
        self.settle_after(&mut write, resource, Some(&row), None).await?;
        claims::keep_former(&mut write.transaction, resource, &row, None).await?;
        write.commit(&self.mirror).await
    }

    /// The row of this id, whoever asks.
    pub(crate) async fn row_by_id(
        &self,
        from: &mut AnyConnection,
        resource: &'static Resource,
        id: &str,
    ) -> Result<Option<Row>, Error> {
        let mut sql = select(resource);
        sql.push(" WHERE id = ").text(id);
        let row = sql.one(from).await?;
        row.map(|row| self.opened(resource, &row)).transpose()
    }

    /// What a row must satisfy beside the values of its fields.
    pub(crate) async fn check_row(
        &self,
        from: &mut AnyConnection,
        caller: &Caller,
        resource: &'static Resource,
        before: Option<&Row>,
        row: &Row,
    ) -> Result<(), Error> {
        // The fleet first: who does not reach it learns nothing of what is in it.
        self.check_references(from, caller, resource, before, row).await?;
        in_reach(caller, resource, row)?;
        for field in resource.fields.iter().filter(|field| field.unique != Unique::No) {
            is_free(from, resource, field, before, row).await?;
        }
        pairs(resource, row)?;
        match resource.name {
            "assignments" => self.check_assignment(from, caller, row).await?,
            "deliveries" => deliveries::check(before, row)?,
            "devices" => check_device(from, caller, resource, row).await?,
            _ => {}
        }
        self.may_claim(from, caller, resource, before, row).await
    }
}

/// What a new record holds where the request says nothing.
fn defaults(resource: &Resource) -> Result<Vec<Cell>, Error> {
    resource.fields.iter().map(|field| field.default.map_or(Ok(Cell::Null), |word| field.cell(&word.into()))).collect()
}

/// `body` over `base`; what a whole record leaves out is as in a new one.
fn merged(resource: &'static Resource, body: &Map<String, Value>, base: &Row, whole: bool) -> Result<Row, Error> {
    let known = |key: &str| key == "id" || SET_BY_DROVER.contains(&key) || resource.field(key).is_some();
    known_only(resource.singular, body, known, resource.fields)?;
    let mut row = base.clone();
    for (at, field) in resource.fields.iter().enumerate() {
        let given = body.get(field.name);
        if field.read_only {
            is_repeated(field, given, &base.cells[at])?;
            continue;
        }
        row.cells[at] = match (given, whole) {
            (Some(value), _) => field.cell(value)?,
            (None, true) => field.default.map_or(Ok(Cell::Null), |word| field.cell(&word.into()))?,
            (None, false) => continue,
        };
    }
    for (field, cell) in resource.fields.iter().zip(&row.cells) {
        let gone = row.erased && field.is_sealed();
        if field.required && *cell == Cell::Null && !gone {
            return Err(Error::invalid(field.name, format!("{} is missing; {}", field.name, field.doc)));
        }
    }
    Ok(row)
}

fn is_repeated(field: &Field, given: Option<&Value>, now: &Cell) -> Result<(), Error> {
    match given {
        Some(value) if field.cell(value)? != *now => {
            let message = match field.name {
                "status" => "status is moved by a transition, not written".to_owned(),
                name => format!("{name} is set by Drover; leave it out"),
            };
            Err(Error::invalid(field.name, message))
        }
        _ => Ok(()),
    }
}

/// Who reaches one fleet need not say which.
fn fill_fleet(caller: &Caller, resource: &Resource, body: &mut Map<String, Value>) {
    if let Reach::Fleets(fleets) = &caller.reach
        && let [only] = &**fleets
        && resource.fleet == FleetOf::OwnField
        && body.get("fleet_id").is_none_or(Value::is_null)
    {
        body.insert("fleet_id".into(), only.to_string().into());
    }
}

/// The organisation and its list of fleets are for who reaches all of them.
fn may_make(caller: &Caller, resource: &Resource) -> Result<(), Error> {
    match resource.fleet {
        FleetOf::SelfId if caller.reach != Reach::All => Err(forbidden(resource)),
        _ => may_change(caller, resource),
    }
}

fn may_change(caller: &Caller, resource: &Resource) -> Result<(), Error> {
    match resource.fleet {
        FleetOf::Organisation if caller.reach != Reach::All => Err(forbidden(resource)),
        _ => Ok(()),
    }
}

fn forbidden(resource: &Resource) -> Error {
    let message =
        format!("{} are made and removed by who reaches all fleets, and only some are within reach", resource.name);
    Error::Forbidden { message }
}

/// A record must not leave the reach of who writes it.
fn in_reach(caller: &Caller, resource: &Resource, row: &Row) -> Result<(), Error> {
    if resource.fleet == FleetOf::OwnField
        && row.text(resource, "fleet_id").is_none()
        && matches!(caller.reach, Reach::Fleets(_))
    {
        return Err(Error::invalid("fleet_id", "fleet_id is missing; name one of the fleets within your reach"));
    }
    Ok(())
}

/// Refuses a value that must be unique and that another record has, of the same fleet or at all.
async fn is_free(
    from: &mut AnyConnection,
    resource: &Resource,
    field: &Field,
    before: Option<&Row>,
    row: &Row,
) -> Result<(), Error> {
    let cell = row.cell(resource, field.name);
    let fleet = |row: &Row| row.text(resource, "fleet_id").unwrap_or_default().to_owned();
    let same = |before: &Row| before.cell(resource, field.name) == cell && fleet(before) == fleet(row);
    if *cell == Cell::Null || before.is_some_and(same) {
        return Ok(());
    }
    let mut sql = Sql::new("SELECT 1 FROM ");
    sql.push(resource.table).push(" WHERE ").push(field.name).push(" = ").bind(cell.clone());
    sql.push(" AND id <> ").text(&row.id);
    if field.unique == Unique::InFleet {
        sql.push(" AND COALESCE(fleet_id, '') = ").text(fleet(row));
    }
    match sql.one(from).await? {
        None => Ok(()),
        Some(_) => Err(taken(resource, field.name, &field.text(cell))),
    }
}

fn taken(resource: &Resource, field: &'static str, value: &str) -> Error {
    Error::Conflict {
        code: "already_exists",
        field: Some(field.into()),
        message: format!("there is already {} with the {field} {value:?}", resource.one()),
        help: "choose another value, or change the record that has it",
    }
}

/// Latitude and longitude go together; a window ends after it begins.
fn pairs(resource: &Resource, row: &Row) -> Result<(), Error> {
    for field in resource.fields {
        let Some(stem) = field.name.strip_suffix("latitude") else { continue };
        let other = format!("{stem}longitude");
        if (*row.cell(resource, field.name) == Cell::Null) != (*row.cell(resource, &other) == Cell::Null) {
            return Err(Error::invalid(
                field.name,
                format!("{} and {other} go together: give both or none", field.name),
            ));
        }
    }
    for (start, end) in [("window_start", "window_end"), ("starts_at", "ends_at")] {
        let (from, until) = (row.cell(resource, start).integer(), row.cell(resource, end).integer());
        if from.zip(until).is_some_and(|(from, until)| until <= from) {
            return Err(Error::invalid(end, format!("{end} is not after {start}")));
        }
    }
    Ok(())
}

/// A device reports for a record within reach; of riders and others, for none that a foreign device reports for.
async fn check_device(
    from: &mut AnyConnection,
    caller: &Caller,
    devices: &'static Resource,
    row: &Row,
) -> Result<(), Error> {
    let (Some(kind), Some(asset)) = (row.text(devices, "asset_kind"), row.text(devices, "asset_id")) else {
        return Ok(());
    };
    let target = Kind::parse(kind).and_then(|kind| RESOURCES.into_iter().find(|known| known.asset == Some(kind)));
    let mut sql = match target {
        Some(target) => {
            let mut sql = Sql::new("SELECT 1 FROM ");
            sql.push(target.table).push(" WHERE id = ").text(asset).push(" AND ");
            scope::push(&mut sql, caller, target);
            sql
        }
        None => {
            let mut sql = Sql::new("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM devices WHERE asset_kind = ");
            sql.text(kind).push(" AND asset_id = ").text(asset).push(" AND id <> ").text(&row.id);
            match row.text(devices, "fleet_id") {
                Some(fleet) => sql.push(" AND (fleet_id IS NULL OR fleet_id <> ").text(fleet).push(")"),
                None => sql.push(" AND fleet_id IS NOT NULL"),
            };
            sql.push(")");
            sql
        }
    };
    sql.push(" LIMIT 1");
    match sql.one(from).await? {
        Some(_) => Ok(()),
        None => Err(Error::invalid("asset_id", format!("asset_id: there is no {kind} {asset:?}"))),
    }
}

pub(crate) fn same_version(resource: &Resource, row: &Row, if_match: Option<i64>) -> Result<(), Error> {
    match if_match {
        Some(wanted) if wanted != row.version => {
            let (singular, id, current) = (resource.singular, row.id.clone(), row.version);
            Err(Error::Stale { singular, id, current, wanted })
        }
        _ => Ok(()),
    }
}

/// The fleet that a row belongs to.
async fn fleet_of(from: &mut AnyConnection, resource: &Resource, row: &Row) -> Result<Option<String>, Error> {
    match resource.fleet {
        FleetOf::Organisation => Ok(None),
        FleetOf::SelfId => Ok(Some(row.id.clone())),
        FleetOf::OwnField => Ok(row.text(resource, "fleet_id").map(str::to_owned)),
        FleetOf::Via { field, resource: via } => {
            let (Some(id), Some(target)) = (row.text(resource, field), resource_named(via)) else { return Ok(None) };
            let mut sql = Sql::new("SELECT fleet_id FROM ");
            sql.push(target.table).push(" WHERE id = ").text(id);
            Ok(sql.one(from).await?.map_or(Ok(None), |row| row.try_get(0))?)
        }
    }
}

/// Random bytes of a made id; 80 bits, so that two nodes never make the same.
const ID_BYTES: usize = 10;
/// Random bytes of a tracking number; 120 bits, so that nobody guesses one.
const TRACKING_BYTES: usize = 15;

fn made_id(resource: &Resource) -> Result<String, Error> {
    Ok(format!("{}-{}", resource.id_prefix, random_word(ID_BYTES)?))
}

/// Random bytes as digits and small letters, without those that look alike; eight characters for five bytes.
pub(crate) fn random_word(bytes: usize) -> Result<String, Error> {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random).map_err(|error| Error::damaged("the system's source of random numbers", error))?;
    let mut word = String::with_capacity(bytes * 8 / 5);
    for five in random.chunks(5) {
        let number = five.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        for at in (0..five.len() * 8 / 5).rev() {
            word.push(ALPHABET[(number >> (at * 5) & 31) as usize] as char);
        }
    }
    Ok(word)
}
