//! The command line.

use clap::{Parser, ValueEnum, value_parser};
use testkit::lab::clients::Client;

use crate::callers::Caller;

/// Lets edges and a name server fail at random under a load, and shows what callers notice.
#[derive(Debug, Parser)]
#[command(name = "soak")]
pub(crate) struct Args {
    /// Seed of the faults; each is another run
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Requests that each client sends, if it can in the time that the first one takes
    #[arg(long, default_value_t = 200_000, value_parser = value_parser!(u64).range(1..))]
    pub(crate) requests: u64,
    /// Soaks this client only; may be given several times
    #[arg(long = "client", value_name = "NAME")]
    chosen: Vec<Chosen>,
    /// Prints one JSON object on stdout, and nothing else
    #[arg(long)]
    pub(crate) json: bool,
    /// Ends with an error when sidestep missed a bar; a short run is held to 0 failed requests only
    #[arg(long)]
    pub(crate) check: bool,
    /// Lists what happens when to the first client, and ends
    #[arg(long)]
    pub(crate) list: bool,
    /// What cargo passes
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    /// Returns the clients to soak, those of sidestep first.
    pub(crate) fn callers(&self) -> Vec<Caller> {
        let is_chosen =
            |caller: &Caller| self.chosen.is_empty() || self.chosen.contains(&Chosen::of(*caller));
        Caller::ALL.into_iter().filter(is_chosen).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Chosen {
    /// reqwest with sidestep
    Sidestep,
    /// hyper with a race, HTTP/2 and pooled connections
    RaceHttp2,
    /// reqwest that asks DNS at every connect
    Plain,
    /// reqwest with hickory's cache
    Hickory,
}

impl Chosen {
    fn of(caller: Caller) -> Self {
        match caller {
            Caller::Reqwest(Client::Plain) => Self::Plain,
            Caller::Reqwest(Client::Hickory) => Self::Hickory,
            Caller::Reqwest(Client::Sidestep) => Self::Sidestep,
            Caller::RaceHttp2 => Self::RaceHttp2,
        }
    }
}
