//! What a place promises, tested on a folder and on a bucket of a real server: the same tests for both.

mod support;

use bytes::Bytes;
use drover_objects::{Error, Meta};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};
use support::{World, content};

/// Makes one `#[test]` per check and kind of place.
macro_rules! contract {
    ($($check:ident,)*) => {
        mod folder {
            $(#[test] fn $check() { super::$check(&super::support::folder()); })*
        }
        mod bucket {
            $(#[test] fn $check() { super::$check(&super::support::bucket()); })*
        }
    };
}

contract!(
    what_was_put_comes_back,
    an_object_can_be_empty,
    files_of_every_size_come_back,
    a_put_replaces_and_changes_the_mark,
    odd_keys_are_kept_as_they_are,
    what_is_no_key_is_refused_everywhere,
    what_is_not_there_is_missing_and_deleting_it_is_well,
    a_part_is_exactly_what_was_asked_for,
    several_parts_come_in_the_order_of_the_question,
    an_object_larger_than_taken_is_refused,
    a_list_is_in_the_order_of_bytes,
    a_list_goes_on_after_any_key,
    a_list_is_what_a_simple_program_would_list,
    a_list_pages_through_thousands,
    names_that_are_no_keys_are_not_listed,
    a_list_of_a_place_that_is_gone_says_so,
    an_object_replaced_since_it_was_seen_is_an_error,
    an_object_gone_since_it_was_seen_is_missing,
    a_file_that_cannot_be_read_puts_nothing,
    a_receiver_that_fails_is_told_apart,
    writers_of_one_key_never_mix,
    calls_inside_a_task_do_not_panic,
    a_check_leaves_nothing,
);

fn put(world: &World, key: &str, bytes: &[u8]) -> Meta {
    world.objects.put(key, Bytes::copy_from_slice(bytes)).unwrap()
}

fn fetch(world: &World, meta: &Meta) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let told = world.objects.get_to_file(meta, &mut bytes)?;
    assert_eq!(told, bytes.len() as u64);
    Ok(bytes)
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64
}

fn what_was_put_comes_back(world: &World) {
    let put = put(world, "year=2026/month=5/a.parquet", b"hello");
    assert_eq!(world.objects.get("year=2026/month=5/a.parquet", 5).unwrap(), "hello");
    let head = world.objects.head("year=2026/month=5/a.parquet").unwrap().unwrap();
    assert_eq!((head.key.as_str(), head.bytes, &head.etag), ("year=2026/month=5/a.parquet", 5, &put.etag));
    assert!(head.etag.as_ref().is_some_and(|etag| !etag.contains('"')));
    assert!(head.modified_ms.abs_diff(now_ms()) < 60_000 && put.modified_ms.abs_diff(now_ms()) < 60_000);
    let listed = world.objects.list("", None, 10).unwrap();
    assert_eq!(listed.len(), 1);
    assert!(listed[0].is_same_as(&head) && listed[0].modified_ms == head.modified_ms, "{listed:?} {head:?}");
    assert_eq!(fetch(world, &listed[0]).unwrap(), b"hello");
    assert_eq!(fetch(world, &put).unwrap(), b"hello");
}

fn an_object_can_be_empty(world: &World) {
    let put = put(world, "empty", b"");
    assert_eq!(put.bytes, 0);
    assert_eq!(world.objects.get("empty", 0).unwrap(), "");
    assert_eq!(world.objects.head("empty").unwrap().unwrap().bytes, 0);
    assert_eq!(fetch(world, &put).unwrap(), b"");
    world.objects.delete("empty").unwrap();
    assert!(fetch(world, &put).unwrap_err().is_missing());
}

fn files_of_every_size_come_back(world: &World) {
    const PART: usize = 8 << 20;
    for bytes in [0, 1, PART, PART + 1, 2 * PART, 50 << 20] {
        let key = format!("files/{bytes}");
        let meta = world.objects.put_file(&key, &world.file(bytes)).unwrap();
        assert_eq!(meta.bytes, bytes as u64);
        assert_eq!(world.objects.head(&key).unwrap().unwrap().etag, meta.etag);
        assert!(fetch(world, &meta).unwrap() == content(bytes), "{bytes}");
    }
    let bytes = content(20 << 20);
    let meta = put(world, "bytes", &bytes);
    assert!(fetch(world, &meta).unwrap() == bytes && world.objects.get("bytes", 20 << 20).unwrap() == bytes);
}

fn a_put_replaces_and_changes_the_mark(world: &World) {
    let first = put(world, "a/b", b"first");
    let second = put(world, "a/b", b"secnd");
    assert_ne!(first.etag, second.etag);
    assert!(!first.is_same_as(&second));
    assert_eq!(world.objects.get("a/b", 10).unwrap(), "secnd");
    assert_eq!(world.list("", None, 10), ["a/b"]);
}

fn odd_keys_are_kept_as_they_are(world: &World) {
    let mut keys = vec![
        "a b/c  d",
        " leading and trailing ",
        "ü/日本/🚚",
        "100%/%20/%2F/%2e%2e/%zz",
        "a+b=c&d=e?f#g",
        "year=2026/month=5/day=07",
        "it's \"quoted\" <xml> & </Key>",
        "back\\slash",
        "~!@$^*()[]{}|;:,",
        "...",
        "..a/b..",
        ".hidden/.x",
        "-r",
        "a.tmp.b",
    ];
    for key in &keys {
        put(world, key, key.as_bytes());
    }
    keys.sort_unstable();
    assert_eq!(world.list("", None, 100), keys);
    for key in &keys {
        let meta = world.objects.head(key).unwrap().unwrap_or_else(|| panic!("{key}"));
        assert_eq!(fetch(world, &meta).unwrap(), key.as_bytes(), "{key}");
        assert_eq!(world.objects.read_at(key, 0..1).unwrap(), key.as_bytes()[..1], "{key}");
        assert_eq!(world.list(key, None, 100), [*key]);
        assert!(world.root.join(key).is_file(), "{key}");
        world.objects.delete(key).unwrap();
        assert_eq!(world.objects.head(key).unwrap(), None, "{key}");
    }
}

fn what_is_no_key_is_refused_everywhere(world: &World) {
    let objects = &world.objects;
    for key in ["", "/a", "a/", "a//b", "../a", "a/../b", "a.tmp", "a\nb"] {
        let meta = Meta { key: key.to_owned(), bytes: 1, etag: None, modified_ms: 0 };
        let refused = [
            objects.put(key, Bytes::new()).err(),
            objects.put_file(key, &world.file(1)).err(),
            objects.get(key, 1).err(),
            objects.read_at(key, 0..1).err(),
            objects.get_to_file(&meta, &mut io::sink()).err(),
            objects.head(key).err(),
            objects.delete(key).err(),
        ];
        for error in refused {
            let error = error.unwrap_or_else(|| panic!("{key:?}"));
            assert!(matches!(error, Error::Key { .. }) && !error.is_passing() && !error.is_missing(), "{error}");
        }
    }
}

fn what_is_not_there_is_missing_and_deleting_it_is_well(world: &World) {
    put(world, "a/b", b"x");
    // The tests' server makes a folder of it too, and stumbles over that.
    let above = world.server.is_none().then_some("a");
    for key in ["nothing", "a/c", "c/d/e"].into_iter().chain(above) {
        assert_eq!(world.objects.head(key).unwrap(), None, "{key}");
        let error = world.objects.get(key, 10).unwrap_err();
        assert!(error.is_missing() && !error.is_passing(), "{error}");
        assert!(error.to_string().contains(&world.objects.place().of_key(key)), "{error}");
        assert!(world.objects.read_at(key, 0..1).unwrap_err().is_missing());
    }
    world.objects.delete("nothing").unwrap();
    world.objects.delete("c/d/e").unwrap();
    world.objects.delete("a/b").unwrap();
    world.objects.delete("a/b").unwrap();
    assert_eq!(world.list("", None, 10), [""; 0]);
}

fn a_part_is_exactly_what_was_asked_for(world: &World) {
    put(world, "digits", b"0123456789");
    let read = |range| world.objects.read_at("digits", range);
    assert_eq!(read(0..10).unwrap(), "0123456789");
    assert_eq!(read(3..5).unwrap(), "34");
    assert_eq!(read(9..10).unwrap(), "9");
    assert_eq!(read(4..4).unwrap(), "");
    for beyond in [9..11, 10..11, 100..200, 0..1 << 60] {
        let error = read(beyond.clone()).unwrap_err();
        assert!(matches!(error, Error::Short(_)) && !error.is_passing(), "{beyond:?}: {error}");
    }
    let big = content(3 << 20);
    put(world, "big", &big);
    assert_eq!(world.objects.read_at("big", 1_000_000..3_000_000).unwrap(), big[1_000_000..3_000_000]);
}

fn several_parts_come_in_the_order_of_the_question(world: &World) {
    let big = content(3 << 20);
    put(world, "big", &big);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ranges = [3_000_000..3_000_010, 0..100, 50..150, 7..7, 1_000_000..2_000_000];
    let read = runtime.block_on(world.objects.read_ranges_async("big", &ranges)).unwrap();
    assert_eq!(read.len(), ranges.len());
    for (range, read) in ranges.iter().zip(read) {
        assert_eq!(read, big[range.start as usize..range.end as usize], "{range:?}");
    }
    assert_eq!(runtime.block_on(world.objects.read_at_async("big", 5..9)).unwrap(), big[5..9]);
    let beyond = runtime.block_on(world.objects.read_ranges_async("big", &[0..1, 0..(4 << 20)]));
    assert!(matches!(beyond, Err(Error::Short(_))));
    assert!(runtime.block_on(world.objects.read_ranges_async("no", std::slice::from_ref(&(0..1)))).is_err());
    assert!(runtime.block_on(world.objects.read_ranges_async("big", &[])).unwrap().is_empty());
}

fn an_object_larger_than_taken_is_refused(world: &World) {
    put(world, "a", b"12345");
    let error = world.objects.get("a", 4).unwrap_err();
    assert!(matches!(error, Error::TooLarge(_)) && !error.is_passing(), "{error}");
    assert!(error.to_string().contains("5 bytes"), "{error}");
}

fn a_list_is_in_the_order_of_bytes(world: &World) {
    let mut keys = vec!["a", "a-", "a-b/c", "a!/x", "b/a", "b/a0", "b/b/c/d", "b/b-c", "b0", "B", "ä", "z/é", "z/z"];
    world.fill(keys.iter().copied());
    keys.sort_unstable();
    assert_eq!(world.list("", None, 100), keys);
    assert_eq!(world.list("b", None, 100), ["b/a", "b/a0", "b/b-c", "b/b/c/d", "b0"]);
    assert_eq!(world.list("b/", None, 100), ["b/a", "b/a0", "b/b-c", "b/b/c/d"]);
    assert_eq!(world.list("b/b", None, 1), ["b/b-c"]);
    assert_eq!(world.list("b/b/c/d", None, 9), ["b/b/c/d"]);
    assert_eq!(world.list("b/b/c/d/", None, 9), [""; 0]);
    assert_eq!(world.list("", None, 0), [""; 0]);
}

fn a_list_goes_on_after_any_key(world: &World) {
    world.fill(["a/1", "a/2", "b-1", "b/1", "b/2", "b0"]);
    assert_eq!(world.list("", Some("a/1"), 2), ["a/2", "b-1"]);
    assert_eq!(world.list("", Some("a/1x"), 2), ["a/2", "b-1"]);
    assert_eq!(world.list("", Some("b"), 9), ["b-1", "b/1", "b/2", "b0"]);
    assert_eq!(world.list("", Some("b/"), 9), ["b/1", "b/2", "b0"]);
    assert_eq!(world.list("", Some("b/2"), 9), ["b0"]);
    assert_eq!(world.list("", Some("b0"), 9), [""; 0]);
    assert_eq!(world.list("b/", Some("a"), 9), ["b/1", "b/2"]);
    assert_eq!(world.list("a/", Some("b"), 9), [""; 0]);
}

/// Against a sorted set, with small keys of which many begin alike.
fn a_list_is_what_a_simple_program_would_list(world: &World) {
    let words = ["a", "a-", "a0", "b", "ü", "a b"];
    let mut state = 7_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let key = |random: &mut dyn FnMut(usize) -> usize| {
        let depth = 1 + random(3);
        (0..depth).map(|_| words[random(words.len())]).collect::<Vec<_>>().join("/")
    };
    // The ending keeps an object from being in the way of another.
    let keys: BTreeSet<String> = (0..80).map(|_| key(&mut random) + ".x").collect();
    world.fill(keys.iter().map(String::as_str));
    for _ in 0..150 {
        let whole = key(&mut random);
        let prefix: String = whole.chars().take(random(4)).collect();
        let after = (random(3) > 0).then(|| key(&mut random) + [".x", "/", ""][random(3)]);
        let limit = random(20);
        let expected: Vec<&String> = keys
            .iter()
            .filter(|key| key.starts_with(&prefix) && after.as_ref().is_none_or(|after| *key > after))
            .take(limit)
            .collect();
        assert_eq!(world.list(&prefix, after.as_deref(), limit).iter().collect::<Vec<_>>(), expected);
    }
}

fn a_list_pages_through_thousands(world: &World) {
    let keys: Vec<String> = (0..2_501).map(|at| format!("day={}/{at:06}", at / 900)).collect();
    world.fill(keys.iter().map(String::as_str));
    assert_eq!(world.list("", None, 10_000), keys);
    assert_eq!(world.list("", None, 2_000), keys[..2_000]);
    let mut paged: Vec<String> = Vec::new();
    loop {
        let page = world.list("", paged.last().map(String::as_str), 700);
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, keys);
}

fn names_that_are_no_keys_are_not_listed(world: &World) {
    world.fill(["a", "b.tmp", "c/d.tmp", "c/.drover-check-7", "c.tmp/e", "line\nbreak", "z"]);
    fs::create_dir(world.root.join("nobody")).unwrap();
    assert_eq!(world.list("", None, 10), ["a", "z"]);
    assert_eq!(world.list("", None, 1), ["a"]);
}

fn a_list_of_a_place_that_is_gone_says_so(world: &World) {
    let gone = if world.server.is_some() { world.folder.path().join("lake") } else { world.root.clone() };
    fs::remove_dir_all(gone).unwrap();
    let error = world.objects.list("", None, 1).unwrap_err();
    assert!(matches!(error, Error::NoPlace(_)) && !error.is_passing() && !error.is_missing(), "{error}");
    assert!(error.to_string().contains(&world.objects.place().to_string()), "{error}");
    assert!(world.objects.check().is_err());
}

fn an_object_replaced_since_it_was_seen_is_an_error(world: &World) {
    put(world, "a", b"first");
    let listed = world.objects.list("", None, 1).unwrap().remove(0);
    let seen = world.objects.head("a").unwrap().unwrap();
    put(world, "a", b"secnd");
    let error = fetch(world, &seen).unwrap_err();
    assert!(error.is_replaced() && !error.is_passing() && !error.is_missing(), "{error}");
    put(world, "a", b"something longer");
    assert!(fetch(world, &seen).unwrap_err().is_replaced());
    assert!(fetch(world, &listed).unwrap_err().is_replaced());
}

fn an_object_gone_since_it_was_seen_is_missing(world: &World) {
    put(world, "a", b"first");
    let listed = world.objects.list("", None, 1).unwrap().remove(0);
    world.objects.delete("a").unwrap();
    assert!(fetch(world, &listed).unwrap_err().is_missing());
}

fn a_file_that_cannot_be_read_puts_nothing(world: &World) {
    let error = world.objects.put_file("a", &world.folder.path().join("none")).unwrap_err();
    assert!(matches!(error, Error::Local { .. }) && !error.is_missing(), "{error}");
    assert!(error.to_string().contains("none"), "{error}");
    assert!(world.objects.put_file("a", world.folder.path()).is_err());
    assert_eq!(world.list("", None, 10), [""; 0]);
    assert_eq!(fs::read_dir(&world.root).unwrap().count(), 0);
}

fn a_receiver_that_fails_is_told_apart(world: &World) {
    struct Full(u64);
    impl io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len() as u64).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let meta = put(world, "a", &content(3 << 20));
    let error = world.objects.get_to_file(&meta, &mut Full(2 << 20)).unwrap_err();
    assert!(matches!(error, Error::Local { .. }) && error.is_passing(), "{error}");
}

