//! A disk that is really full under the audit. Needs the right to mount a tmpfs, and fails without it.

#[path = "../../log/tests/support/disk.rs"]
mod disk;
mod support;

use disk::SmallDisk;
use drover_ledger::{Entry, Error, Ledger};
use std::fs;
use std::time::{Duration, Instant};
use support::{all, entry};

#[tokio::test]
async fn an_audit_whose_disk_was_full_goes_on_without_a_restart_and_lacks_nothing() {
    let disk = SmallDisk::mount("4m");
    let ledger = Ledger::open(&disk.path().join("audit.db")).await.unwrap();
    let mut acknowledged = 0;
    for round in 0..2 {
        let ballast = disk.fill();
        let refused = loop {
            match ledger.append(entry(acknowledged + 1)).await {
                Ok(_) => acknowledged += 1,
                Err(refused) => break refused,
            }
        };
        let Error::NotWritten(why) = &refused else { panic!("round {round}: {refused:?}") };
        assert!(matches!(&**why, Error::Database(error) if error.full()), "round {round}: {why:?}");
        ledger.note(Entry::new("user/u-1", "location.read", format!("driver/{round}")));
        ledger.append_all((1..=500).map(|n| entry(acknowledged + n)).collect()).await.unwrap_err();
        fs::remove_file(ballast).unwrap();
        let began = Instant::now();
        while let Err(error) = ledger.append(entry(acknowledged + 1)).await {
            assert!(began.elapsed() < Duration::from_secs(5), "round {round}: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        acknowledged += 1;
    }
    let entries = all(&ledger).await;
    let looked_at = entries.iter().filter(|entry| entry.action == "location.read").count();
    assert_eq!((entries.len() as u64, looked_at), (acknowledged + 2, 2), "what was only noted was kept meanwhile");
    let verdict = ledger.verify().await.unwrap();
    assert_eq!((verdict.fault, verdict.entries), (None, acknowledged + 2));
    ledger.close().await;
}
