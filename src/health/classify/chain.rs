//! An error and its causes.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

/// Returns the texts of an error and its causes, outermost first and each once.
///
/// All addresses that the error is about share the text, and its length is limited.
pub(crate) fn describe_chain(error: &(dyn StdError + 'static)) -> Arc<str> {
    let mut said: Vec<String> = Vec::new();
    for cause in error_chain(error).map(ToString::to_string) {
        if !said.iter().any(|before| before.contains(&cause)) {
            said.push(cause);
        }
    }
    let mut text = said.join(": ");
    if text.len() > LONGEST_TEXT {
        let end = (0..=LONGEST_TEXT)
            .rev()
            .find(|&end| text.is_char_boundary(end));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text.into()
}

/// Most bytes of an error's text that are kept.
const LONGEST_TEXT: usize = 200;

/// Returns an error and its causes, outermost first.
pub(crate) fn error_chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&cause| next_cause(cause)).take(MAX_DEPTH)
}

/// Most causes that are followed. Real chains are shorter, and an error that is its own source must not cause a loop
/// without end.
const MAX_DEPTH: usize = 32;

fn next_cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}
