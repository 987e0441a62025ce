//! What logs tell. Each log in fixtures/logs has the findings that are expected of it beside it; they were
//! checked by eye. `AUDITWATCH_WRITE_GOLDEN=1` writes them anew, for another look.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use auditwatch::{
    diagnosis::{Diagnosis, Reading, diagnose},
    render::{self, style::Style},
};

fn logs() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/logs");
    let mut found: Vec<PathBuf> = fs::read_dir(&directory)
        .expect("the directory of logs")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    found.sort();
    found
}

/// The diagnosis of a log that comes in pieces.
fn of(pieces: &[&[u8]]) -> Diagnosis {
    let mut reading = Reading::new("log");
    for piece in pieces {
        reading.push(piece);
    }
    diagnose(vec![reading.end()], Vec::new())
}

#[test]
fn each_log_tells_what_is_expected_of_it() {
    let logs = logs();
    let mut wrong = Vec::new();
    for path in &logs {
        let log = fs::read(path).expect("a log");
        let found = of(&[&log]);
        let json = serde_json::to_string_pretty(&found).expect("JSON") + "\n";
        let golden = path.with_extension("json");
        if env::var_os("AUDITWATCH_WRITE_GOLDEN").is_some() {
            fs::write(&golden, &json).expect("a golden file can be written");
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if json != expected {
            wrong.push(format!("{}:\n{json}", path.display()));
        }
        assert!(!render::diagnosis::report(&found, Style::plain()).is_empty());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(logs.len() >= 30, "{} logs", logs.len());
}
