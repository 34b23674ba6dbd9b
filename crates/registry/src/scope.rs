//! Which records a caller reaches, as a condition that stands in every statement: what is outside is not there.

use crate::check::Cell;
use crate::resources::resource as resource_named;
use crate::rows::Sql;
use crate::schema::{FleetOf, Resource};
use drover_access::{Caller, Reach};
use drover_model::Kind;
use std::sync::Arc;

/// Appends the condition, in brackets.
pub(crate) fn push(sql: &mut Sql, caller: &Caller, resource: &Resource) {
    sql.push("(");
    match &caller.reach {
        Reach::All => {
            sql.push("1 = 1");
        }
        Reach::Fleets(fleets) => push_fleets(sql, fleets, resource),
        Reach::Own => push_own(sql, caller, resource),
    }
    sql.push(")");
}

/// Appends a column `reached`: 1 for what the caller reaches, 0 for what counts, but is not told to him.
pub(crate) fn push_reached(sql: &mut Sql, caller: &Caller, resource: &Resource) {
    sql.push("CAST(CASE WHEN ");
    push(sql, caller, resource);
    sql.push(" THEN 1 ELSE 0 END AS BIGINT) AS reached");
}

fn push_fleets(sql: &mut Sql, fleets: &[Arc<str>], resource: &Resource) {
    let cells = || fleets.iter().map(|fleet| Cell::Text(fleet.to_string()));
    match resource.fleet {
        FleetOf::Organisation => {
            sql.push("1 = 1");
        }
        FleetOf::SelfId => {
            sql.push("id IN ").any_of(cells());
        }
        FleetOf::OwnField => {
            sql.push("fleet_id IN ").any_of(cells());
        }
        FleetOf::Via { field, resource } => {
            let table = resource_named(resource).map_or(resource, |resource| resource.table);
            sql.push(field).push(" IN (SELECT id FROM ").push(table).push(" WHERE fleet_id IN ").any_of(cells());
            sql.push(")");
        }
    }
}

/// What is his own: the record of his asset, what is assigned to him, his deliveries.
fn push_own(sql: &mut Sql, caller: &Caller, resource: &Resource) {
    let asset = |kind| caller.asset.as_ref().filter(|(own, _)| *own == kind).map(|(_, id)| id.to_string());
    let driver = asset(Kind::Driver);
    let customer = caller.customer_id.as_ref().map(|id| id.to_string());
    sql.push("1 = 0");
    let mut or = |column: &str, id: Option<String>| {
        if let Some(id) = id {
            sql.push(" OR ").push(column).push(" = ").text(id);
        }
    };
    match resource.name {
        "organisations" => {
            sql.push(" OR 1 = 1");
        }
        "drivers" => or("id", driver),
        "vehicles" => {
            or("id", asset(Kind::Vehicle));
            if let Some(driver) = driver {
                sql.push(" OR id IN (SELECT vehicle_id FROM drivers WHERE id = ").text(driver).push(")");
            }
        }
        "stations" => or("id", asset(Kind::Station)),
        "customers" => or("id", customer),
        "assignments" | "routes" => or("driver_id", driver),
        "deliveries" => {
            or("driver_id", driver);
            or("customer_id", customer);
        }
        _ => {}
    }
}
