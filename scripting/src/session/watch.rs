//! Long native work in a cell: one progress display that ends clean, and the interrupt.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ecco_interpreter::{MimeBundle, Output};
use ecco_interpreter::{Progress, Watch};
use ecco_widgets::Explorable;

use crate::errors::ScriptError;
use crate::session::state::State;

/// Work that is done before this shows no progress.
const PATIENCE: Duration = Duration::from_millis(500);
/// Work goes on for so long before what is left of it is told.
const EXPERIENCE: Duration = Duration::from_secs(2);
/// Between two updates.
const PACE: Duration = Duration::from_millis(100);

/// Runs `work` with a watch that polls the interrupt and, if `verbose`, shows how far it is. Within [`each`] what is shown
/// is how many pieces are done.
pub fn watched<T>(state: &State, verbose: bool, work: impl FnOnce(&mut Watch) -> T) -> T {
    watched_saying(state, verbose, work, |_| None)
}

/// The same, with a line about what came of it: in the place of progress that was shown, or after a cell that shows nothing.
pub fn watched_saying<T>(
    state: &State,
    verbose: bool,
    work: impl FnOnce(&mut Watch) -> T,
    says: impl FnOnce(&T) -> Option<String>,
) -> T {
    let is_part = state.pieces.borrow().is_some();
    let mut display = Display::new(state);
    let result = work(&mut |progress: &Progress| {
        if state.interrupt.is_requested() {
            return ControlFlow::Break(());
        }
        match is_part {
            true => show_pieces(
                state,
                progress
                    .total
                    .map_or(0.0, |total| progress.done as f64 / total as f64),
            ),
            false if verbose => display.show(state, progress),
            false => {}
        }
        ControlFlow::Continue(())
    });
    display.last_words = says(&result);
    if display.id.is_none()
        && verbose
        && let Some(words) = display.last_words.take()
    {
        state.say_at_last(words);
    }
    result
}

/// Several pieces of work under one progress display: `progress` is what is to be done; `work` does the piece of a number.
///
/// # Errors
/// The first of a piece, and which one it was; an interrupt. What was done before is done.
pub fn each<E: From<ScriptError>>(
    state: &State,
    verbose: bool,
    progress: Progress,
    pieces: &[usize],
    work: impl FnMut(usize) -> Result<(), E>,
) -> Result<(), (usize, E)> {
    let pieces: Vec<(usize, u64)> = pieces.iter().map(|&at| (at, 1)).collect();
    each_weighed(state, verbose, progress, &pieces, work)
}

/// The same of pieces that do not take equally long: each has its weight, in the unit of `progress`. What is done of a piece counts by
/// the progress of its own work, so that what is left of the whole is told by the pace from the beginning.
///
/// # Errors
/// As of [`each`].
pub fn each_weighed<E: From<ScriptError>>(
    state: &State,
    verbose: bool,
    progress: Progress,
    pieces: &[(usize, u64)],
    mut work: impl FnMut(usize) -> Result<(), E>,
) -> Result<(), (usize, E)> {
    let outer = state.pieces.take();
    let is_shown = verbose && outer.is_none();
    state.pieces.replace(Some(Pieces {
        progress,
        weight: 0,
        display: is_shown.then(|| Display::new(state)),
    }));
    let _restored = Restored(state, outer);
    for &(at, weight) in pieces {
        if let Some(pieces) = state.pieces.borrow_mut().as_mut() {
            pieces.weight = weight;
        }
        state.check_interrupt().map_err(|error| (at, error.into()))?;
        work(at).map_err(|error| (at, error))?;
        if let Some(pieces) = state.pieces.borrow_mut().as_mut() {
            pieces.progress.done += weight;
        }
        show_pieces(state, 0.0);
    }
    Ok(())
}

/// Pieces of work that are done one after the other.
pub(super) struct Pieces {
    progress: Progress,
    /// Of the piece that is being done.
    weight: u64,
    /// None where nothing is shown.
    display: Option<Display>,
}

/// Puts what was there before back, however the work ended, and clears the display.
struct Restored<'a>(&'a State, Option<Pieces>);

impl Drop for Restored<'_> {
    fn drop(&mut self) {
        *self.0.pieces.borrow_mut() = self.1.take();
    }
}

/// `within` is how much is done of the piece that is being done, in 0..=1.
fn show_pieces(state: &State, within: f64) {
    if let Some(Pieces {
        progress,
        weight,
        display: Some(display),
    }) = state.pieces.borrow_mut().as_mut()
    {
        let done = progress.done + (*weight as f64 * within.clamp(0.0, 1.0)) as u64;
        let progress = Progress {
            done,
            ..progress.clone()
        };
        display.show(state, &progress);
    }
}

/// The display of one piece of work; dropping it clears it, however the work ended, but for its last words.
struct Display {
    last_words: Option<String>,
    output: Rc<dyn Output>,
    id: Option<String>,
    start: Instant,
    last: Option<Instant>,
    stage: Option<Stage>,
}

/// Work under one label: when it began, and how much was done then.
struct Stage {
    label: Cow<'static, str>,
    start: Instant,
    done: u64,
}

