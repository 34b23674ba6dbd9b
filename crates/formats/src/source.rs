//! A file as plain bytes, whatever it was packed with. Compression is told by the first bytes, never by the name.

use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

/// Bytes that are read from the disk, or unpacked, at once.
const BLOCK_BYTES: usize = 256 << 10;
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Unpacked bytes, with a block of them in memory to look at.
pub(crate) type Source = Box<dyn BufRead + Send>;

/// The file as plain bytes.
pub(crate) fn unpacked(file: File) -> io::Result<Source> {
    let mut packed = BufReader::with_capacity(BLOCK_BYTES, file);
    let start = packed.fill_buf()?;
    if start.starts_with(&GZIP) {
        return Ok(buffered(MultiGzDecoder::new(packed)));
    }
    if start.starts_with(&ZSTD) {
        return Ok(buffered(zstd::stream::read::Decoder::with_buffer(packed)?));
    }
    Ok(Box::new(packed))
}

fn buffered(reader: impl Read + Send + 'static) -> Source {
    Box::new(BufReader::with_capacity(BLOCK_BYTES, reader))
}

/// The first bytes of the source, without consuming them: at least a whole header if there is one that long. Unpacking
/// may give few bytes at a time, so one look is not always enough; what was read is put in front again.
pub(crate) fn start_of(mut source: Source) -> io::Result<(Vec<u8>, Source)> {
    let mut start = Vec::new();
    source.by_ref().take(HEADER_BYTES as u64).read_to_end(&mut start)?;
    let whole = io::Cursor::new(start.clone()).chain(source);
    Ok((start, Box::new(BufReader::with_capacity(BLOCK_BYTES, whole))))
}

/// So much of a file is looked at to recognise it.
const HEADER_BYTES: usize = 16 << 10;
