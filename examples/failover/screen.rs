//! Shows the progress of the lab on stderr.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::Args;
use crate::callers::Caller;
use crate::scenario::Scenario;

/// A line for the whole run and one for each client. Nothing is shown if stderr is no terminal.
pub(crate) struct Screen {
    lines: MultiProgress,
    run: ProgressBar,
    callers: [ProgressBar; Caller::ALL.len()],
}

impl Screen {
    pub(crate) fn new(args: &Args) -> Self {
        let target = match args.json {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr(),
        };
        let lines = MultiProgress::with_draw_target(target);
        let run = lines.add(ProgressBar::new(args.scenarios().len() as u64));
        run.set_style(style("scenario {pos} of {len}: {msg} ({elapsed})"));
        let callers = Caller::ALL.map(|caller| {
            let line = lines.add(ProgressBar::no_length());
            line.set_style(style("  {prefix:<24} {msg}"));
            line.with_prefix(caller.title())
        });
        Self {
            lines,
            run,
            callers,
        }
    }

    /// Shows the name of the scenario that begins.
    pub(crate) fn begin(&self, scenario: Scenario) {
        let (name, happens) = scenario.words();
        self.run.inc(1);
        self.run.set_message(format!("{name}. {happens}"));
        self.callers.iter().for_each(|line| line.set_message(""));
    }

    /// Returns the line of `caller`.
    pub(crate) fn of(&self, caller: Caller) -> &ProgressBar {
        let place = Caller::ALL.iter().position(|&other| other == caller);
        &self.callers[place.expect("every client has a line")]
    }

    /// Removes all lines from the screen.
    pub(crate) fn clear(&self) {
        // A terminal that cannot be cleared keeps the lines, which does no harm.
        let _: std::io::Result<()> = self.lines.clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is well formed")
}
