//! Long native work in a cell: one progress display that ends clean, and the interrupt.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use ecco_models::{Progress, Watch};
use ecco_widgets::{Explorable, MimeBundle};

use crate::state::State;

/// Work that is done before this shows no progress.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two updates.
const PACE: Duration = Duration::from_millis(100);

/// Runs `work` with a watch that polls the interrupt and, if `verbose`, shows how far it is.
pub fn watched<T>(state: &State, verbose: bool, work: impl FnOnce(&mut Watch) -> T) -> T {
    let mut display = Display { state, id: None, start: Instant::now(), last: None };
    work(&mut |progress: &Progress| {
        if state.interrupt.is_requested() {
            return ControlFlow::Break(());
        }
        if verbose {
            display.show(progress);
        }
        ControlFlow::Continue(())
    })
}

/// The display of one piece of work; dropping it clears it, however the work ended.
struct Display<'a> {
    state: &'a State,
    id: Option<String>,
    start: Instant,
    last: Option<Instant>,
}

impl Display<'_> {
    fn show(&mut self, progress: &Progress) {
        let now = Instant::now();
        let due = self.last.is_none_or(|last| now - last >= PACE);
        if now - self.start < PATIENCE || !due {
            return;
        }
        self.last = Some(now);
        let view = ecco_widgets::Progress {
            label: progress.label.to_string(),
            done: progress.done,
            total: progress.total,
            unit: progress.unit.to_owned(),
        };
        let id = self.id.get_or_insert_with(|| self.state.new_display_id());
        self.state.show(view.bundle(), id);
    }
}

impl Drop for Display<'_> {
    fn drop(&mut self) {
        if let Some(id) = &self.id {
            self.state.show(MimeBundle::from_text("").with("text/html", ""), id);
        }
    }
}
