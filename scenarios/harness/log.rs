//! The log of reports as it lies in a data folder that no node has open.

use drover_log::{Engine, SegmentEngine, SegmentSettings, Stream};
use drover_model::{Kind, Position, Report};
use std::path::Path;

/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;

/// One report in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    pub position: u64,
    pub kind: Kind,
    pub id: String,
    pub time_ms: i64,
    pub place: Option<Position>,
}

/// Every report of the log, in order. Positions are checked to be dense.
pub fn read_log(data: &Path) -> Vec<Logged> {
    let settings =
        SegmentSettings { segment_bytes: 4 << 20, ..SegmentSettings::new(Stream::Reports.folder(&data.join("log"))) };
    let engine = SegmentEngine::open(settings).expect("the log opens once its node has ended");
    let archive = engine.archive();
    let mut reports: Vec<Logged> = Vec::new();
    loop {
        let from = reports.len() as u64 + 1;
        let batches = archive.read(from, READ_BYTES).expect("the log is whole");
        if batches.is_empty() {
            assert_eq!(archive.bounds().next, from, "the log ends where it says");
            return reports;
        }
        for (position, record) in batches.iter().flat_map(|batch| batch.records()) {
            assert_eq!(position, reports.len() as u64 + 1, "positions are dense");
            reports.push(logged(position, record));
        }
    }
}

fn logged(position: u64, record: &[u8]) -> Logged {
    let report = Report::decode(record).expect("the log holds reports");
    Logged { position, kind: report.kind, id: report.id.into(), time_ms: report.event_time, place: report.position }
}
