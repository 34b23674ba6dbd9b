//! Properties of MQTT 5 packets: names with values of a type that depends on the name (OASIS MQTT 5.0, section
//! 2.2.2). All of them must be known in order to step over those that nobody asked for.

pub(super) const SERVER_KEEP_ALIVE: u8 = 0x13;
pub(super) const REASON_STRING: u8 = 0x1f;
pub(super) const RECEIVE_MAXIMUM: u8 = 0x21;
pub(super) const MAXIMUM_QOS: u8 = 0x24;

/// The bytes of a value, without the length of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value<'a>(&'a [u8]);

impl Value<'_> {
    /// A value of one or two bytes; the low two bytes of others.
    pub(super) fn number(self) -> u16 {
        self.0.iter().fold(0, |number, byte| number << 8 | u16::from(*byte))
    }

    pub(super) fn text(self) -> String {
        String::from_utf8_lossy(self.0).into_owned()
    }
}

/// Reads properties with their length before them; `None` if they are broken or of unknown names.
pub(super) fn read(bytes: &[u8]) -> Option<Vec<(u8, Value<'_>)>> {
    let (length, rest) = variable(bytes)?;
    let mut rest = rest.get(..length)?;
    let mut properties = Vec::new();
    while let Some((&name, after)) = rest.split_first() {
        let value;
        (value, rest) = split_value(name, after)?;
        properties.push((name, value));
    }
    Some(properties)
}

fn split_value(name: u8, bytes: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let length = match name {
        0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => 1,
        0x13 | 0x21 | 0x22 | 0x23 => 2,
        0x02 | 0x11 | 0x18 | 0x27 => 4,
        0x0b => bytes.len() - variable(bytes)?.1.len(),
        0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1a | 0x1c | 0x1f => return split_text(bytes),
        0x26 => {
            let rest = split_text(split_text(bytes)?.1)?.1;
            bytes.len() - rest.len()
        }
        _ => return None,
    };
    let (value, rest) = bytes.split_at_checked(length)?;
    Some((Value(value), rest))
}

fn split_text(bytes: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    Some((Value(text), rest))
}

/// A number of one to four bytes, seven bits in each, and what follows it.
fn variable(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut number = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        number |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_type_are_stepped_over() {
        let list = b"\x24\x01\x21\0\x14\x27\0\x01\0\0\x0b\x80\x01\x12\0\x02id\x26\0\x01k\0\x02vw\x1f\0\x02no";
        let bytes = [&[list.len() as u8], &list[..]].concat();
        let properties = read(&bytes).unwrap();
        let names: Vec<u8> = properties.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, [0x24, 0x21, 0x27, 0x0b, 0x12, 0x26, 0x1f]);
        assert_eq!((properties[1].1.number(), properties[6].1.text().as_str()), (20, "no"));
    }

    #[test]
    fn long_lists_have_a_long_length() {
        let text = "x".repeat(200);
        let bytes = [&[203 & 0x7f | 0x80, 1, REASON_STRING, 0, 200], text.as_bytes()].concat();
        assert_eq!(read(&bytes).unwrap(), [(REASON_STRING, Value(text.as_bytes()))]);
    }

    #[test]
    fn broken_properties_are_not_guessed() {
        for bytes in [&[][..], &[1], &[2, 0x21, 0], &[1, 0x7e], &[4, 0x1f, 0, 9, b'a'], &[0x80, 0x80, 0x80, 0x80]] {
            assert_eq!(read(bytes), None, "{bytes:?}");
        }
    }
}
