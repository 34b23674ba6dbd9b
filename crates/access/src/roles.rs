//! The roles, and what each may do: one table, from which the documentation is made too.

use crate::permissions::Permission::{self, *};
use crate::permissions::Permissions;
use drover_model::Kind;
use serde::{Deserialize, Serialize};

/// What somebody is to the organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, in all fleets.
    SystemAdmin,
    /// Runs one or more fleets: records, people, orders, devices.
    FleetManager,
    /// Plans and follows deliveries.
    Dispatcher,
    /// Drives: reports his place, sees and moves on what is assigned to him.
    Driver,
    /// Waits for a delivery: sees his own orders, and the driver while one is out.
    Customer,
    /// Looks after stations: their records and commands, and what they report; nobody's places.
    StationOperator,
    /// Reads everything, the audit too, and changes nothing.
    Auditor,
    /// Another system.
    Integration,
    /// A device in the field: sends its own reports, receives its commands.
    Device,
}

/// What a dispatcher may do; others who plan may do it too.
const DISPATCHING: &[Permission] = &[
    LiveRead,
    HistoryRead,
    CommandsSend,
    FleetRead,
    StationsRead,
    OrdersRead,
    OrdersWrite,
    OrdersStatus,
    OrdersWatch,
    OrdersInstruct,
    CustomersRead,
    CustomersWrite,
];

impl Role {
    /// Every role.
    pub const ALL: [Role; 9] = [
        Role::SystemAdmin,
        Role::FleetManager,
        Role::Dispatcher,
        Role::Driver,
        Role::Customer,
        Role::StationOperator,
        Role::Auditor,
        Role::Integration,
        Role::Device,
    ];

    /// The word in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Role::SystemAdmin => "system_admin",
            Role::FleetManager => "fleet_manager",
            Role::Dispatcher => "dispatcher",
            Role::Driver => "driver",
            Role::Customer => "customer",
            Role::StationOperator => "station_operator",
            Role::Auditor => "auditor",
            Role::Integration => "integration",
            Role::Device => "device",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == word)
    }

    /// What the role may do, within what its holder reaches.
    pub const fn permissions(self) -> Permissions {
        match self {
            Role::SystemAdmin => Permissions::ALL,
            Role::FleetManager => Permissions::of(DISPATCHING)
                .with(ReportsWrite)
                .with(FleetWrite)
                .with(StationsWrite)
                .with(PersonsManage)
                .with(UsersRead)
                .with(UsersWrite)
                .with(KeysManage)
                .with(DevicesManage)
                .with(AuditRead),
            Role::Dispatcher => Permissions::of(DISPATCHING),
            Role::Driver => Permissions::of(&[
                ReportsWrite,
                LiveRead,
                HistoryRead,
                FleetRead,
                StationsRead,
                OrdersRead,
                OrdersStatus,
                OrdersWatch,
            ]),
            Role::Customer => Permissions::of(&[OrdersRead, OrdersWatch, OrdersInstruct, CustomersRead]),
            Role::StationOperator => {
                Permissions::of(&[LiveRead, HistoryRead, CommandsSend, StationsRead, StationsWrite])
            }
            Role::Auditor => Permissions::of(&[
                LiveRead,
                HistoryRead,
                FleetRead,
                StationsRead,
                OrdersRead,
                CustomersRead,
                IntakeRead,
                UsersRead,
                AuditRead,
                NodeRead,
            ]),
            Role::Integration => Permissions::of(DISPATCHING)
                .with(ReportsWrite)
                .with(FleetWrite)
                .with(StationsWrite)
                .with(IntakeRead)
                .with(IntakeWrite)
                .with(NodeRead),
            Role::Device => Permissions::of(&[ReportsWrite, LiveRead]),
        }
    }

    /// The only kind of asset that the role is about, if it is not about all.
    pub const fn only_kind(self) -> Option<Kind> {
        match self {
            Role::StationOperator => Some(Kind::Station),
            _ => None,
        }
    }

    /// True if the role is about its holder's own record only, never about whole fleets.
    pub const fn only_own(self) -> bool {
        matches!(self, Role::Driver | Role::Customer | Role::Device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_roles_go_both_ways() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.name()), Some(role));
        }
        for permission in Permission::ALL {
            assert_eq!(Permission::parse(permission.name()), Some(*permission));
        }
    }

    #[test]
    fn an_auditor_changes_nothing_and_a_customer_sees_no_positions() {
        let changes =
            [ReportsWrite, FleetWrite, OrdersWrite, OrdersStatus, CustomersWrite, IntakeWrite, UsersWrite, KeysManage];
        assert!(changes.iter().all(|change| !Role::Auditor.permissions().contains(*change)));
        assert!(!Role::Customer.permissions().contains(LiveRead));
    }
}
