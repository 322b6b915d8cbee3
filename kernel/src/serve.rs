//! The kernel as a whole: starts the threads and tasks, routes requests, ends it all in order.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use ecco_scripting::interpreter::{CellError, Interpreter, Interrupt};
use jupyter_protocol::connection_info::ConnectionInfo;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use zeromq::{RouterRecvHalf, RouterSendHalf};

use crate::error::Error;
use crate::lifetime::{self, Signals};
use crate::outbox::Outbox;
use crate::output::Answer;
use crate::replies;
use crate::requests::{CommOpen, InputReply, ShutdownRequest};
use crate::script::{Attention, Script, Task, Work};
use crate::sending::Sending;
use crate::sockets::{self, Router, SocketFiles, Sockets, receive, send};
use crate::wire::{Channel, Parent, Request, Wire};

/// Recursion in scripts and in the interpreter's parser needs more than a thread's usual 2 MB.
const SCRIPT_STACK: usize = ecco_scripting::STACK_BYTES;
/// What the running cell gets to end in. Clients send SIGTERM 2.5 s after a shutdown request.
const CELL_END: Duration = Duration::from_secs(1);
/// What is unsent then gets so long.
const DRAIN: Duration = Duration::from_secs(1);
/// ZeroMQ's own writers do not say when they are done; on loopback this is plenty.
const LINGER: Duration = Duration::from_millis(100);

/// Runs a kernel on the sockets of `connection` until it is shut down, asked to terminate, or its parent
/// dies. `make` is called on the thread where the interpreter then lives; requests that do not need it
/// are answered before it returns.
///
/// # Errors
/// When the sockets cannot be bound, the signature scheme is unknown, or threads cannot be made.
pub fn serve(
    connection: &ConnectionInfo,
    make: impl FnOnce(Interrupt) -> Box<dyn Interpreter> + Send + 'static,
) -> Result<(), Error> {
    let wire = Arc::new(Wire::new(&connection.signature_scheme, &connection.key)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(run(connection, wire, make));
    // A thread of the runtime that is still busy must not keep the process.
    runtime.shutdown_background();
    result
}

async fn run(
    connection: &ConnectionInfo,
    wire: Arc<Wire>,
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
    start_script(make, outbox.clone(), attention.clone(), inbox, answered)?;
    let connection = connection.clone();
    let desk = Arc::new(Desk {
        wire,
        outbox,
        attention,
        connection,
        work,
        end,
    });
    let (sent, _files) = start_tasks(&desk, sockets, answers);
    tokio::select! {
        _ = ending.wait_for(|&end| end) => {}
        _ = signals.until_terminated(|| desk.attention.interrupt()) => {}
        _ = lifetime::orphaned() => {}
    }
    desk.attention.stop();
    let _ = tokio::time::timeout(CELL_END, desk.attention.idle()).await;
    desk.outbox.close();
    // What is unsent after that has no reader.
    let _ = tokio::time::timeout(DRAIN, sent).await;
    tokio::time::sleep(LINGER).await;
    Ok(())
}

/// Starts everything that looks after a socket: the sending task, which ends when the outbox does, and
/// one for each channel that something comes in on.
fn start_tasks(desk: &Arc<Desk>, sockets: Sockets, answers: Sender<Answer>) -> (JoinHandle<()>, SocketFiles) {
    let Sockets {
        shell,
        control,
        stdin,
        heartbeat,
        iopub,
        files,
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
    tokio::spawn(process_requests(desk.clone(), Channel::Shell, shell));
    tokio::spawn(process_requests(desk.clone(), Channel::Control, control));
    tokio::spawn(process_answers(desk.clone(), stdin.receiver, answers));
    tokio::spawn(echo(heartbeat));
    (tokio::spawn(sending.run()), files)
}

fn start_script(
    make: impl FnOnce(Interrupt) -> Box<dyn Interpreter> + Send + 'static,
    outbox: Arc<Outbox>,
    attention: Attention,
    inbox: Receiver<Work>,
    answered: Receiver<Answer>,
) -> std::io::Result<()> {
    let script = move || Script::new(make, outbox, attention, inbox, answered).run();
    std::thread::Builder::new()
        .name("script".to_owned())
        .stack_size(SCRIPT_STACK)
        .spawn(script)
        .map(drop)
}

/// Where requests are sorted: those that need the interpreter go to the script thread, all others are
/// answered here, also while a cell runs.
struct Desk {
    wire: Arc<Wire>,
    outbox: Arc<Outbox>,
    attention: Attention,
    connection: ConnectionInfo,
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
        let message = receive(&mut receiver).await;
        match desk.wire.decode(channel, message) {
            Ok(request) => desk.process_request(&mut sender, &request).await,
            Err(rejected) => eprintln!("ecco-kernel: a message on {channel:?} was ignored: {rejected}"),
        }
    }
}

impl Desk {
    async fn process_request(&self, sender: &mut RouterSendHalf, request: &Request) {
        let shell = request.parent.channel == Channel::Shell;
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
        self.attention.enqueue();
        let work = Work {
            parent: request.parent.clone(),
            task,
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
            "comm_info_request" => Ok(Some(json!({"status": "ok", "comms": {}}))),
            "interrupt_request" => {
                self.attention.interrupt();
                Ok(Some(json!({"status": "ok"})))
            }
            "shutdown_request" => self.handle_shutdown(request),
            "comm_open" => self.handle_comm_open(request),
            // To comms that were closed as soon as they were opened.
            "comm_msg" | "comm_close" => Ok(None),
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

    /// No target is known yet: the client must learn that its comm leads nowhere.
    fn handle_comm_open(&self, request: &Request) -> Handled {
        let CommOpen { comm_id } = parse(request)?;
        let content = json!({"comm_id": comm_id, "data": {}});
        self.outbox.publish(&request.parent, "comm_close", &content);
        Ok(None)
    }

    /// Answers a request between busy and idle; one that is not understood gets an error, not silence.
    async fn answer(&self, sender: &mut RouterSendHalf, request: &Request, handle: impl FnOnce() -> Handled) {
        let Request { msg_type, parent, .. } = request;
        self.outbox.begin_beside(parent);
        let handled = handle();
        let ends = msg_type == "shutdown_request" && handled.is_ok();
        let content = handled.unwrap_or_else(|error| Some(replies::error(&error)));
        if let (Some(content), Some(request)) = (content, msg_type.strip_suffix("_request")) {
            let reply = self.wire.reply(&format!("{request}_reply"), parent, &content);
            if let Err(error) = send(sender, reply).await {
                eprintln!("ecco-kernel: a reply to {msg_type} was not sent: {error}");
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
        let answer = match desk.wire.decode(Channel::Stdin, message) {
            Ok(request) if request.msg_type == "input_reply" => match parse::<InputReply>(&request) {
                Ok(InputReply { value: Some(line) }) => Ok(line),
                Ok(InputReply { value: None }) => Err("the client sent no answer".to_owned()),
                Err(error) => Err(error.value),
            },
            Ok(request) => {
                eprintln!(
                    "ecco-kernel: {} does not belong on the Stdin channel",
                    request.msg_type
                );
                continue;
            }
            Err(rejected) => {
                eprintln!("ecco-kernel: a message on Stdin was ignored: {rejected}");
                continue;
            }
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
            eprintln!("ecco-kernel: a heartbeat was not answered: {error}");
        }
    }
}
