//! What can be allowed, as words and as a small set.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

macro_rules! permissions {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// One thing that can be allowed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Permission { $($(#[$doc])* $variant,)* }

        impl Permission {
            /// Every permission.
            pub const ALL: &[Permission] = &[$(Permission::$variant,)*];

            /// The word, as in an API key's scopes.
            pub const fn name(self) -> &'static str {
                match self { $(Permission::$variant => $name,)* }
            }
        }
    };
}

permissions! {
    /// Send reports of assets.
    ReportsWrite = "reports.write",
    /// See where assets are now, search, watch.
    LiveRead = "live.read",
    /// See where assets were: routes, trips, SQL.
    HistoryRead = "history.read",
    /// Send commands to devices.
    CommandsSend = "commands.send",
    /// Read fleets, vehicles, drivers, depots, devices, maintenance.
    FleetRead = "fleet.read",
    /// Change them.
    FleetWrite = "fleet.write",
    /// Read stations.
    StationsRead = "stations.read",
    /// Make and change them.
    StationsWrite = "stations.write",
    /// Read deliveries, routes, assignments.
    OrdersRead = "orders.read",
    /// Make and change them.
    OrdersWrite = "orders.write",
    /// Move a delivery to its next status.
    OrdersStatus = "orders.status",
    /// Follow the driver of an order that is out for delivery.
    OrdersWatch = "orders.watch",
    /// Read customers.
    CustomersRead = "customers.read",
    /// Change customers.
    CustomersWrite = "customers.write",
    /// Export and erase what is known of a person.
    PersonsManage = "persons.manage",
    /// See imports, refused reports, dead letters.
    IntakeRead = "intake.read",
    /// Import files, retry and drop dead letters.
    IntakeWrite = "intake.write",
    /// See users.
    UsersRead = "users.read",
    /// Make and change users.
    UsersWrite = "users.write",
    /// Make and revoke API keys.
    KeysManage = "keys.manage",
    /// Make and revoke device tokens and certificates.
    DevicesManage = "devices.manage",
    /// Read and verify the audit.
    AuditRead = "audit.read",
    /// See how the node does: metrics, checksums, metadata.
    NodeRead = "node.read",
    /// See and change the node's own keys.
    VaultManage = "vault.manage",
    /// Say how an order is to be handed over, until it is picked up.
    OrdersInstruct = "orders.instruct",
}

impl Permission {
    /// True if it is about the node as a whole, where no fleet can be told from another: only for who reaches all.
    pub const fn node_wide(self) -> bool {
        use Permission::{IntakeRead, IntakeWrite, NodeRead, VaultManage};
        matches!(self, IntakeRead | IntakeWrite | NodeRead | VaultManage)
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Permission> {
        Permission::ALL.iter().copied().find(|permission| permission.name() == word)
    }
}

impl Serialize for Permission {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Permission {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Permission, D::Error> {
        let word = String::deserialize(deserializer)?;
        let unknown = || serde::de::Error::custom(format!("there is no permission {word:?}"));
        Permission::parse(&word).ok_or_else(unknown)
    }
}

/// A set of permissions.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions(u32);

impl Permissions {
    /// None.
    pub const NONE: Permissions = Permissions(0);
    /// All.
    pub const ALL: Permissions = Permissions::of(Permission::ALL);

    /// Those in the list.
    pub const fn of(list: &[Permission]) -> Permissions {
        let mut bits = 0;
        let mut at = 0;
        while at < list.len() {
            bits |= 1 << list[at] as u32;
            at += 1;
        }
        Permissions(bits)
    }

    /// True if `permission` is one of them.
    pub const fn contains(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u32) != 0
    }

    /// With one more.
    #[must_use]
    pub const fn with(self, permission: Permission) -> Permissions {
        Permissions(self.0 | (1 << permission as u32))
    }

    /// Those in both.
    #[must_use]
    pub const fn intersection(self, other: Permissions) -> Permissions {
        Permissions(self.0 & other.0)
    }

    /// True if every one of these is in `other`.
    pub const fn within(self, other: Permissions) -> bool {
        self.0 & !other.0 == 0
    }

    /// The permissions, in the order of [`Permission::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.iter().copied().filter(move |permission| self.contains(*permission))
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(list: I) -> Permissions {
        list.into_iter().fold(Permissions::NONE, Permissions::with)
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Permission::name)).finish()
    }
}
