//! GPX 1.0 and 1.1: every track point is one row. Route points and waypoints are plans, not reports, so a file
//! without a track has no rows. Assets are named after the file, further tracks with a number behind. Files found in
//! the wild lack times, segments or tracks; a point without a time has none.

use crate::profile::Plan;
use crate::source::Source;
use crate::time::{Clock, shortened};
use crate::{Parsed, Rows};
use drover_model::{Draft, Kind, Reading, Readings, Reject, RejectCode};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use std::borrow::Cow;
use std::io;

/// Rows of a GPX file.
pub(crate) struct GpxRows {
    reader: Reader<Source>,
    buffer: Vec<u8>,
    kind: Kind,
    name: String,
    clock: Clock,
    tracks: u64,
    id: String,
    point: Result<Point, Reject>,
}

/// What one track point says.
#[derive(Debug, Clone, Default)]
struct Point {
    latitude: f64,
    longitude: f64,
    event_time: Option<i64>,
    speed_kmh: Option<f64>,
    heading_deg: Option<f64>,
    altitude_m: Option<f64>,
}

impl GpxRows {
    pub(crate) fn new(source: Source, plan: Plan) -> GpxRows {
        GpxRows {
            reader: Reader::from_reader(source),
            buffer: Vec::new(),
            kind: plan.kind.unwrap_or(Kind::Vehicle),
            id: plan.id.clone(),
            name: plan.id,
            clock: plan.clock,
            tracks: 0,
            point: Ok(Point::default()),
        }
    }

    /// Reads to the end of the point, so that an odd point does not spoil the next.
    fn read_inside(&mut self, point: &mut Point) -> io::Result<Result<(), Reject>> {
        let (mut path, mut text) = (Vec::<String>::new(), String::new());
        let mut outcome = Ok(());
        loop {
            self.buffer.clear();
            match self.reader.read_event_into(&mut self.buffer).map_err(broken)? {
                Event::Start(start) => {
                    path.push(start.local_name().as_ref().to_owned());
                    text.clear();
                }
                Event::Text(part) => text.push_str(&part.into_inner()),
                Event::End(_) => {
                    // Only direct children are GPX's own; extensions nest names that mean something else.
                    if let [name] = path.as_slice() {
                        outcome = outcome.and(set(point, &self.clock, name, text.trim()));
                    }
                    if path.pop().is_none() {
                        return Ok(outcome);
                    }
                }
                Event::Eof => {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends inside a track point"));
                }
                _ => {}
            }
        }
    }
}

impl Rows for GpxRows {
    /// What is inside a point is the point's error, what is between points ends the file.
    fn advance(&mut self) -> io::Result<bool> {
        loop {
            self.buffer.clear();
            let (start, empty) = match self.reader.read_event_into(&mut self.buffer).map_err(broken)? {
                Event::Start(start) => (start, false),
                Event::Empty(start) => (start, true),
                Event::Eof => return Ok(false),
                _ => continue,
            };
            match start.local_name().as_ref() {
                "trk" => {
                    self.tracks += 1;
                    self.id =
                        if self.tracks > 1 { format!("{}-{}", self.name, self.tracks) } else { self.name.clone() };
                }
                "trkpt" => {
                    let position = position(&start);
                    let mut point = Point::default();
                    let inside = if empty { Ok(()) } else { self.read_inside(&mut point)? };
                    self.point = position
                        .and_then(|(latitude, longitude)| inside.map(|()| Point { latitude, longitude, ..point }));
                    return Ok(true);
                }
                _ => {}
            }
        }
    }

    fn draft(&self) -> Parsed<'_> {
        let point = self.point.as_ref().map_err(Clone::clone)?;
        let mut readings = Readings::default();
        if let Some(altitude_m) = point.altitude_m {
            readings.push("altitude_m", Reading::Number(altitude_m))?;
        }
        Ok(Draft {
            kind: Some(self.kind),
            id: Some(Cow::Borrowed(&*self.id)),
            event_time: point.event_time,
            latitude: Some(point.latitude),
            longitude: Some(point.longitude),
            speed_kmh: point.speed_kmh,
            heading_deg: point.heading_deg,
            readings,
            ..Draft::default()
        })
    }
}

