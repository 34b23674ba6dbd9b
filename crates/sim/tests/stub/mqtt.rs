//! The MQTT side of the stub: lets in, takes publishes, and acknowledges as a server with a disk does: many at once,
//! when its window is full or nothing more comes. The acknowledgements leave in pieces that end anywhere.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;

use super::{Outcome, State};

/// How long more publishes are waited for before those that came are acknowledged.
const NOTHING_MORE: Duration = Duration::from_millis(2);
const PIECE_BYTES: usize = 3;

/// What the stub tells clients of version 5, and what it has seen of all.
#[derive(Default)]
pub struct Broker {
    /// Publishes taken before an acknowledgement; 0 is no limit.
    pub receive_max: u16,
    /// Longest silence in seconds; 0 leaves it to the client.
    pub keep_alive_s: u16,
    /// Codes for the next connections; then everyone is let in.
    pub welcomes: std::collections::VecDeque<u8>,
    pub topics: std::collections::BTreeSet<String>,
    pub client_ids: std::collections::BTreeSet<String>,
    /// Most publishes that waited for an acknowledgement at once.
    pub widest: usize,
    pub goodbyes: u64,
    /// Told of each sign of life.
    pub pinged: std::sync::Arc<tokio::sync::Notify>,
}

/// Ends when the client leaves or a mood ends the connection.
pub fn serve(mut stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    let (_, connect) = packet(&mut stream)?;
    assert_eq!(&connect[..6], b"\0\x04MQTT");
    let is_5 = connect[6] == 5;
    assert_eq!(connect[7], 2, "a clean session and nothing else");
    let id_at = if is_5 { 13 } else { 12 };
    let (welcome, receive_max) = state.lock().unwrap().broker.welcome(&connect[id_at..], is_5);
    stream.write_all(&welcome).ok()?;
    let mut acks: Vec<Vec<u8>> = Vec::new();
    loop {
        if acks.len() == receive_max || (!acks.is_empty() && is_quiet(&stream)) {
            for piece in acks.drain(..).flatten().collect::<Vec<u8>>().chunks(PIECE_BYTES) {
                stream.write_all(piece).ok()?;
            }
        }
        let (first, body) = packet(&mut stream)?;
        match first {
            0x32 => acks.push(publish(&body, is_5, state)?),
            0xc0 => {
                state.lock().unwrap().broker.pinged.notify_one();
                stream.write_all(&[0xd0, 0]).ok()?;
            }
            0xe0 => {
                state.lock().unwrap().broker.goodbyes += 1;
                return None;
            }
            other => panic!("a publisher sent {other:#x}"),
        }
        let mut state = state.lock().unwrap();
        state.broker.widest = state.broker.widest.max(acks.len() + waiting(&stream));
    }
}

impl Broker {
    fn welcome(&mut self, client_id: &[u8], is_5: bool) -> (Vec<u8>, usize) {
        self.client_ids.insert(String::from_utf8(client_id.to_vec()).unwrap());
        let code = self.welcomes.pop_front().unwrap_or(0);
        if !is_5 {
            return (vec![0x20, 2, 0, code], usize::MAX);
        }
        let mut properties = Vec::new();
        for (name, value) in [(0x21, self.receive_max), (0x13, self.keep_alive_s)] {
            if value > 0 {
                properties.push(name);
                properties.extend_from_slice(&value.to_be_bytes());
            }
        }
        let length = properties.len() as u8;
        let receive_max = if self.receive_max > 0 { self.receive_max.into() } else { usize::MAX };
        ([vec![0x20, 3 + length, 0, code, length], properties].concat(), receive_max)
    }
}

/// The acknowledgement, or `None` to hang up.
fn publish(body: &[u8], is_5: bool, state: &Mutex<State>) -> Option<Vec<u8>> {
    let topic_ends = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
    let topic = std::str::from_utf8(&body[2..topic_ends]).unwrap();
    let id = &body[topic_ends..topic_ends + 2];
    let payload = &body[topic_ends + if is_5 { 3 } else { 2 }..];
    let report: Value = serde_json::from_slice(payload).expect("the payload is one JSON object");
    assert!(topic.contains(report["id"].as_str().unwrap()), "{topic} is for {report}");
    let mut state = state.lock().unwrap();
    state.broker.topics.insert(topic.to_owned());
    let refusal = match state.take(payload) {
        Outcome::Silence => return None,
        Outcome::Busy(_) => Some((0x97, "shedding".to_owned())),
        Outcome::Answer(answer) => {
            answer["rejected"][0]["code"].as_str().map(|code| (0x99, format!("{code}: above 90")))
        }
    };
    match refusal {
        None if is_5 => Some([&[0x40, 3], id, &[0x10]].concat()),
        None => Some([&[0x40, 2], id].concat()),
        // There is no word for no.
        Some(_) if !is_5 => None,
        Some((code, reason)) => {
            let length = reason.len() as u8;
            let properties = [&[length + 3, 0x1f, 0, length], reason.as_bytes()].concat();
            Some([&[0x40, 3 + properties.len() as u8], id, &[code], &properties].concat())
        }
    }
}

fn is_quiet(stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(NOTHING_MORE)).unwrap();
    let quiet = matches!(stream.peek(&mut [0]), Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
    stream.set_read_timeout(None).unwrap();
    quiet
}

/// Whole publishes that have arrived and are not read yet.
fn waiting(stream: &TcpStream) -> usize {
    stream.set_nonblocking(true).unwrap();
    let mut buffer = vec![0; 1 << 16];
    let arrived = stream.peek(&mut buffer).unwrap_or(0);
    stream.set_nonblocking(false).unwrap();
    let (mut rest, mut count) = (&buffer[..arrived], 0);
    while packet(&mut rest).is_some_and(|(first, _)| first == 0x32) {
        count += 1;
    }
    count
}

/// First byte and body.
fn packet(reader: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let [first] = super::read(reader)?;
    let mut length = 0;
    for at in 0.. {
        let [byte] = super::read(reader)?;
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first, body))
}
