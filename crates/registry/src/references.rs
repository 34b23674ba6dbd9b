//! What records name must be there, and within reach of who names it: fields that refer to a record, the stops of routes, and
//! a driver who can still be sent. And what is named by others stays.

use crate::Shared;
use crate::check::Cell;
use crate::error::Error;
use crate::resources::{DEVICES, DRIVERS, RESOURCES, resource as resource_named};
use crate::rows::{Row, Sql, person};
use crate::schema::{Field, FieldKind, Resource};
use crate::scope;
use drover_access::Caller;
use serde_json::Value;
use sqlx::{AnyConnection, Row as _};
use std::collections::{HashMap, HashSet};

/// Ids asked for at once.
const AT_ONCE: usize = 200;

impl Shared {
    /// Checks what `row` refers to and `before` did not.
    pub(crate) async fn check_references(
        &self,
        from: &mut AnyConnection,
        caller: &Caller,
        resource: &'static Resource,
        before: Option<&Row>,
        row: &Row,
    ) -> Result<(), Error> {
        for (at, field) in resource.fields.iter().enumerate().filter(|(_, field)| !field.read_only) {
            let (now, before) = (&row.cells[at], before.map(|before| &before.cells[at]));
            if *now == Cell::Null || before == Some(now) {
                continue;
            }
            match field.kind {
                FieldKind::Ref(to) => self.exists(from, caller, field, to, now).await?,
                FieldKind::List { item, .. } => check_list(from, caller, field, item, before, now).await?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Refuses what is not there or out of reach, and a driver who was erased: nobody is sent any more.
    pub(crate) async fn exists(
        &self,
        from: &mut AnyConnection,
        caller: &Caller,
        field: &Field,
        to: &str,
        cell: &Cell,
    ) -> Result<(), Error> {
        let Some(target) = resource_named(to) else { return Ok(()) };
        let id = cell.text().unwrap_or_default();
        if !reached(from, caller, target, &[id]).await?.contains(id) {
            return Err(Error::invalid(field.name, format!("{}: there is no {} {id:?}", field.name, target.singular)));
        }
        if *target != DRIVERS {
            return Ok(());
        }
        let mut sql = Sql::new("SELECT erased FROM drivers WHERE id = ");
        sql.text(id);
        let row = sql.one(from).await?;
        let erased = row.map_or(Ok(0), |row| row.try_get::<i64, _>(0))? != 0;
        if erased || self.vault.is_erased(&person(target, id)) {
            return Err(Error::invalid(field.name, format!("{}: the driver {id:?} was erased", field.name)));
        }
        Ok(())
    }
}

/// Those of `ids` that are there and within reach.
async fn reached(
    from: &mut AnyConnection,
    caller: &Caller,
    target: &Resource,
    ids: &[&str],
) -> Result<HashSet<String>, Error> {
    let mut found = HashSet::with_capacity(ids.len());
    for some in ids.chunks(AT_ONCE) {
        let mut sql = Sql::new("SELECT id FROM ");
        sql.push(target.table).push(" WHERE id IN ").any_of(some.iter().map(|id| Cell::Text((*id).to_owned())));
        sql.push(" AND ");
        scope::push(&mut sql, caller, target);
        for row in sql.all(from).await? {
            found.insert(row.try_get(0)?);
        }
    }
    Ok(found)
}

/// Checks what the items of a list refer to, all of one resource at once. What the list named before may stay.
async fn check_list(
    from: &mut AnyConnection,
    caller: &Caller,
    field: &Field,
    item: &'static [Field],
    before: Option<&Cell>,
    now: &Cell,
) -> Result<(), Error> {
    let named = |cell: &Cell, name: &str| -> Vec<(usize, String)> {
        let list = field.json(cell);
        let items = list.as_array().into_iter().flatten().enumerate();
        items.filter_map(|(at, item)| Some((at, item.get(name).and_then(Value::as_str)?.to_owned()))).collect()
    };
    for inner in item {
        let FieldKind::Ref(to) = inner.kind else { continue };
        let Some(target) = resource_named(to) else { continue };
        let known: HashSet<String> =
            before.into_iter().flat_map(|cell| named(cell, inner.name)).map(|(_, id)| id).collect();
        let mut places: HashMap<String, usize> = HashMap::new();
        for (at, id) in named(now, inner.name) {
            if !known.contains(&id) {
                places.entry(id).or_insert(at);
            }
        }
        let ids: Vec<&str> = places.keys().map(String::as_str).collect();
        let found = reached(from, caller, target, &ids).await?;
        let missing = places.iter().filter(|(id, _)| !found.contains(*id)).min_by_key(|(_, at)| **at);
        if let Some((id, at)) = missing {
            let place = format!("{}[{at}].{}", field.name, inner.name);
            return Err(Error::invalid(place.clone(), format!("{place}: there is no {} {id:?}", target.singular)));
        }
    }
    Ok(())
}

/// Refuses to remove what others refer to. One of these is named if the caller reaches it and may read it; of others it is
/// only said that there are some.
pub(crate) async fn not_referred_to(
    from: &mut AnyConnection,
    caller: &Caller,
    resource: &Resource,
    id: &str,
) -> Result<(), Error> {
    let mut held = false;
    for (other, column, kind) in referring(resource) {
        let mut sql = Sql::new("SELECT id, ");
        scope::push_reached(&mut sql, caller, other);
        sql.push(" FROM ").push(other.table).push(" WHERE ").push(column).push(" = ").text(id);
        if let Some(kind) = kind {
            sql.push(" AND asset_kind = ").text(kind);
        }
        sql.push(" ORDER BY reached DESC LIMIT 1");
        let Some(row) = sql.one(from).await? else { continue };
        held = true;
        if row.try_get::<i64, _>(1)? != 0 && caller.may(other.read) {
            let by: String = row.try_get(0)?;
            let message = format!("{} {by:?} refers to the {} {id:?}", other.singular, resource.singular);
            return Err(in_use(message, "change or remove what refers to it first, or set its status"));
        }
    }
    if held {
        let message = format!("something that is not within your reach refers to the {} {id:?}", resource.singular);
        return Err(in_use(message, "set its status instead, or ask an administrator of all fleets"));
    }
    Ok(())
}

/// Where a record of `resource` may be named: the resource, the column, and for devices the kind that stands beside it.
fn referring(resource: &Resource) -> Vec<(&'static Resource, &'static str, Option<&'static str>)> {
    let mut places = Vec::new();
    for other in RESOURCES {
        let names = |field: &&Field| matches!(field.kind, FieldKind::Ref(to) if to == resource.name);
        places.extend(other.fields.iter().filter(names).map(|field| (other, field.name, None)));
    }
    places.extend(resource.asset.map(|kind| (&DEVICES, "asset_id", Some(kind.name()))));
    places
}

fn in_use(message: String, help: &'static str) -> Error {
    Error::Conflict { code: "in_use", field: None, message, help }
}
