//! Durable cursors: how far each follower has dealt with the stream. One small file per follower in the stream's folder.
//! Followers that commit their cursor together with their own data (history) do not need this.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::Position;

/// The cursors kept in one stream's folder.
#[derive(Clone, Debug)]
pub struct Cursors {
    folder: PathBuf,
}

impl Cursors {
    /// The cursors of the stream in `stream_folder`; the folder is made if needed.
    pub fn open(stream_folder: &Path) -> io::Result<Self> {
        let folder = stream_folder.join("cursors");
        fs::create_dir_all(&folder)?;
        File::open(stream_folder)?.sync_all()?;
        Ok(Self { folder })
    }

    /// The position saved last under this name; 0 when there is none. To continue: follow from it + 1.
    pub fn load(&self, name: &str) -> io::Result<Position> {
        let path = self.path(name)?;
        match fs::read_to_string(&path) {
            Ok(text) => parse(&text).ok_or_else(|| damaged(&path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// On success the position is on stable storage. On error, and after a crash in between, the former one stays.
    pub fn save(&self, name: &str, position: Position) -> io::Result<()> {
        let path = self.path(name)?;
        let temporary = path.with_extension("tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(render(position).as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(&self.folder)?.sync_all()
    }

    fn path(&self, name: &str) -> io::Result<PathBuf> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(plain) {
            let problem = format!("a cursor's name is letters, digits, - and _, not {name:?}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        Ok(self.folder.join(format!("{name}.cursor")))
    }
}

fn render(position: Position) -> String {
    let digits = position.to_string();
    format!("{digits} {:08x}\n", crc32c::crc32c(digits.as_bytes()))
}

/// `None` unless the text is exactly what [`render`] makes.
fn parse(text: &str) -> Option<Position> {
    let position = text.split(' ').next()?.parse().ok()?;
    (render(position) == text).then_some(position)
}

fn damaged(path: &Path) -> io::Error {
    let problem = format!("{} is damaged; remove it to start over from the beginning", path.display());
    io::Error::new(io::ErrorKind::InvalidData, problem)
}
