//! Memory of failures: what is held against each address of each host, and against a family.
//!
//! ```text
//! healthy ──failed──▶ penalised{until} ──until──▶ recovering ──one trial──▶ healthy
//!    │                     ▲                          │
//!    └─soft─▶ suspect ─────┴────────failed again──────┘  twice as long
//! ```

mod book;

pub(crate) use self::book::{Book, Trial};
