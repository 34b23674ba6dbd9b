//! What a draft must satisfy to become a report. The ranges are those of the source documents;
//! those a fleet may want to change are fields.

/// Limits that an operator may change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Fastest plausible speed, km/h.
    pub max_speed_kmh: f64,
    /// How far an event time may lie ahead of the receive time, ms.
    pub max_clock_ahead_ms: i64,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { max_speed_kmh: 200.0, max_clock_ahead_ms: 60_000 }
    }
}

/// Earliest event time that is believed: 2000-01-01T00:00:00Z. Trackers without a fix count from
/// 1970 or 1980.
pub(crate) const EARLIEST_EVENT_MS: i64 = 946_684_800_000;
