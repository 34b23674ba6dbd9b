//! GPX 1.0 and 1.1: every track point is one row. Route points and waypoints are plans, not reports, so a file
//! without a track has no rows. Assets are named after the file, further tracks with a number behind. Files found in
//! the wild lack times, segments or tracks; a point without a time has none.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::{Fix, Row, RowError, Source, time};
use crate::report::{Kind, Reading, Report};

/// Rows of a GPX file.
pub(super) struct GpxRows {
    reader: Reader<Source>,
    buffer: Vec<u8>,
    name: String,
    tracks: u64,
    row: u64,
    ended: bool,
}

impl GpxRows {
    pub(super) fn new(source: Source, name: &str) -> Self {
        GpxRows {
            reader: Reader::from_reader(source),
            buffer: Vec::new(),
            name: name.to_owned(),
            tracks: 0,
            row: 0,
            ended: false,
        }
    }

    /// The next track point; `None` at the end of the file. What is inside a point is the point's error, what is
    /// between points ends the file.
    fn next_point(&mut self) -> Result<Option<Report>, String> {
        loop {
            self.buffer.clear();
            let event = self.reader.read_event_into(&mut self.buffer);
            let (start, empty) = match event {
                Ok(Event::Start(start)) => (start, false),
                Ok(Event::Empty(start)) => (start, true),
                Ok(Event::Eof) => return Ok(None),
                Ok(_) => continue,
                Err(error) => {
                    self.ended = true;
                    return Err(error.to_string());
                }
            };
            match start.local_name().as_ref() {
                "trk" => self.tracks += 1,
                "trkpt" => {
                    let mut report = Report::new(Kind::Vehicle, asset_id(&self.name, self.tracks));
                    let position = position(&start);
                    let inside = if empty { Ok(()) } else { self.read_inside(&mut report) };
                    (report.latitude, report.longitude) = position?;
                    return inside.map(|()| Some(report));
                }
                _ => {}
            }
        }
    }

    /// Reads to the end of the point, so that an odd point does not spoil the next.
    fn read_inside(&mut self, report: &mut Report) -> Result<(), String> {
        let (mut path, mut text) = (Vec::<String>::new(), String::new());
        let mut outcome = Ok(());
        loop {
            self.buffer.clear();
            match self.reader.read_event_into(&mut self.buffer) {
                Ok(Event::Start(start)) => {
                    path.push(start.local_name().as_ref().to_owned());
                    text.clear();
                }
                Ok(Event::Text(part)) => text.push_str(&part.into_inner()),
                Ok(Event::End(_)) => {
                    // Only direct children are GPX's own; extensions nest names that mean something else.
                    if let [name] = path.as_slice() {
                        outcome = outcome.and(set(report, name, text.trim()));
                    }
                    if path.pop().is_none() {
                        return outcome;
                    }
                }
                Ok(Event::Eof) => return Err("the file ends inside a track point".into()),
                Ok(_) => {}
                Err(error) => {
                    self.ended = true;
                    return Err(error.to_string());
                }
            }
        }
    }
}

impl Iterator for GpxRows {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        if self.ended {
            return None;
        }
        let point = self.next_point().transpose()?;
        self.row += 1;
        let row = self.row;
        Some(point.map(|report| Fix { row, report, original: None }).map_err(|message| RowError { row, message }))
    }
}

fn asset_id(name: &str, tracks: u64) -> String {
    if tracks > 1 { format!("{name}-{tracks}") } else { name.to_owned() }
}

/// Latitude and longitude of a point, both of which GPX demands.
fn position(start: &BytesStart) -> Result<(Option<f64>, Option<f64>), String> {
    let degrees = |name: &str| {
        let attribute =
            start.try_get_attribute(name).ok().flatten().ok_or_else(|| format!("a track point without {name}"))?;
        number(&attribute.value, name)
    };
    Ok((Some(degrees("lat")?), Some(degrees("lon")?)))
}

/// Speed and course are GPX 1.0; speed is in metres per second there.
fn set(report: &mut Report, name: &str, text: &str) -> Result<(), String> {
    match name {
        "time" => report.event_time_ms = time::parse(text)?,
        "speed" => report.speed_kmh = Some(number(text, name)? * 3.6),
        "course" => report.heading_deg = Some(number(text, name)?),
        "ele" => report.readings.push(("altitude_m".into(), Reading::Number(number(text, name)?))),
        _ => {}
    }
    Ok(())
}

fn number(text: &str, name: &str) -> Result<f64, String> {
    let number = text.trim().parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| format!("{name} is not a number: '{text}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Row> {
        GpxRows::new(Box::new(std::io::Cursor::new(text.to_owned())), "tour").collect()
    }

    #[test]
    fn an_odd_point_does_not_spoil_the_next() {
        let rows = rows(
            "<gpx><rte><rtept lat='9' lon='9'/></rte><trk><trkseg><trkpt lat='x' lon='2'><time>2015-01-01T00:00:00Z</time></trkpt>\
             <trkpt lat='1' lon='2'/><!-- <trkpt lat='8' lon='8'/> --></trkseg></trk>\
             <trk><trkseg><trkpt lat='3' lon='4'><speed>10</speed><extensions><time>9</time></extensions></trkpt></trkseg></trk></gpx>",
        );
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[0].as_ref().unwrap_err().message, "lat is not a number: 'x'");
        let second = &rows[1].as_ref().unwrap().report;
        assert_eq!((second.latitude, second.event_time_ms, &*second.id), (Some(1.0), None, "tour"));
        let third = &rows[2].as_ref().unwrap().report;
        assert_eq!((third.speed_kmh, third.event_time_ms, &*third.id), (Some(36.0), None, "tour-2"));
    }

    #[test]
    fn a_file_that_breaks_off_ends_with_one_error() {
        let rows = rows("<gpx><trk><trkseg><trkpt lat='1' lon='2'/><trkpt lat='1' lon='2'><time>2015");
        assert_eq!(rows.len(), 2);
        assert!(rows[0].is_ok() && rows[1].is_err());
    }
}
