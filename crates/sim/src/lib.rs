//! The outside world: recorded traces, load and a demo city. This crate speaks only the public doors of a server and
//! knows nothing of its insides, so that it can judge them all; of the workspace it uses only what reads trace files.
//!
//! A report's way here: `replay`, `simulate` or `fleet` make it, `send` (or a session of `simulate`) carries it over
//! `wire`, and what the server answers is counted.

pub mod error;
pub mod fleet;
pub mod ground;
pub mod random;
pub mod replay;
pub mod report;
pub mod send;
pub mod simulate;
pub mod wire;
