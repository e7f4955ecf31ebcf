//! What a connect asked the resolver and was dealt, and what it became.

#[cfg(feature = "__again")]
mod careful;
#[cfg(feature = "middleware")]
mod errand;
mod lately;
mod recent;
mod slip;

#[cfg(feature = "__again")]
pub(crate) use self::careful::Careful;
#[cfg(feature = "middleware")]
pub(crate) use self::errand::Errand;
pub(crate) use self::lately::Lately;
pub(crate) use self::recent::{Made, Recent};
pub(crate) use self::slip::{AllAddrs, Note, Slip};
