//! The figures of a run: counted per connection, added up at the end, printed as text or serialized.

use std::collections::BTreeMap;
use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::SimulateOptions;
use crate::send::Via;
use crate::wire::answer::Answer;

/// Longest latency told apart, microseconds.
const LONGEST_US: u64 = 600_000_000;

/// A histogram of microseconds with three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, 3).expect("the bounds are constant and valid")
}

/// A value that the histogram takes.
pub(super) fn microseconds(value: u64) -> u64 {
    value.clamp(1, LONGEST_US)
}

/// What one connection counted.
pub(super) struct Tally {
    pub(super) sent: u64,
    pub(super) acknowledged: u64,
    pub(super) duplicates: u64,
    pub(super) late: u64,
    pub(super) rejected: BTreeMap<String, u64>,
    pub(super) errors: u64,
    pub(super) unanswered: u64,
    pub(super) unsent: u64,
    latency: Histogram<u64>,
    lag: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            sent: 0,
            acknowledged: 0,
            duplicates: 0,
            late: 0,
            rejected: BTreeMap::new(),
            errors: 0,
            unanswered: 0,
            unsent: 0,
            latency: histogram(),
            lag: histogram(),
        }
    }
}

impl Tally {
    /// Counts an answer; the reports that it acknowledges are counted one by one.
    pub(super) fn settle(&mut self, answer: &Answer) {
        self.duplicates += answer.duplicates;
        self.late += answer.late;
        for rejection in &answer.rejected {
            *self.rejected.entry(rejection.code.clone()).or_default() += 1;
        }
    }

    pub(super) fn acknowledged(&mut self, latency_us: u64) {
        self.acknowledged += 1;
        self.latency.saturating_record(microseconds(latency_us));
    }

    pub(super) fn lag(&mut self, lag_us: u64) {
        self.lag.saturating_record(microseconds(lag_us));
    }

    pub(super) fn add(&mut self, other: Tally) {
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.duplicates += other.duplicates;
        self.late += other.late;
        self.errors += other.errors;
        self.unanswered += other.unanswered;
        self.unsent += other.unsent;
        for (code, count) in other.rejected {
            *self.rejected.entry(code).or_default() += count;
        }
        self.latency += other.latency;
        self.lag += other.lag;
    }
}

/// What one watcher counted.
pub(super) struct WatchTally {
    pub(super) updates: u64,
    pub(super) bytes: u64,
    pub(super) errors: u64,
    pub(super) latency: Histogram<u64>,
}

impl Default for WatchTally {
    fn default() -> WatchTally {
        WatchTally { updates: 0, bytes: 0, errors: 0, latency: histogram() }
    }
}

impl WatchTally {
    pub(super) fn add(&mut self, other: &WatchTally) {
        self.updates += other.updates;
        self.bytes += other.bytes;
        self.errors += other.errors;
        self.latency += &other.latency;
    }
}

/// Percentiles in milliseconds; all 0 if nothing was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Half were faster.
    pub p50_ms: f64,
    /// 99 of 100 were faster.
    pub p99_ms: f64,
    /// 999 of 1,000 were faster.
    pub p999_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Latency {
        let ms = |us: u64| us as f64 / 1000.0;
        let quantile = |part| ms(histogram.value_at_quantile(part));
        Latency { p50_ms: quantile(0.5), p99_ms: quantile(0.99), p999_ms: quantile(0.999), max_ms: ms(histogram.max()) }
    }
}

/// What the watchers saw.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WatchSummary {
    /// WebSockets that watched.
    pub watchers: usize,
    /// Changes of simulated drivers, seen by all watchers together.
    pub updates: u64,
    /// Text received by all watchers together.
    pub bytes: u64,
    /// Connections lost or not made again at once.
    pub errors: u64,
    /// From the moment at which a report was meant to be sent until its change arrived.
    pub latency: Latency,
}

