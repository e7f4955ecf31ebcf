//! What a connect asked the resolver and was dealt, and what it became.

#[cfg(feature = "middleware")]
mod errand;
mod fresh;
mod recent;
mod slip;

#[cfg(feature = "middleware")]
pub(crate) use self::errand::Errand;
pub(crate) use self::fresh::Fresh;
pub(crate) use self::recent::{Made, Recent};
pub(crate) use self::slip::{AllAddrs, Note, Slip};
