//! Somebody who asks: who it is, what he may do, and what he reaches.

use crate::directory::Directory;
use crate::permissions::{Permission, Permissions};
use crate::roles::Role;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use drover_answer::{Problem, ProblemKind};
use drover_model::{Kind, Sees, Sight};
use std::ops::Deref;
use std::sync::Arc;

/// The records that somebody's permissions are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// All of them, those of no fleet too.
    All,
    /// Those of some fleets.
    Fleets(Box<[Arc<str>]>),
    /// Only his own: the asset or the customer that [`Principal`] names.
    Own,
}

/// Who asks, proven by a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// For the audit: `user/u-…`, `key/k-…`, `device/driver/d-1`, `dev`.
    pub subject: String,
    /// For people: an e-mail address, the name of a key.
    pub name: String,
    /// The role.
    pub role: Role,
    /// The role's permissions, narrowed by an API key's scopes.
    pub may: Permissions,
    /// What they are about.
    pub reach: Reach,
    /// A device's or a driver's own asset.
    pub asset: Option<(Kind, Box<str>)>,
    /// A customer's own record.
    pub customer_id: Option<Arc<str>>,
    /// The login session, where there is one.
    pub session: Option<Arc<str>>,
}

/// Who asks, as handlers take it. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    principal: Arc<Principal>,
    ends_ms: Option<i64>,
}

impl Caller {
    /// A caller.
    pub fn new(principal: Principal) -> Caller {
        Caller { principal: Arc::new(principal), ends_ms: None }
    }

    /// The same, by a credential that runs out by itself at `ends_ms`, ms UTC, whatever becomes of his session.
    pub fn ending(self, ends_ms: i64) -> Caller {
        Caller { ends_ms: Some(ends_ms), ..self }
    }

    /// When his credential runs out by itself, ms UTC; none, if no clock but his session's says so.
    pub fn ends_ms(&self) -> Option<i64> {
        self.ends_ms
    }

    /// Everybody, on a node that asks for no credentials.
    pub fn dev() -> Caller {
        Caller::new(Principal {
            subject: "dev".into(),
            name: "dev".into(),
            role: Role::SystemAdmin,
            may: Permissions::ALL,
            reach: Reach::All,
            asset: None,
            customer_id: None,
            session: None,
        })
    }

    /// True if the caller has the permission.
    pub fn may(&self, permission: Permission) -> bool {
        self.may.contains(permission)
    }

    /// 403 unless the caller has the permission, and reaches all fleets where it is about the whole node.
    pub fn require(&self, permission: Permission) -> Result<(), Problem> {
        let everywhere = !permission.node_wide() || self.reach == Reach::All;
        if self.may(permission) && everywhere {
            return Ok(());
        }
        let message = if everywhere {
            format!("the role {} does not have the permission {}", self.role.name(), permission.name())
        } else {
            format!("{} is about all fleets of the node, and only some are within reach", permission.name())
        };
        Err(Problem::new(ProblemKind::Forbidden, "forbidden", message, "ask an administrator for the permission"))
    }

    /// True for who runs the whole node: a system administrator of all fleets, and a key of the same reach. They have no
    /// bounds of their own on what is there for everybody.
    pub fn reaches_whole_node(&self) -> bool {
        self.reach == Reach::All && matches!(self.role, Role::SystemAdmin | Role::Integration)
    }

    /// True if records of `fleet` are within reach; records of no fleet only are for who reaches all.
    pub fn reaches_fleet(&self, fleet: Option<&str>) -> bool {
        match (&self.reach, fleet) {
            (Reach::All, _) => true,
            (Reach::Fleets(fleets), Some(fleet)) => fleets.iter().any(|reached| **reached == *fleet),
            (Reach::Fleets(_), None) | (Reach::Own, _) => false,
        }
    }

    /// True if the asset is the caller's own.
    pub fn owns(&self, kind: Kind, id: &str) -> bool {
        self.asset.as_ref().is_some_and(|(own_kind, own_id)| *own_kind == kind && **own_id == *id)
    }

    /// Which assets the caller sees.
    pub fn sight(&self, directory: &Directory) -> Sight {
        match self.reach {
            Reach::All if self.role.only_kind().is_none() => Sight::All,
            _ => Sight::Some(Arc::new(Within { caller: self.clone(), directory: directory.clone() })),
        }
    }

