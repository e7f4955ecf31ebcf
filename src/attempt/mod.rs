//! What a connect asked the resolver and was dealt, and what it became.

mod recent;
mod slip;

pub(crate) use self::recent::{Made, Recent};
pub(crate) use self::slip::{Note, Slip};
