//! The bytes of a segment file: a header, kept twice, then frames of one batch each, then zeros.
//! Only this file knows the layout. Numbers are little-endian.
//!
//! ```text
//! header, at 0 and at 4096    frame, at multiples of 8 from 8192 on
//!   0  magic "DROVERLG"         0  magic "DrvF"
//!   8  format version (u32)     4  CRC32C (u32) of the segment id, bytes 8 to 32 and the payload
//!  12  CRC32C of 16 to 40       8  payload length (u32)
//!  16  segment id (u64)        12  number of records (u32)
//!  24  first position (u64)    16  first position (u64)
//!  32  first append, ms UTC    24  append time, ms UTC (i64)
//!                              32  payload, then zeros up to a multiple of 8
//! ```
//!
//! The random segment id is part of every frame's checksum: bytes that look like a frame but belong to another file
//! (a reused disk block, a segment shipped inside a record) are never taken for one of this file.

use bytes::Bytes;

use crate::{Batch, Position};

/// Where frames begin. Two blocks of 4 KiB, so that the header's copies do not share one.
pub(super) const HEADER_BYTES: u64 = 8192;
const HEADER_COPY_AT: usize = 4096;
const HEADER_FIELDS_BYTES: usize = 40;
const HEADER_MAGIC: &[u8; 8] = b"DROVERLG";
const VERSION: u32 = 1;

pub(super) const FRAME_HEADER_BYTES: usize = 32;
const FRAME_MAGIC: &[u8; 4] = b"DrvF";
/// Frames begin at multiples of this.
pub(super) const FRAME_ALIGN: usize = 8;

/// What a segment's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) id: u64,
    pub(super) base: Position,
    /// Append time of the first batch; lets retention and time lookups leave the frames alone.
    pub(super) first_appended_at_ms: i64,
}

/// What the first bytes of a segment file turn out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderFound {
    Valid(SegmentHeader),
    /// Written by a version of Drover that this one does not know.
    OtherVersion(u32),
    Damaged,
}

impl SegmentHeader {
    /// Everything before the first frame.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut fields = [0; HEADER_FIELDS_BYTES];
        fields[..8].copy_from_slice(HEADER_MAGIC);
        fields[8..12].copy_from_slice(&VERSION.to_le_bytes());
        fields[16..24].copy_from_slice(&self.id.to_le_bytes());
        fields[24..32].copy_from_slice(&self.base.to_le_bytes());
        fields[32..40].copy_from_slice(&self.first_appended_at_ms.to_le_bytes());
        let crc = crc32c::crc32c(&fields[16..]);
        fields[12..16].copy_from_slice(&crc.to_le_bytes());
        let mut bytes = vec![0; HEADER_BYTES as usize];
        bytes[..HEADER_FIELDS_BYTES].copy_from_slice(&fields);
        bytes[HEADER_COPY_AT..][..HEADER_FIELDS_BYTES].copy_from_slice(&fields);
        bytes
    }

    /// Reads the header from a file's beginning, from the copy if the first is damaged.
    pub(super) fn decode(bytes: &[u8]) -> HeaderFound {
        let copy = bytes.get(HEADER_COPY_AT..).unwrap_or_default();
        match (decode_header_fields(bytes), decode_header_fields(copy)) {
            (HeaderFound::Valid(header), _) | (_, HeaderFound::Valid(header)) => HeaderFound::Valid(header),
            // Both copies have to name the version: a flipped bit is not a version.
            (HeaderFound::OtherVersion(one), HeaderFound::OtherVersion(two)) if one == two => {
                HeaderFound::OtherVersion(one)
            }
            _ => HeaderFound::Damaged,
        }
    }
}

fn decode_header_fields(bytes: &[u8]) -> HeaderFound {
    let Some(fields) = bytes.first_chunk::<HEADER_FIELDS_BYTES>() else { return HeaderFound::Damaged };
    if &fields[..8] != HEADER_MAGIC {
        return HeaderFound::Damaged;
    }
    let version = u32_at(fields, 8);
    if version != VERSION {
        return HeaderFound::OtherVersion(version);
    }
    if crc32c::crc32c(&fields[16..]) != u32_at(fields, 12) {
        return HeaderFound::Damaged;
    }
    let first_appended_at_ms = u64_at(fields, 32) as i64;
    HeaderFound::Valid(SegmentHeader { id: u64_at(fields, 16), base: u64_at(fields, 24), first_appended_at_ms })
}

/// A frame's header. `decode` does not check anything but the magic: see [`Frame::check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    crc: u32,
    pub(super) payload_bytes: usize,
    pub(super) count: u32,
    pub(super) base: Position,
    pub(super) appended_at_ms: i64,
}

impl Frame {
    /// The header's bytes for a batch in the segment with this id.
    pub(super) fn encode(batch: &Batch, segment_id: u64) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[..4].copy_from_slice(FRAME_MAGIC);
        bytes[8..12].copy_from_slice(&(batch.payload().len() as u32).to_le_bytes());
        bytes[12..16].copy_from_slice(&batch.count().to_le_bytes());
        bytes[16..24].copy_from_slice(&batch.base().to_le_bytes());
        bytes[24..32].copy_from_slice(&batch.appended_at_ms().to_le_bytes());
        let crc = checksum(segment_id, &bytes, batch.payload());
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header; `None` if there are too few bytes or no frame begins here.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let fields = bytes.first_chunk::<FRAME_HEADER_BYTES>()?;
        (&fields[..4] == FRAME_MAGIC).then(|| Self {
            crc: u32_at(fields, 4),
            payload_bytes: u32_at(fields, 8) as usize,
            count: u32_at(fields, 12),
            base: u64_at(fields, 16),
            appended_at_ms: u64_at(fields, 24) as i64,
        })
    }

    /// The frame at the beginning of `bytes`, if one is there in full and its checksum is right.
    pub(super) fn check(bytes: &[u8], segment_id: u64) -> Option<Self> {
        let frame = Self::decode(bytes)?;
        let payload = bytes.get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + frame.payload_bytes)?;
        (frame.count > 0 && checksum(segment_id, &bytes[..FRAME_HEADER_BYTES], payload) == frame.crc).then_some(frame)
    }

    /// The batch of a checked frame, sharing its payload with `bytes`, which begin with the frame.
    pub(super) fn batch(&self, bytes: &Bytes) -> Batch {
        let payload = bytes.slice(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + self.payload_bytes);
        Batch::new(self.base, self.count, self.appended_at_ms, payload)
    }

    pub(super) fn last(&self) -> Position {
        // Saturating, because this is asked of unchecked bytes too.
        self.base.saturating_add(u64::from(self.count).saturating_sub(1))
    }

    /// From this frame's beginning to the next one's.
    pub(super) fn stride(&self) -> usize {
        frame_bytes(self.payload_bytes)
    }
}

/// Bytes that a frame with such a payload occupies.
pub(super) fn frame_bytes(payload_bytes: usize) -> usize {
    (FRAME_HEADER_BYTES + payload_bytes).next_multiple_of(FRAME_ALIGN)
}

fn checksum(segment_id: u64, frame_header: &[u8], payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&segment_id.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &frame_header[8..FRAME_HEADER_BYTES]);
    crc32c::crc32c_append(crc, payload)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
