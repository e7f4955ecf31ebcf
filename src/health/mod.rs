//! Health of the addresses of each host, and of the two families.
//!
//! | an address is | from | until |
//! |---|---|---|
//! | healthy | a connect that succeeds | a strike |
//! | penalized | a hard strike, or a second soft one | the end of the penalty, or a connect that succeeds |
//! | on probation | the first soft strike, or the end of a penalty | a connect; if the connect fails, the penalty is twice as long |
//! | in doubt | a race that was lost by a whole delay, or a slow second lane | a probe, a connect, or the end of the doubt |

pub(crate) mod classify;
mod connects;
mod last;
pub(crate) mod latency;
pub(crate) mod outage;
pub(crate) mod outcome;
pub(crate) mod record;
mod store;
mod times;

pub(crate) use self::connects::{RecentConnects, SuccessfulConnect};
pub(crate) use self::last::Left;
pub use self::outcome::Outcome;
pub(crate) use self::store::{HealthStore, Trial};