/// The figures of a run, all of them measured. `sent = acknowledged + all rejected + unanswered`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SimulateSummary {
    /// Drivers that reported.
    pub drivers: usize,
    /// Stations that reported.
    pub stations: usize,
    /// Connections that they shared.
    pub connections: usize,
    /// The door.
    pub via: Via,
    /// As fast as acknowledged, or at a pace.
    pub closed_loop: bool,
    /// Most reports in one request or frame.
    pub batch: usize,
    /// From the first report to the last acknowledgement.
    pub seconds: f64,
    /// Reports sent, each counted once however often it had to be sent.
    pub sent: u64,
    /// Durable by the server's word, duplicates included.
    pub acknowledged: u64,
    /// Of these, known to the server before: sent again after a lost connection. MQTT does not tell.
    pub duplicates: Option<u64>,
    /// Of these, older than what the server knew. MQTT does not tell.
    pub late: Option<u64>,
    /// Refused by the server, by code.
    pub rejected: BTreeMap<String, u64>,
    /// Lost or refused connections and answers that asked to come back later.
    pub errors: u64,
    /// Sent, but neither acknowledged nor refused when the run ended.
    pub unanswered: u64,
    /// Due at the pace, but not sent before the end: the server or this machine was too slow.
    pub unsent: u64,
    /// Acknowledged reports per second.
    pub rate_per_s: f64,
    /// From the moment at which a report was meant to be sent until its acknowledgement arrived.
    pub latency: Latency,
    /// This tool's own share of it: until the report was handed to the socket.
    pub lag: Latency,
    /// What watchers saw, if there were any.
    pub watch: Option<WatchSummary>,
}

impl SimulateSummary {
    pub(super) fn new(
        options: &SimulateOptions,
        connections: usize,
        seconds: f64,
        tally: Tally,
        watched: Option<(usize, WatchTally)>,
    ) -> SimulateSummary {
        let watch = watched.map(|(watchers, seen)| WatchSummary {
            watchers,
            updates: seen.updates,
            bytes: seen.bytes,
            errors: seen.errors,
            latency: Latency::of(&seen.latency),
        });
        SimulateSummary {
            drivers: options.drivers,
            stations: options.stations,
            connections,
            via: options.via,
            closed_loop: options.closed_loop,
            batch: options.reports_per_frame(),
            seconds,
            sent: tally.sent,
            acknowledged: tally.acknowledged,
            duplicates: options.via.tells_duplicates().then_some(tally.duplicates),
            late: options.via.tells_duplicates().then_some(tally.late),
            rejected: tally.rejected,
            errors: tally.errors,
            unanswered: tally.unanswered,
            unsent: tally.unsent,
            rate_per_s: tally.acknowledged as f64 / seconds.max(1e-9),
            latency: Latency::of(&tally.latency),
            lag: Latency::of(&tally.lag),
            watch,
        }
    }

    /// What is known of the acknowledged reports beyond their number.
    fn kinds_of_yes(&self) -> String {
        match (self.duplicates, self.late) {
            (Some(duplicates), Some(late)) => format!("({duplicates} duplicates, {late} late)"),
            _ => "(MQTT does not tell duplicates and late ones)".into(),
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let Latency { p50_ms, p99_ms, p999_ms, max_ms } = self;
        write!(out, "p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms, p99.9 {p999_ms:.2} ms, max {max_ms:.2} ms")
    }
}

impl fmt::Display for SimulateSummary {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let SimulateSummary { sent, acknowledged, errors, unanswered, unsent, .. } = self;
        let rejected: u64 = self.rejected.values().sum();
        writeln!(out, "sent          {sent} ({unsent} more were due)")?;
        writeln!(out, "acknowledged  {acknowledged} {}", self.kinds_of_yes())?;
        writeln!(out, "rejected      {rejected}")?;
        for (code, count) in &self.rejected {
            writeln!(out, "  {code}: {count}")?;
        }
        writeln!(out, "unanswered    {unanswered}")?;
        writeln!(out, "errors        {errors}")?;
        writeln!(out, "rate          {:.0} reports/s over {:.1} s", self.rate_per_s, self.seconds)?;
        writeln!(out, "ack latency   {}", self.latency)?;
        writeln!(out, "own lag       {}", self.lag)?;
        if let Some(watch) = &self.watch {
            writeln!(out, "watchers      {} saw {} changes, {} errors", watch.watchers, watch.updates, watch.errors)?;
            writeln!(out, "live latency  {}", watch.latency)?;
        }
        Ok(())
    }
}
