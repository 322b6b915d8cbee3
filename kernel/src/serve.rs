//! The kernel as a whole: starts the threads and tasks, routes requests, ends it all in order.

use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ecco_interpreter::{Interpreter, Interrupt};
use jupyter_protocol::Status;
use jupyter_protocol::connection_info::ConnectionInfo;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use zeromq::RouterRecvHalf;

use crate::attention::Attention;
use crate::comms::Comms;
use crate::desk::{Desk, process_requests};
use crate::dispatch::Dispatch;
use crate::error::Error;
use crate::gate::Gate;
use crate::history::History;
use crate::journal::note;
use crate::lifetime::{self, Signals};
use crate::outbox::Outbox;
use crate::output::Answer;
use crate::questions::Questions;
use crate::requests::{InputReply, parse};
use crate::script::Script;
use crate::sockets::{self, Router, Sockets, receive, send};
use crate::wire::{Channel, Parent, Request, Wire};

/// What the running cell gets to end in. Clients send SIGTERM 2.5 s after a shutdown request.
const CELL_END: Duration = Duration::from_secs(1);
/// What is unsent then gets so long.
const DRAIN: Duration = Duration::from_secs(1);
/// And so long for what was sent to reach the peers: those that do not read are not waited for.
const LINGER: Duration = Duration::from_millis(500);
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
    let stacks = (stack_bytes, stack_sizes(stack_bytes)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(run(connection, history, wire, stacks, make));
    // A thread of the runtime that is still busy must not keep the process.
    runtime.shutdown_background();
    result
}

async fn run(
    connection: &ConnectionInfo,
    history: Option<PathBuf>,
    wire: Arc<Wire>,
    (stack_bytes, stack_sizes): (usize, Vec<usize>),
    make: impl FnOnce(Interrupt) -> Box<dyn Interpreter> + Send + 'static,
) -> Result<(), Error> {
    let mut signals = Signals::new()?;
    let sockets = sockets::bind(connection, wire.trusted.clone()).await?;
    let outbox = Arc::new(Outbox::new(wire.clone()));
    let attention = Attention::default();
    let (work, inbox) = mpsc::channel();
    let (answers, answered) = mpsc::channel();
    let (end, mut ending) = watch::channel(false);
    outbox.publish(&Parent::none(), "status", &Status::starting());
    let history = History::start(history)?;
    let (said, noticed, remembered) = (outbox.clone(), attention.clone(), history.clone());
    let (comms, questions) = (Arc::new(Comms::default()), Questions::default());
    let asked = (comms.clone(), questions.clone());
    start_script(stack_bytes, &stack_sizes, move || {
        Script::new(make, said, noticed, remembered, asked, (inbox, answered))
    })?;
    let connection = connection.clone();
    let desk = Arc::new(Desk {
        wire,
        outbox,
        attention,
        connection,
        comms,
        questions,
        usage: Default::default(),
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
    let sending = Dispatch {
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

/// Parts of the stack that was asked for, which will do where there is no more.
const STACK_PARTS: [usize; 3] = [1, 4, 16];
/// Address space beside the smallest stack, without which nothing is begun: a program with less ends in the middle of
/// an allocation.
const LEAST_BESIDE: usize = 192 << 20;
/// Address space beside a larger one, which is there to work with.
const ROOM_BESIDE: usize = 1 << 30;

/// How large a stack may be, the largest first, of one that is asked for: it is address space, of which a shell may allow less
/// (`ulimit -v`).
///
/// # Errors
/// Where there is no room for the smallest and what a kernel takes beside it.
pub fn stack_sizes(most: usize) -> Result<Vec<usize>, Error> {
    let sizes = STACK_PARTS.map(|part| most / part);
    let smallest = sizes[STACK_PARTS.len() - 1];
    let beside = |size: usize| match size == smallest {
        true => LEAST_BESIDE,
        false => ROOM_BESIDE,
    };
    let fits = |size: &usize| is_free(size.saturating_add(beside(*size)));
    let sizes: Vec<usize> = sizes.into_iter().filter(fits).collect();
    match sizes.is_empty() {
        true => Err(Error::Room {
            megabytes: smallest.saturating_add(LEAST_BESIDE) >> 20,
        }),
        false => Ok(sizes),
    }
}

/// Whether so much address space is to be had.
fn is_free(bytes: usize) -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a mapping of its own, which nobody touches, is made and given back.
    unsafe {
        let start = libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0);
        start != libc::MAP_FAILED && libc::munmap(start, bytes) == 0
    }
}

/// The interpreter lives and dies on the thread where it is made. Where it gets a smaller stack, a line on stderr says so.
fn start_script(
    stack_bytes: usize,
    sizes: &[usize],
    make: impl FnOnce() -> Script + Send + 'static,
) -> Result<(), Error> {
    let started = start_thread("script", sizes, move || make().run());
    let bytes = started.map_err(|source| Error::Stack {
        megabytes: sizes.last().map_or(0, |bytes| bytes >> 20),
        source,
    })?;
    if bytes < stack_bytes {
        let (wanted, got) = (stack_bytes >> 20, bytes >> 20);
        eprintln!(
            "ecco-kernel: there is no memory for a stack of {wanted} MB (ulimit -v?): scripts get one of {got} MB, and \
             nest less deeply"
        );
    }
    Ok(())
}

/// Starts a thread with the first of these sizes of its stack that the system gives; says which.
fn start_thread(
    name: &str,
    stack_sizes: &[usize],
    run: impl FnOnce() + Send + 'static,
) -> std::io::Result<usize> {
    // A thread that is not made does not give back what it would have run.
    let run = Arc::new(Mutex::new(Some(run)));
    let mut refused = std::io::Error::from(std::io::ErrorKind::OutOfMemory);
    for &bytes in stack_sizes {
        let run = Arc::clone(&run);
        let body = move || {
            let run = run.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(run) = run {
                run();
            }
        };
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .stack_size(bytes);
        match thread.spawn(body) {
            Ok(_) => return Ok(bytes),
            Err(error) => refused = error,
        }
    }
    Err(refused)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_leaves_room_for_others() {
        assert_eq!(stack_sizes(1 << 24).unwrap(), [1 << 24, 1 << 22, 1 << 20]);
        // All but the smallest are more than a processor addresses, or that too.
        assert_eq!(stack_sizes(1 << 50).unwrap(), [1 << 46]);
        let refused = stack_sizes(1 << 60).unwrap_err().to_string();
        assert!(refused.contains("ulimit -v"), "{refused}");
        assert!(is_free(1 << 20) && !is_free(1 << 60));
    }

    #[test]
    fn a_smaller_stack_has_to_do_where_there_is_no_more() {
        let (ran, runs) = mpsc::channel();
        let started = start_thread("test", &[1 << 60, 1 << 58, 1 << 21], move || {
            ran.send(()).unwrap()
        });
        assert_eq!(started.unwrap(), 1 << 21);
        assert_eq!(runs.iter().count(), 1);
        assert!(start_thread("test", &[1 << 60], || ()).is_err());
    }
}
