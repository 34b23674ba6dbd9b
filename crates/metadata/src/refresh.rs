//! The thread that asks the source: soon enough before the TTL ends, later and later while it fails. It alone waits
//! for networks and disks.

use crate::settings::Place;
use crate::source::{Answer, Known};
use crate::{LoadError, Settings, Shared, kept, source};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How often the metrics are brought up to date.
const PUBLISH_INTERVAL: Duration = Duration::from_secs(1);
/// Longest wait for a source that hangs when the node goes down.
const STOP_MAX: Duration = Duration::from_secs(1);
/// Longest wait before the source is asked again, whatever the TTL.
const PAUSE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Checks of a failing file, in the longest pause.
const FILE_CHECKS: u32 = 5;

/// The refreshing thread; ends when told, or when this is dropped.
#[must_use = "dropped, it ends the refreshing"]
#[derive(Debug)]
pub struct Running {
    stopping: Arc<AtomicBool>,
    wake: Sender<()>,
    ended: Receiver<()>,
}

impl Running {
    /// Ends refreshing. A source that hangs is left to its timeout after a second.
    pub fn stop(self) {
        self.stopping.store(true, Ordering::Relaxed);
        let Running { wake, ended, .. } = self;
        drop(wake);
        if ended.recv_timeout(STOP_MAX) == Err(RecvTimeoutError::Timeout) {
            tracing::info!("the metadata source hangs; it is left alone");
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    settings: Settings,
    known: Known,
    failures: u32,
    stopping: Arc<AtomicBool>,
    wake: Receiver<()>,
    /// Dropped at the end.
    _ended: Sender<()>,
}

pub(crate) fn start(shared: Arc<Shared>, settings: Settings) -> io::Result<Running> {
    if let Some(path) = &settings.keep {
        take_kept(&shared, path);
    }
    let (wake, woken) = channel();
    let (ending, ended) = channel();
    let stopping = Arc::new(AtomicBool::new(false));
    let worker = Worker {
        shared,
        settings,
        known: Known::default(),
        failures: 0,
        stopping: stopping.clone(),
        wake: woken,
        _ended: ending,
    };
    std::thread::Builder::new().name("metadata".into()).spawn(move || worker.run())?;
    Ok(Running { stopping, wake, ended })
}

fn take_kept(shared: &Shared, path: &Path) {
    match kept::read(path, &shared.source) {
        Ok(None) => {}
        Ok(Some((table, loaded_ms))) => {
            tracing::info!(entries = table.len(), "metadata of the last run, until the source answers");
            shared.take_kept(table, loaded_ms);
        }
        Err(error) => tracing::warn!(%error, path = %path.display(), "passing over the kept metadata"),
    }
}

impl Worker {
    fn run(mut self) {
        loop {
            self.shared.plan(None);
            self.shared.publish();
            let pause = self.refresh();
            self.shared.plan(Some(pause));
            if self.wait(pause) {
                return self.shared.plan(None);
            }
        }
    }

    /// Asks the source once and tells when to ask again.
    fn refresh(&mut self) -> Duration {
        match source::ask(&self.settings, &mut self.known, &self.stopping) {
            Ok(Answer::Same) => self.shared.confirm(),
            Ok(Answer::New(document)) => {
                let (entries, skipped) = (document.table.len(), document.skipped);
                tracing::info!(entries, skipped, source = %self.shared.source, "metadata loaded");
                self.shared.take(*document);
                self.keep();
            }
            Err(LoadError::Stopped) => {}
            Err(error) => return self.fail(&error),
        }
        self.failures = 0;
        self.pause()
    }

    fn fail(&mut self, error: &LoadError) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let pause = self.pause();
        if self.shared.fail(error) {
            tracing::warn!(%error, source = %self.shared.source, again_in = ?pause, "no new metadata");
        }
        pause
    }

    fn pause(&self) -> Duration {
        pause(&self.settings, self.failures, random())
    }

    /// Failing to keep a table costs the next start something, and this one nothing.
    fn keep(&self) {
        let Some(path) = self.settings.keep.as_deref().filter(|_| !self.stopping.load(Ordering::Relaxed)) else {
            return;
        };
        // Held for as long as the disk takes: lookups read too, and the one writer is this thread.
        let table = self.shared.table.read();
        if let Err(error) = kept::write(path, &table, &self.shared.source, crate::now_ms()) {
            tracing::warn!(%error, path = %path.display(), "the metadata cannot be kept for the next start");
        }
    }

    /// Waits until the next try is due. Tells whether to end instead.
    fn wait(&self, pause: Duration) -> bool {
        let due = Instant::now() + pause;
        loop {
            self.shared.publish();
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return self.stopping.load(Ordering::Relaxed);
            }
            if self.wake.recv_timeout(left.min(PUBLISH_INTERVAL)) != Err(RecvTimeoutError::Timeout) {
                return true;
            }
        }
    }
}

