//! The kernel as a whole: starts the threads and tasks, routes requests, ends it all in order.

use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ecco_interpreter::{CellError, Interpreter, Interrupt};
use jupyter_protocol::connection_info::ConnectionInfo;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use zeromq::{RouterRecvHalf, RouterSendHalf};

use crate::attention::Attention;
use crate::comms::{Comms, Said};
use crate::error::Error;
use crate::gate::Gate;
use crate::history::History;
use crate::journal::note;
use crate::lifetime::{self, Signals};
use crate::outbox::Outbox;
use crate::output::Answer;
use crate::replies;
use crate::requests::{CommClose, CommInfoRequest, CommMsg, CommOpen, InputReply, ShutdownRequest};
use crate::script::{Script, Task, Work};
use crate::sending::Sending;
use crate::sockets::{self, Router, Sockets, receive, send};
use crate::usage::Usage;
use crate::wire::{Channel, Parent, Request, Wire};

/// What the running cell gets to end in. Clients send SIGTERM 2.5 s after a shutdown request.
const CELL_END: Duration = Duration::from_secs(1);
/// What is unsent then gets so long.
const DRAIN: Duration = Duration::from_secs(1);
/// And so long for what was sent to reach the peers: those that do not read are not waited for.
const LINGER: Duration = Duration::from_millis(500);
/// Bytes of requests that may wait for the script thread before no more are read.
const WAITING_LIMIT: usize = 256 << 20;
/// How often it is looked whether there is room again.
const ROOM_POLL: Duration = Duration::from_millis(5);

