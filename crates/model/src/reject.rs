//! Why a draft was refused: a code that programs can act on, the field, and a sentence for people.

use std::borrow::Cow;
use std::fmt;

/// The reason of a refusal. The words are part of the API and of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectCode {
    /// Not readable at all: broken JSON, broken compression, not UTF-8.
    Malformed,
    /// A field that must be there is not.
    MissingField,
    /// The field is there with the wrong type.
    WrongType,
    /// The value is outside its range.
    OutOfRange,
    /// A word that is not one of the allowed words.
    UnknownValue,
    /// A text or a list is longer than allowed.
    TooLong,
    /// The event time lies too far in the future.
    ClockAhead,
    /// The event time lies before the year 2000.
    ClockBehind,
    /// Same asset and event time as an earlier report, but with other content.
    Conflict,
    /// This device sends faster than it may.
    RateLimited,
    /// The sender may not report for this asset.
    NotAllowed,
}

impl RejectCode {
    /// Every code.
    pub const ALL: [RejectCode; 11] = [
        RejectCode::Malformed,
        RejectCode::MissingField,
        RejectCode::WrongType,
        RejectCode::OutOfRange,
        RejectCode::UnknownValue,
        RejectCode::TooLong,
        RejectCode::ClockAhead,
        RejectCode::ClockBehind,
        RejectCode::Conflict,
        RejectCode::RateLimited,
        RejectCode::NotAllowed,
    ];

    /// The word in answers, metrics and the reject store.
    pub const fn name(self) -> &'static str {
        match self {
            RejectCode::Malformed => "malformed",
            RejectCode::MissingField => "missing_field",
            RejectCode::WrongType => "wrong_type",
            RejectCode::OutOfRange => "out_of_range",
            RejectCode::UnknownValue => "unknown_value",
            RejectCode::TooLong => "too_long",
            RejectCode::ClockAhead => "clock_ahead",
            RejectCode::ClockBehind => "clock_behind",
            RejectCode::Conflict => "conflict",
            RejectCode::RateLimited => "rate_limited",
            RejectCode::NotAllowed => "not_allowed",
        }
    }
}

/// A refusal. Names the field, the value and the allowed range, so that the sender can mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The reason.
    pub code: RejectCode,
    /// The offending field, or empty when the whole message is unreadable.
    pub field: Cow<'static, str>,
    /// One sentence: what is wrong and what would be right.
    pub message: String,
    /// The offending value as far as it is worth showing, or empty.
    pub value: String,
}

impl Reject {
    /// A reject of `field`.
    pub fn new(code: RejectCode, field: &'static str, message: String) -> Reject {
        Reject { code, field: Cow::Borrowed(field), message, value: String::new() }
    }

    /// The same, naming the value.
    pub fn with_value(self, value: impl Into<String>) -> Reject {
        Reject { value: value.into(), ..self }
    }

    /// A number outside its range.
    pub fn out_of_range(field: &'static str, value: f64, range: fmt::Arguments<'_>) -> Reject {
        // A value that was converted from another unit ends in binary dust, which nobody sent.
        let value = if value.abs() < 1e9 { (value * 1e6).round() / 1e6 } else { value };
        let message = format!("{field} is {value}; allowed is {range}");
        Reject::new(RejectCode::OutOfRange, field, message).with_value(value.to_string())
    }

    /// A required field that is absent.
    pub fn missing(field: &'static str) -> Reject {
        Reject::new(RejectCode::MissingField, field, format!("{field} is missing"))
    }

    /// A kind that does not exist.
    pub fn unknown_kind(word: &str) -> Reject {
        let word: String = word.chars().take(40).collect();
        Reject::new(
            RejectCode::UnknownValue,
            "kind",
            format!("kind is {word:?}; allowed are driver, vehicle, station, rider, other"),
        )
        .with_value(word)
    }
}
