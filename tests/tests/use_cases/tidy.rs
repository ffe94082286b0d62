//! Rules of the repository, checked by walking it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Our crates and which of ours they may use. Dependencies point one way; the agent stands on the domain alone.
const MAY_USE: &[(&str, &[&str])] = &[
    ("ozma-domain", &[]),
    ("ozma-store", &["ozma-domain"]),
    ("ozma-providers", &["ozma-domain"]),
    ("ozma-app", &["ozma-domain", "ozma-store", "ozma-providers"]),
    ("ozma-local", &["ozma-domain", "ozma-store", "ozma-app"]),
    ("ozma-aws", &["ozma-domain", "ozma-store", "ozma-app"]),
    ("ozma-boot", &["ozma-domain", "ozma-store", "ozma-providers", "ozma-app", "ozma-local", "ozma-aws"]),
    ("ozma-webhook", BELOW_FUNCTIONS),
    ("ozma-api", BELOW_FUNCTIONS),
    ("ozma-executions", BELOW_FUNCTIONS),
    ("ozma-schedule", BELOW_FUNCTIONS),
    ("ozma-dispatch", BELOW_FUNCTIONS),
    ("ozma-settle", BELOW_FUNCTIONS),
    ("ozma-sweep", BELOW_FUNCTIONS),
    ("ozma-announce", BELOW_FUNCTIONS),
    ("ozma-notify", BELOW_FUNCTIONS),
    ("ozma-agent", &["ozma-domain"]),
    ("oz", &["ozma-domain", "ozma-app", "ozma-boot", "ozma-webhook", "ozma-api", "ozma-executions", "ozma-agent"]),
];

/// Functions never use one another.
const BELOW_FUNCTIONS: &[&str] = &["ozma-domain", "ozma-store", "ozma-app", "ozma-boot"];

#[test]
fn dependencies_point_one_way() {
    let metadata = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo");
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("metadata");
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let packages = metadata["packages"].as_array().expect("packages");
    let names: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
        let ours = dependencies
            .filter(|dependency| dependency["kind"].is_null())
            .filter_map(|dependency| dependency["name"].as_str())
            .filter(|dependency| names.contains(dependency));
        used.entry(name.to_owned()).or_default().extend(ours.map(str::to_owned));
    }
    // Tests may use everything.
    used.remove("ozma-tests");
    let known: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    assert_eq!(used.keys().map(String::as_str).collect::<BTreeSet<_>>(), known, "a new crate needs a row");
    for (name, may_use) in MAY_USE {
        let uses = &used[*name];
        let beyond: Vec<_> = uses.iter().filter(|other| !may_use.contains(&other.as_str())).collect();
        assert!(beyond.is_empty(), "{name} must not use {beyond:?}");
    }
}

/// Calls `check` with each Rust file's path below the root and its text.
fn each_source(mut check: impl FnMut(&str, &str)) {
    let mut folders = vec![root()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let text = std::fs::read_to_string(&path).expect("a text");
                let below = path.strip_prefix(root()).expect("below the root");
                check(&below.to_string_lossy(), &text);
                files += 1;
            }
        }
    }
    assert!(files > 50, "the walk finds the sources");
}

#[test]
fn every_module_says_what_it_is_for() {
    each_source(|path, text| assert!(text.starts_with("//!"), "{path} begins without a purpose"));
}

#[test]
fn nothing_is_left_to_do_and_nothing_is_silently_allowed() {
    each_source(|path, text| {
        if path.ends_with("tidy.rs") {
            return;
        }
        for forbidden in ["TODO", "FIXME", "XXX:", "todo!(", "#[allow(", "#![allow("] {
            assert!(!text.contains(forbidden), "{path} contains {forbidden}");
        }
    });
}

#[test]
fn only_the_store_spells_keys() {
    each_source(|path, text| {
        let elsewhere = !path.starts_with("shared/store/") && !path.starts_with("shared/local/");
        if elsewhere && !path.starts_with("tests/") {
            assert!(!text.contains("\"pk\"") && !text.contains("\"sk\""), "{path} spells a key");
        }
    });
}

#[test]
fn files_stay_small_enough_to_hold_in_the_head() {
    each_source(|path, text| {
        let lines = text.lines().count();
        assert!(lines <= 700, "{path} has {lines} lines: which second noun moved in?");
    });
}
