//! What is kept of a failed test: the logs, and their last errors on the screen.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

/// Error lines shown of each log.
const SHOWN_LINES: usize = 5;

/// Copies the logs in `folder` to `target/test-logs/<test>/` and prints the path and the last errors of each, if the current thread
/// is panicking. The test's name is that of its thread.
pub fn keep_logs_of_a_panic(folder: &Path) {
    if thread::panicking() {
        let test = thread::current().name().unwrap_or("unnamed").replace("::", ".");
        keep_logs(folder, &test);
    }
}

/// Copies the logs in `folder` to `target/test-logs/<name>/` and prints the path and the last errors of each.
pub fn keep_logs(folder: &Path, name: &str) {
    let kept = target_folder().join("test-logs").join(name);
    if let Err(error) = fs::create_dir_all(&kept) {
        eprintln!("cannot keep the logs in {}: {error}", kept.display());
        return;
    }
    eprintln!("logs kept in {}", kept.display());
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    for file in files {
        let Some(file_name) = file.file_name() else { continue };
        if let Err(error) = fs::copy(&file, kept.join(file_name)) {
            eprintln!("cannot keep {}: {error}", file.display());
        }
        let text =
            fs::read(&file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let errors = last_errors(&text);
        if !errors.is_empty() {
            eprintln!("last errors of {}:", file_name.display());
            for line in errors {
                eprintln!("    {line}");
            }
        }
    }
}

/// Returns the last lines of a log that tell of an error, as klog, zap, slog, logfmt, Go and Rust programs write them.
pub(super) fn last_errors(log: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = log.lines().rev().filter(|line| is_error(line)).take(SHOWN_LINES).collect();
    lines.reverse();
    lines
}

fn is_error(line: &str) -> bool {
    let klog = line.starts_with(['E', 'F']) && line[1..].starts_with(|letter: char| letter.is_ascii_digit());
    klog || [
        "\"level\":\"error\"",
        "\"level\":\"fatal\"",
        "level=error",
        "level=ERROR",
        "panic:",
        "panicked at",
        " ERROR ",
        "\"level\":\"ERROR\"",
    ]
    .iter()
    .any(|mark| line.contains(mark))
}

/// Returns cargo's target folder: the one above this program that cargo marked.
pub fn target_folder() -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    let marked = program.ancestors().skip(1).find(|folder| folder.join("CACHEDIR.TAG").is_file());
    marked.map_or_else(|| PathBuf::from("target"), Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_from_the_rest() {
        let log = "I1121 10:00:00.000000 1 a.go:1] fine\n\
            E1121 10:00:01.000000 1 a.go:1] bad\n\
            Everything is fine\n\
            {\"level\":\"error\",\"msg\":\"bad\"}\n\
            ts=1 level=info msg=fine\n\
            ts=1 level=error msg=bad\n\
            2026-11-21T10:00:00Z ERROR bad\n";
        let errors = last_errors(log);
        assert_eq!(errors.len(), 4, "{errors:?}");
        assert!(errors.iter().all(|line| line.contains("bad")));
    }

    #[test]
    fn only_the_last_errors_are_shown() {
        let log = (0..100).map(|number| format!("level=error n={number}")).collect::<Vec<_>>().join("\n");
        assert_eq!(last_errors(&log).last(), Some(&"level=error n=99"));
        assert_eq!(last_errors(&log).len(), SHOWN_LINES);
    }
}
