//! A server in a few threads that keeps the documented contract of the sending and live doors, and can be told to
//! misbehave: to be busy, or to take a request and hang up before answering.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod mqtt;

use std::collections::{BTreeSet, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// What to do with the next request or frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// As without a mood, to have the next one hit a later request.
    Take,
    /// Nothing is taken; come back after so many seconds.
    Busy(u32),
    /// Everything is taken, but the connection ends without an answer.
    TakeAndHangUp,
    /// Nothing is taken and the connection ends.
    HangUp,
}

#[derive(Default)]
pub struct State {
    /// `kind id timestamp` of what was taken.
    pub taken: BTreeSet<String>,
    /// Reports in the order in which they came, refused ones included.
    pub received: Vec<Value>,
    pub moods: VecDeque<Mood>,
    pub connections: u64,
    pub authorizations: BTreeSet<String>,
    pub broker: mqtt::Broker,
    watchers: Vec<TcpStream>,
}

pub struct Stub {
    pub address: SocketAddr,
    pub state: Arc<Mutex<State>>,
}

impl Stub {
    pub fn start(moods: &[Mood]) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { moods: moods.iter().copied().collect(), ..State::default() }));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, state) = (stream.unwrap(), shared.clone());
                state.lock().unwrap().connections += 1;
                std::thread::spawn(move || {
                    stream.set_nodelay(true).ok()?;
                    let mut first = [0];
                    stream.peek(&mut first).ok()?;
                    // No HTTP method begins with it, but every MQTT connection does.
                    if first == [0x10] { mqtt::serve(stream, &state) } else { serve(stream, &state) }
                });
            }
        });
        Stub { address, state }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

struct Request {
    path: String,
    upgrade: bool,
    body: Vec<u8>,
}

/// Ends when the client leaves or a mood ends the connection.
fn serve(stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let request = read_request(&mut reader, state)?;
        if request.upgrade {
            let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
            let head = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{accept}\r\n\r\n"
            );
            writer.write_all(head.as_bytes()).ok()?;
            let live = request.path == "/api/v1/live";
            return if live {
                serve_live(&mut reader, writer, state)
            } else {
                serve_ingest(&mut reader, writer, state)
            };
        }
        let (status, answer) = match state.lock().unwrap().take(&request.body) {
            Outcome::Silence => return None,
            Outcome::Busy(seconds) => {
                (format!("503 Service Unavailable\r\nretry-after: {seconds}"), json!({"error": {"code": "busy"}}))
            }
            Outcome::Answer(answer) if answer["accepted"] == 0 && answer["duplicates"] == 0 => {
                ("422 Unprocessable".into(), answer)
            }
            Outcome::Answer(answer) => ("202 Accepted".into(), answer),
        };
        let body = answer.to_string();
        write!(writer, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).ok()?;
    }
}

fn read_request(reader: &mut impl BufRead, state: &Mutex<State>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut request = Request { path: line.split(' ').nth(1)?.to_owned(), upgrade: false, body: Vec::new() };
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name {
            "content-length" => length = value.parse().ok()?,
            "upgrade" => request.upgrade = value == "websocket",
            "authorization" => drop(state.lock().unwrap().authorizations.insert(value.to_owned())),
            _ => {}
        }
    }
    request.body = vec![0; length];
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

fn serve_ingest(reader: &mut impl Read, mut writer: TcpStream, state: &Mutex<State>) -> Option<()> {
    for frame in 1.. {
        let text = read_frame(reader)?;
        let mut answer = match state.lock().unwrap().take(&text) {
            Outcome::Silence => return None,
            Outcome::Busy(seconds) => {
                json!({"error": {"code": "busy", "message": "shedding", "retry_after_s": seconds}})
            }
            Outcome::Answer(answer) => answer,
        };
        answer["ack"] = frame.into();
        // A ping between answers must not disturb.
        writer.write_all(&[0x89, 0]).ok()?;
        write_frame(&mut writer, answer.to_string().as_bytes()).ok()?;
    }
    None
}

