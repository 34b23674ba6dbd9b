//! Identities as a whole: a database in a folder, the real routes, the guard around them.

mod guard;
mod house;
mod keys;
mod login;
mod tokens;
mod users;
