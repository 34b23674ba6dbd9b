//! The part of a commit that tells other readers where they need not look: statistics of each new file's columns, and
//! those of the table, which must cover every file, since DuckDB leaves out what they exclude.

use super::catalog::IDS;
use super::commit::Change;
use super::stats::{Bound, ColumnStats, widen};
use super::writer::Written;
use crate::LakeFile;
use crate::schema::BASE_COLUMNS;
use arrow::datatypes::{DataType, Schema};
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

/// Notes the statistics of a file's columns.
pub(super) async fn add_column_stats(
    connection: &mut SqliteConnection,
    file: i64,
    columns: &[ColumnStats],
    schema: &Schema,
) -> Result<(), sqlx::Error> {
    let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO ducklake_file_column_stats ");
    query.push_values(columns.iter().enumerate(), |mut row, (at, stats)| {
        let kind = schema.field(at).data_type();
        let text = |bound: &Bound| bound.text(kind);
        row.push_bind(file).push_bind(IDS.0).push_bind(at as i64 + 1).push_bind(stats.bytes as i64);
        row.push_bind(stats.values as i64).push_bind(stats.nulls as i64);
        row.push_bind(stats.bounds.as_ref().map(|(least, _)| text(least)));
        row.push_bind(stats.bounds.as_ref().map(|(_, greatest)| text(greatest)));
        row.push_bind(contains_nan(stats)).push_bind(None::<String>);
    });
    query.build().execute(connection).await?;
    Ok(())
}

/// Readings are finite; for other columns the question makes no sense.
fn contains_nan(stats: &ColumnStats) -> Option<i64> {
    matches!(stats.bounds, Some((Bound::Double(_), _))).then_some(0)
}

/// Makes counts and bounds of the table hold after the change.
pub(super) async fn widen_table(
    connection: &mut SqliteConnection,
    change: &Change<'_>,
    schema: &Schema,
) -> Result<(), sqlx::Error> {
    let of_added = |value: fn(&Written) -> u64| change.add.iter().map(value).sum::<u64>() as i64;
    let of_ended = |value: fn(&LakeFile) -> u64| change.end.iter().map(|file| value(file)).sum::<u64>() as i64;
    let added_rows = of_added(|file| file.rows);
    sqlx::query(
        "UPDATE ducklake_table_stats SET record_count = record_count + ?, next_row_id = next_row_id + ?, \
         file_size_bytes = file_size_bytes + ? WHERE table_id = ?",
    )
    .bind(added_rows - of_ended(|file| file.rows))
    .bind(added_rows)
    .bind(of_added(|file| file.bytes) - of_ended(|file| file.bytes))
    .bind(IDS.0)
    .execute(&mut *connection)
    .await?;
    // Like DuckDB, nothing for added columns: files from before have no statistics of them.
    for (column, field) in schema.fields().iter().enumerate().take(BASE_COLUMNS) {
        let of_column = change.add.iter().map(|file| &file.columns[column]).cloned().reduce(together);
        if let Some(stats) = of_column {
            widen_column(connection, column as i64 + 1, &stats, field.data_type()).await?;
        }
    }
    Ok(())
}

fn together(a: ColumnStats, b: ColumnStats) -> ColumnStats {
    let bounds = match (a.bounds, b.bounds) {
        // Values without bounds could be anything, also for the whole.
        (None, _) if a.values > 0 => None,
        (_, None) if b.values > 0 => None,
        (Some(a), Some(b)) => Some(widen(a, b)),
        (a, b) => a.or(b),
    };
    ColumnStats { bytes: a.bytes + b.bytes, values: a.values + b.values, nulls: a.nulls + b.nulls, bounds }
}

async fn widen_column(
    connection: &mut SqliteConnection,
    column: i64,
    stats: &ColumnStats,
    kind: &DataType,
) -> Result<(), sqlx::Error> {
    let sql = "SELECT contains_null, min_value, max_value FROM ducklake_table_column_stats \
               WHERE table_id = ? AND column_id = ?";
    let known = sqlx::query(sql).bind(IDS.0).bind(column).fetch_optional(&mut *connection).await?;
    let parse = |text: Option<String>| text.and_then(|text| Bound::parse(&text, kind));
    let (mut nulls, mut known_bounds, is_known) = (stats.nulls > 0, None, known.is_some());
    if let Some(row) = known {
        nulls |= row.try_get::<Option<i64>, _>(0)?.unwrap_or(1) != 0;
        known_bounds = parse(row.try_get(1)?).zip(parse(row.try_get(2)?));
    }
    let bounds = match (known_bounds, stats.bounds.clone()) {
        (Some(a), Some(b)) => Some(widen(a, b)),
        (_, None) if stats.values > 0 => None,
        (a, b) => a.or(b),
    };
    let (least, greatest) = bounds.map(|(a, b)| (a.text(kind), b.text(kind))).unzip();
    let sql = match is_known {
        true => {
            "UPDATE ducklake_table_column_stats SET contains_null = ?, contains_nan = ?, min_value = ?, \
                 max_value = ? WHERE table_id = ? AND column_id = ?"
        }
        false => {
            "INSERT INTO ducklake_table_column_stats \
                  (contains_null, contains_nan, min_value, max_value, table_id, column_id) VALUES (?, ?, ?, ?, ?, ?)"
        }
    };
    sqlx::query(sql)
        .bind(i64::from(nulls))
        .bind(contains_nan(stats))
        .bind(least)
        .bind(greatest)
        .bind(IDS.0)
        .bind(column)
        .execute(connection)
        .await?;
    Ok(())
}