fn broken(error: quick_xml::Error) -> io::Error {
    match error {
        quick_xml::Error::Io(error) => io::Error::new(error.kind(), error.to_string()),
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    }
}

/// Latitude and longitude of a point, both of which GPX demands.
fn position(start: &BytesStart) -> Result<(f64, f64), Reject> {
    let degrees = |name: &str, field| {
        let attribute = start.try_get_attribute(name).ok().flatten().ok_or_else(|| Reject::missing(field))?;
        number(&attribute.value, field)
    };
    Ok((degrees("lat", "latitude")?, degrees("lon", "longitude")?))
}

/// Speed and course are GPX 1.0; speed is in metres per second there.
fn set(point: &mut Point, clock: &Clock, name: &str, text: &str) -> Result<(), Reject> {
    match name {
        "time" if !text.is_empty() => {
            let wrong = |message| Reject::new(RejectCode::WrongType, "timestamp", message).with_value(shortened(text));
            point.event_time = Some(clock.read(text).map_err(wrong)?);
        }
        "speed" => point.speed_kmh = Some(number(text, "speed")? * 3.6),
        "course" => point.heading_deg = Some(number(text, "heading")?),
        "ele" => point.altitude_m = Some(number(text, "altitude_m")?),
        _ => {}
    }
    Ok(())
}

fn number(text: &str, field: &'static str) -> Result<f64, Reject> {
    let number = text.trim().parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| {
        let message = format!("{field} is the text {:?}; a number is expected", shortened(text));
        Reject::new(RejectCode::WrongType, field, message).with_value(shortened(text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;

    type Read = (Option<f64>, Option<i64>, Option<f64>, String);

    fn rows(text: &str) -> (Vec<Result<Read, String>>, bool) {
        let plan = Plan::of(&Profile::default(), "tour.gpx").unwrap();
        let mut rows = GpxRows::new(Box::new(io::Cursor::new(text.to_owned())), plan);
        let mut read = Vec::new();
        loop {
            match rows.advance() {
                Ok(true) => read.push(match rows.draft() {
                    Ok(draft) => Ok((draft.latitude, draft.event_time, draft.speed_kmh, draft.id.unwrap().into())),
                    Err(reject) => Err(reject.message),
                }),
                Ok(false) => return (read, true),
                Err(_) => return (read, false),
            }
        }
    }

    #[test]
    fn an_odd_point_does_not_spoil_the_next() {
        let (rows, whole) = rows(
            "<gpx><rte><rtept lat='9' lon='9'/></rte><trk><trkseg><trkpt lat='x' lon='2'><time>2015-01-01T00:00:00Z</time></trkpt>\
             <trkpt lat='1' lon='2'/><!-- <trkpt lat='8' lon='8'/> --></trkseg></trk>\
             <trk><trkseg><trkpt lat='3' lon='4'><speed>10</speed><extensions><time>9</time></extensions></trkpt></trkseg></trk></gpx>",
        );
        assert!(whole);
        assert_eq!(rows.len(), 3);
        assert!(rows[0].as_ref().unwrap_err().contains("latitude is the text \"x\""));
        assert_eq!(rows[1], Ok((Some(1.0), None, None, "tour".into())));
        assert_eq!(rows[2], Ok((Some(3.0), None, Some(36.0), "tour-2".into())));
    }

    #[test]
    fn a_file_that_breaks_off_ends_with_an_error() {
        let (rows, whole) = rows("<gpx><trk><trkseg><trkpt lat='1' lon='2'/><trkpt lat='1' lon='2'><time>2015");
        assert_eq!((rows.len(), whole), (1, false));
    }
}
