//! Fewer and larger files. Within a day, files of like size are merged once there are [`FILES_ALIKE`] of them; a
//! day that is over and quiet is merged once more, as far as that is worth the writing. Each row is so written a few
//! times in its life, and a day ends as one file or a few large ones.

use super::Error;
use super::sources::Sources;
use super::writer::{FileWriter, Layout, Written};
use crate::LakeFile;
use arrow::datatypes::SchemaRef;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// So many files of like size become one.
const FILES_ALIKE: usize = 8;
/// Files are of like size up to this ratio of rows.
const RATIO: u64 = 8;
/// Most files in one merge: each costs a reader's memory.
const FILES_MAX: usize = 8;
/// A file of so many rows is left as it is.
const ROWS_MAX: u64 = 20_000_000;
/// A file of so many bytes is left as it is.
const BYTES_MAX: u64 = 512 << 20;

/// What to merge next, if anything: files of one day. `quiet` says whether a day gets no more reports but late ones.
pub(crate) fn plan(files: &[Arc<LakeFile>], quiet: impl Fn(i32) -> bool) -> Option<Vec<Arc<LakeFile>>> {
    let mut days: BTreeMap<i32, Vec<Arc<LakeFile>>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.rows < ROWS_MAX && file.bytes < BYTES_MAX) {
        days.entry(file.day).or_default().push(file.clone());
    }
    // The newest day first: that is the one that is read and that grows.
    days.into_iter().rev().find_map(|(day, files)| {
        let alike = of_like_size(&files);
        alike.or_else(|| quiet(day).then(|| worth_merging(files)).flatten())
    })
}

/// Files of which the largest has at most [`RATIO`] times the rows of the smallest, if there are enough of them.
fn of_like_size(files: &[Arc<LakeFile>]) -> Option<Vec<Arc<LakeFile>>> {
    let mut files = files.to_vec();
    files.sort_by_key(|file| (file.rows, file.id));
    let alike = |first: usize| files[first..].partition_point(|file| file.rows <= RATIO * files[first].rows);
    let first = (0..files.len()).find(|first| alike(*first) >= FILES_ALIKE)?;
    Some(within_limits(files[first..first + alike(first)].to_vec()))
}

/// The smaller files of a day, as long as each next one is not much larger than all before together.
fn worth_merging(mut files: Vec<Arc<LakeFile>>) -> Option<Vec<Arc<LakeFile>>> {
    files.sort_by_key(|file| (file.rows, file.id));
    let mut rows = 0;
    let fits = files.iter().take_while(|file| {
        let fits = rows == 0 || file.rows <= RATIO * rows;
        rows += file.rows;
        fits
    });
    let chosen = fits.count();
    files.truncate(chosen);
    let chosen = within_limits(files);
    (chosen.len() >= 2).then_some(chosen)
}

fn within_limits(files: Vec<Arc<LakeFile>>) -> Vec<Arc<LakeFile>> {
    let (mut rows, mut bytes) = (0, 0);
    let fits = files.into_iter().take(FILES_MAX).take_while(|file| {
        rows += file.rows;
        bytes += file.bytes;
        rows <= ROWS_MAX && bytes <= BYTES_MAX
    });
    fits.collect()
}

/// Writes the rows of these files of one day into one. `keep_on` is asked now and then; `None` when it said no. On Err
/// and on `None` there is no new file.
pub(crate) fn run(
    table: &Path,
    schema: &SchemaRef,
    files: &[Arc<LakeFile>],
    layout: &Layout,
    keep_on: &dyn Fn() -> bool,
) -> Result<Option<Written>, Error> {
    let mut sources = Sources::open(files, schema)?;
    let mut merged = FileWriter::create(table, files[0].day, schema, layout)?;
    let mut rows = 0;
    while let Some(batch) = sources.next()? {
        rows += batch.num_rows() as u64;
        merged.write(&batch)?;
        if !keep_on() {
            return Ok(None);
        }
    }
    let wanted: u64 = files.iter().map(|file| file.rows).sum();
    if rows != wanted {
        let problem =
            format!("{rows} rows were read for a merge where the catalogue has {wanted}; run `drover doctor`");
        return Err(Error::unusable(&files[0].path, problem));
    }
    merged.finish().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Key;
    use drover_model::Kind;

    fn file(id: i64, day: i32, rows: u64) -> Arc<LakeFile> {
        let key = Key { kind: Kind::Driver, id: "d-1".into() };
        let (first, last) = (key.clone(), key);
        let (path, stored) = (format!("/lake/{id}.parquet").into(), None);
        let (event_time, position) = (0..=0, 1..=1);
        Arc::new(LakeFile {
            id,
            path,
            stored,
            rows,
            bytes: rows * 12,
            footer_bytes: 1,
            day,
            first,
            last,
            event_time,
            position,
        })
    }

    /// Files of one day with these rows, numbered from 0.
    fn day(rows: &[u64]) -> Vec<Arc<LakeFile>> {
        rows.iter().enumerate().map(|(id, rows)| file(id as i64, 1, *rows)).collect()
    }

    fn planned(files: &[Arc<LakeFile>], quiet: bool) -> Option<Vec<i64>> {
        plan(files, |_| quiet).map(|files| files.iter().map(|file| file.id).collect())
    }

    #[test]
    fn eight_files_of_like_size_become_one() {
        assert_eq!(planned(&day(&[100; 7]), false), None);
        assert_eq!(planned(&day(&[100; 8]), false), Some((0..8).collect()));
        assert_eq!(
            planned(&day(&[260_000, 270_000, 250_000, 240_000, 1, 261_000, 262_144, 262_145, 300_000]), false)
                .map(|ids| ids.len()),
            Some(8)
        );
    }

    #[test]
    fn a_large_file_is_not_written_again_for_a_few_rows() {
        assert_eq!(planned(&day(&[1_000_000, 10, 10]), true), Some(vec![1, 2]));
        assert_eq!(planned(&day(&[1_000_000, 10]), true), None);
        assert_eq!(planned(&day(&[1_000_000, 200_000]), true), Some(vec![1, 0]));
    }

    #[test]
    fn full_files_are_left_as_they_are() {
        assert_eq!(planned(&day(&[ROWS_MAX; 9]), true), None);
        let nearly = planned(&day(&[ROWS_MAX / 3; 9]), false).unwrap();
        assert_eq!(nearly.len(), 3, "no more than fits into one file");
    }

    #[test]
    fn days_are_not_mixed() {
        let files: Vec<_> = (0..16).map(|id| file(id, id as i32 % 2, 100)).collect();
        assert_eq!(planned(&files, false), Some(vec![1, 3, 5, 7, 9, 11, 13, 15]));
    }

    /// A day of a flush each minute: how often each row is written, and how many files there are at most.
    #[test]
    fn a_row_is_written_a_few_times_only() {
        let (mut files, mut written, mut most) = (Vec::new(), 0, 0);
        for id in 0..1_440 {
            files.push(file(id, 1, 7_000));
            while let Some(chosen) = plan(&files, |_| false) {
                let rows = chosen.iter().map(|file| file.rows).sum();
                files.retain(|file| !chosen.contains(file));
                files.push(file(10_000 + written as i64, 1, rows));
                written += rows;
            }
            most = most.max(files.len());
        }
        let all: u64 = files.iter().map(|file| file.rows).sum();
        assert_eq!(all, 1_440 * 7_000);
        assert!(written <= 5 * all, "{written} rows were written for {all}");
        assert!(most <= 32, "{most} files at a time");
    }
}
