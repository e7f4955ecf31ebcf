//! Decides whether a failed request is sent again, and how often.
//!
//! | file | decides |
//! |---|---|
//! | `classify` | whether a failure of a request allows a retry |
//! | `request_history` | whether the request has attempts and sends left |
//! | `policy` | the same, as a policy of tower |

pub(crate) mod classify;
mod policy;
pub(crate) mod request_history;

pub use self::policy::RetryPolicy;
