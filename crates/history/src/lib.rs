//! What was true.
