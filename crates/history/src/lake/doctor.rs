//! Is the lake whole? Compares the catalogue with the files and the log, changes nothing, and says of each finding
//! what to do. May run beside a running node. Nothing is repaired by itself: a file that is damaged stays in the
//! catalogue, reads that touch it name it, and its positions on the log are told so that the rows can be had again.

use super::catalog::{Catalog, IDS};
use super::live::Found;
use super::stores::Stores;
use super::{CATALOG, Error, orphans, sources, writer};
use crate::{FileBytes, LakeFile};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use drover_objects::S3;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaDataReader;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
    /// What to do.
    pub advice: String,
}

/// Most memory for the search for rows that are there twice, bytes: one bit per position.
const SEEN_MAX_BYTES: u64 = 1 << 30;
/// Memory for pieces of objects.
const CACHE_BYTES: usize = 16 << 20;

/// Looks at the lake in `folder`. `log` is what the log of reports holds (oldest position, next position), where it is
/// known. `deep` also decodes every row and looks for positions that are there twice. Err when the catalogue cannot
/// be read at all. Files in object stores are looked at too, with the settings of `s3`.
pub fn check(folder: &Path, log: Option<Range<u64>>, deep: bool, s3: &S3) -> Result<Vec<Finding>, Error> {
    let (folder, stores) = (folder.to_owned(), Arc::new(Stores::to_read(s3, CACHE_BYTES)));
    // The catalogue has an executor of its own, which must not be started on a thread that belongs to another one.
    let checking = std::thread::spawn(move || Checking::new(&folder, log, deep, stores)?.run());
    checking.join().expect("checking does not panic")
}

struct Checking {
    catalog: Catalog,
    log: Option<Range<u64>>,
    deep: bool,
    findings: Vec<Finding>,
    seen: Option<Seen>,
}

impl Checking {
    fn new(folder: &Path, log: Option<Range<u64>>, deep: bool, stores: Arc<Stores>) -> Result<Checking, Error> {
        let path = folder.join(CATALOG);
        if !path.is_file() {
            return Err(Error::unusable(&path, "there is no catalogue here; give the folder of a lake"));
        }
        let catalog = Catalog::open_to_read(folder, stores)?;
        Ok(Checking { catalog, log, deep, findings: Vec::new(), seen: None })
    }

    fn run(mut self) -> Result<Vec<Finding>, Error> {
        self.check_catalog()?;
        let mut files = Vec::new();
        for found in self.catalog.files()? {
            match found {
                Found::Ours(file) => files.push(file),
                Found::Foreign(path) => self.find(
                    &path,
                    "was not written by Drover, and its rows are not shown",
                    "another program wrote to the lake: bring the catalogue back from before that, and attach READ_ONLY",
                ),
            }
        }
        self.seen = self.deep.then(|| Seen::of(&files)).flatten();
        files.iter().for_each(|file| self.check_file(file));
        for orphan in orphans::find(&mut self.catalog)? {
            self.find(
                &orphan,
                "is in no snapshot",
                "nothing: a crash left it or it is being written now; the next start removes what is left over",
            );
        }
        self.check_cursor();
        Ok(self.findings)
    }

    fn find(&mut self, path: &Path, problem: impl Into<String>, advice: impl Into<String>) {
        self.findings.push(Finding { path: path.to_owned(), problem: problem.into(), advice: advice.into() });
    }

    fn check_catalog(&mut self) -> Result<(), Error> {
        let path = self.catalog.path.clone();
        for problem in self.catalog.integrity()? {
            self.find(&path, problem, "bring the catalogue back from a backup; the data files are not touched");
        }
        for (table, rows) in self.catalog.deletions_by_others()? {
            let problem = format!("{table} says that {rows} rows or files were changed; Drover still shows them");
            self.find(&path, problem, "another program deleted rows; only Drover may write: attach READ_ONLY");
        }
        Ok(())
    }

    fn check_file(&mut self, file: &LakeFile) {
        let problem = look_at(file).err().or_else(|| {
            let decoded = if self.deep { self.decode(file) } else { Ok(()) };
            decoded.err()
        });
        if let Some(problem) = problem {
            let advice = self.how_to_get_back(file);
            self.find(&file.path, problem, advice);
        }
    }

    fn how_to_get_back(&self, file: &LakeFile) -> String {
        let (first, last) = (*file.position.start(), *file.position.end());
        let in_log = match &self.log {
            None => "the log was not looked at".to_owned(),
            Some(log) if log.start > last => "the log has none of them any more".to_owned(),
            Some(log) => format!("the log still has those from position {} on", first.max(log.start)),
        };
        format!(
            "bring the file back from a backup; its {} reports lie between positions {first} and {last}, and {in_log}. \
             Until then reads that need it say so, everything else works, and nothing repairs it by itself",
            file.rows
        )
    }

    /// Reads every row.
    fn decode(&mut self, file: &LakeFile) -> Result<(), String> {
        let opened = FileBytes::open(file).map_err(|error| error.to_string())?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(|error| error.to_string())?;
        let mut rows = 0;
        for batch in builder.build().map_err(|error| error.to_string())? {
            let batch = batch.map_err(|error| format!("after {rows} rows: {error}"))?;
            let batch = sources::adapt(batch, &self.catalog.schema)?;
            rows += batch.num_rows() as u64;
            self.see(file, &batch)?;
        }
        if rows == file.rows { Ok(()) } else { Err(format!("{rows} rows can be read where {} should be", file.rows)) }
    }

