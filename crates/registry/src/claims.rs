//! Who may give an id a record. Live state and history are shown to the fleet that an asset belongs to by now, so that who
//! gets a record for an id gets its past, too; and a customer's id stands in what others keep of him. An id that has a past
//! (it reported, or was in another fleet) is therefore for who reaches all fleets.

use crate::Shared;
use crate::error::Error;
use crate::resources::{CUSTOMERS, DEVICES};
use crate::rows::{Row, Sql};
use crate::schema::Resource;
use crate::scope;
use drover_access::{Caller, Reach};
use drover_model::Kind;
use sqlx::AnyConnection;
use std::sync::Arc;

/// True for an asset that the live state knows.
pub type HasReported = Arc<dyn Fn(Kind, &str) -> bool + Send + Sync>;

/// What has a past of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claimed {
    Asset(Kind),
    /// He reports nothing: a rider of the same id may be somebody else.
    Customer,
}

impl Claimed {
    /// The word in the table of former fleets.
    fn name(self) -> &'static str {
        match self {
            Claimed::Asset(kind) => kind.name(),
            Claimed::Customer => CUSTOMERS.singular,
        }
    }
}

/// Whose fleet a record says: of riders and others, their devices' records do.
fn claimed_of(resource: &Resource, row: &Row) -> Option<(Claimed, String)> {
    if let Some(kind) = resource.asset {
        return Some((Claimed::Asset(kind), row.id.clone()));
    }
    if *resource == CUSTOMERS {
        return Some((Claimed::Customer, row.id.clone()));
    }
    if *resource != DEVICES {
        return None;
    }
    let kind = row.text(resource, "asset_kind").and_then(Kind::parse)?;
    let asset = row.text(resource, "asset_id")?;
    let own_record = matches!(kind, Kind::Vehicle | Kind::Driver | Kind::Station);
    (!own_record).then(|| (Claimed::Asset(kind), asset.to_owned()))
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
        let Some((claimed, id)) = claimed_of(resource, row) else { return Ok(()) };
        let is_his = before.and_then(|before| claimed_of(resource, before)) == Some((claimed, id.clone()));
        if caller.reach == Reach::All || is_his || reports_already(from, caller, resource, claimed, &id, row).await? {
            return Ok(());
        }
        let (has_reported, message) = match claimed {
            Claimed::Asset(kind) => (
                self.has_reported.get().is_some_and(|has_reported| has_reported(kind, &id)),
                format!("the {kind} {id:?} has reported, or was registered, before"),
            ),
            Claimed::Customer => (false, format!("the customer {id:?} was registered before")),
        };
        if has_reported || was_elsewhere(from, caller, claimed, &id).await? {
            return Err(Error::Conflict {
                code: "id_has_a_past",
                field: Some(if *resource == DEVICES { "asset_id" } else { "id" }.into()),
                message,
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
    claimed: Claimed,
    id: &str,
    row: &Row,
) -> Result<bool, Error> {
    if *resource != DEVICES {
        return Ok(false);
    }
    let mut sql = Sql::new("SELECT 1 FROM devices WHERE asset_kind = ");
    sql.text(claimed.name()).push(" AND asset_id = ").text(id).push(" AND id <> ").text(&row.id).push(" AND ");
    scope::push(&mut sql, caller, resource);
    sql.push(" LIMIT 1");
    Ok(sql.one(from).await?.is_some())
}

/// True if it was once in a fleet that the caller does not reach.
async fn was_elsewhere(from: &mut AnyConnection, caller: &Caller, claimed: Claimed, id: &str) -> Result<bool, Error> {
    let mut sql = Sql::new("SELECT fleet_id FROM former_fleets WHERE kind = ");
    sql.text(claimed.name()).push(" AND asset_id = ").text(id);
    let fleets = sql.all(from).await?;
    let foreign = |fleet: String| !caller.reaches_fleet(Some(&fleet).filter(|fleet| !fleet.is_empty()).map(|f| &**f));
    for row in fleets {
        if foreign(sqlx::Row::try_get(&row, 0)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Keeps in which fleet an asset or a customer was that leaves it, in the transaction that makes it leave.
pub(crate) async fn keep_former(
    to: &mut AnyConnection,
    resource: &'static Resource,
    before: &Row,
    after: Option<&Row>,
) -> Result<(), Error> {
    let of = |row: &Row| {
        claimed_of(resource, row)
            .map(|claimed| (claimed, row.text(resource, "fleet_id").unwrap_or_default().to_owned()))
    };
    let Some(((claimed, id), fleet)) = of(before) else { return Ok(()) };
    if after.and_then(of).is_some_and(|after| after == ((claimed, id.clone()), fleet.clone())) {
        return Ok(());
    }
    let mut sql = Sql::new("INSERT INTO former_fleets (kind, asset_id, fleet_id) VALUES (");
    sql.text(claimed.name()).push(", ").text(id).push(", ").text(fleet).push(") ON CONFLICT DO NOTHING");
    sql.run(to).await.map(drop)
}
