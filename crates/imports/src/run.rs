//! One job's way: the file's rows go through admission, and now and then the count of what is durable is kept. After a
//! crash, or when the disk was full, the job goes on behind the rows that were counted; what was admitted beyond them
//! is a duplicate then, so the log has every row once.

use crate::Shared;
use crate::job::{Counts, Job, State};
use crate::rejected::Rejected;
use drover_answer::now_ms;
use drover_dead::Tries;
use drover_formats::{Row, Telemetry};
use drover_ingest::{Admitted, Refusal, Tracks};
use drover_log::{AppendError, CommitError, Position};
use drover_model::Reject;
use std::fs::File;
use std::io::{self, ErrorKind, Seek};
use std::time::{Duration, Instant};

/// Rows between two looks at whether others need the way.
const BLOCK_ROWS: usize = 512;
/// How often the count is kept.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);
/// An import waits while so many records are not durable, or not live yet: at the rate of a bulk load that is less than
/// a tenth of a second, so that a report from a device is live as soon as if there was no import.
const AHEAD_MAX_RECORDS: u64 = 16_384;
const HOLD_BACK: Duration = Duration::from_micros(500);
/// Waits after a failure: the first, and the longest.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LONGEST: Duration = Duration::from_secs(30);
/// Assets of a file whose ways are remembered; with more they begin anew.
const TRACKS_MAX: usize = 262_144;
/// A share of bad rows is judged from so many rows on.
const SHARE_MIN_ROWS: u64 = 1000;

/// Why an attempt ended before the end of the file.
enum Trouble {
    /// The file, or what was said with it, is at fault.
    Fatal(String),
    /// The file could not be read; another try may.
    Reading(io::Error),
    /// The log takes nothing at the moment.
    Log(String),
    /// The job, or the node, was told to stop.
    Stop,
}

/// Works on a job until it is over or the node stops. What is kept of it is as true as the last checkpoint.
pub(crate) fn run(shared: &Shared, mut job: Job) {
    let (mut pause, mut reads) = (RETRY_FIRST, Tries::new(RETRY_FIRST, RETRY_LONGEST));
    loop {
        let rows = job.counts.rows;
        match attempt(shared, &mut job) {
            Ok(()) => return shared.finish(job, State::Done, None),
            Err(Trouble::Stop) if shared.is_closing() => return,
            Err(Trouble::Stop) => return shared.finish(job, State::Stopped, None),
            Err(Trouble::Fatal(error)) => return shared.fail(job, error, 1),
            Err(Trouble::Reading(error)) => match reads.next() {
                Some(next) => {
                    pause = next;
                    job.problem = Some(format!("the file cannot be read: {error}; trying again"));
                }
                None => {
                    let tries = reads.attempts();
                    let error = format!("the file cannot be read, after {tries} tries: {error}");
                    return shared.fail(job, error, tries);
                }
            },
            // The file is not at fault: it is tried for as long as it takes.
            Err(Trouble::Log(problem)) => {
                pause = if job.counts.rows > rows { RETRY_FIRST } else { (pause * 2).min(RETRY_LONGEST) };
                job.problem = Some(problem);
            }
        }
        tracing::warn!(job = job.id, problem = job.problem, ?pause, "an import waits");
        shared.show(&job);
        shared.pause(job.id, pause);
    }
}

/// From the last checkpoint to the end of the file. On `Err` the job is as of its last checkpoint.
fn attempt(shared: &Shared, job: &mut Job) -> Result<(), Trouble> {
    let profile = shared.profile(&job.options.profile).map_err(Trouble::Fatal)?;
    let file = File::open(shared.raw(job)).map_err(Trouble::Reading)?;
    let place = file.try_clone().map_err(Trouble::Reading)?;
    let mut rows = Telemetry::open(file, &job.name, &profile).map_err(|error| blame(error, 0))?;
    let tracks = tracks_until(shared, &mut rows, job.counts.rows)?;
    job.format = Some(rows.format().name().to_owned());
    let rejected = Rejected::open(&shared.list_of_rejected(job.id), job.rejects_bytes).map_err(Trouble::Reading)?;
    let working = Working {
        counts: job.counts.clone(),
        shared,
        place,
        rejected,
        tracks,
        scratch: Vec::new(),
        wait: 0,
        since: Instant::now(),
        shown: Instant::now(),
    };
    working.work(&mut rows, job)
}

