//! The server's answer to sent reports, the same on HTTP and WebSocket.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::http::HttpAnswer;
use crate::error::{Error, Result};

/// Assumed where a busy server does not say when to come back.
const USUAL_WAIT_S: f64 = 1.0;

/// What became of the reports of one request or frame.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// Number of the answered WebSocket frame on its connection, from 1.
    pub ack: u64,
    /// Durable now; includes the late ones.
    pub accepted: u64,
    /// Durable already.
    pub duplicates: u64,
    /// Accepted, but older than what was known.
    pub late: u64,
    /// Refused, with reasons.
    pub rejected: Vec<Rejection>,
    /// Set when nothing of the frame was taken.
    pub error: Option<Trouble>,
}

/// One refused report.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Rejection {
    /// Place of the report in the request, from 0.
    pub index: usize,
    /// The reason as a word.
    pub code: String,
    /// The field at fault, if one is.
    pub field: Option<String>,
    /// The reason as a sentence.
    pub message: String,
}

/// Why nothing of a frame or request was taken.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Trouble {
    /// The reason as a word.
    pub code: String,
    /// The reason as a sentence.
    pub message: String,
    /// The same may be tried again after so many seconds; without it, trying again does not help.
    pub retry_after_s: Option<f64>,
}

impl Answer {
    /// Understands an HTTP answer to `POST /api/v1/reports`: 202 and 422 tell the fate of each report; 429, 503 and a
    /// proxy's 502 and 504 ask to come back, which an answer with `error` says.
    ///
    /// # Errors
    /// On any other status, or a 422 without items: then the request as a whole was refused for good.
    pub fn from_http(http: &HttpAnswer) -> Result<Answer> {
        match (http.status, Answer::parse(&http.body)) {
            (429 | 502..=504, _) => {
                let retry_after_s = Some(http.retry_after_s.map_or(USUAL_WAIT_S, |seconds| seconds as f64));
                let trouble = Trouble { code: http.status.to_string(), message: http.said(), retry_after_s };
                Ok(Answer { error: Some(trouble), ..Answer::default() })
            }
            (200..=299, Ok(answer)) => Ok(answer),
            (422, Ok(answer)) if !answer.rejected.is_empty() => Ok(answer),
            (status, _) => Err(Error::Refused { status, message: http.said() }),
        }
    }

    /// Understands the HTTP answer to a single report at its asset's address. It may leave out the counts, and
    /// refuses with the error envelope.
    ///
    /// # Errors
    /// As [`Answer::from_http`], but a 422 is the answer that the report is refused.
    pub fn from_single_http(http: &HttpAnswer) -> Result<Answer> {
        if http.status == 422 {
            return Ok(Answer { rejected: vec![refusal(http)], ..Answer::default() });
        }
        let mut answer = Answer::from_http(http)?;
        if answer.error.is_none() && answer.settled() == 0 {
            answer.accepted = 1;
        }
        Ok(answer)
    }

    /// Understands the JSON of an answer.
    pub fn parse(json: &[u8]) -> Result<Answer, String> {
        serde_json::from_slice(json).map_err(|error| {
            let start = String::from_utf8_lossy(&json[..json.len().min(200)]);
            format!("{error} in '{start}'")
        })
    }

    /// Reports that this answer settles.
    pub fn settled(&self) -> u64 {
        self.accepted + self.duplicates + self.rejected.len() as u64
    }

    /// True if the report at this place is durable (whether or not it was so before).
    pub fn has_taken(&self, index: usize) -> bool {
        self.error.is_none() && self.rejected.iter().all(|rejection| rejection.index != index)
    }
}

impl Trouble {
    /// How long to wait before trying again.
    ///
    /// # Errors
    /// When trying again would not help.
    pub fn wait(&self) -> Result<Duration> {
        let seconds = self.retry_after_s.ok_or_else(|| Error::Refused { status: 0, message: self.to_string() })?;
        Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs_f64(USUAL_WAIT_S)))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "{}: {}", self.code, self.message)
    }
}

fn refusal(http: &HttpAnswer) -> Rejection {
    #[derive(Deserialize)]
    struct Envelope {
        error: Trouble,
    }
    let trouble = serde_json::from_slice(&http.body).map(|Envelope { error }| error).unwrap_or_default();
    Rejection { code: trouble.code, message: trouble.message, ..Rejection::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_what_became_of_each_report() {
        let answer = Answer::parse(
            br#"{"ack":7,"accepted":1,"duplicates":1,"late":1,"position":12,"more":[],
            "rejected":[{"index":1,"code":"out_of_range","field":"latitude","message":"91 is above 90"}]}"#,
        );
        let answer = answer.unwrap();
        assert_eq!((answer.ack, answer.settled()), (7, 3));
        assert!(answer.has_taken(0) && !answer.has_taken(1));
    }

    #[test]
    fn http_statuses_are_told_apart() {
        let http = |status, body: &'static str| HttpAnswer { status, retry_after_s: None, body: body.into() };
        let refused = Answer::from_http(&http(401, r#"{"error":{"code":"unauthenticated","message":"who asks?"}}"#));
        assert_eq!(refused.unwrap_err().to_string(), "the server refuses: 401 who asks?");
        assert_eq!(Answer::from_http(&http(503, "")).unwrap().error.unwrap().wait().unwrap(), Duration::from_secs(1));
        assert!(matches!(Answer::from_http(&http(413, "{}")), Err(Error::Refused { status: 413, .. })));
        assert!(matches!(Answer::from_http(&http(422, "{}")), Err(Error::Refused { status: 422, .. })));
        let envelope = http(422, r#"{"error":{"code":"out_of_range","message":"91"}}"#);
        assert_eq!(Answer::from_single_http(&envelope).unwrap().rejected[0].code, "out_of_range");
        assert_eq!(Answer::from_single_http(&http(202, r#"{"position":4}"#)).unwrap().accepted, 1);
    }

    #[test]
    fn trouble_says_when_to_come_back() {
        let answer =
            Answer::parse(br#"{"ack":2,"error":{"code":"busy","message":"shedding","retry_after_s":1.5}}"#).unwrap();
        assert_eq!(answer.error.as_ref().unwrap().retry_after_s, Some(1.5));
        assert!(!answer.has_taken(0));
    }
}