fn writers_of_one_key_never_mix(world: &World) {
    const BYTES: usize = 300_000;
    put(world, "one", &[0; BYTES]);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (1..5_u8)
            .map(|mark| scope.spawn(move || (0..20).for_each(|_| drop(put(world, "one", &[mark; BYTES])))))
            .collect();
        let reader = scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                let bytes = world.objects.get("one", BYTES as u64).unwrap();
                assert!(bytes.len() == BYTES && bytes.iter().all(|byte| *byte == bytes[0]));
            }
        });
        let wrote: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        done.store(true, Ordering::SeqCst);
        reader.join().unwrap();
        wrote.into_iter().for_each(|writer| writer.unwrap());
    });
    assert_eq!(world.list("", None, 10), ["one"]);
}

fn calls_inside_a_task_do_not_panic(world: &World) {
    let calls = || {
        let meta = put(world, "a", b"x");
        assert_eq!(world.objects.get("a", 1).unwrap(), "x");
        assert_eq!(fetch(world, &meta).unwrap(), b"x");
        assert_eq!(world.list("", None, 9), ["a"]);
        world.objects.check().unwrap();
    };
    let single = tokio::runtime::Builder::new_current_thread().build().unwrap();
    single.block_on(async { calls() });
    let many = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let objects = world.objects.clone();
    let read = async move {
        let listed = objects.list("", None, 9).unwrap();
        (listed.len(), objects.read_at_async("a", 0..1).await.unwrap())
    };
    assert_eq!(many.block_on(many.spawn(read)).unwrap(), (1, Bytes::from_static(b"x")));
    // Without any runtime around it, a future works too.
    let future = world.objects.read_at_async("a", 0..1);
    assert_eq!(poll(future).unwrap(), "x");
}

/// The simplest thing that runs a future.
fn poll<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(done) => return done,
            std::task::Poll::Pending => thread::sleep(Duration::from_millis(1)),
        }
    }
}

fn a_check_leaves_nothing(world: &World) {
    world.objects.check().unwrap();
    assert_eq!(fs::read_dir(&world.root).unwrap().count(), 0);
}
