//! Following over real sockets: a listener, a live state fed by a log, and a registry on SQLite.

mod audit;
mod events;
mod harness;
mod order;
mod parcel;
mod socket_io;
