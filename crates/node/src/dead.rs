//! The dead letters of a node, and those of history: records of the log that are no reports to this build. Once a build
//! can read them, a retry sends them through admission, which knows them if they are there already.

use crate::Config;
use anyhow::Context;
use drover_dead::{Dead, Letter, NewLetter, Retry, Source};
use drover_history::Refused;
use drover_ingest::{Admission, Admitted, Refusal, Tracks};
use drover_model::{Draft, Flags, Report};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const HISTORY: Source = Source::new("history");

/// Opens the letters in the data folder.
pub(crate) fn open(config: &Config) -> anyhow::Result<Dead> {
    drover_dead::describe();
    let keep = Duration::from_secs(u64::from(config.dead_letters_keep_days) * 86_400);
    let settings = drover_dead::Settings { keep, ..drover_dead::Settings::default() };
    Dead::open(&config.data.join("dead"), settings).context("dead letters")
}

/// What keeps records that history cannot take.
pub(crate) fn of_history(dead: &Dead) -> Refused {
    let dead = dead.clone();
    Refused(Arc::new(move |position, record, error| {
        let letter = NewLetter {
            source: HISTORY,
            key: format!("position {position}"),
            stage: "read record".into(),
            error: error.to_owned(),
            context: BTreeMap::from([("position".to_owned(), position.into())]),
            // Bytes that cannot be read now cannot be read a moment later either.
            attempts: 1,
            original: record,
        };
        dead.put(letter).map(drop).map_err(|error| error.to_string())
    }))
}

/// Sends records that can be read by now to admission.
pub(crate) struct Readmit(pub(crate) Arc<Admission>);

impl Readmit {
    /// Has the letters of history retried by this.
    pub(crate) fn register(self, dead: &Dead) {
        dead.register(HISTORY, Arc::new(self));
    }
}

impl Retry for Readmit {
    fn retry(&self, _letter: &Letter, original: Option<&[u8]>) -> Result<String, String> {
        let record = original.ok_or("the record was not kept")?;
        let report = Report::decode(record).map_err(|error| error.to_string())?;
        let received = report.receive_time;
        // One report alone has no way that could be judged.
        let admitted = self.0.admit_row(draft_of(report), received, &mut Tracks::new(1), &mut Vec::new());
        let position = match admitted {
            Ok(Admitted::New { position, .. }) => position,
            Ok(Admitted::Duplicate { wait }) => wait,
            Err(Refusal::Reject(reject)) => return Err(reject.message),
            Err(other) => return Err(other.to_string()),
        };
        self.0.log().wait_durable(position).map_err(|error| error.to_string())?;
        match admitted {
            Ok(Admitted::Duplicate { .. }) => Ok("the report was there already".into()),
            _ => Ok(format!("the report is in the log at position {position}")),
        }
    }
}

/// The report as its device sent it.
fn draft_of(report: Report<'_>) -> Draft<'_> {
    let said = !report.flags.has(Flags::DERIVED_SPEED);
    Draft {
        kind: Some(report.kind),
        id: Some(report.id),
        event_time: Some(report.event_time),
        latitude: report.position.map(|at| at.lat()),
        longitude: report.position.map(|at| at.lon()),
        accuracy_m: report.accuracy_m.map(f64::from),
        speed_kmh: report.speed_kmh.filter(|_| said).map(f64::from),
        heading_deg: report.heading_deg.filter(|_| said).map(f64::from),
        battery_pct: report.battery_pct.map(f64::from),
        status: report.status.map(|status| status.name().into()),
        order_id: report.order_id,
        city: report.city,
        readings: report.readings,
    }
}
