//! `trips(kind, id, from, to)` and `stops(kind, id, from, to)` as tables: what one asset did in a window of time. What a
//! trip and a stop are is for [`drover_history::trips`]; here are only the arguments and the columns.

use arrow::array::TimestampMillisecondArray;
use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{DFSchema, DataFusionError, Result, plan_datafusion_err, plan_err};
use datafusion::datasource::TableType;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, cast};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_plan::ExecutionPlan;
use drover_geo::PointE7;
use drover_history::View;
use drover_history::read::{Footers, ReadError, each_fix};
use drover_history::trips::{Segmenter, Segments, Stop, Trip, TripFix, TripRules};
use drover_model::{Kind, Sight};
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::SqlError;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Trips,
    Stops,
}

impl Which {
    pub(super) fn name(self) -> &'static str {
        match self {
            Which::Trips => "trips",
            Which::Stops => "stops",
        }
    }
}

/// The function over one view.
#[derive(Debug)]
pub(super) struct TripsFunction {
    pub(super) which: Which,
    pub(super) view: Arc<View>,
    pub(super) sight: Sight,
    pub(super) footers: Arc<Footers>,
}

impl TableFunctionImpl for TripsFunction {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let name = self.which.name();
        let [kind, id, from, to] = args.exprs() else {
            return plan_err!(
                "{name} takes a kind, an id and two times: {name}('vehicle', 'bus-1', '2026-05-28', '2026-05-29')"
            );
        };
        let kind = text(kind, args.session())?;
        let kind = Kind::parse(&kind).ok_or_else(|| plan_datafusion_err!("{name}: there is no kind {kind:?}"))?;
        let id = text(id, args.session())?;
        // No asset has an empty id: what may not be seen is as unknown.
        let id = if self.sight.sees(kind, &id) { id } else { String::new() };
        let window = time(from, args.session())?..=time(to, args.session())?;
        Ok(Arc::new(Asked {
            which: self.which,
            view: self.view.clone(),
            footers: self.footers.clone(),
            kind,
            id,
            window,
            schema: schema(self.which),
        }))
    }
}

fn text(argument: &Expr, session: &dyn Session) -> Result<String> {
    let value = constant(argument, DataType::Utf8View, session)?;
    let value = value.as_string_view();
    value.iter().next().flatten().map(str::to_owned).ok_or_else(|| plan_datafusion_err!("an argument is NULL"))
}

/// ms UTC.
fn time(argument: &Expr, session: &dyn Session) -> Result<i64> {
    let value = constant(argument, DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), session)?;
    let value = value.as_primitive::<TimestampMillisecondType>();
    value.iter().next().flatten().ok_or_else(|| plan_datafusion_err!("a time is NULL"))
}

/// The value of an argument that depends on no row, such as `now() - INTERVAL '1 day'`.
fn constant(argument: &Expr, kind: DataType, session: &dyn Session) -> Result<ArrayRef> {
    // `now()` has no value of its own: simplifying puts the moment there.
    let now = session.execution_props().query_execution_start_time;
    let context = SimplifyContext::builder().with_query_execution_start_time(now).build();
    let argument = ExprSimplifier::new(context).simplify(argument.clone())?;
    let expression = session.create_physical_expr(cast(argument, kind), &DFSchema::empty())?;
    let rows = arrow::array::RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &rows)?;
    expression.evaluate(&row)?.into_array(1)
}

/// One call: the table that it stands for.
#[derive(Debug)]
struct Asked {
    which: Which,
    view: Arc<View>,
    footers: Arc<Footers>,
    kind: Kind,
    id: String,
    window: RangeInclusive<i64>,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for Asked {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let found = self.find().await?;
        let batch = match self.which {
            Which::Trips => trips(&found.trips, &self.schema)?,
            Which::Stops => stops(&found.stops, &self.schema)?,
        };
        Ok(MemorySourceConfig::try_new_exec(&[vec![batch]], self.schema.clone(), projection.cloned())?)
    }
}