impl Display {
    fn new(state: &State) -> Self {
        Self {
            last_words: None,
            output: state.output(),
            id: None,
            start: Instant::now(),
            last: None,
            stage: None,
        }
    }

    /// What the rest takes at the pace so far, once there is one.
    fn left(&mut self, progress: &Progress, now: Instant) -> Option<Duration> {
        let new = || Stage {
            label: progress.label.clone(),
            start: now,
            done: progress.done,
        };
        let stage = self.stage.get_or_insert_with(new);
        if stage.label != progress.label || progress.done < stage.done {
            *stage = new();
        }
        let (taken, done) = (now - stage.start, progress.done - stage.done);
        let rest = progress.total?.checked_sub(progress.done)?;
        if taken < EXPERIENCE || done == 0 {
            return None;
        }
        Duration::try_from_secs_f64(taken.as_secs_f64() * rest as f64 / done as f64).ok()
    }

    fn show(&mut self, state: &State, progress: &Progress) {
        let now = Instant::now();
        let left = self.left(progress, now);
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
            left,
        };
        let id = self.id.get_or_insert_with(|| state.new_display_id());
        state.show(view.bundle(), id);
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Some(id) = &self.id {
            // A page that is empty is shown in preference to any text.
            let rest = match self.last_words.take() {
                Some(words) => MimeBundle::from_text(words),
                None => MimeBundle::from_text("").with("text/html", ""),
            };
            self.output.update(rest, id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use ecco_interpreter::Interrupt;

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
    fn what_is_left_is_told_by_the_pace_of_the_stage() {
        let state = State::new(Interrupt::default());
        state.begin_cell(Rc::new(Texts::default()));
        let (mut display, start) = (Display::new(&state), Instant::now());
        let mut at = |seconds: f64, label: &'static str, done: u64| {
            let progress = Progress {
                label: label.into(),
                ..progress(done)
            };
            let left = display.left(&progress, start + Duration::from_secs_f64(seconds));
            left.map(|left| left.as_secs_f64())
        };
        assert_eq!(at(0.0, "counting", 2), None);
        assert_eq!(at(1.0, "counting", 3), None, "too early to tell");
        assert_eq!(at(4.0, "counting", 4), Some(12.0), "2 in 4 s, 6 are left");
        // What comes after has a pace of its own.
        assert_eq!(at(5.0, "weighing", 0), None);
        assert_eq!(at(8.0, "weighing", 5), Some(3.0));
        assert_eq!(at(9.0, "weighing", 11), None, "more than there should be");
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

    #[test]
    fn pieces_share_one_display_that_counts_them() {
        let (state, texts) = (State::new(Interrupt::default()), Rc::new(Texts::default()));
        state.begin_cell(Rc::clone(&texts) as Rc<dyn Output>);
        let whole = Progress {
            total: Some(8),
            ..progress(0)
        };
        let ended = each(&state, true, whole, &[0, 1, 2, 3, 4, 5, 6, 7], |at| {
            watched(&state, true, |watch| {
                std::thread::sleep(Duration::from_millis(110));
                let _ = watch(&progress(9));
            });
            match at {
                7 => Err(ScriptError::new(crate::errors::ErrorKind::Value, "the last")),
                _ => Ok(()),
            }
        });
        assert_eq!(ended.expect_err("it fails").0, 7);
        let texts = texts.0.take();
        assert!(texts.len() >= 3 && texts[0].contains(" of 8"), "{texts:?}");
        assert!(!texts.iter().any(|text| text.contains(" of 10")), "{texts:?}");
        assert_eq!(texts.last().map(String::as_str), Some(""));
        assert!(state.pieces.borrow().is_none());
    }

    #[test]
    fn pieces_count_by_their_weights() {
        let (state, texts) = (State::new(Interrupt::default()), Rc::new(Texts::default()));
        state.begin_cell(Rc::clone(&texts) as Rc<dyn Output>);
        let whole = Progress {
            total: Some(100),
            ..progress(0)
        };
        let ended = each_weighed(&state, true, whole, &[(0, 20), (1, 80)], |at| {
            watched(&state, true, |watch| {
                for done in [0, 5, 10] {
                    std::thread::sleep(Duration::from_millis(if at == 0 { 200 } else { 110 }));
                    let _ = watch(&progress(done));
                }
            });
            Ok::<_, ScriptError>(())
        });
        assert!(ended.is_ok());
        let texts = texts.0.take();
        let seen = |amount: &str| texts.iter().any(|text| text.contains(amount));
        assert!(seen("20 of 100") && seen("60 of 100"), "{texts:?}");
    }

    #[test]
    fn pieces_end_at_an_interrupt() {
        let (state, mut done) = (State::new(Interrupt::default()), Vec::new());
        let ended = each(&state, false, progress(0), &[3, 4, 5], |at| {
            done.push(at);
            if at == 4 {
                state.interrupt.request();
            }
            Ok::<_, ScriptError>(())
        });
        assert_eq!((done, ended.expect_err("it ends").0), (vec![3, 4], 5));
    }
}
