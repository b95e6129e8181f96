//! Modules import only what stands to their right in the table of `ARCHITECTURE.md`.

use std::fs;
use std::path::Path;

/// A module and what it may import from the crate.
const LAYERS: &[(&str, &[&str])] = &[
    ("engine", &["model", "metrics", "rows", "error"]),
    ("model", &["load", "graph", "plan", "kernel", "ir", "rows", "schema", "strings", "store", "error"]),
    ("plan", &["kernel", "layout", "ir", "rows", "store", "error"]),
    ("load", &["graph", "ir", "math", "schema", "strings", "store", "error"]),
    ("graph", &["ir", "math", "rows", "schema", "strings", "error"]),
    ("kernel", &["layout", "ir", "rows"]),
    ("layout", &["ir", "store", "error"]),
    ("ir", &["math", "schema", "store", "error"]),
    ("math", &[]),
    ("rows", &["strings", "error"]),
    ("schema", &["store", "error"]),
    ("metrics", &[]),
    ("strings", &[]),
    ("store", &["error"]),
    ("error", &[]),
];

fn sources(at: &Path, found: &mut Vec<std::path::PathBuf>) {
    if at.is_dir() {
        for entry in fs::read_dir(at).unwrap() {
            sources(&entry.unwrap().path(), found);
        }
    } else if at.extension().is_some_and(|extension| extension == "rs") {
        found.push(at.to_owned());
    }
}

/// The first segment of every path that starts with `crate::`, outside of comments and tests.
fn imports(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]").next().unwrap();
    let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let segment = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    code.split("crate::").skip(1).map(segment).collect()
}

#[test]
fn modules_import_only_what_stands_below_them() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for (module, allowed) in LAYERS {
        let mut files = Vec::new();
        sources(&src.join(module), &mut files);
        sources(&src.join(format!("{module}.rs")), &mut files);
        files.retain(|file| file.exists());
        assert!(!files.is_empty(), "no module {module}");
        for file in files {
            for import in imports(&fs::read_to_string(&file).unwrap()) {
                let is_module = LAYERS.iter().any(|(name, _)| *name == import);
                if is_module && import != *module && !allowed.contains(&import.as_str()) {
                    wrong.push(format!("{}: crate::{import}", file.strip_prefix(&src).unwrap().display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_has_a_layer() {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let modules =
        lib.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
    for module in modules {
        assert!(LAYERS.iter().any(|(name, _)| *name == module), "{module}");
    }
}