/// Goes behind the rows that were counted before, and gives what they tell about the way of each asset: a row is the same
/// noise, or none, however often the work was interrupted.
fn tracks_until(shared: &Shared, rows: &mut Telemetry, counted: u64) -> Result<Tracks, Trouble> {
    let mut tracks = Tracks::new(TRACKS_MAX);
    let now = now_ms();
    for number in 0..counted {
        match rows.next_row() {
            Ok(Some(row)) => {
                // A row without a time never came to admission.
                if let Some(draft) = row.draft.ok().filter(|draft| draft.event_time.is_some()) {
                    shared.admission.see_row(draft, now, &mut tracks);
                }
            }
            Ok(None) => break,
            Err(error) => return Err(blame(error, number)),
        }
    }
    Ok(tracks)
}

/// Whether the file or the disk is at fault.
fn blame(error: io::Error, row: u64) -> Trouble {
    match error.kind() {
        ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof if row == 0 => {
            Trouble::Fatal(error.to_string())
        }
        ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof => Trouble::Fatal(format!(
            "the file breaks off behind row {row}: {error}; the rows before it are taken. Send the whole file again, \
             rows that are there already are duplicates"
        )),
        _ => Trouble::Reading(error),
    }
}

/// An attempt under way.
struct Working<'s> {
    counts: Counts,
    shared: &'s Shared,
    place: File,
    rejected: Rejected,
    tracks: Tracks,
    scratch: Vec<u8>,
    /// What this attempt has to see durable. Where earlier ones came to is durable, or gone with its log.
    wait: Position,
    /// Of the last checkpoint.
    since: Instant,
    shown: Instant,
}

