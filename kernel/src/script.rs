//! The script thread: owns the interpreter, works through requests in the order they came.
//!
//! `process_work` routes, `handle_*` answer. Every call into the interpreter goes through
//! [`Script::guarded`], so a panic anywhere in it becomes an error reply.

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use ecco_scripting::interpreter::{
    Cell, CellError, Completeness, CompletionItem, Completions, Interpreter, Interrupt,
};
use ecco_widgets::MimeBundle;
use serde_json::{Map, Value, json};

use crate::history::History;
use crate::outbox::Outbox;
use crate::output::{Answer, CellOutput};
use crate::replies;
use crate::requests::{
    CompleteRequest, ExecuteRequest, HistoryRequest, InspectRequest, IsCompleteRequest, cursor,
};
use crate::wire::Parent;

/// What a failed cell waits for requests that are already on their way, before those that wait behind it
/// are called off: a front end that runs all cells sends them in one go.
const ABORT_GRACE: Duration = Duration::from_millis(10);

/// How often the end of the last cell is looked for, when the kernel ends.
const IDLE_POLL: Duration = Duration::from_millis(5);

/// A request for the script thread.
pub struct Work {
    pub parent: Arc<Parent>,
    pub task: Task,
}

pub enum Task {
    Execute(ExecuteRequest),
    Complete(CompleteRequest),
    Inspect(InspectRequest),
    IsComplete(IsCompleteRequest),
    History(HistoryRequest),
}

/// What the script thread shares with the sockets: whether there is something to interrupt.
#[derive(Clone, Default)]
pub struct Attention {
    pub interrupt: Interrupt,
    waiting: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
}

impl Attention {
    /// Counts a request that is about to be handed to the script thread.
    pub fn enqueue(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
    }

    /// Asks the running cell to stop. Clients interrupt idle kernels too, before a shutdown for one:
    /// that must not hit the cell that comes next.
    pub fn interrupt(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.interrupt.request();
        }
    }

    /// Asks the running cell to stop, and calls off all others.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.interrupt.request();
    }

    /// Returns when the script thread has answered everything it was given.
    pub async fn idle(&self) {
        while self.waiting.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(IDLE_POLL).await;
        }
    }

    fn done(&self) {
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        if !self.stopping.load(Ordering::SeqCst) {
            self.interrupt.clear();
        }
    }
}

pub struct Script {
    /// `Err` when it could not be made: every request is then answered with why.
    interpreter: Result<Box<dyn Interpreter>, CellError>,
    outbox: Arc<Outbox>,
    attention: Attention,
    answers: Rc<Receiver<Answer>>,
    history: History,
    /// The number of the last cell that has one.
    count: u32,
    inbox: Receiver<Work>,
    /// Taken from the inbox, not yet worked on.
    ahead: VecDeque<Work>,
}

impl Script {
    pub fn new(
        make: impl FnOnce(Interrupt) -> Box<dyn Interpreter>,
        outbox: Arc<Outbox>,
        attention: Attention,
        inbox: Receiver<Work>,
        answers: Receiver<Answer>,
    ) -> Self {
        let interrupt = attention.interrupt.clone();
        let interpreter = catch_unwind(AssertUnwindSafe(|| make(interrupt)))
            .map_err(|panic| panicked("the interpreter could not be started", &*panic));
        Self {
            interpreter,
            outbox,
            attention,
            answers: Rc::new(answers),
            history: History::default(),
            count: 0,
            inbox,
            ahead: VecDeque::new(),
        }
    }

    /// Works until the sockets are gone.
    pub fn run(mut self) {
        while let Some(work) = self.ahead.pop_front().or_else(|| self.inbox.recv().ok()) {
            self.outbox.begin(&work.parent);
            if self.attention.stopping.load(Ordering::SeqCst) {
                self.refuse(work, "the kernel is shutting down");
            } else {
                self.process_work(work);
            }
            self.attention.done();
        }
    }

    fn process_work(&mut self, Work { parent, task }: Work) {
        let reply_type = task.reply_type();
        let content = match task {
            Task::Execute(request) => return self.handle_execute(&parent, &request),
            Task::Complete(request) => self.handle_complete(&request),
            Task::Inspect(request) => self.handle_inspect(&request),
            Task::IsComplete(request) => self.handle_is_complete(&request),
            Task::History(request) => Ok(json!({"status": "ok", "history": self.history.query(&request)})),
        };
        let content = content.unwrap_or_else(|error| replies::error(&error));
        self.outbox.finish(&parent, reply_type, &content);
    }

