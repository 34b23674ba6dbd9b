//! What a device is called in its certificate: kind and id, as a path (`driver/d-1`) and as a URN.

use std::fmt;

const URN: &str = "urn:drover:device:";
const KIND_MAX_BYTES: usize = 32;
const ID_MAX_BYTES: usize = 64;

/// Kind and id of a device, as text: `driver/d-1`. What kinds there are is not known here.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceName {
    kind: Box<str>,
    id: Box<str>,
}

/// A text that cannot name a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no device; wanted is kind/id, as in driver/d-1")]
pub struct NotAName(String);

impl DeviceName {
    /// A name from its parts. Kinds are small letters, digits and `-`; ids are 1 to 64 bytes of letters,
    /// digits and `. _ : @ + -`, so that they can stand anywhere without quoting.
    pub fn new(kind: &str, id: &str) -> Result<DeviceName, NotAName> {
        let in_kind = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let in_id = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'@' | b'+' | b'-');
        let fits = |text: &str, max: usize| !text.is_empty() && text.len() <= max;
        let is_name =
            fits(kind, KIND_MAX_BYTES) && fits(id, ID_MAX_BYTES) && kind.bytes().all(in_kind) && id.bytes().all(in_id);
        match is_name {
            true => Ok(DeviceName { kind: kind.into(), id: id.into() }),
            false => Err(NotAName(format!("{kind}/{id}"))),
        }
    }

    /// Reads `kind/id`.
    pub fn parse(text: &str) -> Result<DeviceName, NotAName> {
        let (kind, id) = text.split_once('/').ok_or_else(|| NotAName(text.into()))?;
        DeviceName::new(kind, id)
    }

    /// `driver`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// `d-1`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `urn:drover:device:driver:d-1`.
    pub fn urn(&self) -> String {
        format!("{URN}{}:{}", self.kind, self.id)
    }

    pub(crate) fn from_urn(urn: &str) -> Option<DeviceName> {
        let (kind, id) = urn.strip_prefix(URN)?.split_once(':')?;
        DeviceName::new(kind, id).ok()
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::DeviceName;

    #[test]
    fn a_name_survives_text_and_urn() {
        for text in ["driver/d-1", "vehicle/bus:7@north", "station/a.b_c+d"] {
            let name = DeviceName::parse(text).unwrap();
            assert_eq!(name.to_string(), text);
            assert_eq!(DeviceName::from_urn(&name.urn()).unwrap(), name);
        }
    }

    #[test]
    fn what_could_mean_something_else_is_no_name() {
        for text in ["driver", "/d-1", "driver/", "Driver/d", "driver/a/b", "driver/#", "driver/ä", "driver/a b"] {
            DeviceName::parse(text).expect_err(text);
        }
        DeviceName::new("driver", &"x".repeat(65)).expect_err("too long");
    }
}
