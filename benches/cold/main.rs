//! Measures a cold lookup, and a first connect while half of DNS does not answer.
//!
//! ```sh
//! cargo bench --bench cold
//! cargo bench --bench cold -- --json --check
//! ```
//!
//! *A cold lookup* asks one name server on loopback for A and AAAA of a new name. hickory's own `lookup_ip`
//! asks the same server, with its cache off. Both take turns in one run, and the bench prints the median of
//! each.
//!
//! *A family is silent*: the name server never answers one record type, and answers the other at once. The
//! bench measures the first connect of a stock connector, from the name to the TCP connection.
//!
//! *The first server is dead*: the first of two servers never answers. The first lookup waits for that
//! server. The bench compares the second lookup with a lookup at two healthy servers.
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

mod args;
#[path = "../common/bar.rs"]
mod bar;
mod bars;
mod measure;
#[path = "../common/output.rs"]
mod output;
mod report;

use std::error::Error;

use clap::Parser as _;

use crate::args::Args;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let args = Args::parse();
    let figures = measure::all(args.lookups());
    let bars = bars::bars(&figures);
    match args.output.json {
        true => println!("{}", report::json(&figures, &bars)?),
        false => println!("{}", report::table(&figures, &bars)),
    }
    if args.output.check {
        bar::check(&bars)?;
    }
    Ok(())
}