impl Asked {
    /// Reads on a blocking thread; ends early when the query is dropped.
    async fn find(&self) -> Result<Segments> {
        let (view, footers, id) = (self.view.clone(), self.footers.clone(), self.id.clone());
        let (kind, window) = (self.kind, self.window.clone());
        let dropped = DropFlag::default();
        let stop = dropped.0.clone();
        let found = tokio::task::spawn_blocking(move || segments(&view, &footers, kind, &id, window, &stop)).await;
        let found = found.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))?;
        found.map_err(|ReadError::Damaged { file, why }| {
            DataFusionError::External(Box::new(SqlError::Damaged { file, why }))
        })
    }
}

/// True once it was dropped.
#[derive(Default)]
struct DropFlag(Arc<AtomicBool>);

impl Drop for DropFlag {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn segments(
    view: &View,
    footers: &Footers,
    kind: Kind,
    id: &str,
    window: RangeInclusive<i64>,
    stop: &AtomicBool,
) -> Result<Segments, ReadError> {
    let rules = TripRules::default();
    let mut segmenter = Segmenter::new(rules, window.clone());
    each_fix(view, footers, kind, id, rules.reading_range(&window), &mut |fix| {
        if let Some(at) = fix.place_in_time() {
            let at = PointE7 { lat: at.lat_e7, lon: at.lon_e7 };
            segmenter.push(TripFix { time_ms: fix.event_time, at, speed_kmh: fix.speed_kmh });
        }
        if stop.load(Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(segmenter.finish())
}

fn schema(which: Which) -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let places: &[&str] = match which {
        Which::Trips => &[
            "start_latitude",
            "start_longitude",
            "end_latitude",
            "end_longitude",
            "distance_m",
            "avg_speed_kmh",
            "max_speed_kmh",
        ],
        Which::Stops => &["latitude", "longitude"],
    };
    let times = ["start_time", "end_time"].map(|name| Field::new(name, time.clone(), false));
    let duration = Field::new("duration_s", DataType::Float64, false);
    let places = places.iter().map(|name| Field::new(*name, DataType::Float64, *name == "max_speed_kmh"));
    let points = Field::new("points", DataType::Int64, false);
    let open = ["open_start", "open_end"].map(|name| Field::new(name, DataType::Boolean, false));
    let fields = times.into_iter().chain([duration]).chain(places).chain([points]).chain(open);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn trips(trips: &[Trip], schema: &SchemaRef) -> Result<RecordBatch> {
    let number = |of: fn(&Trip) -> f64| numbers(trips, of);
    let columns: Vec<ArrayRef> = vec![
        times(trips, |trip| trip.start_ms),
        times(trips, |trip| trip.end_ms),
        number(|trip| trip.duration_ms() as f64 / 1000.0),
        number(|trip| degrees(trip.start.lat)),
        number(|trip| degrees(trip.start.lon)),
        number(|trip| degrees(trip.end.lat)),
        number(|trip| degrees(trip.end.lon)),
        number(|trip| trip.distance_m),
        number(Trip::avg_speed_kmh),
        Arc::new(trips.iter().map(|trip| trip.max_speed_kmh).collect::<Float64Array>()),
        counts(trips, |trip| trip.points),
        flags(trips, |trip| trip.open_start),
        flags(trips, |trip| trip.open_end),
    ];
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

fn stops(stops: &[Stop], schema: &SchemaRef) -> Result<RecordBatch> {
    let columns: Vec<ArrayRef> = vec![
        times(stops, |stop| stop.start_ms),
        times(stops, |stop| stop.end_ms),
        numbers(stops, |stop| stop.duration_ms() as f64 / 1000.0),
        numbers(stops, |stop| degrees(stop.at.lat)),
        numbers(stops, |stop| degrees(stop.at.lon)),
        counts(stops, |stop| stop.points),
        flags(stops, |stop| stop.open_start),
        flags(stops, |stop| stop.open_end),
    ];
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

fn degrees(e7: i32) -> f64 {
    f64::from(e7) / 1e7
}

fn times<T>(of: &[T], time: fn(&T) -> i64) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from_iter_values(of.iter().map(time)).with_timezone("UTC"))
}

fn numbers<T>(of: &[T], number: fn(&T) -> f64) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(of.iter().map(number)))
}

fn counts<T>(of: &[T], count: fn(&T) -> u64) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(of.iter().map(|one| count(one) as i64)))
}

fn flags<T>(of: &[T], flag: fn(&T) -> bool) -> ArrayRef {
    Arc::new(of.iter().map(|one| Some(flag(one))).collect::<BooleanArray>())
}
