//! Errors in words: what failed, and why.

use std::error::Error;

/// Returns an error and its causes in one line, outermost first; what an outer one already tells is not told again.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
