//! The command-line options that the benches share.

/// What a bench prints, and how it ends.
#[derive(Debug, clap::Args)]
pub(crate) struct Output {
    /// Prints JSON on stdout, and nothing else
    #[arg(long)]
    pub(crate) json: bool,
    /// Ends with an error when a bar was missed
    #[arg(long)]
    pub(crate) check: bool,
    /// The flag that cargo passes
    #[arg(long, hide = true)]
    bench: bool,
}
