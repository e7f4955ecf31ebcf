//! A promise of sidestep, and whether the figures of a bench keep the promise.

use std::fmt;

use serde::Serialize;

/// One promise.
#[derive(Debug, Serialize)]
pub(crate) struct Bar {
    #[serde(rename = "bar")]
    pub(crate) words: String,
    #[serde(rename = "met")]
    pub(crate) is_met: bool,
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_met { "met   " } else { "MISSED" };
        write!(f, "{verdict} {}", self.words)
    }
}

/// Returns an error that names the missed bars, if there are any.
pub(crate) fn check(bars: &[Bar]) -> Result<(), String> {
    let missed = bars.iter().filter(|bar| !bar.is_met);
    let missed: Vec<_> = missed.map(|bar| &*bar.words).collect();
    match missed.is_empty() {
        true => Ok(()),
        false => Err(format!("a bar was missed: {}", missed.join("; "))),
    }
}
