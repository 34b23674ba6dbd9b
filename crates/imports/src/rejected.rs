//! The list of a job's rejected rows: a CSV beside the job, one line for each, with everything that is needed to mend
//! the file. It only grows; after a crash it is cut back to what the job's last checkpoint counted.

use drover_model::Reject;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

/// First line of every list.
const HEADER: &str = "row,field,value,rule,message\n";
/// The list ends here; what is rejected beyond is counted only. The file as it came is still there.
const LIST_MAX_BYTES: u64 = 256 << 20;

/// A list that is being written.
#[derive(Debug)]
pub(crate) struct Rejected {
    out: BufWriter<File>,
    bytes: u64,
}

impl Rejected {
    /// Opens a list to go on behind its first `bytes` bytes.
    pub(crate) fn open(path: &Path, bytes: u64) -> io::Result<Rejected> {
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        file.set_len(bytes)?;
        file.seek(SeekFrom::End(0))?;
        let mut list = Rejected { out: BufWriter::with_capacity(64 << 10, file), bytes };
        if bytes == 0 {
            list.write(HEADER)?;
        }
        Ok(list)
    }

    /// Adds a row.
    pub(crate) fn add(&mut self, row: u64, reject: &Reject) -> io::Result<()> {
        if self.bytes >= LIST_MAX_BYTES {
            return Ok(());
        }
        let Reject { code, field, message, value } = reject;
        self.write(&format!("{row},{},{},{},{}\n", cell(field), cell(value), code.name(), cell(message)))
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        self.out.write_all(line.as_bytes())?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Makes everything durable; gives the length to come back to.
    pub(crate) fn sync(&mut self) -> io::Result<u64> {
        self.out.flush()?;
        self.out.get_ref().sync_data()?;
        Ok(self.bytes)
    }
}

/// A cell as RFC 4180 has it. A leading `=`, `+`, `-` or `@` that is no number is quoted apart, since spreadsheets take
/// such a cell for a formula.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@']) && text.parse::<f64>().is_err();
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drover_model::RejectCode;

    #[test]
    fn a_list_goes_on_where_it_was_left_and_quotes_what_needs_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.csv");
        let reject =
            |value: &str| Reject::new(RejectCode::WrongType, "speed", "speed is \"a,b\"".into()).with_value(value);
        let mut list = Rejected::open(&path, 0).unwrap();
        list.add(3, &reject("-1")).unwrap();
        let kept = list.sync().unwrap();
        list.add(4, &reject("lost")).unwrap();
        list.sync().unwrap();
        let mut list = Rejected::open(&path, kept).unwrap();
        list.add(5, &reject("=1+1")).unwrap();
        list.sync().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let quoted = "\"speed is \"\"a,b\"\"\"";
        assert_eq!(
            text,
            format!(
                "row,field,value,rule,message\n3,speed,-1,wrong_type,{quoted}\n5,speed,'=1+1,wrong_type,{quoted}\n"
            )
        );
    }
}
