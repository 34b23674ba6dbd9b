//! A store that dies, breaks off, is overloaded, or is not what the settings say.

mod support;

use bytes::Bytes;
use drover_objects::s3_server::S3Server;
use drover_objects::{Error, Objects, S3};
use std::fs;
use std::io::{self, Write};
use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};
use support::{Fake, Proxy, World, answer, bucket, content, place};

/// Everything that fails here should have failed by then.
const SOON: Duration = Duration::from_secs(40);

const MIB: usize = 1 << 20;

fn through(world: &World, proxy: &Proxy) -> Objects {
    Objects::open(world.objects.place(), &proxy.s3(world.server.as_ref().unwrap())).unwrap()
}

/// Does something once, after so many bytes.
struct After<F>(usize, Option<F>, Vec<u8>);

impl<F: FnOnce()> Write for After<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.2.extend_from_slice(bytes);
        if self.2.len() >= self.0
            && let Some(act) = self.1.take()
        {
            act();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_download_goes_on_from_where_it_broke_off() {
    let world = bucket();
    let meta = world.objects.put_file("big", &world.file(50 * MIB)).unwrap();
    let proxy = Proxy::start(world.server.as_ref().unwrap().address());
    proxy.plan.cut_answers_after.store(12 * MIB as u64, Ordering::SeqCst);
    let mut bytes = Vec::new();
    assert_eq!(through(&world, &proxy).get_to_file(&meta, &mut bytes).unwrap(), 50 * MIB as u64);
    assert!(bytes == content(50 * MIB));
    assert!(proxy.plan.cuts.load(Ordering::SeqCst) >= 4);
}

#[test]
fn a_download_of_an_object_that_is_replaced_meanwhile_is_an_error() {
    let world = bucket();
    let meta = world.objects.put_file("big", &world.file(30 * MIB)).unwrap();
    let proxy = Proxy::start(world.server.as_ref().unwrap().address());
    proxy.plan.cut_answers_after.store(12 * MIB as u64, Ordering::SeqCst);
    let other: Vec<u8> = content(30 * MIB).iter().map(|byte| !byte).collect();
    let replace = || drop(world.objects.put("big", other.into()).unwrap());
    let error = through(&world, &proxy).get_to_file(&meta, &mut After(MIB, Some(replace), Vec::new())).unwrap_err();
    assert!(error.is_replaced(), "{error}");
}

#[test]
fn a_server_killed_during_a_download_is_an_error_until_it_is_back() {
    let mut world = bucket();
    let meta = world.objects.put_file("big", &world.file(50 * MIB)).unwrap();
    let mut server = world.server.take().unwrap();
    let start = Instant::now();
    let mut to = After(MIB, Some(|| server.kill()), Vec::new());
    let error = world.objects.get_to_file(&meta, &mut to).unwrap_err();
    assert!(error.is_passing() && matches!(error, Error::Unreachable(_)), "{error}");
    assert!(start.elapsed() < SOON);
    assert!(to.2.len() < 50 * MIB && content(50 * MIB).starts_with(&to.2));
    drop(to);
    server.restart();
    let mut bytes = Vec::new();
    world.objects.get_to_file(&meta, &mut bytes).unwrap();
    assert!(bytes == content(50 * MIB));
}

#[test]
fn a_server_back_soon_is_not_noticed_by_a_download() {
    let mut world = bucket();
    let meta = world.objects.put_file("big", &world.file(50 * MIB)).unwrap();
    let mut server = world.server.take().unwrap();
    let mut to = After(MIB, Some(|| server.restart()), Vec::new());
    world.objects.get_to_file(&meta, &mut to).unwrap();
    assert!(to.2 == content(50 * MIB));
}

#[test]
fn a_server_killed_during_an_upload_leaves_nothing_to_be_seen() {
    let mut world = bucket();
    world.objects.put("big", Bytes::from_static(b"before")).unwrap();
    let file = world.file(50 * MIB);
    let proxy = Proxy::start(world.server.as_ref().unwrap().address());
    proxy.plan.hold_requests_after.store(20 * MIB as u64, Ordering::SeqCst);
    let objects = through(&world, &proxy);
    let start = Instant::now();
    thread::scope(|scope| {
        let put = scope.spawn(|| objects.put_file("big", &file));
        let fresh = scope.spawn(|| objects.put_file("fresh", &file));
        support::wait_until("the upload", || proxy.plan.is_held());
        world.server.as_mut().unwrap().kill();
        proxy.plan.cut.store(true, Ordering::SeqCst);
        for put in [put, fresh] {
            let error = put.join().unwrap().unwrap_err();
            assert!(error.is_passing() && matches!(error, Error::Unreachable(_)), "{error}");
        }
    });
    assert!(start.elapsed() < SOON);
    world.server.as_mut().unwrap().restart();
    assert_eq!(world.list("", None, 9), ["big"]);
    assert_eq!(world.objects.get("big", 9).unwrap(), "before");
    let meta = world.objects.put_file("big", &file).unwrap();
    assert_eq!(world.objects.head("big").unwrap().unwrap().etag, meta.etag);
    assert_eq!(meta.bytes, 50 * MIB as u64);
}

#[test]
fn an_outage_is_noticed_soon_and_its_end_at_once() {
    let mut world = bucket();
    world.objects.put("a", Bytes::from_static(b"x")).unwrap();
    world.server.as_mut().unwrap().kill();
    let start = Instant::now();
    for error in [world.objects.head("a").unwrap_err(), world.objects.list("", None, 1).unwrap_err()] {
        assert!(error.is_passing(), "{error}");
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    world.server.as_mut().unwrap().restart();
    let start = Instant::now();
    assert_eq!(world.objects.get("a", 9).unwrap(), "x");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn a_store_that_never_answers_is_an_error() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let s3 = S3 {
        endpoint: Some(format!("http://{}", silent.local_addr().unwrap())),
        access_key_id: Some("KEY".into()),
        secret_access_key: Some("s3cret".into()),
        ..S3::default()
    };
    let objects = Objects::open(&place("lake"), &s3).unwrap();
    let start = Instant::now();
    let error = objects.check().unwrap_err();
    assert!(error.is_passing() && error.to_string().contains("no answer within 15 s"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn misconfiguration_is_said_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let server = S3Server::start(folder.path(), &["lake"]);
    let check = |address: &str, s3: S3| Objects::open(&place(address), &s3).unwrap().check().unwrap_err();

    let error = check("lakes/cold", server.s3());
    assert!(matches!(error, Error::NoPlace(_)) && !error.is_passing(), "{error}");
    assert!(error.to_string().contains("s3://lakes/cold") && error.to_string().contains("create it"), "{error}");
    assert!(!folder.path().join("lakes").exists());

    let error = check("lake", S3 { secret_access_key: Some("wr0ng-s3cret".into()), ..server.s3() });
    assert!(matches!(error, Error::Credentials(_)) && !error.is_passing(), "{error}");
    assert!(error.to_string().contains("check the access key"), "{error}");

    let error = check("lake", S3 { access_key_id: Some("NOBODY".into()), ..server.s3() });
    assert!(matches!(error, Error::Credentials(_) | Error::Denied(_)) && !error.is_passing(), "{error}");

    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = check("lake", S3 { endpoint: Some(format!("http://{free}")), ..server.s3() });
    assert!(matches!(error, Error::Unreachable(_)) && error.is_passing(), "{error}");
    assert!(error.to_string().contains("no connection") && error.to_string().contains("refused"), "{error}");

    let error = check("lake", S3 { endpoint: Some("http://no-such-host.invalid".into()), ..server.s3() });
    assert!(matches!(error, Error::Unreachable(_)), "{error}");

    let ca = Some(folder.path().join("none.pem"));
    let error = Objects::open(&place("lake"), &S3 { ca, ..server.s3() }).unwrap_err();
    assert!(matches!(error, Error::Settings(_)) && error.to_string().contains("none.pem"), "{error}");
}

#[test]
fn no_secret_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let server = S3Server::start(folder.path(), &["lake"]);
    let s3 = S3 { session_token: Some("t0ken".into()), ..server.s3() };
    let secret = s3.secret_access_key.clone().unwrap();
    let wrong = S3 { secret_access_key: Some("wr0ng-s3cret".into()), ..s3.clone() };
    let mut shown = format!("{s3:?} {s3:#?} {server:?}");
    for s3 in [s3, wrong] {
        let objects = Objects::open(&place("lake/cold"), &s3).unwrap();
        shown += &format!("{objects:?} {objects:#?}");
        for error in [objects.get("a", 1).err(), objects.check().err(), objects.list("", None, 1).err()] {
            shown += &error.map(|error| format!("{error} {error:?} {error:#?}")).unwrap_or_default();
        }
    }
    for secret in [secret.as_str(), "wr0ng-s3cret", "t0ken"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn an_overloaded_store_is_asked_again() {
    let slow = answer("503 Slow Down", "", "<Error><Code>SlowDown</Code><Message>Please.</Message></Error>");
    let list = answer("200 OK", "", "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>");
    let busy = slow.clone();
    let fake = Fake::start(move |number, _| if number < 2 { busy.clone() } else { list.clone() });
    assert_eq!(fake.objects().list("", None, 9).unwrap(), []);
    assert_eq!(fake.requests().len(), 3);

    let fake = Fake::start(move |_, _| slow.clone());
    let start = Instant::now();
    let error = fake.objects().list("", None, 9).unwrap_err();
    assert!(matches!(error, Error::Trouble(_)) && error.is_passing(), "{error}");
    assert!(error.to_string().contains("503 SlowDown: Please"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5) && fake.requests().len() > 2);
}

#[test]
fn what_is_refused_is_not_asked_again() {
    let fake = Fake::start(|_, _| answer("403 Forbidden", "", "<Error><Code>AccessDenied</Code></Error>"));
    let error = fake.objects().put("a", Bytes::new()).unwrap_err();
    assert!(matches!(error, Error::Denied(_)) && error.to_string().contains("allow"), "{error}");
    assert_eq!(fake.requests().len(), 1);
}

#[test]
fn another_region_is_said() {
    let body = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>expecting 'eu-central-1'</Message></Error>";
    let fake = Fake::start(move |_, _| answer("400 Bad Request", "", body));
    let error = fake.objects().check().unwrap_err();
    assert!(matches!(error, Error::Region(_)) && error.to_string().contains("eu-central-1"), "{error}");
}

#[test]
fn an_upload_that_cannot_be_finished_is_given_up() {
    let fake = Fake::start(|_, head| match head {
        _ if head.contains("?uploads=") => answer("200 OK", "", "<X><UploadId>u+1</UploadId></X>"),
        _ if head.starts_with("put ") => answer("200 OK", "etag: \"abc\"\r\n", ""),
        // A success that turns out to be none.
        _ if head.starts_with("post ") => answer("200 OK", "", "<Error><Code>InternalError</Code></Error>"),
        _ => answer("204 No Content", "", ""),
    });
    let error = fake.objects().put("a b", content(17 * MIB).into()).unwrap_err();
    assert!(error.is_passing() && error.to_string().contains("InternalError"), "{error}");
    let requests = fake.requests();
    assert_eq!(requests.iter().filter(|head| head.contains("partnumber=")).count(), 3, "{requests:?}");
    assert!(requests.last().unwrap().starts_with("delete /lake/a%20b?uploadid=u%2b1 "), "{requests:?}");
}

#[test]
fn a_download_is_only_of_what_was_seen() {
    let fake = Fake::start(|_, head| match head.starts_with("head") {
        true => "HTTP/1.1 200 OK\r\netag: \"x\"\r\ncontent-length: 10\r\n\r\n".to_owned(),
        false => answer("412 Precondition Failed", "", ""),
    });
    let objects = fake.objects();
    let meta = objects.head("a").unwrap().unwrap();
    assert!(objects.get_to_file(&meta, &mut io::sink()).unwrap_err().is_replaced());
    assert!(fake.requests()[1].contains("if-match: \"x\"\r\n"), "{:?}", fake.requests());
}

#[test]
fn an_object_that_comes_short_is_an_error() {
    let fake = Fake::start(|_, head| {
        let short = "etag: \"x\"\r\ncontent-length: 10\r\nlast-modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n";
        match head.starts_with("head") {
            true => format!("HTTP/1.1 200 OK\r\n{short}\r\n"),
            false => format!("HTTP/1.1 200 OK\r\n{short}\r\nonly"),
        }
    });
    let objects = fake.objects();
    let meta = objects.head("a").unwrap().unwrap();
    assert_eq!((meta.bytes, meta.modified_ms), (10, 1_445_412_480_000));
    // It is asked for the rest, and that is not what it answers.
    let error = objects.get_to_file(&meta, &mut io::sink()).unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error}");
}

#[test]
fn markers_of_folders_and_other_odd_keys_of_others_do_not_break_a_list() {
    let keys = ["cold/", "cold/a/", "cold/a//b", "cold/b", "cold/c/../d", "cold/e&#x1;f", "cold/g"];
    let entry = |key: &&str| {
        let date = "<LastModified>2015-10-21T07:28:00.000Z</LastModified>";
        format!("<Contents><Key>{key}</Key>{date}<Size>3</Size></Contents>")
    };
    let entries: String = keys.iter().map(entry).collect();
    let body = format!("<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>");
    let fake = Fake::start(move |_, _| answer("200 OK", "", &body));
    let listed = fake.objects().list("cold/", None, 9).unwrap();
    assert_eq!(listed.iter().map(|meta| meta.key.as_str()).collect::<Vec<_>>(), ["cold/b", "cold/g"]);
}

#[test]
fn a_list_that_goes_in_circles_ends() {
    let entry = "<Contents><Key>a</Key><Size>3</Size></Contents>";
    let body = format!("<ListBucketResult><IsTruncated>true</IsTruncated>{entry}</ListBucketResult>");
    let fake = Fake::start(move |_, _| answer("200 OK", "", &body));
    let error = fake.objects().list("", None, 9).unwrap_err();
    assert!(matches!(error, Error::Refused(_)) && error.to_string().contains("in order"), "{error}");
    assert_eq!(fake.requests().len(), 2);
}

#[test]
fn the_server_of_the_tests_dies_and_comes_back_with_its_objects() {
    let mut world = bucket();
    world.objects.put("a", Bytes::from_static(b"x")).unwrap();
    let address = world.server.as_ref().unwrap().address();
    world.server.as_mut().unwrap().kill();
    assert!(std::net::TcpStream::connect(address).is_err());
    world.server.as_mut().unwrap().restart();
    assert_eq!(world.objects.get("a", 9).unwrap(), "x");
    assert!(fs::read_dir(world.folder.path()).unwrap().count() > 0);
    drop(world.server.take());
    assert!(std::net::TcpStream::connect(address).is_err());
}
