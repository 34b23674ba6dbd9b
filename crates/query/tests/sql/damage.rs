//! A file that was damaged or taken away fails the queries that need it, by name, and no others; nothing panics
//! through, and no other error hides it.

use crate::lake::{DAY, Lake, Sent, ask, engine, error};
use drover_model::Kind;
use drover_query::{Asker, Limits, SqlError};
use std::fs;
use std::os::unix::fs::FileExt;

const SUM: &str =
    "SELECT count(city), count(*), sum(position), sum(latitude), min(receive_time) FROM reports WHERE id = 'b'";

/// Two files of one day with different ids.
fn two_files() -> Lake {
    let mut lake = Lake::new();
    for (id, first) in [("a", 1), ("b", 10_001)] {
        let sent: Vec<Sent> = (first..first + 10_000)
            .map(|position| {
                let mut sent = Sent::new(position, Kind::Driver, id, DAY + position as i64 * 100);
                (sent.latitude, sent.longitude) = (Some(41.0 + (position * 7919 % 1000) as f64 / 1000.0), Some(-8.0));
                sent.city = Some(["Porto", "Lisboa"][position as usize % 2]);
                sent
            })
            .collect();
        lake.file(&sent);
    }
    lake
}

#[tokio::test]
async fn a_missing_file_is_named() {
    let lake = two_files();
    fs::remove_file(&lake.files[1].path).unwrap();
    let engine = engine(&lake);
    let missing = error(&engine, SUM, Limits::default()).await;
    let SqlError::Damaged { file, .. } = &missing else { panic!("{missing:?}") };
    assert_eq!(*file, lake.files[1].path);
    assert!(missing.to_string().contains("drover doctor"), "{missing}");
    assert_eq!(ask(&engine, "SELECT count(city) FROM reports WHERE id = 'a'").await, [["10000"]]);
}

#[tokio::test]
async fn a_file_cut_short_is_named() {
    for keep in [0, 3, 100, 5_000] {
        let lake = two_files();
        fs::OpenOptions::new().write(true).open(&lake.files[1].path).unwrap().set_len(keep).unwrap();
        let cut = error(&engine(&lake), SUM, Limits::default()).await;
        assert!(matches!(&cut, SqlError::Damaged { file, .. } if *file == lake.files[1].path), "{keep}: {cut:?}");
    }
}

#[tokio::test]
async fn flipped_bytes_that_are_noticed_name_the_file() {
    let lake = two_files();
    let file = &lake.files[1];
    let whole = fs::read(&file.path).unwrap();
    let open = fs::OpenOptions::new().write(true).open(&file.path).unwrap();
    let mut named = 0;
    for at in (0..whole.len()).step_by(whole.len() / 150) {
        open.write_all_at(&[whole[at] ^ 0x5A, whole[(at + 1).min(whole.len() - 1)] ^ 0xFF], at as u64).unwrap();
        // A new engine, so that no footer is known.
        let engine = engine(&lake);
        let answer = match engine.run(SUM, Asker::default(), Limits::default()).await {
            Ok(mut answer) => answer.collect().await,
            Err(error) => Err(error),
        };
        match answer {
            // Flips within a value are not noticed: pages carry no checksums.
            Ok(_) => {}
            Err(SqlError::Damaged { file: name, .. }) => {
                assert_eq!(name, file.path, "at {at}");
                named += 1;
            }
            Err(other) => panic!("at {at}: {other:?}"),
        }
        open.set_len(whole.len() as u64).unwrap();
        open.write_all_at(&whole, 0).unwrap();
    }
    assert!(named > 20, "{named}");
}
