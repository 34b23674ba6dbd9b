//! What every route needs: one table. The guard asks it, the documentation is made from it, and a test walks it
//! beside the served description, so that no route is without a row.

use crate::permissions::Permission::{self, *};
use hashbrown::HashMap;
use std::sync::LazyLock;

/// What a caller needs for a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: health, documentation, logging in.
    Public,
    /// To be somebody, whoever it is.
    Login,
    /// A permission.
    May(Permission),
}

/// Whether a read is noted in the audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audit {
    /// Not by the guard; changes are noted with what they changed.
    No,
    /// When it is about one person: the asset in the path is a driver or a rider.
    OfPersons,
    /// Always.
    Always,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// GET, POST, …
    pub method: &'static str,
    /// The template: `/api/v1/{kinds}/{id}/location`.
    pub path: String,
    /// What it needs.
    pub needs: Needs,
    /// Whether the guard notes it.
    pub audit: Audit,
}

/// Records with the usual routes: their path, what reading and what changing needs.
const RECORDS: &[(&str, Permission, Permission)] = &[
    ("organisations", FleetRead, FleetWrite),
    ("fleets", FleetRead, FleetWrite),
    ("vehicles", FleetRead, FleetWrite),
    ("drivers", FleetRead, FleetWrite),
    ("assignments", OrdersRead, OrdersWrite),
    ("stations", StationsRead, StationsWrite),
    ("depots", FleetRead, FleetWrite),
    ("devices", FleetRead, FleetWrite),
    ("maintenance", FleetRead, FleetWrite),
    ("customers", CustomersRead, CustomersWrite),
    ("deliveries", OrdersRead, OrdersWrite),
    ("routes", OrdersRead, OrdersWrite),
];

