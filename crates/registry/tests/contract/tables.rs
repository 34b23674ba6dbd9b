//! Tables: as the definitions say, and brought forward from every earlier step.

use crate::support::postgres::Postgres;
use crate::support::{Place, object};
use drover_access::{Caller, Directory};
use drover_database::{Database, Dialect, Step};
use drover_registry::resources::{DELIVERIES, FLEETS};
use drover_registry::{FieldKind, Personal, RESOURCES, Registry, STEPS, Unique};
use serde_json::json;
use sqlx::Row;

pub async fn tables_and_definitions_agree(place: Place) {
    for resource in RESOURCES {
        let mut expected = vec![
            ("id".to_owned(), "text"),
            ("version".into(), "bigint"),
            ("created_at".into(), "bigint"),
            ("updated_at".into(), "bigint"),
        ];
        if resource.is_personal() {
            expected.push(("erased".into(), "bigint"));
        }
        for field in resource.fields {
            let kind = match field.kind {
                _ if field.is_sealed() => "text",
                FieldKind::Integer { .. } | FieldKind::Flag | FieldKind::Time => "bigint",
                FieldKind::Real { .. } => "double precision",
                _ => "text",
            };
            expected.push((field.name.to_owned(), kind));
            if field.personal == Personal::SealedIndexed {
                expected.push((format!("{}_blind", field.name), "text"));
            }
        }
        assert_eq!(columns(&place, resource.table).await, expected, "{}", resource.name);
        let indexes = indexes(&place, resource.table).await;
        for field in resource.fields {
            let column = match field.personal {
                Personal::SealedIndexed => format!("({}_blind)", field.name),
                _ => format!("({})", field.name),
            };
            let wanted = field.indexed || field.personal == Personal::SealedIndexed;
            let there = indexes.iter().any(|sql| sql.ends_with(&column));
            assert_eq!(
                there,
                wanted || field.unique == Unique::Everywhere && place.database.dialect() == Dialect::Postgres,
                "{column} {indexes:?}"
            );
        }
        let mut expected: Vec<&str> =
            resource.fields.iter().filter(|field| field.unique != Unique::No).map(|field| field.name).collect();
        expected.push("id");
        expected.sort_unstable();
        assert_eq!(unique_columns(&place, resource.table).await, expected, "{}", resource.name);
    }
}

async fn columns(place: &Place, table: &'static str) -> Vec<(String, &'static str)> {
    let sql = match place.database.dialect() {
        Dialect::Sqlite => "SELECT name, type FROM pragma_table_info($1) ORDER BY cid",
        Dialect::Postgres => {
            "SELECT column_name::text, data_type::text FROM information_schema.columns WHERE table_name = $1 \
             ORDER BY ordinal_position"
        }
    };
    let rows = sqlx::query(sql).bind(table).fetch_all(place.database.pool()).await.expect("columns");
    let kind = |kind: String| {
        ["text", "bigint", "double precision"]
            .into_iter()
            .find(|known| kind.eq_ignore_ascii_case(known))
            .expect("a type")
    };
    rows.iter().map(|row| (row.get::<String, _>(0), kind(row.get(1)))).collect()
}

async fn indexes(place: &Place, table: &'static str) -> Vec<String> {
    let sql = match place.database.dialect() {
        Dialect::Sqlite => "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = $1",
        Dialect::Postgres => "SELECT indexdef::text FROM pg_indexes WHERE tablename = $1",
    };
    let rows = sqlx::query(sql).bind(table).fetch_all(place.database.pool()).await.expect("indexes");
    rows.iter().map(|row| row.get(0)).collect()
}

/// Columns of which no two rows hold the same, sorted.
async fn unique_columns(place: &Place, table: &'static str) -> Vec<String> {
    let sql = match place.database.dialect() {
        Dialect::Sqlite => {
            "SELECT c.name FROM pragma_index_list($1) AS i, pragma_index_info(i.name) AS c WHERE i.\"unique\" = 1 \
             AND c.name IS NOT NULL ORDER BY c.name"
        }
        Dialect::Postgres => {
            "SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid \
             AND a.attnum = ANY(i.indkey) WHERE i.indrelid = $1::text::regclass AND i.indisunique ORDER BY 1"
        }
    };
    let rows = sqlx::query(sql).bind(table).fetch_all(place.database.pool()).await.expect("indexes");
    rows.iter().map(|row| row.get(0)).collect()
}

/// Steps as an earlier release had them.
fn first(steps: usize) -> &'static [Step] {
    &STEPS[..steps]
}

async fn every_earlier_step_is_brought_forward(new_url: impl AsyncFn(usize) -> String) {
    for steps in 0..=STEPS.len() {
        let url = new_url(steps).await;
        let database = Database::open(&url).await.expect("opens");
        database.migrate("registry", first(steps)).await.expect("as it was released");
        if steps > 0 {
            let sql = "INSERT INTO fleets (id, version, created_at, updated_at, name) VALUES ('f', 1, 5, 5, 'F')";
            sqlx::query(sql).execute(database.pool()).await.expect("a record from then");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let vault = drover_vault::Vault::open(folder.path()).expect("a vault");
        let registry = Registry::open(database.clone(), vault.clone(), Directory::default()).await.expect("opens");
        let kept = registry.get(&Caller::dev(), &FLEETS, "f").await;
        assert_eq!(kept.is_ok(), steps > 0, "from step {steps}");
        let made = registry.create(&Caller::dev(), &DELIVERIES, object(json!({}))).await;
        assert_eq!(made.expect("made").version, 1);
        Registry::open(database.clone(), vault, Directory::default()).await.expect("opens again");
        let older = database.migrate("registry", first(STEPS.len() - 1)).await;
        let Err(drover_database::Error::Newer { found, known, .. }) = older else { panic!("refused: {older:?}") };
        assert_eq!((found as usize, known as usize), (STEPS.len(), STEPS.len() - 1));
    }
}

#[tokio::test]
async fn sqlite_is_brought_forward_from_every_earlier_step() {
    let folder = tempfile::tempdir().expect("a folder");
    every_earlier_step_is_brought_forward(async |at| format!("sqlite://{}/{at}.db", folder.path().display())).await;
}

#[tokio::test]
async fn postgres_is_brought_forward_from_every_earlier_step() {
    let server = tokio::task::spawn_blocking(Postgres::shared).await.expect("a server");
    every_earlier_step_is_brought_forward(async |_| server.new_database()).await;
}
