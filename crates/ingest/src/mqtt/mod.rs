//! The MQTT doors' view of a report: which topics are reports, whose they are, how their payload is
//! read, and what a refusal is in MQTT's words. Knows nothing of sockets: the broker and the client
//! of somebody else's broker both come through [`take`].

mod owntracks;
mod upstream;

use crate::intake::{Addressed, Intake, IntakeError, Judged};
use crate::lanes::Entered;
use crate::rejects::Door;
use drover_formats::{Parsed, parse_report};
use drover_log::Position;
use drover_model::{Kind, Reject, RejectCode, Sight, check_id};
use std::borrow::Cow;

pub use upstream::{Upstream, follow};

/// The topics that devices report to, as filters, for a client of somebody else's broker.
pub const REPORT_FILTERS: [&str; 6] = [
    "drivers/+/location",
    "vehicles/+/location",
    "riders/+/location",
    "others/+/location",
    "ev/station/+/telemetry",
    "owntracks/+/+",
];

/// Who reports, read from the topic.
#[derive(Debug, PartialEq, Eq)]
struct Sender<'a> {
    kind: Kind,
    id: Cow<'a, str>,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    OwnTracks,
}

/// Why a publish was not taken, as MQTT 5 says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotTaken {
    /// MQTT 5 reason code, 0x80 or above.
    pub code: u8,
    /// One sentence for the sender.
    pub reason: String,
    /// True when the same publish may be taken later (full disk, overload); false when it never will.
    pub later: bool,
}

/// Takes a publish if its topic is one of reports; `None` leaves it to the broker as an ordinary
/// message. The returned future resolves `Ok` when the report is durable (or was already). On `Err` it
/// must not be acknowledged as taken; a report that is at fault is kept among the rejects by then. `sight` holds the
/// assets that the sender may report for.
pub fn take(
    intake: &Intake,
    sight: &Sight,
    topic: &str,
    payload: &[u8],
) -> Option<impl Future<Output = Result<(), NotTaken>> + Send + use<>> {
    let sender = sender(topic)?;
    if sender.form == Form::OwnTracks && !owntracks::is_location(payload) {
        return None;
    }
    let parsed = sender.parse(payload);
    let entered = intake.enter(&parsed);
    // Judged at once as a rule: publishes of one connection are so judged in their order.
    let (judged, later) = match entered {
        Ok(Entered::Pass(_passing)) => (Some(judge(intake, sight, &sender, parsed, payload)), None),
        Ok(Entered::Wait(place)) => (None, Some((place, sender.into_owned(), sight.clone(), payload.to_vec()))),
        Err(away) => (Some((Err(away.into()), None)), None),
    };
    let intake = intake.clone();
    Some(async move {
        let (judged, refused) = match (judged, later) {
            (Some(judged), _) => judged,
            (None, Some((place, sender, sight, payload))) => match place.turn().await {
                Ok(_passing) => judge(&intake, &sight, &sender, sender.parse(&payload), &payload),
                Err(away) => (Err(away.into()), None),
            },
            (None, None) => unreachable!("it is judged now or later"),
        };
        match judged {
            Ok(judged) => intake.settle(judged).await.map(|_| ()).map_err(NotTaken::from),
            Err(error) => {
                if let Some(kept) = refused {
                    intake.rejects_durable(kept).await;
                }
                Err(NotTaken::from(error))
            }
        }
    })
}

/// Judges a report whose turn has come; one that is refused is kept, which is waited for by what stands beside it.
fn judge(
    intake: &Intake,
    sight: &Sight,
    sender: &Sender<'_>,
    parsed: Parsed<'_>,
    payload: &[u8],
) -> (Result<Judged, IntakeError>, Option<Position>) {
    let address = Addressed { kind: sender.kind, id: &sender.id };
    let judged = intake.judge_one(Door::Mqtt, sight, address, check_id(&sender.id).and(parsed));
    let refused = judged.as_ref().err().and_then(|error| intake.keep_refused(Door::Mqtt, error, payload));
    (judged, refused)
}

