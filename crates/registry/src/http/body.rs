//! Bodies of requests: their size, how deep they nest, and where they stop being JSON. What the fields of a record may
//! hold is the registry's to say.

use axum::body::{Body, Bytes};
use drover_answer::{Problem, ProblemKind};
use futures_util::StreamExt;
use serde_json::{Map, Value};

/// The body of a single record.
pub(super) const RECORD_MAX_BYTES: usize = 1 << 20;
/// A file of records.
pub(super) const FILE_MAX_BYTES: usize = 16 << 20;
/// Arrays and objects within each other.
const DEPTH_MAX: usize = 32;

/// The fields of a record, as they were sent.
pub(super) type Fields = Map<String, Value>;

/// Reads the body whole; 413 as soon as it is longer than `max_bytes`.
pub(super) async fn whole(body: Body, max_bytes: usize) -> Result<Bytes, Problem> {
    let mut read = Vec::new();
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| malformed(format!("the body ended early: {error}")))?;
        if read.len() + part.len() > max_bytes {
            return Err(too_large(max_bytes));
        }
        read.extend_from_slice(&part);
    }
    Ok(read.into())
}

/// The body as one JSON object, whatever content type it claims.
pub(super) fn fields(body: &[u8]) -> Result<Fields, Problem> {
    check_depth(body)?;
    let value = serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        malformed(format!("the body is not JSON at line {line}, column {column}: {}", reason(&error)))
    })?;
    let Value::Object(fields) = value else {
        let message = format!("the body is {}; send one JSON object", kind_of(&value));
        return Err(Problem { code: "wrong_type".into(), field: None, ..Problem::invalid("", message) });
    };
    match fields.iter().find(|(name, value)| name.contains('\0') || holds_nul(value)) {
        Some((name, _)) => {
            let message = "a text holds the character U+0000, which databases do not keep";
            Err(wrong(name.replace('\0', "?"), "out_of_range", message))
        }
        None => Ok(fields),
    }
}

/// A value of `field` that is not allowed; the field's name came with the request.
pub(super) fn wrong(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Problem {
    Problem { field: Some(field.into().into()), code: code.into(), ..Problem::invalid("", message) }
}

/// What `value` is, for people.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// serde_json ends its message with the place, which was said already.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

fn malformed(message: String) -> Problem {
    Problem::new(ProblemKind::Malformed, "malformed", message, "send one JSON object in UTF-8; see /docs")
}

fn too_large(max_bytes: usize) -> Problem {
    let message = format!("the body is longer than {max_bytes} bytes");
    Problem::new(ProblemKind::TooLarge, "too_large", message, "send less at once")
}

/// Nesting is counted before anything is built from it.
fn check_depth(body: &[u8]) -> Result<(), Problem> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            let message = format!("the body nests deeper than {DEPTH_MAX} arrays and objects");
            return Err(Problem { code: "too_deep".into(), field: None, ..Problem::invalid("", message) });
        }
    }
    Ok(())
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        _ => false,
    }
}
