//! Who drives what: assignments that do not overlap, and `drivers.vehicle_id`, which follows the current one.

use crate::Shared;
use crate::check::Cell;
use crate::error::Error;
use crate::record::{LIMIT_MAX, Record, time};
use crate::resources::{ASSIGNMENTS, DRIVERS};
use crate::rows::{Row, Sql, select};
use crate::schema::Resource;
use crate::scope;
use crate::writes::Write;
use drover_access::Caller;
use drover_answer::now_ms;
use sqlx::{AnyConnection, Row as _};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// Who changes `drivers.vehicle_id` when an assignment begins or ends.
const BY_CLOCK: &str = "drover";
/// Drivers that get another vehicle in one call.
const SETTLED_AT_ONCE: usize = 200;

impl Shared {
    /// Refuses one that overlaps another of its driver or vehicle. Of one that the caller does not reach, neither the id nor
    /// the times are told.
    pub(crate) async fn check_assignment(
        &self,
        from: &mut AnyConnection,
        caller: &Caller,
        row: &Row,
    ) -> Result<(), Error> {
        let cell = |field| row.cell(&ASSIGNMENTS, field).clone();
        let mut sql = Sql::new("SELECT id, driver_id, starts_at, ends_at, ");
        scope::push_reached(&mut sql, caller, &ASSIGNMENTS);
        sql.push(" FROM assignments WHERE id <> ").text(&row.id).push(" AND (driver_id = ").bind(cell("driver_id"));
        sql.push(" OR vehicle_id = ").bind(cell("vehicle_id")).push(")");
        if let Cell::Integer(end) = cell("ends_at") {
            sql.push(" AND starts_at < ").integer(end);
        }
        sql.push(" AND (ends_at IS NULL OR ends_at > ").bind(cell("starts_at")).push(") ORDER BY reached DESC LIMIT 1");
        let Some(other) = sql.one(from).await? else { return Ok(()) };
        let id: String = other.try_get(0)?;
        let same_driver = other.try_get::<Option<String>, _>(1)?.as_deref() == row.text(&ASSIGNMENTS, "driver_id");
        let field = if same_driver { "driver_id" } else { "vehicle_id" };
        let moment = |ms: i64| time(ms).as_str().unwrap_or_default().to_owned();
        let starts = moment(other.try_get(2)?);
        let ends = other.try_get::<Option<i64>, _>(3)?.map_or_else(|| "further notice".to_owned(), moment);
        let value = row.text(&ASSIGNMENTS, field).unwrap_or_default();
        let taken = match other.try_get::<i64, _>(4)? {
            0 => "for a part of that time".to_owned(),
            _ => format!("by the assignment {id:?} from {starts} until {ends}"),
        };
        Err(Error::Conflict {
            code: "overlap",
            field: Some(field.into()),
            message: format!("{field} {value:?} is taken {taken}"),
            help: "end the other assignment first, or choose another time",
        })
    }

    /// Drivers whose assignments a change touched get their current vehicle, in the same transaction.
    pub(crate) async fn settle_after(
        &self,
        write: &mut Write,
        resource: &'static Resource,
        before: Option<&Row>,
        after: Option<&Row>,
    ) -> Result<(), Error> {
        if *resource != ASSIGNMENTS {
            return Ok(());
        }
        let driver = |row: &Row| row.text(&ASSIGNMENTS, "driver_id").map(str::to_owned);
        let drivers: BTreeSet<String> = [before, after].into_iter().flatten().filter_map(driver).collect();
        for driver in drivers {
            self.settle_driver(write, &driver).await?;
        }
        Ok(())
    }

    async fn settle_driver(&self, write: &mut Write, driver: &str) -> Result<(), Error> {
        let now = now_ms();
        let mut sql = Sql::new("SELECT vehicle_id FROM assignments WHERE driver_id = ");
        sql.text(driver).push(" AND starts_at <= ").integer(now);
        sql.push(" AND (ends_at IS NULL OR ends_at > ").integer(now).push(") ORDER BY starts_at DESC LIMIT 1");
        let current = sql.one(&mut write.transaction).await?;
        let current: Option<String> = current.map_or(Ok(None), |row| row.try_get(0))?;
        let Some(before) = self.row_by_id(&mut write.transaction, &DRIVERS, driver).await? else { return Ok(()) };
        if before.text(&DRIVERS, "vehicle_id") == current.as_deref() {
            return Ok(());
        }
        let mut after = before.clone();
        after.version += 1;
        after.updated_at = now;
        after.set(&DRIVERS, "vehicle_id", current.map_or(Cell::Null, Cell::Text));
        self.overwrite(&mut write.transaction, &DRIVERS, &after).await?;
        write.note(&DRIVERS, "update", BY_CLOCK, Some(&before), Some(&after)).await
    }

    /// Assignments that began or ended since the last call (at the first, all of them): their drivers get their current
    /// vehicle. Only drivers that have another one are touched, some at a time; the next call goes on.
    pub(crate) async fn settle_assignments(&self) -> Result<(), Error> {
        let now = now_ms();
        let since = self.settled_until.load(Ordering::Relaxed);
        let mut sql = Sql::new("SELECT d.id FROM drivers d LEFT JOIN assignments a ON a.driver_id = d.id");
        sql.push(" AND a.starts_at <= ").integer(now).push(" AND (a.ends_at IS NULL OR a.ends_at > ").integer(now);
        sql.push(") WHERE d.vehicle_id IS DISTINCT FROM a.vehicle_id");
        if since > 0 {
            sql.push(" AND d.id IN (SELECT driver_id FROM assignments WHERE (starts_at > ").integer(since);
            sql.push(" AND starts_at <= ").integer(now).push(") OR (ends_at > ").integer(since);
            sql.push(" AND ends_at <= ").integer(now).push("))");
        }
        sql.push(&format!(" LIMIT {SETTLED_AT_ONCE}"));
        let mut connection = self.database.read().await?;
        let drivers = sql.all(&mut connection).await?;
        drop(connection);
        let all = drivers.len() < SETTLED_AT_ONCE;
        for driver in drivers {
            let mut write = Write::begin(&self.database).await?;
            self.settle_driver(&mut write, &driver.try_get::<String, _>(0)?).await?;
            write.commit(&self.mirror).await?;
        }
        if all {
            self.settled_until.store(now, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(crate) async fn assignments_of(&self, caller: &Caller, driver: &str) -> Result<Vec<Record>, Error> {
        let mut connection = self.database.read().await?;
        self.row(&mut connection, caller, &DRIVERS, driver).await?;
        let mut sql = select(&ASSIGNMENTS);
        sql.push(" WHERE driver_id = ").text(driver).push(" AND ");
        scope::push(&mut sql, caller, &ASSIGNMENTS);
        sql.push(&format!(" ORDER BY starts_at DESC, id LIMIT {LIMIT_MAX}"));
        let rows = sql.all(&mut connection).await?;
        rows.iter().map(|row| Ok(self.opened(&ASSIGNMENTS, row)?.record(&ASSIGNMENTS))).collect()
    }
}
