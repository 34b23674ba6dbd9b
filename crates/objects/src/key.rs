//! What a key may be. The rules are those under which a folder and a bucket can keep the same object: every segment is
//! a file's name, and none leads out of the place.

/// Longest key, bytes. S3 takes 1,024; the rest is for the place's prefix.
pub(crate) const KEY_MAX_BYTES: usize = 900;
/// Longest segment, bytes. File systems take 255; the rest is for [`UNFINISHED`].
const SEGMENT_MAX_BYTES: usize = 240;
/// How the name of a file ends that a folder is still writing.
pub(crate) const UNFINISHED: &str = ".tmp";
/// How the name of what [`crate::Objects::check`] writes begins.
pub(crate) const CHECK: &str = ".drover-check-";

/// Why something cannot be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing at all.
    #[error("a key may not be empty")]
    Empty,
    /// More than 900 bytes.
    #[error("a key may have at most {KEY_MAX_BYTES} bytes")]
    Long,
    /// Between two slashes, at the start or at the end there is nothing, or what leads out of the place.
    #[error("between the slashes of a key there must be names, not \"\", \".\" or \"..\"")]
    Segment,
    /// More than 240 bytes between two slashes.
    #[error("between two slashes of a key there may be at most {SEGMENT_MAX_BYTES} bytes")]
    SegmentLong,
    /// A line break, a NUL and the like.
    #[error("a key may not have control characters")]
    Control,
    /// That is how files end that are still being written.
    #[error("no name in a key may end with {UNFINISHED}")]
    Unfinished,
}

/// Refuses what cannot be a key.
pub(crate) fn check(key: &str) -> Result<(), KeyError> {
    match key {
        "" => Err(KeyError::Empty),
        _ if key.len() > KEY_MAX_BYTES => Err(KeyError::Long),
        _ if key.chars().any(char::is_control) => Err(KeyError::Control),
        _ => key.split('/').try_for_each(check_segment),
    }
}

fn check_segment(segment: &str) -> Result<(), KeyError> {
    match segment {
        "" | "." | ".." => Err(KeyError::Segment),
        _ if segment.len() > SEGMENT_MAX_BYTES => Err(KeyError::SegmentLong),
        _ if segment.ends_with(UNFINISHED) => Err(KeyError::Unfinished),
        _ => Ok(()),
    }
}

/// Whether a list shows this key. What others put into the place under names that are no keys is not shown, because it
/// could not be read by them.
pub(crate) fn is_listed(key: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or(key);
    check(key).is_ok() && !name.starts_with(CHECK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_and_odd_names_are_keys() {
        for key in ["a", "year=2026/month=5/x.parquet", "ü/a b/100%/a+b=c", "a..b/...", ".hidden", "a/x.tmp.parquet"] {
            assert_eq!(check(key), Ok(()), "{key}");
        }
        assert_eq!(check(&vec!["x".repeat(240); 3].join("/")), Ok(()));
    }

    #[test]
    fn what_leads_out_or_cannot_be_a_file_is_refused() {
        for key in ["/a", "a/", "a//b", ".", "..", "a/../b", "../a", "a/."] {
            assert_eq!(check(key), Err(KeyError::Segment), "{key}");
        }
        assert_eq!(check(""), Err(KeyError::Empty));
        assert_eq!(check(&"a/".repeat(451)), Err(KeyError::Long));
        assert_eq!(check(&"x".repeat(241)), Err(KeyError::SegmentLong));
        assert_eq!(check("a\nb"), Err(KeyError::Control));
        assert_eq!(check("a.tmp"), Err(KeyError::Unfinished));
        assert_eq!(check("a.tmp/b"), Err(KeyError::Unfinished));
    }
}
