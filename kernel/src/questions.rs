//! Questions that views ask over comms of the target `ecco.live` or by the kernel's model, and the rules by which they wait.
//!
//! They run on the script thread when no cell waits. A newer question of the same view takes the place of one that waits,
//! and stops one under way; a cell that comes gives the one under way [`PATIENCE`]. Every question is answered, if only
//! with why there is no answer: [`Refusal`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ecco_interpreter::CellError;
use serde_json::{Value, json};

use crate::attention::Attention;
use crate::comms::Envelope;
use crate::output::weight;
use crate::wire::Parent;

/// What a cell waits for a question under way, at most.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
/// Views that may wait at once.
const WAITING_LIMIT: usize = 64;
/// Bytes of a question, of a view's name, and of an answer.
const QUESTION_LIMIT: usize = 1 << 16;
const VIEW_LIMIT: usize = 100;
const ANSWER_LIMIT: usize = 16 << 20;

/// What a view asks.
pub(crate) struct Question {
    pub parent: Arc<Parent>,
    pub comm_id: String,
    /// The view, as the client names it: the newest of its questions counts.
    view: String,
    /// The number that the answer repeats.
    ask: u64,
    pub content: Value,
    /// What answers go as.
    envelope: Envelope,
    /// Bytes of the request.
    size: usize,
}

/// Why a question has no answer of the language.
#[derive(Clone, Copy)]
pub(crate) enum Refusal {
    Replaced,
    TooMany,
}

impl Question {
    /// The question in a message's data, if it is one.
    pub(crate) fn parse(
        parent: &Arc<Parent>,
        comm_id: &str,
        mut data: Value,
        size: usize,
        envelope: Envelope,
    ) -> Option<Self> {
        let view = data["view"].as_str().filter(|view| view.len() <= VIEW_LIMIT)?;
        let (view, ask) = (view.to_owned(), data["ask"].as_u64()?);
        let content = data.get_mut("question")?.take();
        (content.is_object() && weight(&content) <= QUESTION_LIMIT).then(|| Self {
            parent: parent.clone(),
            comm_id: comm_id.to_owned(),
            view,
            ask,
            content,
            envelope,
            size,
        })
    }

    fn is_of_same_view(&self, comm_id: &str, view: &str) -> bool {
        self.comm_id == comm_id && self.view == view
    }

    /// The data of the message that says what the language answers.
    pub(crate) fn answer(&self, answer: Result<Value, CellError>) -> Value {
        match answer {
            Ok(answer) if weight(&answer) <= ANSWER_LIMIT => self.say("answer", answer),
            Ok(_) => self.say("error", json!("the answer is too large for a view")),
            Err(error) => self.say("error", json!(error.value)),
        }
    }

    pub(crate) fn refusal(&self, why: Refusal) -> Value {
        match why {
            Refusal::Replaced => self.say("replaced", json!(true)),
            Refusal::TooMany => self.say("error", json!("too many views wait for an answer")),
        }
    }

    fn say(&self, what: &str, content: Value) -> Value {
        let said = json!({"view": self.view, "ask": self.ask, what: content});
        self.envelope.around(said)
    }
}

/// Those that wait, and the one under way.
#[derive(Clone, Default)]
pub(crate) struct Questions(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    waiting: VecDeque<Question>,
    running: Option<Running>,
    taken: u64,
}

struct Running {
    number: u64,
    comm_id: String,
    view: String,
    since: Instant,
    replaced: bool,
}

impl Questions {
    /// Lets a question wait; gives the one that is refused for it, if one is.
    pub(crate) fn put(&self, question: Question, attention: &Attention) -> Option<(Question, Refusal)> {
        let mut state = self.lock();
        if let Some(running) = &mut state.running
            && question.is_of_same_view(&running.comm_id, &running.view)
        {
            running.replaced = true;
            attention.interrupt.request();
        }
        let same = |other: &Question| other.is_of_same_view(&question.comm_id, &question.view);
        let place = state.waiting.iter().position(same);
        if place.is_none() && state.waiting.len() == WAITING_LIMIT {
            return Some((question, Refusal::TooMany));
        }
        attention.enqueue(question.size);
        let Some(place) = place else {
            state.waiting.push_back(question);
            return None;
        };
        let old = std::mem::replace(&mut state.waiting[place], question);
        attention.called_off(old.size);
        Some((old, Refusal::Replaced))
    }

    /// The question that has waited longest; it is under way until [`Questions::done`].
    pub(crate) fn take(&self) -> Option<Question> {
        let mut state = self.lock();
        let question = state.waiting.pop_front()?;
        state.taken += 1;
        state.running = Some(Running {
            number: state.taken,
            comm_id: question.comm_id.clone(),
            view: question.view.clone(),
            since: Instant::now(),
            replaced: false,
        });
        Some(question)
    }

    /// The question under way has ended, and an interrupt that came for it has done its work. Whether it was replaced.
    pub(crate) fn done(&self, question: &Question, attention: &Attention) -> bool {
        // Under the lock: a hurry that comes later must not hit the cell behind it.
        let mut state = self.lock();
        attention.done(question.size);
        state.running.take().is_some_and(|running| running.replaced)
    }

    /// The number of the question under way, and how long it may go on now that a cell waits.
    pub(crate) fn under_way(&self) -> Option<(u64, Duration)> {
        let state = self.lock();
        let running = state.running.as_ref()?;
        Some((running.number, PATIENCE.saturating_sub(running.since.elapsed())))
    }

    /// Stops the question of that number, if it is still under way.
    pub(crate) fn stop(&self, number: u64, attention: &Attention) {
        let state = self.lock();
        if state
            .running
            .as_ref()
            .is_some_and(|running| running.number == number)
        {
            attention.interrupt.request();
        }
    }

    /// Nobody listens to a comm any more: what waits is forgotten.
    pub(crate) fn forget(&self, comm_id: &str, attention: &Attention) {
        self.lock().waiting.retain(|question| {
            let stays = question.comm_id != comm_id;
            if !stays {
                attention.called_off(question.size);
            }
            stays
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
