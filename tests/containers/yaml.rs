//! YAML documents as JSON.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::tools::tool;

const CONVERT: &str = "import json, sys, yaml; json.dump(list(yaml.safe_load_all(open(sys.argv[1]))), sys.stdout)";

pub fn documents(file: &Path) -> Vec<Value> {
    let output = Command::new(tool("python")).args(["-c", CONVERT]).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Text at a pointer as RFC 6901 has it.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no text at {pointer} of {value}"))
}

pub fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub fn words(value: &Value, pointer: &str) -> Vec<String> {
    list(value, pointer).iter().map(|word| word.as_str().expect("a word").to_owned()).collect()
}
