//! Connections that stand on a client's certificate, so that each can be cut, whatever it does, the
//! moment the certificate is revoked. The socket itself then ends; what runs on it needs to know nothing.

use futures_util::task::AtomicWaker;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::io::{Error, ErrorKind, Result};
use std::sync::{Arc, OnceLock, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

/// How long a connection that was cut may still say that it ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Connections by the serial number of their certificate.
#[derive(Debug, Default, Clone)]
pub(crate) struct Connections(Arc<Mutex<BySerial>>);

type BySerial = HashMap<Arc<str>, Vec<Weak<Cut>>>;

#[derive(Debug, Default)]
struct Cut {
    since: OnceLock<Instant>,
    reader: AtomicWaker,
}

impl Cut {
    fn cut(&self) {
        self.since.get_or_init(Instant::now);
        self.reader.wake();
    }
}

/// One connection's place among them.
#[derive(Debug)]
pub(crate) struct Held {
    cut: Arc<Cut>,
    serial: Arc<str>,
    connections: Connections,
}

impl Connections {
    pub(crate) fn hold(&self, serial: Arc<str>) -> Held {
        let cut = Arc::new(Cut::default());
        self.0.lock().entry(serial.clone()).or_default().push(Arc::downgrade(&cut));
        Held { cut, serial, connections: self.clone() }
    }

    pub(crate) fn cut(&self, serial: &str) {
        for cut in self.0.lock().get(serial).into_iter().flatten() {
            if let Some(cut) = cut.upgrade() {
                cut.cut();
            }
        }
    }
}

impl Held {
    pub(crate) fn cut(&self) {
        self.cut.cut();
    }

    /// To be asked before a read: a reader that waits is woken by a cut.
    pub(crate) fn may_read(&self, reader: &Waker) -> Result<()> {
        self.cut.reader.register(reader);
        self.cut.since.get().map_or(Ok(()), |_| Err(revoked()))
    }

    /// To be asked before a write.
    pub(crate) fn may_write(&self) -> Result<()> {
        let is_over = self.cut.since.get().is_some_and(|since| since.elapsed() > LAST_WORDS);
        if is_over { Err(revoked()) } else { Ok(()) }
    }
}

fn revoked() -> Error {
    Error::new(ErrorKind::ConnectionAborted, "the client's certificate was revoked")
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut connections = self.connections.0.lock();
        if let Some(cuts) = connections.get_mut(&self.serial) {
            cuts.retain(|cut| !std::ptr::eq(cut.as_ptr(), Arc::as_ptr(&self.cut)));
            if cuts.is_empty() {
                connections.remove(&self.serial);
            }
        }
    }
}