impl Working<'_> {
    /// However it ends, what was taken is counted, unless the log cannot make it durable: then it is read again.
    fn work(mut self, rows: &mut Telemetry, job: &mut Job) -> Result<(), Trouble> {
        job.problem = None;
        let end = self.blocks(rows, job);
        if end.is_err() {
            self.checkpoint(job)?;
        }
        end
    }

    fn blocks(&mut self, rows: &mut Telemetry, job: &mut Job) -> Result<(), Trouble> {
        loop {
            self.hold_back(job)?;
            let more = self.block(rows, job)?;
            self.check_share(job)?;
            if !more || self.since.elapsed() >= CHECKPOINT_INTERVAL {
                self.checkpoint(job)?;
            }
            if !more {
                return Ok(());
            }
            self.show(job);
        }
    }

    /// Lets everybody else go first.
    fn hold_back(&self, job: &Job) -> Result<(), Trouble> {
        let log = self.shared.admission.log();
        loop {
            if self.shared.is_to_stop(job.id) {
                return Err(Trouble::Stop);
            }
            let waiting = log.next_position().saturating_sub(1 + log.durable_position());
            if waiting <= AHEAD_MAX_RECORDS && (self.shared.live_lag)() <= AHEAD_MAX_RECORDS {
                return Ok(());
            }
            std::thread::sleep(HOLD_BACK);
        }
    }

    /// Takes a block of rows; false at the end of the file.
    fn block(&mut self, rows: &mut Telemetry, job: &Job) -> Result<bool, Trouble> {
        let now = now_ms();
        for _ in 0..BLOCK_ROWS {
            match rows.next_row() {
                Ok(Some(row)) => self.take(row, job, now)?,
                Ok(None) => return Ok(false),
                Err(error) => return Err(blame(error, self.counts.rows)),
            }
        }
        Ok(true)
    }

    fn take(&mut self, row: Row<'_>, job: &Job, now: i64) -> Result<(), Trouble> {
        let number = row.number;
        let draft = row.draft.and_then(|draft| match draft.event_time {
            Some(_) => Ok(draft),
            None => Err(Reject {
                message: "the row has no time; a row of a file needs its own".into(),
                ..Reject::missing("timestamp")
            }),
        });
        let judged = match draft {
            Err(reject) => Err(Refusal::Reject(reject)),
            Ok(draft) if job.options.dry_run => {
                self.shared.admission.check(draft, now).map(|()| None).map_err(Refusal::Reject)
            }
            Ok(draft) => self.shared.admission.admit_row(draft, now, &mut self.tracks, &mut self.scratch).map(Some),
        };
        match judged {
            Ok(None) => self.counts.valid += 1,
            Ok(Some(Admitted::New { position, late })) => {
                self.counts.accepted += 1;
                self.counts.late += u64::from(late);
                self.must_last(position);
            }
            Ok(Some(Admitted::Duplicate { wait })) => {
                self.counts.duplicates += 1;
                self.must_last(wait);
            }
            Err(Refusal::Reject(reject)) => self.reject(number, &reject)?,
            Err(Refusal::Log(error)) => return Err(Trouble::Log(log_problem(&error))),
            Err(Refusal::Lookup(error)) => {
                return Err(Trouble::Log(format!("earlier reports cannot be looked up: {error}")));
            }
        }
        self.counts.rows += 1;
        Ok(())
    }

    fn must_last(&mut self, position: Position) {
        self.wait = self.wait.max(position);
        self.counts.position = self.counts.position.max(position);
    }

    fn reject(&mut self, row: u64, reject: &Reject) -> Result<(), Trouble> {
        self.counts.rejected_total += 1;
        *self.counts.rejected.entry(reject.code.name().to_owned()).or_default() += 1;
        self.rejected.add(row, reject).map_err(Trouble::Reading)
    }

    fn check_share(&self, job: &Job) -> Result<(), Trouble> {
        let Some(most) = job.options.max_bad_percent else { return Ok(()) };
        let Counts { rows, rejected_total, .. } = self.counts;
        let share = rejected_total as f64 * 100.0 / rows.max(1) as f64;
        if rows >= SHARE_MIN_ROWS && share > most {
            return Err(Trouble::Fatal(format!(
                "{rejected_total} of {rows} rows are rejected, more than {most} of a hundred; see the list of rejected rows"
            )));
        }
        Ok(())
    }

    /// Makes what was counted true on the disk, then keeps the count.
    fn checkpoint(&mut self, job: &mut Job) -> Result<(), Trouble> {
        let log = self.shared.admission.log();
        if self.wait > 0 {
            log.wait_durable(self.wait).map_err(|error| Trouble::Log(commit_problem(&error)))?;
        }
        job.rejects_bytes = self.rejected.sync().map_err(Trouble::Reading)?;
        self.shared.count(&job.counts, &self.counts);
        self.counts.seconds += self.since.elapsed().as_secs_f64();
        self.since = Instant::now();
        self.counts.bytes_read = self.place.stream_position().unwrap_or(job.bytes);
        job.counts = self.counts.clone();
        self.shared.keep(job).map_err(|error| Trouble::Log(error.to_string()))
    }

    /// Lets others see how far it is, a few times a second.
    fn show(&mut self, job: &Job) {
        if self.shown.elapsed() < Duration::from_millis(250) {
            return;
        }
        self.shown = Instant::now();
        let mut counts = self.counts.clone();
        counts.bytes_read = self.place.stream_position().unwrap_or(job.bytes);
        counts.seconds += self.since.elapsed().as_secs_f64();
        self.shared.show(&Job { counts, ..job.clone() });
    }
}

fn log_problem(error: &AppendError) -> String {
    match error {
        AppendError::Full(_) => "the data disk is full; free space, the import goes on by itself".into(),
        other => format!("the log takes no reports now: {other}"),
    }
}

fn commit_problem(error: &CommitError) -> String {
    match error {
        CommitError::Full(_) => "the data disk is full; free space, the import goes on by itself".into(),
        other => format!("rows could not be made durable: {other}"),
    }
}
