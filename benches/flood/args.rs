//! The command line.

use clap::{Parser, value_parser};

use crate::attack::Attack;
use crate::case::Case;
use crate::output::Output;

/// Asks for a flood of distinct names and shows memory and the slowest call
#[derive(Debug, Parser)]
#[command(name = "flood")]
pub(crate) struct Args {
    /// Number of names in each case; an attack over sockets uses a tenth of them
    #[arg(long, default_value_t = 1_000_000, value_parser = value_parser!(u32).range(1..))]
    names: u32,
    /// Hosts that the resolver keeps; may be given several times
    #[arg(long, default_values_t = [100, 1_000, 5_000, 10_000, 100_000])]
    capacity: Vec<usize>,
    /// Runs this attack only; may be given several times
    #[arg(long)]
    attack: Vec<Attack>,
    #[command(flatten)]
    pub(crate) output: Output,
    /// Runs the one case in this process
    #[arg(long, hide = true)]
    here: bool,
}

impl Args {
    /// Returns the case to run in this process, if this is a child.
    pub(crate) fn case(&self) -> Option<Case> {
        let (&attack, &capacity) = (self.attack.first()?, self.capacity.first()?);
        let names = self.names;
        self.here.then_some(Case {
            attack,
            capacity,
            names,
        })
    }

    /// Returns all cases.
    pub(crate) fn cases(&self) -> impl Iterator<Item = Case> {
        let chosen = |attack: &Attack| self.attack.is_empty() || self.attack.contains(attack);
        let attacks = Attack::ALL.into_iter().filter(chosen);
        attacks.flat_map(move |attack| {
            self.capacity.iter().map(move |&capacity| Case {
                attack,
                capacity,
                names: (self.names / attack.cost()).max(1),
            })
        })
    }
}
