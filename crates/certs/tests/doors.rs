//! Doors: versions of TLS, what they show and how that changes, and who may hold up whom.

mod client;

use axum::extract::ConnectInfo;
use axum::routing::get;
use client::{Device, PATIENCE, Place, TLS12, TLS13, hear};
use drover_certs::{Door, Oldest, Peer, ServerCertificate, ServerTls};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn tls_1_2_is_spoken_only_where_it_is_wished() {
    for (oldest, is_spoken) in [(Oldest::Tls13, false), (Oldest::Tls12, true)] {
        let place = Place::open(oldest).await;
        let device = |versions| Device { versions, ..Device::new(&place.certificate, None) };
        device(TLS13).greet(place.address).await.expect("1.3 is always spoken");
        let answer = device(TLS12).greet(place.address).await;
        assert_eq!(answer.is_ok(), is_spoken, "{oldest:?}: {answer:?}");
    }
}

/// What `openssl s_client` says, and whether it came in.
fn openssl(address: SocketAddr, version: &'static str) -> (bool, String) {
    let done = Command::new("openssl")
        .args(["s_client", "-connect", &address.to_string(), version, "-cipher", "ALL@SECLEVEL=0"])
        .stdin(Stdio::null())
        .output()
        .expect("openssl is installed");
    let text = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (done.status.success(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_comes_in_with_the_versions_that_are_spoken_and_no_others() {
    for (oldest, spoken) in [(Oldest::Tls13, &["-tls1_3"][..]), (Oldest::Tls12, &["-tls1_3", "-tls1_2"])] {
        let place = Place::open(oldest).await;
        for version in ["-tls1_3", "-tls1_2", "-tls1_1", "-tls1"] {
            let address = place.address;
            let (is_in, text) = tokio::task::spawn_blocking(move || openssl(address, version)).await.unwrap();
            assert_eq!(is_in, spoken.contains(&version), "{oldest:?} {version}: {text}");
            assert!(is_in || text.contains("SSL alert number"), "the server itself says no: {text}");
        }
    }
}

fn copy(from: &Path, to: &Path) {
    for file in ["certificate.pem", "key.pem"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_to_new_connections_and_open_ones_go_on() {
    let place = Place::open(Oldest::Tls13).await;
    let before = Device::new(&place.certificate, None);
    let (_, mut open) = before.greet(place.address).await.unwrap();
    let other = tempfile::tempdir().unwrap();
    let new = ServerCertificate::made(other.path(), &[]).unwrap();
    copy(other.path(), &place.folder.path().join("tls"));
    place.certificate.reload().unwrap();

    Device::new(&new, None).greet(place.address).await.expect("the new one is shown");
    before.greet(place.address).await.expect_err("the old one is shown no more");
    open.write_all(b"x").await.unwrap();
    assert_eq!(timeout(PATIENCE, hear(&mut open)).await.unwrap().unwrap(), "nobody", "open connections go on");
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_files_are_noticed_without_being_told() {
    let place = Place::open(Oldest::Tls13).await;
    place.certificate.follow();
    let other = tempfile::tempdir().unwrap();
    let new = ServerCertificate::made(other.path(), &[]).unwrap();
    copy(other.path(), &place.folder.path().join("tls"));
    let deadline = Instant::now() + Duration::from_secs(10);
    while Device::new(&new, None).greet(place.address).await.is_err() {
        assert!(Instant::now() < deadline, "the new files are not noticed");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_used_change_nothing_until_they_can() {
    let place = Place::open(Oldest::Tls13).await;
    let old = Device::new(&place.certificate, None);
    let other = tempfile::tempdir().unwrap();
    let new = ServerCertificate::made(other.path(), &[]).unwrap();
    let path = place.folder.path().join("tls/certificate.pem");
    // No PEM at all, then a certificate without its key.
    for broken in [b"-----BEGIN CERTIFICATE-----\nnone\n".to_vec(), std::fs::read(new.path()).unwrap()] {
        std::fs::write(&path, broken).unwrap();
        place.certificate.reload().expect_err("this cannot be used");
        place.certificate.look();
        old.greet(place.address).await.expect("what worked goes on");
    }
    copy(other.path(), &place.folder.path().join("tls"));
    place.certificate.look();
    Device::new(&new, None).greet(place.address).await.expect("now they go together");
}

/// A certificate as `made` makes it, but with few days left.
fn nearly_over(folder: &Path) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["localhost", "127.0.0.1", "::1"].map(String::from)).unwrap();
    params.not_after = time::OffsetDateTime::from(std::time::SystemTime::now()) + time::Duration::days(20);
    std::fs::write(folder.join("certificate.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
}

#[test]
fn a_certificate_for_trying_out_is_made_once_and_again_when_it_is_time() {
    let folder = tempfile::tempdir().unwrap();
    let shown = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let certificate = ServerCertificate::made(folder.path(), &names).unwrap();
        (std::fs::read_to_string(certificate.path()).unwrap(), certificate)
    };
    let (first, _) = shown(&[]);
    assert_eq!(shown(&[]).0, first, "it is kept");
    let (named, _) = shown(&["drover.example", "192.0.2.7"]);
    assert_ne!(named, first, "it lacked names");
    assert_eq!(shown(&["192.0.2.7"]).0, named, "it has more names than are asked for");

    nearly_over(folder.path());
    let (renewed, certificate) = shown(&[]);
    let days = (certificate.expires_ms() - 1000 * time::OffsetDateTime::now_utc().unix_timestamp()) / 86_400_000;
    assert!(days > 300, "made anew at start, for {days} days");
    nearly_over(folder.path());
    certificate.look();
    certificate.look();
    let renewed_again = std::fs::read_to_string(certificate.path()).unwrap();
    assert_ne!(renewed_again, renewed, "and while it is in use");
    assert!(certificate.expires_ms() / 86_400_000 > 300 + time::OffsetDateTime::now_utc().unix_timestamp() / 86_400);
}

#[test]
fn keys_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    ServerCertificate::made(folder.path(), &[]).unwrap();
    let mode = folder.path().join("key.pem").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_stall_hold_up_nobody_and_end_after_ten_seconds() {
    let place = Place::open(Oldest::Tls13).await;
    let mut silent = TcpStream::connect(place.address).await.unwrap();
    let mut halves = Vec::new();
    for _ in 0..100 {
        let mut half = TcpStream::connect(place.address).await.unwrap();
        half.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
        halves.push(half);
    }
    let began = Instant::now();
    Device::new(&place.certificate, None).greet(place.address).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let ended = timeout(Duration::from_secs(15), silent.read(&mut [0; 16])).await.expect("it is closed in time");
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_as_many_stalled_handshakes_as_are_allowed_others_wait_and_then_come_in() {
    let place = Place::open(Oldest::Tls13).await;
    let mut stalled = Vec::new();
    for _ in 0..1024 {
        stalled.push(TcpStream::connect(place.address).await.unwrap());
    }
    // The last of them may still be with the system.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let device = Device::new(&place.certificate, None);
    timeout(Duration::from_millis(500), device.connect(place.address)).await.expect_err("there is no room");
    drop(stalled);
    timeout(PATIENCE, device.greet(place.address)).await.unwrap().expect("there is room again");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_tls_harm_nobody() {
    let place = Place::open(Oldest::Tls13).await;
    let mut plain = TcpStream::connect(place.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _reset = timeout(PATIENCE, plain.read_to_end(&mut answer)).await.expect("it is closed");
    assert!(!answer.starts_with(b"HTTP"));
    assert_eq!(place.greet(None).await.unwrap(), "nobody");
}

/// An HTTP server that says who is there.
async fn http(tls: Option<ServerTls>) -> SocketAddr {
    let door = Door::new(TcpListener::bind("127.0.0.1:0").await.unwrap(), tls);
    let address = door.address().unwrap();
    let who = async |ConnectInfo(peer): ConnectInfo<Peer>| format!("{} {}", peer.address, peer.is_secured);
    let router = axum::Router::new().route("/", get(who));
    let service = router.into_make_service_with_connect_info::<Peer>();
    tokio::spawn(async move { axum::serve(door, service).await });
    address
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn http_is_served_plain_and_secured_by_one_kind_of_door() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = ServerCertificate::made(folder.path(), &[]).unwrap();

    let mut plain = TcpStream::connect(http(None).await).await.unwrap();
    let from = plain.local_addr().unwrap();
    plain.write_all(REQUEST).await.unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with(&format!("{from} false")), "{answer}");

    let address = http(Some(ServerTls::for_http(&certificate).unwrap())).await;
    let device = Device { protocols: &[b"h2", b"http/1.1"], ..Device::new(&certificate, None) };
    let mut secured = device.connect(address).await.unwrap();
    assert_eq!(secured.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let from = secured.get_ref().0.local_addr().unwrap();
    secured.write_all(REQUEST).await.unwrap();
    let mut answer = String::new();
    secured.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with(&format!("{from} true")), "{answer}");

    let old = Device { versions: TLS12, ..Device::new(&certificate, None) };
    old.connect(address).await.expect_err("HTTP is served with 1.3 only");
    let h2 = Device { protocols: &[b"h2"], ..Device::new(&certificate, None) };
    h2.connect(address).await.expect_err("HTTP/2 is not spoken");
}