/// All other routes.
const OTHERS: &[(&str, &str, Needs, Audit)] = &[
    // Sending.
    ("POST", "/api/v1/{kinds}/{id}/location", Needs::May(ReportsWrite), Audit::No),
    ("POST", "/api/v1/{kinds}/{id}/telemetry", Needs::May(ReportsWrite), Audit::No),
    ("POST", "/api/v1/reports", Needs::May(ReportsWrite), Audit::No),
    ("GET", "/api/v1/ingest", Needs::May(ReportsWrite), Audit::No),
    ("GET", "/api/v1/rejects", Needs::May(IntakeRead), Audit::No),
    ("POST", "/api/v1/imports", Needs::May(IntakeWrite), Audit::No),
    ("POST", "/api/v1/imports/announced", Needs::May(IntakeWrite), Audit::No),
    ("GET", "/api/v1/imports", Needs::May(IntakeRead), Audit::No),
    ("GET", "/api/v1/imports/{id}", Needs::May(IntakeRead), Audit::No),
    ("DELETE", "/api/v1/imports/{id}", Needs::May(IntakeWrite), Audit::No),
    ("GET", "/api/v1/imports/{id}/rejects", Needs::May(IntakeRead), Audit::No),
    ("GET", "/api/v1/dead-letters", Needs::May(IntakeRead), Audit::No),
    ("DELETE", "/api/v1/dead-letters", Needs::May(IntakeWrite), Audit::No),
    ("POST", "/api/v1/dead-letters/retry", Needs::May(IntakeWrite), Audit::No),
    ("GET", "/api/v1/dead-letters/{id}", Needs::May(IntakeRead), Audit::No),
    ("DELETE", "/api/v1/dead-letters/{id}", Needs::May(IntakeWrite), Audit::No),
    ("GET", "/api/v1/dead-letters/{id}/original", Needs::May(IntakeRead), Audit::No),
    ("POST", "/api/v1/dead-letters/{id}/retry", Needs::May(IntakeWrite), Audit::No),
    ("POST", "/api/v1/{kinds}/{id}/commands", Needs::May(CommandsSend), Audit::Always),
    // Reading and watching.
    ("GET", "/api/v1/{kinds}/{id}/location", Needs::May(LiveRead), Audit::OfPersons),
    ("GET", "/api/v1/{kinds}/nearby", Needs::May(LiveRead), Audit::No),
    ("GET", "/api/v1/drivers/nearby", Needs::May(LiveRead), Audit::No),
    ("GET", "/api/v1/vehicles/nearby", Needs::May(LiveRead), Audit::No),
    ("GET", "/api/v1/stations/nearby", Needs::May(LiveRead), Audit::No),
    ("POST", "/api/v1/search", Needs::May(LiveRead), Audit::No),
    ("GET", "/api/v1/distance", Needs::May(LiveRead), Audit::No),
    ("GET", "/api/v1/live", Needs::May(LiveRead), Audit::No),
    ("GET", "/api/v1/{kinds}/{id}/route", Needs::May(HistoryRead), Audit::OfPersons),
    ("GET", "/api/v1/{kinds}/{id}/trips", Needs::May(HistoryRead), Audit::OfPersons),
    ("GET", "/api/v1/{kinds}/{id}/coverage", Needs::May(HistoryRead), Audit::OfPersons),
    ("GET", "/api/v1/history", Needs::May(HistoryRead), Audit::No),
    ("GET", "/api/v1/history/at", Needs::May(HistoryRead), Audit::No),
    ("GET", "/api/v1/history/coverage", Needs::May(HistoryRead), Audit::No),
    ("POST", "/api/v1/sql", Needs::May(HistoryRead), Audit::Always),
    ("GET", "/api/v1/sql", Needs::May(HistoryRead), Audit::No),
    ("DELETE", "/api/v1/sql/{id}", Needs::May(HistoryRead), Audit::No),
    // Following an order.
    ("GET", "/api/v1/orders/{order_id}/driver-location", Needs::May(OrdersWatch), Audit::Always),
    ("GET", "/api/v1/orders/{order_id}", Needs::May(OrdersRead), Audit::No),
    ("GET", "/api/v1/track/{tracking_number}", Needs::Public, Audit::No),
    ("GET", "/api/v1/track/{tracking_number}/live", Needs::Public, Audit::No),
    ("GET", "/api/v1/events", Needs::Login, Audit::No),
    // Records, beyond the usual routes.
    ("GET", "/stations", Needs::May(StationsRead), Audit::No),
    ("GET", "/stations/{station_id}", Needs::May(StationsRead), Audit::No),
    ("PUT", "/api/v1/deliveries/{id}/status", Needs::May(OrdersStatus), Audit::No),
    ("GET", "/api/v1/deliveries/{id}/events", Needs::May(OrdersRead), Audit::No),
    ("GET", "/api/v1/deliveries/{id}/customer", Needs::May(OrdersRead), Audit::No),
    ("PUT", "/api/v1/deliveries/{id}/instructions", Needs::May(OrdersInstruct), Audit::No),
    ("GET", "/api/v1/drivers/{id}/assignments", Needs::May(OrdersRead), Audit::No),
    ("GET", "/api/v1/customers/{id}/export", Needs::May(PersonsManage), Audit::Always),
    ("GET", "/api/v1/drivers/{id}/export", Needs::May(PersonsManage), Audit::Always),
    ("POST", "/api/v1/customers/{id}/erase", Needs::May(PersonsManage), Audit::Always),
    ("POST", "/api/v1/drivers/{id}/erase", Needs::May(PersonsManage), Audit::Always),
    ("GET", "/api/v1/changes", Needs::May(FleetRead), Audit::No),
    // Identities.
    ("POST", "/api/v1/auth/login", Needs::Public, Audit::No),
    ("POST", "/api/v1/auth/refresh", Needs::Public, Audit::No),
    ("GET", "/api/v1/auth/options", Needs::Public, Audit::No),
    ("GET", "/api/v1/auth/oidc", Needs::Public, Audit::No),
    ("GET", "/api/v1/auth/oidc/callback", Needs::Public, Audit::No),
    ("POST", "/api/v1/auth/logout", Needs::Login, Audit::No),
    ("GET", "/api/v1/auth/me", Needs::Login, Audit::No),
    ("POST", "/api/v1/auth/password", Needs::Login, Audit::No),
    ("GET", "/api/v1/auth/sessions", Needs::Login, Audit::No),
    ("DELETE", "/api/v1/auth/sessions/{id}", Needs::Login, Audit::No),
    ("POST", "/api/v1/auth/totp", Needs::Login, Audit::No),
    ("POST", "/api/v1/auth/totp/confirm", Needs::Login, Audit::No),
    ("DELETE", "/api/v1/auth/totp", Needs::Login, Audit::No),
    ("GET", "/api/v1/users", Needs::May(UsersRead), Audit::No),
    ("POST", "/api/v1/users", Needs::May(UsersWrite), Audit::No),
    ("GET", "/api/v1/users/{id}", Needs::May(UsersRead), Audit::No),
    ("PATCH", "/api/v1/users/{id}", Needs::May(UsersWrite), Audit::No),
    ("DELETE", "/api/v1/users/{id}", Needs::May(UsersWrite), Audit::No),
    ("POST", "/api/v1/users/{id}/password", Needs::May(UsersWrite), Audit::No),
    ("DELETE", "/api/v1/users/{id}/totp", Needs::May(UsersWrite), Audit::No),
    ("GET", "/api/v1/api-keys", Needs::May(KeysManage), Audit::No),
    ("POST", "/api/v1/api-keys", Needs::May(KeysManage), Audit::No),
    ("GET", "/api/v1/api-keys/{id}", Needs::May(KeysManage), Audit::No),
    ("DELETE", "/api/v1/api-keys/{id}", Needs::May(KeysManage), Audit::No),
    ("POST", "/api/v1/api-keys/{id}/rotate", Needs::May(KeysManage), Audit::No),
    ("GET", "/api/v1/device-tokens", Needs::May(DevicesManage), Audit::No),
    ("POST", "/api/v1/device-tokens", Needs::May(DevicesManage), Audit::No),
    ("DELETE", "/api/v1/device-tokens/{id}", Needs::May(DevicesManage), Audit::No),
    ("GET", "/api/v1/certificates", Needs::May(DevicesManage), Audit::No),
    ("POST", "/api/v1/certificates", Needs::May(DevicesManage), Audit::No),
    ("DELETE", "/api/v1/certificates/{serial}", Needs::May(DevicesManage), Audit::No),
    ("GET", "/api/v1/vault", Needs::May(VaultManage), Audit::No),
    ("POST", "/api/v1/vault/rotate", Needs::May(VaultManage), Audit::No),
    ("POST", "/api/v1/vault/retire", Needs::May(VaultManage), Audit::No),
    ("GET", "/api/v1/audit", Needs::May(AuditRead), Audit::No),
    ("GET", "/api/v1/audit/export", Needs::May(AuditRead), Audit::Always),
    ("GET", "/api/v1/audit/verify", Needs::May(AuditRead), Audit::No),
    // The node.
    ("GET", "/api/v1/info", Needs::Public, Audit::No),
    ("GET", "/healthz", Needs::Public, Audit::No),
    ("GET", "/readyz", Needs::Public, Audit::No),
    ("GET", "/metrics", Needs::May(NodeRead), Audit::No),
    ("GET", "/api/v1/checksum", Needs::May(NodeRead), Audit::No),
    ("GET", "/api/v1/metadata", Needs::May(NodeRead), Audit::No),
];

