//! Every door over TLS: the stub server behind a door that has a certificate, which only who was told of it trusts.

mod stub;

use std::path::{Path, PathBuf};
use std::time::Duration;

use drover_certs::{Door, ServerCertificate, ServerTls};
use drover_sim::error::Error;
use drover_sim::report::{Kind, Report};
use drover_sim::send::{Batch, Patience, Sender, Via};
use drover_sim::simulate::{SimulateOptions, simulate};
use drover_sim::wire::http::HttpConnection;
use drover_sim::wire::mqtt::Version;
use drover_sim::wire::target::Target;
use stub::{Mood, Stub};
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// Larger than what TLS seals at once and what a socket takes at once.
const MANY: usize = 20_000;

/// The stub behind TLS.
struct Secured {
    stub: Stub,
    port: u16,
    /// The certificate, and so who vouches for it.
    ca: PathBuf,
    _folder: tempfile::TempDir,
}

impl Secured {
    async fn start(moods: &[Mood]) -> Secured {
        let stub = Stub::start(moods);
        let folder = tempfile::tempdir().unwrap();
        let certificate = ServerCertificate::made(folder.path(), &[]).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut door = Door::new(listener, Some(ServerTls::for_http(&certificate).unwrap()));
        let behind = stub.address;
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = door.accept().await;
                tokio::spawn(async move {
                    let mut plain = TcpStream::connect(behind).await?;
                    plain.set_nodelay(true)?;
                    copy_bidirectional(&mut socket, &mut plain).await
                });
            }
        });
        Secured { stub, port, ca: certificate.path().to_owned(), _folder: folder }
    }

    fn target(&self, via: Via, ca: Option<&Path>) -> Target {
        match via {
            Via::Mqtt(_) => Target::parse_mqtt(&format!("mqtts://localhost:{}", self.port), None, ca).unwrap(),
            Via::Http => Target::parse(&format!("https://localhost:{}", self.port), None, ca).unwrap(),
            Via::WebSocket => Target::parse(&format!("wss://localhost:{}", self.port), None, ca).unwrap(),
        }
    }
}

fn batch(count: usize) -> Batch {
    let mut batch = Batch::default();
    for number in 0..count {
        let mut report = Report::new(Kind::Driver, format!("d{number}"));
        report.event_time_ms = Some(1_700_000_000_000);
        (report.latitude, report.longitude) = (Some(1.0), Some(2.0));
        batch.push(&report);
    }
    batch
}

#[tokio::test(flavor = "multi_thread")]
async fn every_door_is_spoken_through_tls_and_what_is_large_arrives_whole() {
    for (via, count) in [(Via::Http, MANY), (Via::WebSocket, MANY), (Via::Mqtt(Version::V5), 500)] {
        let server = Secured::start(&[]).await;
        let target = server.target(via, Some(&server.ca));
        let mut sender = Sender::new(target, via, Patience::default());
        for count in [1, count] {
            let answer = sender.send(&batch(count)).await.unwrap();
            assert_eq!(answer.settled(), count as u64, "{via:?}");
        }
        assert_eq!((sender.losses(), server.stub.state.lock().unwrap().received.len()), (0, count + 1), "{via:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_lost_under_tls_is_made_again() {
    for via in [Via::Http, Via::WebSocket] {
        let server = Secured::start(&[Mood::HangUp, Mood::TakeAndHangUp]).await;
        let mut sender = Sender::new(server.target(via, Some(&server.ca)), via, Patience::default());
        let answer = sender.send(&batch(2)).await.unwrap();
        assert_eq!((answer.accepted, answer.duplicates, sender.losses()), (0, 2, 2), "{via:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_sent_piece_by_piece_through_tls() {
    let server = Secured::start(&[]).await;
    let all = batch(MANY);
    let (mut body, length) = (all.body(), all.body().len() as u64);
    let mut connection = HttpConnection::connect(&server.target(Via::Http, Some(&server.ca))).await.unwrap();
    let mut sent = 0;
    let answer = connection.post_from("/api/v1/imports", &mut body, length, |now| sent = now).await.unwrap();
    assert_eq!((answer.status, sent), (202, length));
    assert_eq!(server.stub.state.lock().unwrap().received.len(), MANY);
}

#[tokio::test(flavor = "multi_thread")]
async fn load_and_its_watchers_go_through_tls() {
    let server = Secured::start(&[]).await;
    let url = format!("https://localhost:{}", server.port);
    let options = SimulateOptions {
        ca: Some(server.ca.clone()),
        drivers: 20,
        interval: Duration::from_millis(100),
        duration: Duration::from_millis(500),
        connections: 2,
        watchers: 1,
        ..SimulateOptions::new(url)
    };
    let summary = simulate(options).await.unwrap();
    assert_eq!((summary.acknowledged, summary.errors), (summary.sent, 0), "{summary}");
    assert_eq!(summary.watch.unwrap().updates, summary.sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_nobody_vouches_for_hears_nothing_and_is_not_tried_again() {
    let server = Secured::start(&[]).await;
    for via in [Via::Http, Via::WebSocket, Via::Mqtt(Version::V5)] {
        let mut sender = Sender::new(server.target(via, None), via, Patience::default());
        let error = sender.send(&batch(1)).await.unwrap_err();
        assert!(matches!(error, Error::Tls { .. }), "{error}");
        assert_eq!(sender.losses(), 0, "{via:?}");
    }
    // Nor one that has another's name.
    let target = Target::parse(&format!("https://127.0.0.2:{}", server.port), None, Some(&server.ca)).unwrap();
    assert!(HttpConnection::connect(&target).await.is_err());
    assert!(server.stub.state.lock().unwrap().received.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_told_from_one_that_is_away() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move { HttpConnection::connect(&Target::parse(&url, None, None)?).await });
    let (mut plain, _) = listener.accept().await.unwrap();
    plain.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let error = asked.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error}");
}