fn serve_live(reader: &mut impl Read, mut writer: TcpStream, state: &Mutex<State>) -> Option<()> {
    assert_eq!(read_frame(reader)?, br#"{"action":"subscribe"}"#);
    write_frame(&mut writer, br#"{"type":"hello"}"#).ok()?;
    write_frame(
        &mut writer,
        br#"{"type":"snapshot","assets":[{"id":"d000001","timestamp":"2020-01-01T00:00:00.000Z"}]}"#,
    )
    .ok()?;
    state.lock().unwrap().watchers.push(writer);
    while read_frame(reader).is_some() {}
    None
}

enum Outcome {
    Silence,
    Busy(u32),
    Answer(Value),
}

impl State {
    fn take(&mut self, body: &[u8]) -> Outcome {
        match self.moods.pop_front() {
            Some(Mood::HangUp) => Outcome::Silence,
            Some(Mood::Busy(seconds)) => Outcome::Busy(seconds),
            Some(Mood::TakeAndHangUp) => {
                self.admit(body);
                Outcome::Silence
            }
            None | Some(Mood::Take) => Outcome::Answer(self.admit(body)),
        }
    }

    fn admit(&mut self, body: &[u8]) -> Value {
        let (mut accepted, mut duplicates, mut rejected) = (0, 0, Vec::new());
        for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
            let report: Value = serde_json::from_slice(line).expect("one JSON object per line");
            let word = |name: &str| report[name].as_str().unwrap_or_default().to_owned();
            if report["latitude"].as_f64().is_some_and(|latitude| latitude.abs() > 90.0) {
                rejected
                    .push(json!({"index": index, "code": "out_of_range", "field": "latitude", "message": "above 90"}));
            } else if self.taken.insert(format!("{} {} {}", word("kind"), word("id"), report["timestamp"])) {
                accepted += 1;
                self.tell_watchers(&report);
            } else {
                duplicates += 1;
            }
            self.received.push(report);
        }
        json!({"accepted": accepted, "duplicates": duplicates, "late": 0, "rejected": rejected, "position": 1})
    }

    fn tell_watchers(&mut self, report: &Value) {
        let Some(time) = report["timestamp"].as_i64().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()) else {
            return;
        };
        let (kind, id) = (&report["kind"], &report["id"]);
        let text =
            format!(r#"{{"type":"changes","position":1,"assets":[{{"kind":{kind},"id":{id},"timestamp":"{time}"}}]}}"#);
        self.watchers.retain_mut(|watcher| write_frame(watcher, text.as_bytes()).is_ok());
    }
}

/// The payload of the next text frame; other frames are passed over.
fn read_frame(reader: &mut impl Read) -> Option<Vec<u8>> {
    loop {
        let [first, second] = read(reader)?;
        assert_eq!(second & 0x80, 0x80, "clients mask");
        let length = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes(read(reader)?)),
            127 => u64::from_be_bytes(read(reader)?),
            short => u64::from(short),
        };
        let mask: [u8; 4] = read(reader)?;
        let mut payload = vec![0; length as usize];
        reader.read_exact(&mut payload).ok()?;
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        match first & 0x0f {
            1 => return Some(payload),
            8 => return None,
            _ => {}
        }
    }
}

fn read<const N: usize>(reader: &mut impl Read) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

/// In two fragments, as a server may.
fn write_frame(writer: &mut TcpStream, text: &[u8]) -> std::io::Result<()> {
    let (start, rest) = text.split_at(text.len().min(20));
    let mut frames = vec![0x01, start.len() as u8];
    frames.extend_from_slice(start);
    frames.extend_from_slice(&[0x80, 126]);
    frames.extend_from_slice(&(rest.len() as u16).to_be_bytes());
    frames.extend_from_slice(rest);
    writer.write_all(&frames)
}
