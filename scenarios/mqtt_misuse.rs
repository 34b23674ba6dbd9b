//! What nobody should send to the MQTT port: binary junk, half packets, packets beyond every bound, a hundred thousand
//! topics, subscribers that never read. Whatever one connection does, a device beside it gets its reports
//! acknowledged, and the node's memory stays bounded.

mod harness;

use harness::{Node, PATIENCE, folder, packet, text};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// No acknowledgement of the good device may take longer, however busy the machine of the test is.
const SLOWEST_ACK: Duration = Duration::from_secs(5);
/// Memory that all misuse together may cost; ten queues of 8 MiB are the most of it.
const MEMORY_MIB: u64 = 300;

const CONNACK: u8 = 0x20;
const PUBACK: u8 = 0x40;
const SUBACK: u8 = 0x90;

fn connect_packet(client: &str) -> Vec<u8> {
    packet(0x10, &[b"\0\x04MQTT\x04\x02\0\0".as_slice(), &text(client)].concat())
}

fn publish(topic: &str, id: u16, payload: &[u8]) -> Vec<u8> {
    packet(0x32, &[&text(topic), id.to_be_bytes().as_slice(), payload].concat())
}

fn subscribe(filter: &str) -> Vec<u8> {
    packet(0x82, &[b"\0\x01".as_slice(), &text(filter), &[0]].concat())
}

fn knock(door: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(door).expect("the node accepts connections");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("an option of every socket");
    stream
}

fn client(door: SocketAddr, name: &str) -> TcpStream {
    let mut stream = knock(door);
    stream.write_all(&connect_packet(name)).expect("sent");
    assert_eq!(answer(&mut stream, CONNACK), [0, 0], "{name} is let in");
    stream
}

/// The body of the next packet, which must be a short one of this kind.
fn answer(stream: &mut TcpStream, kind: u8) -> Vec<u8> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).expect("an answer in time");
    assert_eq!(head[0], kind, "{head:x?}");
    let mut body = vec![0; usize::from(head[1])];
    stream.read_exact(&mut body).expect("the rest of it");
    body
}

/// Waits until the node has closed the connection, whatever it says before.
fn is_closed(mut stream: TcpStream) {
    let mut rest = [0; 4096];
    loop {
        match stream.read(&mut rest) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
            Err(error) => panic!("the node keeps a connection that it should close: {error}"),
        }
    }
}

/// Sends reports one after the other until told to stop, each acknowledged in time. Gives how many.
fn good_device(door: SocketAddr, stop: &AtomicBool) -> u64 {
    let mut stream = client(door, "good");
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        sent += 1;
        let id = (sent % 0xFFFF + 1) as u16;
        let report = format!(r#"{{"latitude":41.15,"longitude":-8.61,"sequence":{sent}}}"#);
        let since = Instant::now();
        stream.write_all(&publish("drivers/good/location", id, report.as_bytes())).expect("sent");
        assert_eq!(answer(&mut stream, PUBACK), id.to_be_bytes(), "report {sent}");
        assert!(since.elapsed() < SLOWEST_ACK, "report {sent} waited {:?}", since.elapsed());
    }
    sent
}

/// The same bytes every time, that look like nothing.
fn junk(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

fn binary_junk(door: SocketAddr) {
    for seed in 0..600 {
        let mut stream = knock(door);
        let mut bytes = junk(seed, 1 + seed as usize * 7 % 3_000);
        match seed % 4 {
            // Well begun, then nonsense.
            0 => bytes = [connect_packet(&format!("junk-{seed}")), bytes].concat(),
            // A packet that never ends.
            1 => bytes.splice(0..1, [0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]).for_each(drop),
            2 => bytes = [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".as_slice(), &bytes].concat(),
            _ => {}
        }
        // The node may have closed before all was sent.
        let _cut_off = stream.write_all(&bytes);
    }
}

fn beyond_every_bound(door: SocketAddr) {
    let huge = vec![b'x'; 2 << 20];
    let mut stream = client(door, "huge");
    let _cut_off = stream.write_all(&publish("drivers/huge/location", 1, &huge));
    is_closed(stream);

    let mut stream = client(door, "long-topic");
    stream.write_all(&publish(&"t".repeat(2_000), 1, b"x")).expect("sent");
    is_closed(stream);

    let mut stream = client(door, "deep-topic");
    stream.write_all(&publish(&"t/".repeat(200), 1, b"x")).expect("sent");
    is_closed(stream);

    let mut stream = client(door, "greedy");
    let mut refused = 0;
    for filter in 0..1_100 {
        stream.write_all(&subscribe(&format!("wish/{filter}"))).expect("sent");
        refused += usize::from(answer(&mut stream, SUBACK)[2] == 0x80);
    }
    assert_eq!(refused, 100, "a session has a thousand subscriptions at most");
}

fn a_hundred_thousand_topics(door: SocketAddr) {
    let mut stream = client(door, "topics");
    for batch in 0..1_000_u32 {
        let names = (0..100).map(|n| format!("names/{}/{n}", batch * 100));
        let bytes: Vec<u8> = names.flat_map(|name| publish(&name, 1 + (batch % 0xFFFF) as u16, b"{}")).collect();
        stream.write_all(&bytes).expect("sent");
        for _ in 0..100 {
            answer(&mut stream, PUBACK);
        }
    }
}

/// Subscribers that take nothing while much is published to them.
fn readers_that_never_read(door: SocketAddr) -> Vec<TcpStream> {
    let readers: Vec<TcpStream> = (0..10)
        .map(|reader| {
            let mut stream = client(door, &format!("asleep-{reader}"));
            stream.write_all(&subscribe("flood/#")).expect("sent");
            answer(&mut stream, SUBACK);
            stream
        })
        .collect();
    let mut publisher = client(door, "flood");
    let payload = vec![b'x'; 64 << 10];
    for n in 0..400_u16 {
        publisher.write_all(&publish(&format!("flood/{n}"), n + 1, &payload)).expect("sent");
        answer(&mut publisher, PUBACK);
    }
    readers
}

#[test]
fn misuse_of_the_port_harms_nobody() {
    let folder = folder();
    let node = Node::start(&folder.path().join("data"));
    let door = node.door("mqtt");
    let stop = AtomicBool::new(false);
    let before = node.memory_mib();
    std::thread::scope(|scope| {
        let good = scope.spawn(|| good_device(door, &stop));
        // Packets that never go on, held open all the time.
        let halves: Vec<TcpStream> = (0..300)
            .map(|n| {
                let mut stream = knock(door);
                let whole = connect_packet(&format!("half-{n}"));
                stream.write_all(&whole[..1 + n % (whole.len() - 1)]).expect("sent");
                stream
            })
            .collect();
        let misuse = [
            scope.spawn(|| binary_junk(door)),
            scope.spawn(|| beyond_every_bound(door)),
            scope.spawn(|| a_hundred_thousand_topics(door)),
        ];
        let asleep = readers_that_never_read(door);
        for part in misuse {
            part.join().expect("the misuse went as meant");
        }
        let grown = node.memory_mib().saturating_sub(before);
        assert!(grown < MEMORY_MIB, "{grown} MiB more than before");
        halves.into_iter().for_each(is_closed);
        drop(asleep);
        stop.store(true, Ordering::Relaxed);
        let sent = good.join().expect("every report of the good device was acknowledged in time");
        assert!(sent > 100, "{sent}");
        let accepted = r#"drover_reports_accepted_total{door="mqtt"}"#;
        assert_eq!(node.metric(accepted), sent as f64, "nothing else looked like a report");
        println!("{sent} reports acknowledged meanwhile; {grown} MiB more memory");
    });
}
