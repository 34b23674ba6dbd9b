//! Jobs that failed, as dead letters: each tells why, and a retry begins its file anew. Rows that were taken before are
//! duplicates then, so that a retry repeats nothing.

use crate::job::{Counts, Job, JobId, State};
use crate::{Imports, Shared};
use drover_dead::{Letter, NewLetter, Retry, Source};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Weak;

/// What these letters come from.
pub(crate) const SOURCE: Source = Source::new("import");

impl Shared {
    /// Keeps a dead letter of a job that fails. It is there before the job is over, so that no crash lies between.
    pub(crate) fn bury(&self, job: &Job, error: &str, attempts: u32) {
        let context = BTreeMap::from([
            ("job".to_owned(), Value::from(job.id)),
            ("file".to_owned(), Value::from(job.name.as_str())),
            ("rows".to_owned(), Value::from(job.counts.rows)),
            ("raw".to_owned(), Value::from(job.raw.as_str())),
        ]);
        let original = serde_json::to_vec(job).expect("a job is plain text and numbers");
        let letter = NewLetter {
            source: SOURCE,
            key: format!("job {}", job.id),
            stage: "read file".into(),
            error: error.to_owned(),
            context,
            attempts,
            original: &original,
        };
        if let Err(error) = self.dead.put(letter) {
            tracing::error!(job = job.id, %error, "an import that fails gets no dead letter; the list of imports has it");
        }
    }
}

/// Does failed jobs again. Who is asked for letters must not keep the imports open, which have the letters themselves.
pub(crate) struct Again(pub(crate) Weak<Shared>);

impl Retry for Again {
    fn retry(&self, letter: &Letter, _original: Option<&[u8]>) -> Result<String, String> {
        let id = letter.context.get("job").and_then(Value::as_u64).ok_or("the letter names no job")?;
        let shared = self.0.upgrade().ok_or("the node stops")?;
        Imports(shared).again(id)
    }
}

impl Imports {
    /// Begins a failed job anew, with the profiles as they are now. One that waits or runs already goes on.
    fn again(&self, id: JobId) -> Result<String, String> {
        let held = self.0.hold(id);
        let _held = held.ok_or_else(|| format!("the file of job {id} is being moved; retry in a while"))?;
        let job = self.get(id).map_err(|error| error.to_string())?;
        let job = job.ok_or_else(|| format!("there is no job {id} any more"))?;
        match job.state {
            State::Waiting | State::Running => return Ok(format!("job {id} is being worked on")),
            State::Done | State::Stopped => return Ok(format!("job {id} is over: nothing is left to do")),
            State::Failed => {}
        }
        // A file that is not there would only fail again.
        self.check(&job.options).map_err(|error| error.to_string())?;
        let raw = self.bring_back(&job)?;
        let fresh = Job {
            raw,
            state: State::Waiting,
            counts: Counts::default(),
            rejects_bytes: 0,
            error: None,
            finished: None,
            ..job
        };
        self.0.store.put(&fresh).map_err(|error| error.to_string())?;
        self.0.jobs.lock().waiting.push_back(id);
        self.0.news.notify_all();
        Ok(format!("job {id} begins anew; see GET /api/v1/imports/{id}"))
    }
}