/// The wait before the next try, after so many failures in a row. `random` (0 to 1) spreads the nodes of a fleet.
fn pause(settings: &Settings, failures: u32, random: f64) -> Duration {
    let is_file = matches!(settings.source.0, Place::File(_));
    if failures == 0 {
        // A TTL of nothing must not become a flood of questions.
        let usual = settings.ttl.min(PAUSE_MAX).mul_f64(0.85 + 0.1 * random).max(settings.retry_first);
        return if is_file { usual.min(settings.check) } else { usual };
    }
    let doubled = settings.retry_first.saturating_mul(1 << (failures - 1).min(20));
    let longest = if is_file { settings.check.saturating_mul(FILE_CHECKS) } else { settings.retry_longest };
    doubled.min(longest.min(settings.retry_longest)).min(PAUSE_MAX).mul_f64(0.5 + 0.5 * random)
}

/// 0 to 1. Each hasher of the standard library starts from another random number.
fn random() -> f64 {
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Source;

    fn settings(source: &str) -> Settings {
        Settings::new(Source::parse(source).unwrap())
    }

    #[test]
    fn an_address_is_asked_again_when_nine_tenths_of_the_ttl_have_passed() {
        let settings = settings("http://fleet.example/metadata_api.json");
        assert_eq!(pause(&settings, 0, 0.0).as_secs(), 3060);
        assert_eq!(pause(&settings, 0, 1.0).as_secs(), 3420);
    }

    #[test]
    fn a_failing_address_is_asked_after_one_second_and_then_later_and_later_up_to_five_minutes() {
        let settings = settings("http://fleet.example/metadata_api.json");
        let pauses: Vec<u64> = (1..=11).map(|failures| pause(&settings, failures, 1.0).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(pause(&settings, 11, 0.0).as_secs(), 150);
        assert_eq!(pause(&settings, u32::MAX, 1.0).as_secs(), 300);
    }

    #[test]
    fn a_file_is_looked_at_every_two_seconds_and_a_failing_one_every_ten_at_least() {
        let settings = settings("/etc/drover/metadata_api.json");
        assert_eq!(pause(&settings, 0, 0.5).as_secs(), 2);
        assert_eq!(pause(&settings, 30, 1.0).as_secs(), 10);
    }

    #[test]
    fn a_ttl_of_nothing_and_one_without_end_are_no_trouble() {
        let mut settings = settings("http://fleet.example/metadata_api.json");
        settings.ttl = Duration::ZERO;
        assert_eq!(pause(&settings, 0, 0.5).as_secs(), 1);
        settings.ttl = Duration::MAX;
        assert!(pause(&settings, 0, 1.0) < PAUSE_MAX);
    }

    #[test]
    fn jitter_is_within_its_bounds_and_not_always_the_same() {
        let some: Vec<f64> = (0..50).map(|_| random()).collect();
        assert!(some.iter().all(|one| (0.0..=1.0).contains(one)));
        assert!(some.iter().any(|one| *one != some[0]));
    }
}
