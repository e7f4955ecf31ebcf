//! The schedules of `cargo bench --bench soak`: which edges and name servers fail, and when.

pub mod director;
pub mod law;
pub mod limits;
pub mod scenes;
pub mod schedule;
