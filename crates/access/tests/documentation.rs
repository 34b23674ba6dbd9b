//! docs/access.md is the table in code, written out. `DROVER_WRITE_DOCS=1 cargo test -p drover-access` writes it anew.

use drover_access::{Audit, Needs, Permission, Role, routes};
use std::fmt::Write;
use std::path::Path;

const HEAD: &str = "# Who may do what

Made from the tables in `crates/access`, by which every request is judged; a test refuses a stale file. Whoever has a
permission has it for the records and assets within his reach: all fleets, some fleets, or only his own record. What is out
of reach is answered like what does not exist (404); 403 means that the role is not for this route. Permissions marked ¹
are about the node as a whole and need a reach of all fleets.

Reads marked `person` are noted in the audit when they are about one driver or rider, `always` on every use. Changes of
records are noted with what was there before and after, whoever makes them.

";

fn document() -> String {
    let mut out = String::from(HEAD);
    out.push_str("## Roles\n\n| permission |");
    for role in Role::ALL {
        write!(out, " {} |", role.name()).expect("a text");
    }
    out.push_str("\n| --- |");
    out.push_str(&" --- |".repeat(Role::ALL.len()));
    for permission in Permission::ALL {
        let mark = if permission.node_wide() { " ¹" } else { "" };
        write!(out, "\n| {}{mark} |", permission.name()).expect("a text");
        for role in Role::ALL {
            out.push_str(if role.permissions().contains(*permission) { " yes |" } else { " |" });
        }
    }
    out.push_str("\n\n## Routes\n\n| route | needs | roles | audit |\n| --- | --- | --- | --- |\n");
    let mut rows: Vec<_> = routes().iter().collect();
    rows.sort_by_key(|route| (&route.path, route.method));
    for route in rows {
        let (needs, roles) = match route.needs {
            Needs::Public => ("public".to_owned(), String::new()),
            Needs::Login => ("login".to_owned(), "everybody".to_owned()),
            Needs::May(permission) => {
                let roles = Role::ALL.into_iter().filter(|role| role.permissions().contains(permission));
                (permission.name().to_owned(), roles.map(Role::name).collect::<Vec<_>>().join(", "))
            }
        };
        let audit = match route.audit {
            Audit::No => "",
            Audit::OfPersons => "person",
            Audit::Always => "always",
        };
        writeln!(out, "| `{} {}` | {needs} | {roles} | {audit} |", route.method, route.path).expect("a text");
    }
    out
}

#[test]
fn the_document_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/access.md");
    let made = document();
    if std::env::var_os("DROVER_WRITE_DOCS").is_some() {
        std::fs::write(&path, &made).expect("docs can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "docs/access.md is stale: DROVER_WRITE_DOCS=1 cargo test -p drover-access");
}