/// Runs a kernel on the sockets of `connection` until it is shut down, asked to terminate, or its parent
/// dies. What is run is remembered in the file `history`, or for this session only. `make` is called on
/// the thread where the interpreter then lives, which has a stack of `stack_bytes`; requests that do not
/// need it are answered before it returns.
///
/// # Errors
/// When the sockets cannot be bound, the signature scheme is unknown, or threads cannot be made.
pub fn serve(
    connection: &ConnectionInfo,
    history: Option<PathBuf>,
    stack_bytes: usize,
    make: impl FnOnce(Interrupt) -> Box<dyn Interpreter> + Send + 'static,
) -> Result<(), Error> {
    let wire = Arc::new(Wire::new(&connection.signature_scheme, &connection.key)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(run(connection, history, wire, stack_bytes, make));
    // A thread of the runtime that is still busy must not keep the process.
    runtime.shutdown_background();
    result
}

async fn run(
    connection: &ConnectionInfo,
    history: Option<PathBuf>,
    wire: Arc<Wire>,
    stack_bytes: usize,
    make: impl FnOnce(Interrupt) -> Box<dyn Interpreter> + Send + 'static,
) -> Result<(), Error> {
    let mut signals = Signals::new()?;
    let sockets = sockets::bind(connection).await?;
    let outbox = Arc::new(Outbox::new(wire.clone()));
    let attention = Attention::default();
    let (work, inbox) = mpsc::channel();
    let (answers, answered) = mpsc::channel();
    let (end, mut ending) = watch::channel(false);
    outbox.publish(&Parent::none(), "status", &json!({"execution_state": "starting"}));
    let history = History::start(history)?;
    let (said, noticed, remembered) = (outbox.clone(), attention.clone(), history.clone());
    start_script(stack_bytes, move || {
        Script::new(make, said, noticed, remembered, inbox, answered)
    })?;
    let connection = connection.clone();
    let desk = Arc::new(Desk {
        wire,
        outbox,
        attention,
        connection,
        comms: Comms::default(),
        usage: Mutex::default(),
        work,
        end,
    });
    let (sent, receiving, gate) = start_tasks(&desk, sockets, answers);
    tokio::select! {
        _ = ending.wait_for(|&end| end) => {}
        _ = signals.until_terminated(|| desk.attention.interrupt()) => {}
        _ = lifetime::orphaned() => {}
    }
    desk.attention.stop();
    let _ = tokio::time::timeout(CELL_END, desk.attention.idle()).await;
    desk.outbox.close();
    // What is unsent after that has no reader; what is unwritten, no disk.
    let _ = tokio::time::timeout(DRAIN, async { tokio::join!(sent, history.flush()) }).await;
    // With the tasks go the sockets, whose writers then end when they have written everything.
    drop(receiving);
    let _ = tokio::time::timeout(LINGER, gate.finish()).await;
    Ok(())
}

/// Starts everything that looks after a socket: the sending task, which ends when the outbox does, and
/// one for each channel that something comes in on, which end when their set is dropped.
fn start_tasks(
    desk: &Arc<Desk>,
    sockets: Sockets,
    answers: Sender<Answer>,
) -> (JoinHandle<()>, JoinSet<()>, Gate) {
    let Sockets {
        shell,
        control,
        stdin,
        heartbeat,
        iopub,
        gate,
    } = sockets;
    let sending = Sending {
        wire: desk.wire.clone(),
        outbox: desk.outbox.clone(),
        iopub,
        shell: shell.sender.clone(),
        control: control.sender.clone(),
        stdin: stdin.sender.clone(),
        answers: answers.clone(),
    };
    let mut receiving = JoinSet::new();
    receiving.spawn(process_requests(desk.clone(), Channel::Shell, shell));
    receiving.spawn(process_requests(desk.clone(), Channel::Control, control));
    receiving.spawn(process_answers(desk.clone(), stdin.receiver, answers));
    receiving.spawn(echo(heartbeat));
    (tokio::spawn(sending.run()), receiving, gate)
}

/// The interpreter lives and dies on the thread where it is made.
fn start_script(stack_bytes: usize, make: impl FnOnce() -> Script + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name("script".to_owned())
        .stack_size(stack_bytes)
        .spawn(move || make().run())
        .map(drop)
}

/// Where requests are sorted: those that need the interpreter go to the script thread, all others are
/// answered here, also while a cell runs.
struct Desk {
    wire: Arc<Wire>,
    outbox: Arc<Outbox>,
    attention: Attention,
    connection: ConnectionInfo,
    comms: Comms,
    usage: Mutex<Usage>,
    work: Sender<Work>,
    end: watch::Sender<bool>,
}

/// What a request answered at the desk comes to: the content of its reply, if it has one.
type Handled = Result<Option<Value>, CellError>;

async fn process_requests(desk: Arc<Desk>, channel: Channel, router: Router) {
    let Router {
        mut sender,
        mut receiver,
    } = router;
    loop {
        // Interrupts come on control and must come through.
        while channel == Channel::Shell && desk.is_full() {
            tokio::time::sleep(ROOM_POLL).await;
        }
        let message = receive(&mut receiver).await;
        match desk.wire.decode(channel, message) {
            Ok(request) => desk.process_request(&mut sender, &request).await,
            Err(rejected) => note(format_args!("a message on {channel:?} was ignored: {rejected}")),
        }
    }
}

impl Desk {
    /// Whether more waits, to be worked on or to be sent, than a client that listens lets come together.
    fn is_full(&self) -> bool {
        self.attention.waiting_bytes() > WAITING_LIMIT || self.outbox.is_full()
    }

    async fn process_request(&self, sender: &mut RouterSendHalf, request: &Request) {
        let shell = request.parent.channel == Channel::Shell;
        // As in ipykernel a request for a subshell that is not there is an error. Comms are answered
        // beside the cells in any case.
        if request.subshell.is_some() && shell && request.msg_type.ends_with("_request") {
            return self
                .answer(sender, request, || Err(replies::no_subshells()))
                .await;
        }
        let queued = match request.msg_type.as_str() {
            "execute_request" if shell => self.queue(request, Task::Execute),
            "complete_request" if shell => self.queue(request, Task::Complete),
            "inspect_request" if shell => self.queue(request, Task::Inspect),
            "is_complete_request" if shell => self.queue(request, Task::IsComplete),
            "history_request" if shell => self.queue(request, Task::History),
            _ => return self.answer(sender, request, || self.handle(request)).await,
        };
        if let Err(error) = queued {
            self.answer(sender, request, || Err(error)).await;
        }
    }

    /// Hands a request to the script thread.
    fn queue<T: DeserializeOwned>(&self, request: &Request, task: fn(T) -> Task) -> Result<(), CellError> {
        let task = task(parse(request)?);
        let size = request.content.len();
        self.attention.enqueue(size);
        let work = Work {
            parent: request.parent.clone(),
            task,
            size,
            since: Instant::now(),
        };
        self.work
            .send(work)
            .map_err(|_| replies::invalid("the interpreter's thread has ended".to_owned()))
    }

    /// What needs no interpreter.
    fn handle(&self, request: &Request) -> Handled {
        match request.msg_type.as_str() {
            "kernel_info_request" => Ok(Some(replies::kernel_info())),
            "connect_request" => Ok(Some(replies::connect(&self.connection))),
            "usage_request" => {
                let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(Some(usage.reply()))
            }
            "interrupt_request" => {
                self.attention.interrupt();
                Ok(Some(json!({"status": "ok"})))
            }
            "shutdown_request" => self.handle_shutdown(request),
            "comm_info_request" => self.handle_comm_info(request),
            "comm_open" => self.handle_comm_open(request),
            "comm_msg" => self.handle_comm_msg(request),
            "comm_close" => {
                let CommClose { comm_id } = parse(request)?;
                self.comms.close(&comm_id);
                Ok(None)
            }
            "create_subshell_request" | "delete_subshell_request" | "list_subshell_request" => {
                Err(replies::no_subshells())
            }
            "debug_request" => Err(replies::failure("DebugError", "there is no debugger".to_owned())),
            other => {
                let channel = request.parent.channel;
                Err(replies::invalid(format!(
                    "{other} is not known on the {channel:?} channel"
                )))
            }
        }
    }

    fn handle_shutdown(&self, request: &Request) -> Handled {
        let ShutdownRequest { restart } = parse(request)?;
        let content = json!({"status": "ok", "restart": restart});
        self.outbox.publish(&request.parent, "shutdown_reply", &content);
        Ok(Some(content))
    }

    fn handle_comm_info(&self, request: &Request) -> Handled {
        let CommInfoRequest { target_name } = parse(request)?;
        let comms = self.comms.info(target_name.as_deref());
        Ok(Some(json!({"status": "ok", "comms": comms})))
    }

    fn handle_comm_open(&self, request: &Request) -> Handled {
        let CommOpen { comm_id, target_name } = parse(request)?;
        if !self.comms.open(&comm_id, &target_name) {
            // The client must learn that its comm leads nowhere.
            let content = json!({"comm_id": comm_id, "data": {}});
            self.outbox.publish(&request.parent, "comm_close", &content);
        }
        Ok(None)
    }

    fn handle_comm_msg(&self, request: &Request) -> Handled {
        let CommMsg { comm_id, data } = parse(request)?;
        let metadata: Map<String, Value> = serde_json::from_slice(&request.metadata).unwrap_or_default();
        let buffers = request.buffers.clone();
        let said = Said {
            data,
            metadata,
            buffers,
        };
        if let Some(answer) = self.comms.hear(&comm_id, said) {
            let (data, extras) = answer.into_extras();
            let content = json!({"comm_id": comm_id, "data": data});
            self.outbox
                .publish_comm(&request.parent, "comm_msg", &content, extras);
        }
        Ok(None)
    }

    /// Answers a request between busy and idle; one that is not understood gets an error, not silence.
    async fn answer(&self, sender: &mut RouterSendHalf, request: &Request, handle: impl FnOnce() -> Handled) {
        let Request { msg_type, parent, .. } = request;
        self.outbox.begin_beside(parent);
        let handled = handle();
        let ends = msg_type == "shutdown_request" && handled.is_ok();
        let asked = msg_type.strip_suffix("_request");
        if let (Err(error), None) = (&handled, asked) {
            note(format_args!("a {msg_type} was not understood: {}", error.value));
        }
        let content = handled.unwrap_or_else(|error| Some(replies::error(&error)));
        if let (Some(content), Some(asked)) = (content, asked) {
            let reply = self.wire.reply(&format!("{asked}_reply"), parent, &content);
            if let Err(error) = send(sender, reply).await {
                note(format_args!("a reply to {msg_type} was not sent: {error}"));
            }
        }
        self.outbox.finish_beside(parent);
        if ends {
            self.end.send_replace(true);
        }
    }
}

fn parse<T: DeserializeOwned>(request: &Request) -> Result<T, CellError> {
    serde_json::from_slice(&request.content)
        .map_err(|error| replies::invalid(format!("{}: {error}", request.msg_type)))
}

/// Takes the user's answers from the stdin channel to the cell that waits for them.
async fn process_answers(desk: Arc<Desk>, mut stdin: RouterRecvHalf, answers: Sender<Answer>) {
    loop {
        let message = receive(&mut stdin).await;
        let request = match desk.wire.decode(Channel::Stdin, message) {
            Ok(request) if request.msg_type == "input_reply" => request,
            Ok(Request { msg_type, .. }) => {
                note(format_args!("{msg_type} does not belong on the Stdin channel"));
                continue;
            }
            Err(rejected) => {
                note(format_args!("a message on Stdin was ignored: {rejected}"));
                continue;
            }
        };
        let line = match parse::<InputReply>(&request) {
            Ok(InputReply { value: Some(line) }) => Ok(line),
            Ok(InputReply { value: None }) => Err("the client sent no answer".to_owned()),
            Err(error) => Err(error.value),
        };
        let answer = Answer {
            question: request.answered,
            from: Some(request.parent),
            line,
        };
        // Nobody waits any more when the script thread has ended.
        let _ = answers.send(answer);
    }
}

/// The heartbeat: every message comes back as it is.
async fn echo(mut heartbeat: Router) {
    loop {
        let message = receive(&mut heartbeat.receiver).await;
        if let Err(error) = send(&mut heartbeat.sender, message).await {
            note(format_args!("a heartbeat was not answered: {error}"));
        }
    }
}