    /// True if the asset is within reach: of his fleets, or his own, and of a kind that his role is about.
    pub fn reaches_asset(&self, directory: &Directory, kind: Kind, id: &str) -> bool {
        if self.role.only_kind().is_some_and(|only| only != kind) {
            return false;
        }
        match &self.reach {
            Reach::All => true,
            Reach::Fleets(fleets) => directory.is_in(kind, id, fleets),
            Reach::Own => self.owns(kind, id),
        }
    }

    /// True if the caller may send reports of this asset.
    pub fn may_report(&self, directory: &Directory, kind: Kind, id: &str) -> bool {
        self.may(Permission::ReportsWrite) && self.reaches_asset(directory, kind, id)
    }
}

impl Deref for Caller {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.principal
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    /// The guard puts the caller there; without a guard nobody gets through.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Problem> {
        let nobody =
            || Problem::new(ProblemKind::Internal, "internal", "the request passed no guard", "report this as a fault");
        parts.extensions.get::<Caller>().cloned().ok_or_else(nobody)
    }
}

/// What the caller sees, as reading handlers take it.
#[derive(Debug, Clone)]
pub struct Seeing(pub Sight);

impl<S: Sync> FromRequestParts<S> for Seeing {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Seeing, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let directory = parts.extensions.get::<Directory>().cloned().unwrap_or_default();
        Ok(Seeing(caller.sight(&directory)))
    }
}

/// What a caller who does not reach everything sees.
struct Within {
    caller: Caller,
    directory: Directory,
}

impl Sees for Within {
    fn sees(&self, kind: Kind, id: &str) -> bool {
        self.caller.reaches_asset(&self.directory, kind, id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(role: Role, reach: Reach) -> Caller {
        let own = (Kind::Driver, "d-1".into());
        Caller::new(Principal { role, may: role.permissions(), reach, asset: Some(own), ..(*Caller::dev()).clone() })
    }

    #[test]
    fn who_reaches_fleets_sees_their_assets_and_follows_when_one_moves_to_another_fleet() {
        let directory = Directory::default();
        directory.place(Kind::Vehicle, "v-1", Some("north"));
        directory.place(Kind::Vehicle, "v-2", Some("south"));
        let sight = caller(Role::Dispatcher, Reach::Fleets(["north".into()].into())).sight(&directory);
        assert!(sight.sees(Kind::Vehicle, "v-1"));
        assert!(!sight.sees(Kind::Vehicle, "v-2"));
        assert!(!sight.sees(Kind::Driver, "v-1"), "an id is unique within its kind only");
        assert!(!sight.sees(Kind::Vehicle, "v-3"), "what is in no fleet is for who reaches all");
        directory.place(Kind::Vehicle, "v-2", Some("north"));
        assert!(sight.sees(Kind::Vehicle, "v-2"));
        directory.remove(Kind::Vehicle, "v-1");
        assert!(!sight.sees(Kind::Vehicle, "v-1"));
    }

    #[test]
    fn a_station_operator_sees_stations_and_nobody_who_moves() {
        let directory = Directory::default();
        directory.place(Kind::Station, "s-1", Some("north"));
        directory.place(Kind::Station, "s-2", Some("south"));
        directory.place(Kind::Driver, "d-1", Some("north"));
        for (reach, sees_south) in [(Reach::Fleets(["north".into()].into()), false), (Reach::All, true)] {
            let sight = caller(Role::StationOperator, reach).sight(&directory);
            assert!(sight.sees(Kind::Station, "s-1"));
            assert_eq!(sight.sees(Kind::Station, "s-2"), sees_south);
            assert!(!sight.sees(Kind::Driver, "d-1"));
        }
    }

    #[test]
    fn a_device_reports_for_itself_and_an_auditor_for_nobody() {
        let directory = Directory::default();
        let device = caller(Role::Device, Reach::Own);
        assert!(device.may_report(&directory, Kind::Driver, "d-1"));
        assert!(!device.may_report(&directory, Kind::Driver, "d-2"));
        assert!(!device.may_report(&directory, Kind::Vehicle, "d-1"));
        assert!(!caller(Role::Auditor, Reach::All).may_report(&directory, Kind::Driver, "d-1"));
    }
}
