//! The script thread: owns the interpreter, works through requests in the order they came.
//!
//! `process_work` routes, `handle_*` answer. Every call into the interpreter goes through
//! [`Script::guarded`], so a panic anywhere in it becomes an error reply.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use ecco_interpreter::MimeBundle;
use ecco_interpreter::{Cell, CellError, Completeness, CompletionItem, Completions, Interpreter, Interrupt};
use jupyter_protocol::{CompleteReply, ExecuteInput, ExecutionCount, IsCompleteRequest};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::attention::Attention;
use crate::comms::Comms;
use crate::history::{History, Line, RESULT_LIMIT};
use crate::outbox::Outbox;
use crate::output::{Answer, CellOutput, bounded};
use crate::questions::{self, Questions};
use crate::replies;
use crate::requests::{CompleteRequest, ExecuteRequest, HistoryRequest, InspectRequest, cursor, parse};
use crate::wire::{Parent, Request};

/// A cell that fails sooner than this after its request waits until then for the requests behind it,
/// before they are called off: a front end that runs all cells sends them in one go.
const ABORT_GRACE: Duration = Duration::from_millis(10);

/// However soon an interpreter wants to be called again that has nothing to do.
const SHORTEST_REST: Duration = Duration::from_millis(20);

/// A request for the script thread.
pub(crate) struct Work {
    pub parent: Arc<Parent>,
    pub reply_type: String,
    pub task: Task,
    /// Bytes of the request.
    pub size: usize,
    pub since: Instant,
}

pub(crate) enum Task {
    /// Called off where a cell before it fails.
    Execute(ExecuteRequest),
    Question(Question),
    /// Nothing: a view's question waits.
    Wake,
}

impl Work {
    pub(crate) fn wake(parent: &Arc<Parent>) -> Self {
        Self {
            parent: parent.clone(),
            reply_type: String::new(),
            task: Task::Wake,
            size: 0,
            since: Instant::now(),
        }
    }
}

/// Gives the content of the reply.
type Question = Box<dyn FnOnce(&mut Script) -> Result<Value, CellError> + Send>;

impl Task {
    /// What `handle` answers to the content of `request`.
    pub(crate) fn question<T: DeserializeOwned + Send + 'static>(
        request: &Request,
        handle: fn(&mut Script, T) -> Result<Value, CellError>,
    ) -> Result<Self, CellError> {
        let content = parse(request)?;
        Ok(Self::Question(Box::new(move |script| handle(script, content))))
    }
}

/// As a struct, since a `Value` would be a second copy of what may be large.
#[derive(Serialize)]
struct ExecuteResult<'a> {
    execution_count: u32,
    data: &'a Map<String, Value>,
    metadata: &'a Map<String, Value>,
}

pub(crate) struct Script {
    /// `Err` when it could not be made: every request is then answered with why.
    interpreter: Result<Box<dyn Interpreter>, CellError>,
    outbox: Arc<Outbox>,
    attention: Attention,
    answers: Rc<Receiver<Answer>>,
    history: History,
    /// The number of the last cell that has one.
    count: u32,
    comms: Arc<Comms>,
    questions: Questions,
    inbox: Receiver<Work>,
    /// Taken from the inbox, not yet worked on.
    ahead: VecDeque<Work>,
}

impl Script {
    pub(crate) fn new(
        make: impl FnOnce(Interrupt) -> Box<dyn Interpreter>,
        outbox: Arc<Outbox>,
        attention: Attention,
        history: History,
        (comms, questions): (Arc<Comms>, Questions),
        (inbox, answers): (Receiver<Work>, Receiver<Answer>),
    ) -> Self {
        let interrupt = attention.interrupt.clone();
        let interpreter = catch_unwind(AssertUnwindSafe(|| make(interrupt)))
            .map_err(|panic| panicked("the interpreter could not be started", &*panic));
        Self {
            interpreter,
            outbox,
            attention,
            answers: Rc::new(answers),
            history,
            count: 0,
            comms,
            questions,
            inbox,
            ahead: VecDeque::new(),
        }
    }

    /// Works until the sockets are gone.
    pub(crate) fn run(mut self) {
        while let Some(work) = self.next_work() {
            // Ten thousand short cells say as much as one that prints.
            self.outbox.hold_back(&self.attention.interrupt);
            let size = work.size;
            self.outbox.begin(&work.parent);
            if self.attention.is_stopping() {
                self.refuse(&work, "the kernel is shutting down");
            } else {
                self.process_work(work);
            }
            self.attention.done(size);
        }
    }

