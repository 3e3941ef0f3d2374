//! The arrows of docs/design.md: reads the paths that each layer mentions and fails when one points the wrong way.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// Lines of code that mention one of `words`, in files whose path begins with one of `under`.
fn mentions(under: &[&str], words: &[&str]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut hits = Vec::new();
    for file in files {
        let name = file.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        if !under.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if words.iter().any(|word| code.contains(word)) {
                hits.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    hits
}

#[test]
fn the_domain_knows_nobody() {
    let outside = [
        "crate::vfs",
        "crate::fuse",
        "crate::adapters",
        "crate::app",
        "crate::config",
        "crate::cli",
        "crate::commands",
    ];
    assert_eq!(mentions(&["domain"], &outside), [""; 0]);
    assert_eq!(mentions(&["domain"], &["fuser::", "reqwest::", "redb::", "clap::", "libc::", "std::fs"]), [""; 0]);
}

#[test]
fn the_tree_knows_the_domain_only() {
    assert_eq!(mentions(&["vfs"], &["crate::fuse", "crate::adapters", "crate::app", "crate::config"]), [""; 0]);
    assert_eq!(mentions(&["vfs"], &["fuser::", "reqwest::", "redb::", "std::fs::"]), [""; 0]);
}

#[test]
fn foreign_crates_stay_in_their_place() {
    let elsewhere = |place: &str, word: &str| -> Vec<String> {
        mentions(&[""], &[word]).into_iter().filter(|hit| !hit.starts_with(place)).collect()
    };
    assert_eq!(elsewhere("fuse", "fuser::"), [""; 0]);
    assert_eq!(elsewhere("adapters/tfc", "reqwest::"), [""; 0]);
    assert_eq!(elsewhere("adapters/redb_store", "redb::"), [""; 0]);
}

#[test]
fn the_guard_itself_sees_something() {
    assert!(!mentions(&["fuse"], &["fuser::"]).is_empty());
    assert!(!mentions(&["adapters/tfc"], &["reqwest::"]).is_empty());
}
