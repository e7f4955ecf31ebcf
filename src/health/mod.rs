//! Memory of failures: what is held against each address of each host, and against a family.
//!
//! ```text
//! healthy ──failed──▶ penalised{until} ──until──▶ recovering ──one trial──▶ healthy
//!    │                     ▲                          │
//!    └─soft─▶ suspect ─────┴────────failed again──────┘  twice as long
//! ```

mod book;
mod connects;
mod last;
mod times;

pub(crate) use self::book::{Book, Trial};
pub(crate) use self::connects::{Connect, Connects};
pub(crate) use self::last::Left;