impl Sender<'_> {
    fn parse<'a>(&self, payload: &'a [u8]) -> Parsed<'a> {
        match self.form {
            Form::Json => parse_report(payload),
            Form::OwnTracks => owntracks::parse(payload),
        }
    }

    fn into_owned(self) -> Sender<'static> {
        Sender { kind: self.kind, id: Cow::Owned(self.id.into_owned()), form: self.form }
    }
}

/// The asset that a topic of reports is about; none for other topics.
pub fn reporting(topic: &str) -> Option<(Kind, Cow<'_, str>)> {
    sender(topic).map(|sender| (sender.kind, sender.id))
}

/// Reads who reports. A topic with the right shape and a wrong id is a report all the same: it is
/// refused with a reason instead of vanishing as a message that nobody reads.
fn sender(topic: &str) -> Option<Sender<'_>> {
    let mut levels = topic.split('/');
    let words = [levels.next()?, levels.next()?, levels.next()?];
    let fourth = levels.next();
    if levels.next().is_some() {
        return None;
    }
    let report = |kind, id| Some(Sender { kind, id: Cow::Borrowed(id), form: Form::Json });
    match (words, fourth) {
        (["ev", "station", id], Some("telemetry")) => report(Kind::Station, id),
        (["owntracks", user, device], None) => {
            Some(Sender { kind: Kind::Driver, id: Cow::Owned(format!("{user}-{device}")), form: Form::OwnTracks })
        }
        ([kinds, id, "location" | "telemetry"], None) => {
            let kind = Kind::ALL.into_iter().find(|kind| kind.plural() == kinds)?;
            report(kind, id)
        }
        _ => None,
    }
}

/// MQTT 5 reason codes (OASIS MQTT 5.0, section 2.4).
mod code {
    pub const NOT_AUTHORIZED: u8 = 0x87;
    pub const QUOTA_EXCEEDED: u8 = 0x97;
    pub const PAYLOAD_FORMAT_INVALID: u8 = 0x99;
}

impl From<IntakeError> for NotTaken {
    fn from(error: IntakeError) -> NotTaken {
        match error {
            // The word comes first, so that programs can tell reasons apart.
            IntakeError::Reject(Reject { code, message, .. }) => {
                let reason = format!("{}: {message}", code.name());
                let later = code == RejectCode::RateLimited;
                let code = match code {
                    RejectCode::RateLimited => code::QUOTA_EXCEEDED,
                    RejectCode::NotAllowed => code::NOT_AUTHORIZED,
                    _ => code::PAYLOAD_FORMAT_INVALID,
                };
                NotTaken { code, reason, later }
            }
            error => NotTaken { code: code::QUOTA_EXCEEDED, reason: error.to_string(), later: true },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(topic: &str, expected: Option<(Kind, &str, Form)>) {
        let found = sender(topic).map(|s| (s.kind, s.id.into_owned(), s.form));
        assert_eq!(found, expected.map(|(kind, id, form)| (kind, id.to_owned(), form)), "{topic}");
    }

    #[test]
    fn topics_say_who_reports() {
        check("drivers/d-1/location", Some((Kind::Driver, "d-1", Form::Json)));
        check("vehicles/bus.7/location", Some((Kind::Vehicle, "bus.7", Form::Json)));
        check("ev/station/s1/telemetry", Some((Kind::Station, "s1", Form::Json)));
        check("stations/s1/telemetry", Some((Kind::Station, "s1", Form::Json)));
        check("owntracks/jane/phone", Some((Kind::Driver, "jane-phone", Form::OwnTracks)));
        check("drivers//location", Some((Kind::Driver, "", Form::Json)));
    }

    #[test]
    fn other_topics_are_not_reports() {
        for topic in
            ["drivers/d-1", "driver/d-1/location", "drivers/d/1/location", "a/b", "", "owntracks/jane/phone/cmd"]
        {
            check(topic, None);
        }
    }
}
