//! The layers of `layers.txt`, checked against what cargo says of every crate.

use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn layers() -> HashMap<String, u32> {
    let text = std::fs::read_to_string(root().join("layers.txt")).expect("layers.txt stands at the root");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, layer) = line.split_once(' ').expect("a line is `crate layer`");
            (name.to_owned(), layer.trim().parse().expect("a layer is a number"))
        })
        .collect()
}

fn packages() -> Vec<Value> {
    let cargo = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let metadata: Value = serde_json::from_slice(&cargo.stdout).expect("cargo metadata is JSON");
    metadata["packages"].as_array().expect("a list of packages").clone()
}

/// The crate's folder below `crates/`: the name that `layers.txt` uses.
fn folder(path: &str) -> Option<String> {
    let path = Path::new(path);
    let folder = if path.ends_with("Cargo.toml") { path.parent()? } else { path };
    Some(folder.file_name()?.to_string_lossy().into_owned())
}

#[test]
fn every_dependency_goes_to_a_lower_layer() {
    let layers = layers();
    let mut wrong = Vec::new();
    for package in packages() {
        let name = folder(package["manifest_path"].as_str().expect("a path")).expect("a folder");
        let Some(layer) = layers.get(&name) else {
            wrong.push(format!("crates/{name} has no layer in layers.txt"));
            continue;
        };
        for dependency in package["dependencies"].as_array().expect("a list") {
            // Test code may look anywhere: a scenario reads the log it has just seen written.
            if dependency["kind"] == "dev" {
                continue;
            }
            let Some(below) = dependency["path"].as_str().and_then(folder) else { continue };
            let lower = layers.get(&below).is_some_and(|below| below < layer);
            if !lower {
                wrong.push(format!("{name} (layer {layer}) depends on {below} (layer {:?})", layers.get(&below)));
            }
        }
    }
    assert!(wrong.is_empty(), "edges that go up or sideways:\n{}", wrong.join("\n"));
}

#[test]
fn every_named_layer_has_its_crate() {
    let folders: Vec<_> = packages().iter().filter_map(|p| folder(p["manifest_path"].as_str()?)).collect();
    let missing: Vec<_> = layers().into_keys().filter(|name| !folders.contains(name)).collect();
    assert!(missing.is_empty(), "layers.txt names crates that do not exist: {missing:?}");
}
