//! What a connect asked the resolver and was dealt, and what it became.

#[cfg(feature = "reqwest")]
mod careful;
mod lately;
mod recent;
mod slip;

#[cfg(feature = "reqwest")]
pub(crate) use self::careful::Careful;
pub(crate) use self::lately::Lately;
pub(crate) use self::recent::{Made, Recent};
pub(crate) use self::slip::{AllAddrs, Note, Slip};
