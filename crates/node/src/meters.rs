//! Metrics in Prometheus' form: the recorder, and gauges that are read from the engines when asked.

use anyhow::Context;
use drover_dead::Dead;
use drover_live::Live;
use drover_log::{Commit, CommitHook, Log};
use drover_metadata::Metadata;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Upper bounds of latency buckets, seconds.
const LATENCY_S: [f64; 14] = [0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Installs the recorder, once per process (tests start several nodes in one).
pub fn install() -> anyhow::Result<PrometheusHandle> {
    if let Some(handle) = RECORDER.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &LATENCY_S)
        .and_then(PrometheusBuilder::install_recorder)
        .context("metrics")?;
    describe();
    let upkeep = handle.clone();
    // Observed latencies pile up until they are counted into their buckets.
    std::thread::Builder::new().name("metrics".into()).spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            upkeep.run_upkeep();
        }
    })?;
    Ok(RECORDER.get_or_init(|| handle).clone())
}

fn describe() {
    use metrics::{describe_counter as counter, describe_gauge as gauge, describe_histogram as histogram};
    counter!("drover_reports_accepted_total", "New reports made durable, by door");
    counter!("drover_reports_duplicate_total", "Reports that were there before, by door");
    counter!("drover_reports_late_total", "Accepted reports older than their asset's newest, by door");
    counter!("drover_reports_rejected_total", "Refused reports, by reason");
    counter!("drover_too_fast_total", "Refused for coming too fast, by who (device, caller, address, stranger)");
    counter!("drover_fixes_flagged_total", "Places that admission took for noise, by rule");
    counter!("drover_rejects_not_kept_total", "Refused reports that could not be kept");
    counter!("drover_follower_gaps_total", "Ranges of the log that a follower had to pass over, by follower");
    histogram!("drover_ack_seconds", "From a request being read to its reports being durable, by door");
    histogram!("drover_log_commit_seconds", "One write and sync of the log, by stream");
    counter!("drover_log_records_total", "Records made durable, by stream");
    counter!("drover_log_bytes_total", "Bytes made durable, by stream");
    gauge!("drover_log_pending_bytes", "Bytes waiting for the disk, by stream");
    gauge!("drover_log_position", "Last durable position, by stream");
    gauge!("drover_log_refusing", "1 while appends are refused (disk full or failed), by stream");
    gauge!("drover_follower_lag_records", "Records that a follower has yet to read, by follower");
    gauge!("drover_live_assets", "Assets known");
    gauge!("drover_live_index_assets", "Assets in the moving-object index");
    gauge!("drover_live_index_bytes", "Bytes of the moving-object index");
    gauge!("drover_watchers", "Watchers connected");
    counter!("drover_metadata_lookups_total", "Assets looked up in the metadata, by whether they were there");
    gauge!("drover_metadata_age_seconds", "Since the source last confirmed the metadata");
    gauge!("drover_metadata_entries", "Assets in the metadata");
    counter!("drover_metadata_refresh_failures_total", "Tries to read the metadata that failed");
    counter!("drover_import_store_errors_total", "Looks at the watched store that failed");
    counter!("drover_raw_files_moved_total", "Imported files that moved to the cold store as they came");
    counter!("drover_raw_files_expired_total", "Imported files that left for their age");
    counter!("drover_lane_turned_away_total", "Reports that found no room or waited too long, by lane");
    counter!("drover_lane_unread_bodies_total", "Large bodies turned away unread, since both lanes were crowded");
    histogram!("drover_lane_wait_seconds", "How long requests waited for their turn, by lane");
    counter!("drover_history_moved_bytes_total", "Bytes of history that moved on for their age, by tier");
    counter!("drover_http_connections_refused_total", "Connections closed beyond a bound (all, address)");
    counter!("drover_mqtt_sessions_displaced_total", "Sessions that made room for another one of their owner");
    gauge!("drover_senders", "Connections that send reports, by door");
}

/// What the log calls after each commit.
pub fn commit_hook(stream: &'static str) -> CommitHook {
    let seconds = metrics::histogram!("drover_log_commit_seconds", "stream" => stream);
    let records = metrics::counter!("drover_log_records_total", "stream" => stream);
    let bytes = metrics::counter!("drover_log_bytes_total", "stream" => stream);
    Arc::new(move |commit: Commit| {
        seconds.record(commit.duration.as_secs_f64());
        records.increment(commit.records.into());
        bytes.increment(commit.bytes as u64);
    })
}

/// Renders all metrics after reading the gauges from the engines.
pub fn with_gauges(
    handle: PrometheusHandle,
    live: &Live,
    metadata: Option<Metadata>,
    dead: Dead,
    logs: &[(&'static str, &Log)],
) -> Arc<dyn Fn() -> String + Send + Sync> {
    let live = live.clone();
    let logs: Vec<(&'static str, Log)> = logs.iter().map(|(name, log)| (*name, (*log).clone())).collect();
    Arc::new(move || {
        for (stream, log) in &logs {
            let stats = log.stats();
            metrics::gauge!("drover_log_pending_bytes", "stream" => *stream).set(stats.pending_bytes as f64);
            metrics::gauge!("drover_log_position", "stream" => *stream).set(log.durable_position() as f64);
            metrics::gauge!("drover_log_refusing", "stream" => *stream)
                .set(f64::from(u8::from(stats.full || stats.poisoned)));
        }
        if let Some(metadata) = &metadata {
            metadata.publish();
        }
        dead.publish();
        let (index_bytes, indexed) = live.index_size();
        metrics::gauge!("drover_live_assets").set(live.len() as f64);
        metrics::gauge!("drover_live_index_assets").set(indexed as f64);
        metrics::gauge!("drover_live_index_bytes").set(index_bytes as f64);
        metrics::gauge!("drover_watchers").set(live.watchers() as f64);
        handle.render()
    })
}
