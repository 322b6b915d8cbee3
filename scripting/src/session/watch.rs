//! Long native work in a cell: one progress display that ends clean, and the interrupt.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use ecco_interpreter::MimeBundle;
use ecco_interpreter::{Progress, Watch};
use ecco_widgets::Explorable;

use crate::session::state::State;

/// Work that is done before this shows no progress.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two updates.
const PACE: Duration = Duration::from_millis(100);

/// Runs `work` with a watch that polls the interrupt and, if `verbose`, shows how far it is.
pub fn watched<T>(state: &State, verbose: bool, work: impl FnOnce(&mut Watch) -> T) -> T {
    let mut display = Display {
        state,
        id: None,
        start: Instant::now(),
        last: None,
    };
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
            self.state
                .show(MimeBundle::from_text("").with("text/html", ""), id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use ecco_interpreter::{Interrupt, Output};

    #[derive(Default)]
    struct Texts(RefCell<Vec<String>>);

    impl Output for Texts {
        fn stdout(&self, _: &str) {}
        fn stderr(&self, _: &str) {}
        fn display(&self, bundle: MimeBundle, _: Option<&str>) {
            self.update(bundle, "");
        }
        fn update(&self, bundle: MimeBundle, _: &str) {
            self.0
                .borrow_mut()
                .push(bundle.text().unwrap_or_default().to_owned());
        }
        fn page(&self, _: MimeBundle) {}
        fn clear(&self, _: bool) {}
        fn input(&self, _: &str, _: bool) -> Result<String, String> {
            Err("no input".to_owned())
        }
    }

    fn progress(done: u64) -> Progress {
        Progress {
            label: "counting".into(),
            done,
            total: Some(10),
            unit: "steps",
        }
    }

    fn shown(verbose: bool, pause: Duration) -> Vec<String> {
        let (state, texts) = (State::new(Interrupt::default()), Rc::new(Texts::default()));
        state.begin_cell(Rc::clone(&texts) as Rc<dyn Output>);
        watched(&state, verbose, |watch| {
            for done in 0..10 {
                assert_eq!(watch(&progress(done)), ControlFlow::Continue(()));
                std::thread::sleep(pause);
            }
        });
        texts.0.take()
    }

    #[test]
    fn long_work_shows_progress_and_ends_clean() {
        let texts = shown(true, Duration::from_millis(80));
        assert!(texts.len() >= 2, "{texts:?}");
        assert!(texts[0].contains("counting"), "{texts:?}");
        assert_eq!(texts.last().map(String::as_str), Some(""));
    }

    #[test]
    fn short_or_quiet_work_shows_nothing() {
        assert_eq!(shown(true, Duration::ZERO), [""; 0]);
        assert_eq!(shown(false, Duration::from_millis(80)), [""; 0]);
    }

    #[test]
    fn an_interrupt_stops_the_work() {
        let state = State::new(Interrupt::default());
        state.interrupt.request();
        let answer = watched(&state, true, |watch| watch(&progress(1)));
        assert_eq!(answer, ControlFlow::Break(()));
    }
}
