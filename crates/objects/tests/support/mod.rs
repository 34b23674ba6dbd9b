//! What the tests of this crate share: places to test, and something between a client and the server that breaks.
#![allow(dead_code, reason = "every test program uses a part of this")]

use drover_objects::s3_server::S3Server;
use drover_objects::{Objects, Place, S3};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A place under test and where its objects are as files, past everything that is tested.
pub struct World {
    pub objects: Objects,
    pub root: PathBuf,
    pub server: Option<S3Server>,
    pub folder: TempDir,
}

/// A folder.
pub fn folder() -> World {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("cold");
    let objects = Objects::open(&Place::Folder(root.clone()), &S3::default()).unwrap();
    World { objects, root, server: None, folder }
}

/// A prefix in a bucket of a real server.
pub fn bucket() -> World {
    let folder = tempfile::tempdir().unwrap();
    let server = S3Server::start(folder.path(), &["lake"]);
    let objects = Objects::open(&place("lake/cold+ü/tier"), &server.s3()).unwrap();
    let root = folder.path().join("lake/cold+ü/tier");
    fs::create_dir_all(&root).unwrap();
    World { objects, root, server: Some(server), folder }
}

pub fn place(address: &str) -> Place {
    Place::parse(&format!("s3://{address}")).unwrap()
}

impl World {
    /// Puts files there, as others would, in little time.
    pub fn fill<'a>(&self, keys: impl IntoIterator<Item = &'a str>) {
        for key in keys {
            let path = self.root.join(key);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, key).unwrap();
        }
    }

    pub fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        self.objects.list(prefix, after, limit).unwrap().into_iter().map(|meta| meta.key).collect()
    }

    /// A file of so many bytes, all different for a while.
    pub fn file(&self, bytes: usize) -> PathBuf {
        let path = self.folder.path().join(format!("file-{bytes}"));
        fs::write(&path, content(bytes)).unwrap();
        path
    }
}

pub fn content(bytes: usize) -> Vec<u8> {
    let mut state = bytes as u64 + 1;
    let next = |state: &mut u64| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 56) as u8
    };
    (0..bytes).map(|_| next(&mut state)).collect()
}

pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < until, "{what} does not happen");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Passes everything on to the server, until told otherwise.
pub struct Proxy {
    pub address: SocketAddr,
    pub plan: Arc<Plan>,
}

/// What the proxy breaks.
pub struct Plan {
    to: SocketAddr,
    /// After so many bytes of answers the connection is cut.
    pub cut_answers_after: AtomicU64,
    /// How often answers were cut.
    pub cuts: AtomicU64,
    /// After so many bytes of requests, of all connections, nothing is passed on.
    pub hold_requests_after: AtomicU64,
    pub requested: AtomicU64,
    /// Cuts everything.
    pub cut: AtomicBool,
}

impl Proxy {
    pub fn start(to: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let plan = Arc::new(Plan {
            to,
            cut_answers_after: AtomicU64::new(u64::MAX),
            cuts: AtomicU64::new(0),
            hold_requests_after: AtomicU64::new(u64::MAX),
            requested: AtomicU64::new(0),
            cut: AtomicBool::new(false),
        });
        let proxy = Proxy { address: listener.local_addr().unwrap(), plan: plan.clone() };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(plan.to) else { continue };
                let (plan, other_plan) = (plan.clone(), plan.clone());
                let (other_client, other_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || plan.requests(client, server));
                thread::spawn(move || other_plan.answers(other_server, other_client));
            }
        });
        proxy
    }

    pub fn s3(&self, of: &S3Server) -> S3 {
        S3 { endpoint: Some(format!("http://{}", self.address)), ..of.s3() }
    }
}

impl Plan {
    fn requests(&self, mut client: TcpStream, mut server: TcpStream) {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(read @ 1..) = client.read(&mut bytes) {
            self.requested.fetch_add(read as u64, Ordering::SeqCst);
            while self.is_held() && !self.cut.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
            if self.cut.load(Ordering::SeqCst) || server.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        close(&client, &server);
    }

    pub fn is_held(&self) -> bool {
        self.requested.load(Ordering::SeqCst) > self.hold_requests_after.load(Ordering::SeqCst)
    }

    fn answers(&self, mut server: TcpStream, mut client: TcpStream) {
        let mut bytes = vec![0; 16 << 10];
        let mut left = self.cut_answers_after.load(Ordering::SeqCst);
        while let Ok(read @ 1..) = server.read(&mut bytes) {
            if client.write_all(&bytes[..read]).is_err() {
                break;
            }
            left = left.saturating_sub(read as u64);
            if left == 0 {
                self.cuts.fetch_add(1, Ordering::SeqCst);
                break;
            }
        }
        close(&client, &server);
    }
}

fn close(one: &TcpStream, other: &TcpStream) {
    let _ = one.shutdown(Shutdown::Both);
    let _ = other.shutdown(Shutdown::Both);
}

/// A store that answers what it is told, one request after the other. The heads of all requests are kept.
pub struct Fake {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// `answer` gets the number of the request, from 0, and its head in small letters; it gives the bytes to send, after
    /// which the connection is closed.
    pub fn start(answer: impl Fn(usize, &str) -> String + Send + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let heads = seen.clone();
        thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                let mut stream = stream;
                let head = read_request(&mut stream);
                heads.lock().unwrap().push(head.clone());
                let _ = stream.write_all(answer(number, &head).as_bytes());
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        Fake { address, seen }
    }

    /// The heads of the requests so far, in small letters.
    pub fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub fn objects(&self) -> Objects {
        let s3 = S3 {
            endpoint: Some(format!("http://{}", self.address)),
            access_key_id: Some("KEY".into()),
            secret_access_key: Some("s3cret".into()),
            ..S3::default()
        };
        Objects::open(&place("lake"), &s3).unwrap()
    }
}

/// Reads head and body; gives the head.
fn read_request(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    let _ = stream.read_exact(&mut body);
    head
}

pub fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}
