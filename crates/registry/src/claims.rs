//! Who may give an id a record. Live state and history are shown to the fleet that an asset belongs to by now, so that who
//! gets a record for an id gets its past, too. An id that has a past (it reported, or was in another fleet) is therefore
//! for who reaches all fleets.

use crate::Shared;
use crate::error::Error;
use crate::resources::DEVICES;
use crate::rows::{Row, Sql};
use crate::schema::Resource;
use crate::scope;
use drover_access::{Caller, Reach};
use drover_model::Kind;
use sqlx::AnyConnection;
use std::sync::Arc;

/// True for an asset that the live state knows.
pub type HasReported = Arc<dyn Fn(Kind, &str) -> bool + Send + Sync>;

/// The asset that a record says the fleet of: of riders and others, their devices' records do.
fn asset_of(resource: &Resource, row: &Row) -> Option<(Kind, String)> {
    if let Some(kind) = resource.asset {
        return Some((kind, row.id.clone()));
    }
    if *resource != DEVICES {
        return None;
    }
    let kind = row.text(resource, "asset_kind").and_then(Kind::parse)?;
    let asset = row.text(resource, "asset_id")?;
    let own_record = matches!(kind, Kind::Vehicle | Kind::Driver | Kind::Station);
    (!own_record).then(|| (kind, asset.to_owned()))
}

impl Shared {
    /// Refuses a record that would open somebody else's past to the caller.
    pub(crate) async fn may_claim(
        &self,
        from: &mut AnyConnection,
        caller: &Caller,
        resource: &'static Resource,
        before: Option<&Row>,
        row: &Row,
    ) -> Result<(), Error> {
        let Some((kind, id)) = asset_of(resource, row) else { return Ok(()) };
        let is_his = before.and_then(|before| asset_of(resource, before)) == Some((kind, id.clone()));
        if caller.reach == Reach::All || is_his || reports_already(from, caller, resource, kind, &id, row).await? {
            return Ok(());
        }
        let has_reported = self.has_reported.get().is_some_and(|has_reported| has_reported(kind, &id));
        if has_reported || was_elsewhere(from, caller, kind, &id).await? {
            return Err(Error::Conflict {
                code: "id_has_a_past",
                field: Some(if resource.asset.is_some() { "id" } else { "asset_id" }.into()),
                message: format!("the {kind} {id:?} has reported, or was registered, before"),
                help: "choose another id, or ask an administrator of all fleets: he can register it",
            });
        }
        Ok(())
    }
}

/// True if another device within the caller's reach reports for the asset: then it is his.
async fn reports_already(
    from: &mut AnyConnection,
    caller: &Caller,
    resource: &'static Resource,
    kind: Kind,
    id: &str,
    row: &Row,
) -> Result<bool, Error> {
    if *resource != DEVICES {
        return Ok(false);
    }
    let mut sql = Sql::new("SELECT 1 FROM devices WHERE asset_kind = ");
    sql.text(kind.name()).push(" AND asset_id = ").text(id).push(" AND id <> ").text(&row.id).push(" AND ");
    scope::push(&mut sql, caller, resource);
    sql.push(" LIMIT 1");
    Ok(sql.one(from).await?.is_some())
}

/// True if the asset was once in a fleet that the caller does not reach.
async fn was_elsewhere(from: &mut AnyConnection, caller: &Caller, kind: Kind, id: &str) -> Result<bool, Error> {
    let mut sql = Sql::new("SELECT fleet_id FROM former_fleets WHERE kind = ");
    sql.text(kind.name()).push(" AND asset_id = ").text(id);
    let fleets = sql.all(from).await?;
    let foreign = |fleet: String| !caller.reaches_fleet(Some(&fleet).filter(|fleet| !fleet.is_empty()).map(|f| &**f));
    for row in fleets {
        if foreign(sqlx::Row::try_get(&row, 0)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Keeps in which fleet an asset was that leaves it, in the transaction that makes it leave.
pub(crate) async fn keep_former(
    to: &mut AnyConnection,
    resource: &'static Resource,
    before: &Row,
    after: Option<&Row>,
) -> Result<(), Error> {
    let of = |row: &Row| {
        asset_of(resource, row).map(|asset| (asset, row.text(resource, "fleet_id").unwrap_or_default().to_owned()))
    };
    let Some(((kind, id), fleet)) = of(before) else { return Ok(()) };
    if after.and_then(of).is_some_and(|after| after == ((kind, id.clone()), fleet.clone())) {
        return Ok(());
    }
    let mut sql = Sql::new("INSERT INTO former_fleets (kind, asset_id, fleet_id) VALUES (");
    sql.text(kind.name()).push(", ").text(id).push(", ").text(fleet).push(") ON CONFLICT DO NOTHING");
    sql.run(to).await.map(drop)
}
