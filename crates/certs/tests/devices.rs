//! Devices at a door that asks for certificates: the right ones come in, the others do not, and a
//! revoked one is put out, over real sockets.

mod client;

use client::{Device, PATIENCE, Place, TLS12, hear, name};
use drover_certs::{Authority, Error, Oldest, Reason, Refused};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const DAY_MS: i64 = 86_400_000;

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_known_by_its_certificate_and_without_one_it_is_nobody() {
    let place = Place::open(Oldest::Tls13).await;
    let issued = place.authority.issue(&name("driver/d-1"), 30).unwrap();
    assert_eq!(place.greet(Some(&issued)).await.unwrap(), "driver/d-1");
    assert_eq!(place.greet(None).await.unwrap(), "nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority_is_refused() {
    let place = Place::open(Oldest::Tls13).await;
    let folder = tempfile::tempdir().unwrap();
    let other = Authority::open(folder.path(), None).unwrap();
    let issued = other.issue(&name("driver/d-1"), 30).unwrap();
    place.greet(Some(&issued)).await.expect_err("nobody here knows that authority");
    assert_eq!(place.authority.identify(&der(&issued.certificate_pem)), Err(Refused::WrongAuthority));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_refused_after_its_time_and_before_it() {
    let place = Place::open(Oldest::Tls13).await;
    let now = now_ms();
    for (from, until, refused) in
        [(now - 10 * DAY_MS, now - DAY_MS, Refused::Expired), (now + DAY_MS, now + 10 * DAY_MS, Refused::NotYetValid)]
    {
        let issued = place.authority.issue_between(&name("driver/d-1"), from, until).unwrap();
        place.greet(Some(&issued)).await.expect_err("it is not its time");
        assert_eq!(place.authority.identify(&der(&issued.certificate_pem)), Err(refused));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_opens_no_door() {
    let place = Place::open(Oldest::Tls12).await;
    let issued = place.authority.issue(&name("driver/d-1"), 30).unwrap();
    assert_eq!(place.greet(Some(&issued)).await.unwrap(), "driver/d-1");
    place.authority.revoke(&issued.serial, Reason::KeyCompromise).unwrap();
    for versions in [client::TLS13, TLS12] {
        let device = Device { versions, ..Device::new(&place.certificate, Some(&issued)) };
        let error = device.greet(place.address).await.expect_err("it is revoked");
        assert!(error.to_string().contains("CertificateRevoked"), "the client is told why: {error}");
    }
    assert_eq!(place.authority.identify(&der(&issued.certificate_pem)), Err(Refused::Revoked));
    let next = place.authority.issue(&name("driver/d-1"), 30).unwrap();
    assert_eq!(place.greet(Some(&next)).await.unwrap(), "driver/d-1", "another one of the same device does");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_cuts_the_connections_of_that_certificate_and_no_others() {
    let place = Place::open(Oldest::Tls13).await;
    let [one, two] = ["driver/d-1", "driver/d-2"].map(|text| place.authority.issue(&name(text), 30).unwrap());
    let (_, mut cut) = Device::new(&place.certificate, Some(&one)).greet(place.address).await.unwrap();
    let (_, mut also) = Device::new(&place.certificate, Some(&one)).greet(place.address).await.unwrap();
    let (_, mut stays) = Device::new(&place.certificate, Some(&two)).greet(place.address).await.unwrap();
    let mut told = place.authority.subscribe();
    let until = place.authority.until_revoked(&one.serial);
    let mut other = Box::pin(place.authority.until_revoked(&two.serial));

    place.authority.revoke(&one.serial, Reason::PrivilegeWithdrawn).unwrap();
    for stream in [&mut cut, &mut also] {
        let ended = timeout(Duration::from_secs(1), stream.read_u8()).await.expect("cut within a second");
        ended.expect_err("nothing comes any more");
    }
    assert_eq!(timeout(PATIENCE, told.recv()).await.unwrap().unwrap(), one.serial);
    timeout(PATIENCE, until).await.expect("it is over for this one");
    timeout(PATIENCE, place.authority.until_revoked(&one.serial)).await.expect("and for who asks later");
    timeout(Duration::from_millis(50), &mut other).await.expect_err("but not for the other");
    stays.write_all(b"x").await.unwrap();
    assert_eq!(timeout(PATIENCE, hear(&mut stays)).await.unwrap().unwrap(), "driver/d-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_by_another_process_cuts_connections_here() {
    let place = Place::open(Oldest::Tls13).await;
    place.authority.follow();
    let issued = place.authority.issue(&name("driver/d-1"), 30).unwrap();
    let (_, mut stream) = Device::new(&place.certificate, Some(&issued)).greet(place.address).await.unwrap();
    let elsewhere = Authority::open(&place.folder.path().join("ca"), None).unwrap();
    elsewhere.revoke(&issued.serial, Reason::Superseded).unwrap();
    let ended = timeout(PATIENCE, stream.read_u8()).await.expect("seen within a few seconds");
    ended.expect_err("nothing comes any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_the_operators_own_authority_are_taken_and_can_be_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let operators = Authority::open(folder.path(), None).unwrap();
    let place = Place::with_other(Oldest::Tls13, Some(&folder.path().join("ca.pem"))).await;
    let [theirs, kept] = ["vehicle/v-1", "vehicle/v-2"].map(|text| operators.issue(&name(text), 30).unwrap());
    let ours = place.authority.issue(&name("driver/d-1"), 30).unwrap();
    for (issued, who) in [(&theirs, "vehicle/v-1"), (&kept, "vehicle/v-2"), (&ours, "driver/d-1")] {
        assert_eq!(place.greet(Some(issued)).await.unwrap(), who);
    }
    place.authority.revoke(&theirs.serial, Reason::Unspecified).unwrap();
    place.greet(Some(&theirs)).await.expect_err("it is revoked here");
    assert_eq!(place.greet(Some(&kept)).await.unwrap(), "vehicle/v-2");
    let unknown = place.authority.revoke("not a number", Reason::Unspecified);
    assert!(matches!(unknown, Err(Error::UnknownSerial(_))), "{unknown:?}");
}