    /// The next request; views are answered while there is none.
    fn next_work(&mut self) -> Option<Work> {
        loop {
            self.ahead.extend(self.inbox.try_iter());
            while let Some(work) = self.ahead.pop_front() {
                if !matches!(work.task, Task::Wake) {
                    return Some(work);
                }
            }
            match self.questions.take() {
                Some(question) => self.answer(&question),
                None => {
                    let work = self.rest()?;
                    self.ahead.extend(work);
                }
            }
        }
    }

    /// Waits until there is work, or until the interpreter wants to be called again; None when the sockets are gone.
    fn rest(&mut self) -> Option<Option<Work>> {
        let pause = self.guarded(|interpreter| interpreter.rest());
        let Ok(Some(pause)) = pause else {
            return self.inbox.recv().ok().map(Some);
        };
        match self.inbox.recv_timeout(pause.max(SHORTEST_REST)) {
            Ok(work) => Some(Some(work)),
            Err(RecvTimeoutError::Timeout) => Some(None),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    fn answer(&mut self, question: &questions::Question) {
        self.outbox.hold_back(&self.attention.interrupt);
        self.outbox.begin(&question.parent);
        let answer = match self.attention.is_stopping() {
            true => Err(replies::invalid("the kernel is shutting down".to_owned())),
            false => self
                .guarded(|interpreter| interpreter.ask(&question.content))
                .and_then(|answer| answer),
        };
        let is_replaced = self.questions.done(question, &self.attention);
        if self.comms.is_open(&question.comm_id) {
            let data = match is_replaced {
                true => question.refusal(questions::Refusal::Replaced),
                false => question.answer(answer),
            };
            let content = json!({"comm_id": question.comm_id, "data": data});
            self.outbox.publish(&question.parent, "comm_msg", &content);
        }
        self.outbox.finish_unanswered(&question.parent);
    }

    fn process_work(&mut self, work: Work) {
        match work.task {
            Task::Execute(request) => self.handle_execute(&work.parent, request, work.since),
            Task::Question(question) => {
                let content = question(self).unwrap_or_else(|error| replies::error(&error));
                self.outbox.finish(&work.parent, &work.reply_type, &content);
            }
            Task::Wake => self.outbox.finish_unanswered(&work.parent),
        }
    }

    fn handle_execute(&mut self, parent: &Arc<Parent>, request: ExecuteRequest, since: Instant) {
        let number = self.count + 1;
        if request.stores_history() {
            self.count = number;
        }
        if !request.silent {
            let input = ExecuteInput {
                code: request.code.clone(),
                execution_count: ExecutionCount::new(number as usize),
            };
            self.outbox.publish(parent, "execute_input", &input);
        }
        let (result, payload) = self.execute(parent, &request, number);
        let mut content = match &result {
            Ok(_) => {
                let expressions = self.evaluate_all(&request.user_expressions);
                json!({"status": "ok", "user_expressions": expressions})
            }
            Err(error) => {
                if !request.silent {
                    self.outbox
                        .publish(parent, "error", &replies::error_output(error));
                }
                let mut content = replies::error(error);
                content["user_expressions"] = json!({});
                content
            }
        };
        content["execution_count"] = json!(number);
        content["payload"] = payload.into();
        let called_off = match &result {
            Err(_) if request.stops_on_error() => self.take_waiting_cells(since),
            _ => vec![],
        };
        self.outbox.finish(parent, "execute_reply", &content);
        for work in called_off {
            self.outbox.begin(&work.parent);
            self.refuse(&work, "not run: a cell before it failed");
            self.attention.called_off(work.size);
        }
        if request.stores_history() {
            let (code, result) = (request.code, result.ok().flatten());
            self.history.record(Line { number, code, result });
        }
    }

    /// Runs the cell and shows its value. Returns the value's plain text, and the payload of the reply.
    fn execute(
        &mut self,
        parent: &Arc<Parent>,
        request: &ExecuteRequest,
        number: u32,
    ) -> (Result<Option<String>, CellError>, Vec<Value>) {
        let cell = Cell {
            code: request.code.clone(),
            execution_count: number,
            silent: request.silent,
            allow_stdin: request.allow_stdin,
        };
        let output = Rc::new(CellOutput::new(
            self.outbox.clone(),
            self.comms.clone(),
            parent.clone(),
            self.attention.interrupt.clone(),
            self.answers.clone(),
            request,
        ));
        let result = self.guarded(|interpreter| interpreter.execute(&cell, output.clone()));
        let payload = output.end();
        let value = match result.and_then(|result| result) {
            Ok(value) => value.filter(|_| !request.silent),
            Err(error) => return (Err(error), payload),
        };
        let text = value.and_then(|bundle| {
            let MimeBundle { data, metadata } = bounded(bundle);
            let (data, metadata) = (&data, &metadata);
            let content = ExecuteResult {
                execution_count: number,
                data,
                metadata,
            };
            self.outbox.publish(parent, "execute_result", &content);
            let text = data.get("text/plain").and_then(Value::as_str);
            text.filter(|text| text.len() <= RESULT_LIMIT).map(str::to_owned)
        });
        (Ok(text), payload)
    }

    fn evaluate_all(&mut self, expressions: &Map<String, Value>) -> Map<String, Value> {
        let mut results = Map::new();
        for (name, expression) in expressions {
            let result = match expression.as_str() {
                Some(expression) => self
                    .guarded(|interpreter| interpreter.evaluate(expression))
                    .and_then(|result| result),
                None => Err(replies::invalid(format!(
                    "user_expressions: {name} is not a string"
                ))),
            };
            let result = match result.map(bounded) {
                Ok(bundle) => json!({"status": "ok", "data": bundle.data, "metadata": bundle.metadata}),
                Err(error) => replies::error(&error),
            };
            results.insert(name.clone(), result);
        }
        results
    }

    pub(crate) fn handle_complete(&mut self, request: CompleteRequest) -> Result<Value, CellError> {
        let cursor = cursor(&request.code, request.cursor_pos);
        let Completions { range, matches } =
            self.guarded(|interpreter| interpreter.complete(&request.code, cursor))?;
        let typed = |item: &CompletionItem| {
            json!({
                "start": range.start, "end": range.end, "text": item.text, "type": item.kind,
                "signature": item.signature.as_deref().unwrap_or_default(),
            })
        };
        let types: Value = matches.iter().map(typed).collect();
        Ok(json!(CompleteReply {
            cursor_start: range.start,
            cursor_end: range.end,
            metadata: Map::from_iter([("_jupyter_types_experimental".to_owned(), types)]),
            matches: matches.into_iter().map(|item| item.text).collect(),
            ..CompleteReply::default()
        }))
    }

    pub(crate) fn handle_inspect(&mut self, request: InspectRequest) -> Result<Value, CellError> {
        let cursor = cursor(&request.code, request.cursor_pos);
        let detail = request.detail_level.min(1);
        let found = self.guarded(|interpreter| interpreter.inspect(&request.code, cursor, detail))?;
        let is_found = found.is_some();
        let MimeBundle { data, metadata } = found.unwrap_or_default();
        Ok(json!({"status": "ok", "found": is_found, "data": data, "metadata": metadata}))
    }

    pub(crate) fn handle_is_complete(&mut self, request: IsCompleteRequest) -> Result<Value, CellError> {
        let answer = self.guarded(|interpreter| interpreter.is_complete(&request.code))?;
        Ok(match answer {
            Completeness::Complete => json!({"status": "complete"}),
            Completeness::Incomplete { indent } => json!({"status": "incomplete", "indent": indent}),
            Completeness::Invalid => json!({"status": "invalid"}),
        })
    }

    pub(crate) fn handle_history(&mut self, request: HistoryRequest) -> Result<Value, CellError> {
        match self.history.query(request) {
            Ok(lines) => Ok(json!({"status": "ok", "history": lines})),
            Err(reason) => Err(replies::failure("HistoryError", reason)),
        }
    }

    /// The execute requests that wait behind a failed one, which came `since`. Taken before its reply is
    /// sent: what a client sends after that is meant to run.
    fn take_waiting_cells(&mut self, since: Instant) -> Vec<Work> {
        std::thread::sleep(ABORT_GRACE.saturating_sub(since.elapsed()));
        let waiting = self.ahead.drain(..).chain(self.inbox.try_iter());
        let (cells, others): (Vec<_>, Vec<_>) =
            waiting.partition(|work| matches!(work.task, Task::Execute(_)));
        self.ahead = others.into();
        cells
    }

    fn refuse(&self, work: &Work, why: &str) {
        let content = match work.task {
            Task::Execute(_) => replies::aborted(why),
            Task::Question(_) | Task::Wake => replies::error(&replies::failure("Aborted", why.to_owned())),
        };
        self.outbox.finish(&work.parent, &work.reply_type, &content);
    }

    /// Calls the interpreter, which may be missing or panic.
    fn guarded<T>(&mut self, call: impl FnOnce(&mut dyn Interpreter) -> T) -> Result<T, CellError> {
        match &mut self.interpreter {
            Ok(interpreter) => catch_unwind(AssertUnwindSafe(|| call(interpreter.as_mut())))
                .map_err(|panic| panicked("this is a defect of the kernel, not of the cell", &*panic)),
            Err(error) => Err(error.clone()),
        }
    }
}

fn panicked(hint: &str, panic: &(dyn Any + Send)) -> CellError {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("of an unknown kind");
    let value = format!("panic: {message}");
    CellError {
        name: "InternalError".to_owned(),
        traceback: vec![value.clone(), hint.to_owned()],
        value,
    }
}