    fn handle_execute(&mut self, parent: &Arc<Parent>, request: &ExecuteRequest) {
        let number = self.count + 1;
        if request.stores_history() {
            self.count = number;
            self.history.record(number, &request.code);
        }
        if !request.silent {
            let content = json!({"code": request.code, "execution_count": number});
            self.outbox.publish(parent, "execute_input", &content);
        }
        let output = Rc::new(CellOutput {
            outbox: self.outbox.clone(),
            parent: parent.clone(),
            interrupt: self.attention.interrupt.clone(),
            answers: self.answers.clone(),
            silent: request.silent,
            allow_stdin: request.allow_stdin,
            payload: RefCell::default(),
        });
        let result = self.execute(parent, request, number, output.clone());
        let failed = result.is_err();
        let mut content = match result {
            Ok(()) => {
                let expressions = self.evaluate_all(&request.user_expressions);
                json!({"status": "ok", "user_expressions": expressions})
            }
            Err(error) => {
                if !request.silent {
                    self.outbox
                        .publish(parent, "error", &replies::error_output(&error));
                }
                let mut content = replies::error(&error);
                content["user_expressions"] = json!({});
                content
            }
        };
        content["execution_count"] = json!(number);
        content["payload"] = output.payload.take().into();
        let aborted = if failed && request.stops_on_error() {
            self.take_waiting_cells()
        } else {
            vec![]
        };
        self.outbox.finish(parent, "execute_reply", &content);
        for work in aborted {
            self.outbox.begin(&work.parent);
            self.refuse(work, "not run: a cell before it failed");
            self.attention.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Runs the cell and shows its value.
    fn execute(
        &mut self,
        parent: &Arc<Parent>,
        request: &ExecuteRequest,
        number: u32,
        output: Rc<CellOutput>,
    ) -> Result<(), CellError> {
        let cell = Cell {
            code: request.code.clone(),
            execution_count: number,
            silent: request.silent,
            allow_stdin: request.allow_stdin,
        };
        let Some(MimeBundle { data, metadata }) =
            self.guarded(|interpreter| interpreter.execute(&cell, output))??
        else {
            return Ok(());
        };
        if request.silent {
            return Ok(());
        }
        if let Some(text) = data.get("text/plain").and_then(Value::as_str)
            && request.stores_history()
        {
            self.history.record_result(text);
        }
        let content = json!({"execution_count": number, "data": data, "metadata": metadata});
        self.outbox.publish(parent, "execute_result", &content);
        Ok(())
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
            let result = match result {
                Ok(bundle) => json!({"status": "ok", "data": bundle.data, "metadata": bundle.metadata}),
                Err(error) => replies::error(&error),
            };
            results.insert(name.clone(), result);
        }
        results
    }

    fn handle_complete(&mut self, request: &CompleteRequest) -> Result<Value, CellError> {
        let cursor = cursor(&request.code, request.cursor_pos);
        let Completions { range, matches } =
            self.guarded(|interpreter| interpreter.complete(&request.code, cursor))?;
        let typed = |item: &CompletionItem| {
            json!({
                "start": range.start, "end": range.end, "text": item.text, "type": item.kind,
                "signature": item.signature.as_deref().unwrap_or_default(),
            })
        };
        Ok(json!({
            "status": "ok",
            "matches": matches.iter().map(|item| &item.text).collect::<Vec<_>>(),
            "cursor_start": range.start,
            "cursor_end": range.end,
            "metadata": {
                "_jupyter_types_experimental": matches.iter().map(typed).collect::<Vec<_>>(),
            },
        }))
    }

    fn handle_inspect(&mut self, request: &InspectRequest) -> Result<Value, CellError> {
        let cursor = cursor(&request.code, request.cursor_pos);
        let detail = request.detail_level.min(1);
        let found = self.guarded(|interpreter| interpreter.inspect(&request.code, cursor, detail))?;
        let is_found = found.is_some();
        let MimeBundle { data, metadata } = found.unwrap_or_default();
        Ok(json!({"status": "ok", "found": is_found, "data": data, "metadata": metadata}))
    }

    fn handle_is_complete(&mut self, request: &IsCompleteRequest) -> Result<Value, CellError> {
        let answer = self.guarded(|interpreter| interpreter.is_complete(&request.code))?;
        Ok(match answer {
            Completeness::Complete => json!({"status": "complete"}),
            Completeness::Incomplete { indent } => json!({"status": "incomplete", "indent": indent}),
            Completeness::Invalid => json!({"status": "invalid"}),
        })
    }

    /// The execute requests that wait behind a failed one. Taken before its reply is sent: what a client
    /// sends after that is meant to run.
    fn take_waiting_cells(&mut self) -> Vec<Work> {
        std::thread::sleep(ABORT_GRACE);
        let waiting = self.ahead.drain(..).chain(self.inbox.try_iter());
        let (cells, others): (Vec<_>, Vec<_>) =
            waiting.partition(|work| matches!(work.task, Task::Execute(_)));
        self.ahead = others.into();
        cells
    }

    fn refuse(&self, Work { parent, task }: Work, why: &str) {
        let error = CellError {
            name: "Aborted".to_owned(),
            value: why.to_owned(),
            traceback: Vec::new(),
        };
        let mut content = replies::error(&error);
        if matches!(task, Task::Execute(_)) {
            content["execution_count"] = json!(self.count);
            content["payload"] = json!([]);
            content["user_expressions"] = json!({});
        }
        self.outbox.finish(&parent, task.reply_type(), &content);
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

impl Task {
    fn reply_type(&self) -> &'static str {
        match self {
            Task::Execute(_) => "execute_reply",
            Task::Complete(_) => "complete_reply",
            Task::Inspect(_) => "inspect_reply",
            Task::IsComplete(_) => "is_complete_reply",
            Task::History(_) => "history_reply",
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
