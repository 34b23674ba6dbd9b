//! SQL over history.
