//! Puts the built web page into the binary: every file of `web/dist`, packed where that pays. Without
//! a built page (Rust work needs no Node) the list is empty and the node says how to build it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

fn main() {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/dist");
    let dist = fs::canonicalize(&dist).unwrap_or(dist);
    let out = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    println!("cargo::rerun-if-changed={}", dist.display());
    let mut files = Vec::new();
    collect(&dist, &mut files);
    files.sort();
    let mut list = String::from("&[\n");
    for (number, path) in files.iter().enumerate() {
        println!("cargo::rerun-if-changed={}", path.display());
        let address = path.strip_prefix(&dist).expect("inside dist").to_string_lossy().replace('\\', "/");
        let bytes = fs::read(path).expect("a file just listed");
        let packed = pack(&bytes, &address).map(|packed| {
            let place = out.join(format!("{number}.gz"));
            fs::write(&place, packed).expect("OUT_DIR is writable");
            place
        });
        let packed = packed.map_or("None".into(), |place| format!("Some(include_bytes!({place:?}))"));
        list += &format!("File {{ address: {address:?}, bytes: include_bytes!({path:?}), gzip: {packed} }},\n");
    }
    list += "]\n";
    fs::write(out.join("web_files.rs"), list).expect("OUT_DIR is writable");
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(fs::canonicalize(&path).expect("a file just listed"));
        }
    }
}

/// Gzip, for texts of some size. Map tiles are packed already and are read by ranges.
fn pack(bytes: &[u8], address: &str) -> Option<Vec<u8>> {
    let text =
        [".js", ".mjs", ".css", ".html", ".svg", ".json", ".geojson"].iter().any(|ending| address.ends_with(ending));
    if !text || bytes.len() < 1024 {
        return None;
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("a Vec takes everything");
    Some(encoder.finish().expect("a Vec takes everything"))
}
