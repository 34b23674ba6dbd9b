//! A source of metadata on a real socket that does as it is told, and waiting with a deadline.

#![allow(dead_code, reason = "each test file uses its part")]

use drover_metadata::{Metadata, Running, Settings, Source, Status};
use drover_model::Kind;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What every test loads first.
pub const ONE_BUS: &str = r#"[{"vehicle_id": "BUS-1", "max_speed": 80}]"#;
/// What it may become.
pub const TWO_BUSES: &str = r#"[{"vehicle_id": "BUS-1", "max_speed": 80}, {"vehicle_id": "BUS-2"}]"#;

/// A server on a free port of this machine.
pub struct Stub {
    pub url: String,
    requests: Arc<AtomicUsize>,
}

impl Stub {
    /// Answers each connection on a thread of its own. `answer` gets the number of the request, from 0, and its head.
    pub fn start(answer: impl Fn(usize, &str, &mut TcpStream) + Send + Sync + 'static) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/metadata_api.json", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let (count, answer) = (requests.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, answer) = (stream.unwrap(), answer.clone());
                let number = count.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || answer(number, &head(&stream), &mut stream));
            }
        });
        Stub { url, requests }
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Times of a test, not of a day.
    pub fn settings(&self) -> Settings {
        settings(&self.url)
    }
}

fn head(stream: &TcpStream) -> String {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    lines.map_while(Result::ok).take_while(|line| !line.is_empty()).map(|line| line + "\n").collect()
}

/// A whole answer.
pub fn send(stream: &mut TcpStream, status: &str, headers: &str, body: &str) {
    let length = body.len();
    let _ = write!(stream, "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
}

pub fn send_json(stream: &mut TcpStream, body: &str) {
    send(stream, "200 OK", "Content-Type: application/json\r\n", body);
}

/// Times of a test, not of a day.
pub fn settings(source: &str) -> Settings {
    Settings {
        ttl: Duration::from_millis(100),
        timeout: Duration::from_secs(10),
        check: Duration::from_millis(10),
        retry_first: Duration::from_millis(10),
        retry_longest: Duration::from_millis(50),
        ..Settings::new(Source::parse(source).unwrap())
    }
}

pub fn start(settings: Settings) -> (Metadata, Running) {
    Metadata::start(settings).unwrap()
}

/// Waits until the status is as wanted, half a minute at most: the machine may be busy.
pub fn wait(metadata: &Metadata, wanted: impl Fn(&Status) -> bool) -> Status {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let status = metadata.status();
        if wanted(&status) {
            return status;
        }
        assert!(Instant::now() < until, "in vain: {status:#?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn max_speed(metadata: &Metadata, id: &str) -> Option<f32> {
    metadata.get(Kind::Vehicle, id).and_then(|vehicle| vehicle.max_speed_kmh)
}