    fn see(&mut self, file: &LakeFile, batch: &RecordBatch) -> Result<(), String> {
        let positions = batch.column(super::stats::at::POSITION).as_primitive::<Int64Type>();
        for position in positions.values().iter().map(|position| *position as u64) {
            if !file.position.contains(&position) {
                return Err(format!("position {position} is outside of what the catalogue says of the file"));
            }
            if self.seen.as_mut().is_some_and(|seen| !seen.insert(position)) {
                return Err(format!("position {position} is in the lake twice"));
            }
        }
        Ok(())
    }

    fn check_cursor(&mut self) {
        let Some(log) = self.log.clone() else { return };
        let (path, cursor) = (self.catalog.path.clone(), self.catalog.head.cursor);
        if cursor >= log.end {
            let problem = format!("it holds reports up to position {cursor}, but the log ends at {}", log.end - 1);
            self.find(&path, problem, "bring back the log that belongs to this lake, or move the lake's folder away");
        }
        if cursor + 1 < log.start {
            let problem =
                format!("positions {} to {} left the log before history read them", cursor + 1, log.start - 1);
            self.find(
                &path,
                problem,
                "keep the log longer (log_max_age_h, log_max_size_mib) or bring its segments back",
            );
        }
        if self.catalog.head.gap > 0 {
            let problem = format!("{} positions could not be had from the log so far", self.catalog.head.gap);
            self.find(
                &path,
                problem,
                "look for `history passes over` in the node's messages; `drover log verify` tells more",
            );
        }
    }
}

/// Size, footer and row count of a file, without decoding rows.
fn look_at(file: &LakeFile) -> Result<(), String> {
    let opened = FileBytes::open(file).map_err(|error| format!("cannot be opened: {error}"))?;
    let bytes = match &file.stored {
        None => opened.size(),
        Some(stored) => match stored.objects().head(stored.key()).map_err(|error| error.to_string())? {
            Some(meta) => meta.bytes,
            None => return Err("is not there".into()),
        },
    };
    if bytes != file.bytes {
        return Err(format!("has {bytes} bytes where the catalogue says {}", file.bytes));
    }
    let trailer = opened.read(bytes.saturating_sub(writer::TRAILER_BYTES)..bytes);
    let footer_bytes = trailer.and_then(|trailer| writer::footer_bytes_of(&trailer));
    let footer_bytes = footer_bytes.map_err(|error| format!("has no footer: {error}"))?;
    if footer_bytes != file.footer_bytes {
        return Err(format!("has a footer of {footer_bytes} bytes where the catalogue says {}", file.footer_bytes));
    }
    let footer = ParquetMetaDataReader::new().parse_and_finish(&opened);
    let rows = footer.map_err(|error| format!("has a damaged footer: {error}"))?.file_metadata().num_rows() as u64;
    if rows == file.rows { Ok(()) } else { Err(format!("has {rows} rows where the catalogue says {}", file.rows)) }
}

/// Which positions were seen, one bit each.
struct Seen {
    first: u64,
    bits: Vec<u64>,
}

impl Seen {
    /// `None` when the files span more positions than are worth the memory.
    fn of(files: &[Arc<LakeFile>]) -> Option<Seen> {
        let first = files.iter().map(|file| *file.position.start()).min()?;
        let last = files.iter().map(|file| *file.position.end()).max()?;
        let words = (last - first) / 64 + 1;
        (words * 8 <= SEEN_MAX_BYTES).then(|| Seen { first, bits: vec![0; words as usize] })
    }

    /// False if it was there.
    fn insert(&mut self, position: u64) -> bool {
        let at = position - self.first;
        let (word, bit) = (&mut self.bits[(at / 64) as usize], 1 << (at % 64));
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}

impl Catalog {
    /// What SQLite finds wrong with its file.
    fn integrity(&mut self) -> Result<Vec<String>, Error> {
        let failed = self.failed("checking the file");
        let check = sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&mut self.connection);
        let said: Vec<String> = self.runtime.block_on(check).map_err(failed)?;
        Ok(said.into_iter().filter(|line| line != "ok").collect())
    }

    /// Rows that other programs deleted, by the catalogue's table that says so.
    fn deletions_by_others(&mut self) -> Result<Vec<(String, i64)>, Error> {
        let failed = self.failed("looking for deletions");
        let found = self.runtime.block_on(async {
            let sql = "SELECT name FROM sqlite_master WHERE name = 'ducklake_delete_file' OR name = ?";
            let inlined = format!("ducklake_inlined_delete_{}", IDS.0);
            let tables: Vec<String> = sqlx::query_scalar(sql).bind(inlined).fetch_all(&mut self.connection).await?;
            let mut found = Vec::new();
            for table in tables {
                let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
                let rows: i64 = sqlx::query_scalar(sql).fetch_one(&mut self.connection).await?;
                found.push((table, rows));
            }
            sqlx::Result::Ok(found)
        });
        Ok(found.map_err(failed)?.into_iter().filter(|(_, rows)| *rows > 0).collect())
    }
}
