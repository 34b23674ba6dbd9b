//! How fast is the load generator itself? Runs it against a sink in the same process that acknowledges everything
//! unread: `cargo run --release -p drover-sim --example ceiling`. A server's figures near these say nothing about the
//! server. With an address as argument the same loads go there instead; an `mqtt://` one gets only those over MQTT.

use std::time::Duration;

use drover_sim::send::Via;
use drover_sim::simulate::{SimulateOptions, simulate};
use drover_sim::wire::mqtt::Version;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = match std::env::args().nth(1) {
        Some(url) => url,
        None => start_sink().await?,
    };
    let base = SimulateOptions { drivers: 10_000, duration: Duration::from_secs(5), ..SimulateOptions::new(url) };
    let closed = SimulateOptions { closed_loop: true, ..base.clone() };
    let mqtt = mqtt_loads(&base);
    let others = [
        ("WebSocket, 10,000 reports/s one by one", base.clone()),
        ("WebSocket, 50,000 reports/s one by one", SimulateOptions { drivers: 50_000, ..base.clone() }),
        ("HTTP, 10,000 reports/s one by one", SimulateOptions { via: Via::Http, connections: 32, ..base.clone() }),
        ("WebSocket, closed loop one by one", closed.clone()),
        ("WebSocket, closed loop by 100", SimulateOptions { batch: 100, ..closed.clone() }),
        ("HTTP, closed loop one by one", SimulateOptions { via: Via::Http, ..closed.clone() }),
        ("HTTP, closed loop by 100", SimulateOptions { via: Via::Http, batch: 100, ..closed }),
    ];
    let others = others.into_iter().filter(|_| !base.url.starts_with("mqtt://"));
    for (name, options) in others.chain(mqtt) {
        let cpu_s = cpu_seconds();
        let summary = simulate(options).await?;
        let cpu_us = (cpu_seconds() - cpu_s) * 1e6 / summary.acknowledged.max(1) as f64;
        println!(
            "{name}: {:.0}/s, {cpu_us:.1} us of processor each (sink included)\n  ack {}\n  lag {}",
            summary.rate_per_s, summary.latency, summary.lag
        );
    }
    Ok(())
}

fn mqtt_loads(base: &SimulateOptions) -> [(&'static str, SimulateOptions); 4] {
    let address = base.url.split_once("://").map_or(base.url.as_str(), |(_, address)| address);
    let paced = SimulateOptions { via: Via::Mqtt(Version::V5), mqtt: address.to_owned(), ..base.clone() };
    let many = SimulateOptions { closed_loop: true, connections: 100, in_flight: Some(20), ..paced.clone() };
    let old = SimulateOptions { via: Via::Mqtt(Version::V3), ..many.clone() };
    let each = SimulateOptions { connections: 1000, in_flight: Some(1), ..many.clone() };
    [
        ("MQTT 5, 10,000 reports/s", paced),
        ("MQTT 5, closed loop, 100 connections x 20", many),
        ("MQTT 3.1.1, closed loop, 100 connections x 20", old),
        ("MQTT 5, closed loop, 1,000 connections x 1", each),
    ]
}

/// Processor time of this process so far; 0 where /proc does not tell.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

async fn start_sink() -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(swallow(stream));
        }
    });
    Ok(url)
}

/// Acknowledges each frame, publish or request after counting its lines.
async fn swallow(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut inbox, mut outbox, mut frames) = (Vec::new(), Vec::new(), 0_u64);
    let (mut is_websocket, mut mqtt_version) = (false, None);
    while stream.read_buf(&mut inbox).await? > 0 {
        let mut used = 0;
        loop {
            let taken = if mqtt_version.is_some() || inbox.first() == Some(&0x10) {
                packet(&inbox[used..], &mut mqtt_version, &mut outbox)
            } else if is_websocket {
                frame(&inbox[used..], &mut frames, &mut outbox)
            } else {
                request(&inbox[used..], &mut is_websocket, &mut outbox)
            };
            let Some(length) = taken else { break };
            used += length;
        }
        inbox.drain(..used);
        stream.write_all(&outbox).await?;
        outbox.clear();
    }
    Ok(())
}

/// Counts lines under the mask, so that batches are answered in full.
fn frame(inbox: &[u8], frames: &mut u64, outbox: &mut Vec<u8>) -> Option<usize> {
    let (head, length) = match inbox.get(1)? & 0x7f {
        126 => (8, usize::from(u16::from_be_bytes(inbox.get(2..4)?.try_into().ok()?))),
        127 => (14, u64::from_be_bytes(inbox.get(2..10)?.try_into().ok()?) as usize),
        short => (6, usize::from(short)),
    };
    let (mask, payload) = (inbox.get(head - 4..head)?, inbox.get(head..head + length)?);
    let lines = 1 + payload.iter().enumerate().filter(|(at, byte)| **byte ^ mask[at % 4] == b'\n').count();
    *frames += 1;
    let answer =
        format!(r#"{{"ack":{frames},"accepted":{lines},"duplicates":0,"late":0,"rejected":[],"position":{frames}}}"#);
    outbox.extend_from_slice(&[0x81, answer.len() as u8]);
    outbox.extend_from_slice(answer.as_bytes());
    Some(head + length)
}

/// Welcomes a connection in its own version and acknowledges each publish.
fn packet(inbox: &[u8], version: &mut Option<u8>, outbox: &mut Vec<u8>) -> Option<usize> {
    let (mut at, mut length) = (1, 0);
    loop {
        let byte = *inbox.get(at)?;
        length |= usize::from(byte & 0x7f) << (7 * (at - 1));
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let body = inbox.get(at..at + length)?;
    match inbox[0] {
        0x10 => {
            *version = body.get(6).copied();
            outbox.extend_from_slice(if *version == Some(5) { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] });
        }
        0x32 => {
            let topic_ends = 2 + usize::from(u16::from_be_bytes(body.get(..2)?.try_into().ok()?));
            outbox.extend_from_slice(&[0x40, 2]);
            outbox.extend_from_slice(body.get(topic_ends..topic_ends + 2)?);
        }
        _ => {}
    }
    Some(at + length)
}

fn request(inbox: &[u8], is_websocket: &mut bool, outbox: &mut Vec<u8>) -> Option<usize> {
    let head = inbox.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&inbox[..head]).ok()?;
    if text.contains("upgrade: websocket") {
        *is_websocket = true;
        outbox.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        );
        return Some(head);
    }
    let length: usize = text.split("content-length: ").nth(1)?.lines().next()?.parse().ok()?;
    let lines = 1 + inbox.get(head..head + length)?.iter().filter(|byte| **byte == b'\n').count();
    let body = format!(r#"{{"accepted":{lines},"duplicates":0,"late":0,"rejected":[],"position":1}}"#);
    outbox
        .extend_from_slice(format!("HTTP/1.1 202 Accepted\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes());
    Some(head + length)
}
