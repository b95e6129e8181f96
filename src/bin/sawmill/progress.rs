//! The progress bar of long work: on a terminal only, and only once there is more than one chunk.

use std::io::{self, IsTerminal};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

#[derive(Default)]
pub struct Progress {
    bar: Option<ProgressBar>,
    hidden: bool,
}

impl Progress {
    /// A bar that shows on stderr; `hidden` if something else writes to the same terminal.
    pub fn new(hidden: bool) -> Self {
        Self { bar: None, hidden: hidden || !io::stderr().is_terminal() }
    }

    /// Shows that `done` of `total` (rows or bytes) are behind, which were `n_rows` rows.
    pub fn show(&mut self, (done, total): (u64, Option<u64>), n_rows: u64) {
        if self.hidden {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| match total {
            Some(total) => ProgressBar::new(total).with_style(style("{bar:40} {percent:>3} %  {msg}  {eta} left")),
            None => ProgressBar::new_spinner().with_style(style("{spinner} {msg}  {elapsed}")),
        });
        bar.set_position(done);
        bar.set_message(format!("{} rows", HumanCount(n_rows)));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
