//! Going through a segment's frames: where they are, which positions are lost, where the good part ends.
//! Works on bytes in memory; what to do about the findings is decided by `segments` and `shelf`.

use super::format::{FRAME_ALIGN, Frame, HEADER_BYTES};
use crate::{DamageReason, Position};

/// Bytes between two entries of a segment's index: how much a lookup reads in vain at most, besides one frame.
const MARK_EVERY_BYTES: u64 = 256 << 10;

/// Sparse index of one segment, with everything that is known to be lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    marks: Vec<Mark>,
    holes: Vec<Hole>,
    /// Offset after the last good frame.
    pub(super) end: u64,
    /// Position after the last good frame.
    pub(super) next: Position,
    /// The last good frame, if there is one.
    pub(super) last: Option<Mark>,
}

/// A frame's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) base: Position,
    pub(super) offset: u64,
    pub(super) appended_at_ms: i64,
}

/// Positions that are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) from: Position,
    pub(super) to: Position,
    pub(super) offset: u64,
    pub(super) reason: DamageReason,
}

impl Index {
    /// The index of a segment without frames that begins with `base`.
    pub(super) fn empty(base: Position) -> Self {
        Self { end: HEADER_BYTES, next: base, ..Self::default() }
    }

    /// The index of a segment whose records are all lost.
    pub(super) fn lost(from: Position, next: Position, reason: DamageReason) -> Self {
        let holes = vec![Hole { from, to: next - 1, offset: 0, reason }];
        Self { holes, ..Self::empty(next) }
    }

    /// Takes in the frame at `offset`, which is the next good one.
    pub(super) fn push(&mut self, frame: &Frame, offset: u64) {
        let mark = Mark { base: frame.base, offset, appended_at_ms: frame.appended_at_ms };
        let after_hole = self.next < frame.base;
        if after_hole {
            let (from, to) = (self.next, frame.base - 1);
            self.holes.push(Hole { from, to, offset: self.end, reason: DamageReason::Checksum });
        }
        // Always one after a hole, as no way leads over it from frame to frame.
        if after_hole || self.marks.last().is_none_or(|last| last.offset + MARK_EVERY_BYTES <= offset) {
            self.marks.push(mark);
        }
        self.last = Some(mark);
        self.end = offset + frame.stride() as u64;
        self.next = frame.last() + 1;
    }

    /// This index, which was made by looking again at the file, with what was appended since: `current` knows that.
    pub(super) fn extended_by(mut self, current: &Self) -> Self {
        let known = self.next;
        self.marks.extend(current.marks.iter().filter(|mark| mark.base >= known));
        self.holes.extend(current.holes.iter().filter(|hole| hole.from >= known));
        if current.next > known {
            (self.end, self.next, self.last) = (current.end, current.next, current.last);
        }
        self
    }

    pub(super) fn hole_at(&self, position: Position) -> Option<&Hole> {
        self.holes.iter().find(|hole| (hole.from..=hole.to).contains(&position))
    }

    pub(super) fn holes(&self) -> &[Hole] {
        &self.holes
    }

    /// Where to begin looking for the frame that holds `position`.
    pub(super) fn offset_before(&self, position: Position) -> u64 {
        let after = self.marks.partition_point(|mark| mark.base <= position);
        after.checked_sub(1).map_or(HEADER_BYTES, |index| self.marks[index].offset)
    }

    /// A position whose frame is older than `time_ms`, as near to it as the index knows; `None` if there is none.
    pub(super) fn position_before_time(&self, time_ms: i64) -> Option<Position> {
        let after = self.marks.partition_point(|mark| mark.appended_at_ms < time_ms);
        after.checked_sub(1).map(|index| self.marks[index].base)
    }
}

/// Goes through all frames of a segment. `bytes` is the file, `next` the position after the segment's last record if
/// that is known (the segment is sealed): what is missing up to there is lost.
///
/// A bad frame that is followed by a good one is damage, as only the very last write can be torn; without a good one
/// after it, it is a torn tail, and `Index::end` is where the good part ends.
pub(super) fn scan(bytes: &[u8], id: u64, base: Position, next: Option<Position>) -> Index {
    let mut index = Index::empty(base);
    let limit = next.unwrap_or(Position::MAX);
    while let Some((frame, offset)) = next_frame(bytes, id, index.end as usize, index.next, limit) {
        index.push(&frame, offset as u64);
    }
    if let Some(next) = next.filter(|next| index.next < *next) {
        let reason = if is_zero(bytes, index.end) { DamageReason::Missing } else { DamageReason::Checksum };
        index.holes.push(Hole { from: index.next, to: next - 1, offset: index.end, reason });
        index.next = next;
    }
    index
}

/// The first good frame at `offset` or after, with positions from `from` and below `limit`.
fn next_frame(bytes: &[u8], id: u64, offset: usize, from: Position, limit: Position) -> Option<(Frame, usize)> {
    (offset..bytes.len()).step_by(FRAME_ALIGN).find_map(|at| {
        let possible = |frame: &Frame| frame.base >= from && frame.count > 0 && frame.last() < limit;
        Frame::decode(&bytes[at..]).filter(possible)?;
        Frame::check(&bytes[at..], id).map(|frame| (frame, at))
    })
}

fn is_zero(bytes: &[u8], from: u64) -> bool {
    bytes.get(from as usize..).is_none_or(|rest| rest.iter().all(|byte| *byte == 0))
}