/// The usual routes of a record: method, what follows the path, whether it changes something.
const USUAL: &[(&str, &str, bool)] = &[
    ("GET", "", false),
    ("POST", "", true),
    ("GET", "/{id}", false),
    ("PUT", "/{id}", true),
    ("PATCH", "/{id}", true),
    ("DELETE", "/{id}", true),
    ("GET", "/export", false),
    ("POST", "/import", true),
];

static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(|| {
    let records = RECORDS.iter().flat_map(|(name, read, write)| {
        USUAL.iter().map(move |(method, rest, changes)| Route {
            method,
            path: format!("/api/v1/{name}{rest}"),
            needs: Needs::May(if *changes { *write } else { *read }),
            audit: if *rest == "/export" { Audit::Always } else { Audit::No },
        })
    });
    let others = OTHERS.iter().map(|&(method, path, needs, audit)| Route { method, path: path.into(), needs, audit });
    others.chain(records).collect()
});

static BY_PATH: LazyLock<HashMap<(&'static str, &'static str), &'static Route>> =
    LazyLock::new(|| ROUTES.iter().map(|route| ((route.method, route.path.as_str()), route)).collect());

/// The whole table.
pub fn routes() -> &'static [Route] {
    &ROUTES
}

/// The row of a route, by its method and the template of its path. HEAD asks like GET.
pub fn route(method: &str, path: &str) -> Option<&'static Route> {
    let method = if method == "HEAD" { "GET" } else { method };
    BY_PATH.get(&(method, path)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_route_has_two_rows() {
        assert_eq!(BY_PATH.len(), routes().len());
    }

    #[test]
    fn a_route_is_found_by_its_template_and_an_unknown_one_is_not() {
        let found = route("HEAD", "/api/v1/{kinds}/{id}/location").expect("in the table");
        assert_eq!(found.needs, Needs::May(LiveRead));
        assert!(route("GET", "/api/v1/secrets").is_none());
        assert_eq!(route("DELETE", "/api/v1/vehicles/{id}").expect("a record").needs, Needs::May(FleetWrite));
    }
}
