//! Where requests are sorted: those that need the interpreter go to the script thread, all others are
//! answered here, also while a cell runs.
//!
//! Every message that is understood is a row of [`MESSAGES`]. A reply is named after its request.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ecco_interpreter::CellError;
use jupyter_protocol::connection_info::ConnectionInfo;
use jupyter_protocol::{InterruptReply, ShutdownReply};
use serde_json::{Value, json};
use tokio::sync::watch;
use zeromq::RouterSendHalf;

use crate::attention::Attention;
use crate::comms::{CommMessage, Comms, Envelope, Heard};
use crate::journal::note;
use crate::outbox::Outbox;
use crate::questions::{Question, Questions};
use crate::replies;
use crate::requests::{CommClose, CommMsg, CommOpen, ShutdownRequest, parse};
use crate::script::{Script, Task, Work};
use crate::sockets::{Router, receive, send};
use crate::usage::Usage;
use crate::wire::{Channel, Request, Wire};

/// Bytes of requests that may wait for the script thread before no more are read.
const WAITING_LIMIT: usize = 256 << 20;
/// How often it is looked whether there is room again.
const ROOM_POLL: Duration = Duration::from_millis(5);

pub(crate) struct Desk {
    pub(crate) wire: Arc<Wire>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) attention: Attention,
    pub(crate) connection: ConnectionInfo,
    pub(crate) comms: Arc<Comms>,
    pub(crate) questions: Questions,
    pub(crate) usage: Mutex<Usage>,
    pub(crate) work: Sender<Work>,
    pub(crate) end: watch::Sender<bool>,
}

/// Who answers a message.
enum Route {
    /// The script thread, in the order in which requests come; on the shell channel only.
    Script(fn(&Request) -> Result<Task, CellError>),
    /// The desk, on shell and control, at once.
    Desk(fn(&Desk, &Request) -> Reply),
}

/// The content of a reply; none for messages that have no reply.
type Reply = Result<Option<Value>, CellError>;

static MESSAGES: &[(&str, Route)] = &[
    (
        "execute_request",
        Route::Script(|request| Ok(Task::Execute(parse(request)?))),
    ),
    (
        "complete_request",
        Route::Script(|request| Task::question(request, Script::handle_complete)),
    ),
    (
        "inspect_request",
        Route::Script(|request| Task::question(request, Script::handle_inspect)),
    ),
    (
        "is_complete_request",
        Route::Script(|request| Task::question(request, Script::handle_is_complete)),
    ),
    (
        "history_request",
        Route::Script(|request| Task::question(request, Script::handle_history)),
    ),
    (
        "kernel_info_request",
        Route::Desk(|_, _| Ok(Some(replies::kernel_info()))),
    ),
    (
        "connect_request",
        Route::Desk(|desk, _| Ok(Some(replies::connect(&desk.connection)))),
    ),
    ("usage_request", Route::Desk(Desk::handle_usage)),
    ("interrupt_request", Route::Desk(Desk::handle_interrupt)),
    ("shutdown_request", Route::Desk(Desk::handle_shutdown)),
    (
        "comm_info_request",
        Route::Desk(|desk, request| Ok(Some(desk.comms.info(&parse(request)?)))),
    ),
    ("comm_open", Route::Desk(Desk::handle_comm_open)),
    ("comm_msg", Route::Desk(Desk::handle_comm_msg)),
    ("comm_close", Route::Desk(Desk::handle_comm_close)),
    (
        "create_subshell_request",
        Route::Desk(|_, _| Err(replies::no_subshells())),
    ),
    (
        "delete_subshell_request",
        Route::Desk(|_, _| Err(replies::no_subshells())),
    ),
    (
        "list_subshell_request",
        Route::Desk(|_, _| Err(replies::no_subshells())),
    ),
    (
        "debug_request",
        Route::Desk(|_, _| Err(replies::failure("DebugError", "there is no debugger".to_owned()))),
    ),
];

pub(crate) async fn process_requests(desk: Arc<Desk>, channel: Channel, router: Router) {
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
            Err(rejection) => note(format_args!("a message on {channel:?} was ignored: {rejection}")),
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
        if request.subshell.is_some() && shell && request.reply_type().is_some() {
            return self
                .answer(sender, request, |_, _| Err(replies::no_subshells()))
                .await;
        }
        let row = MESSAGES
            .iter()
            .find(|(msg_type, _)| *msg_type == request.msg_type);
        match row {
            Some((_, Route::Script(task))) if shell => {
                if let Err(error) = task(request).and_then(|task| self.queue(request, task)) {
                    self.answer(sender, request, |_, _| Err(error)).await;
                }
            }
            Some((_, Route::Desk(handle))) => self.answer(sender, request, handle).await,
            _ => {
                self.answer(sender, request, |_, request| Err(unknown(request)))
                    .await
            }
        }
    }

    /// Hands a request to the script thread.
    fn queue(&self, request: &Request, task: Task) -> Result<(), CellError> {
        let size = request.content.len();
        self.attention.enqueue(size);
        self.hurry();
        let work = Work {
            parent: request.parent.clone(),
            reply_type: request.reply_type().unwrap_or_default(),
            task,
            size,
            since: Instant::now(),
        };
        self.work
            .send(work)
            .map_err(|_| replies::invalid("the interpreter's thread has ended".to_owned()))
    }

    /// What waits behind a question is let through before long.
    fn hurry(&self) {
        let Some((number, rest)) = self.questions.under_way() else {
            return;
        };
        let (questions, attention) = (self.questions.clone(), self.attention.clone());
        tokio::spawn(async move {
            tokio::time::sleep(rest).await;
            questions.stop(number, &attention);
        });
    }

    fn handle_usage(&self, _request: &Request) -> Reply {
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Some(usage.reply()))
    }

    fn handle_interrupt(&self, _request: &Request) -> Reply {
        self.attention.interrupt();
        Ok(Some(json!(InterruptReply::new())))
    }

    fn handle_shutdown(&self, request: &Request) -> Reply {
        let ShutdownRequest { restart } = parse(request)?;
        let reply = ShutdownReply {
            restart,
            ..ShutdownReply::default()
        };
        self.outbox.publish(&request.parent, "shutdown_reply", &reply);
        Ok(Some(json!(reply)))
    }

    fn handle_comm_open(&self, request: &Request) -> Reply {
        let CommOpen { comm_id, target_name } = parse(request)?;
        if !self.comms.open(&comm_id, &target_name) {
            self.say_closed(request, &comm_id);
        }
        Ok(None)
    }

    /// The client must learn that its comm leads nowhere.
    fn say_closed(&self, request: &Request, comm_id: &str) {
        let content = json!({"comm_id": comm_id, "data": {}});
        self.outbox.publish(&request.parent, "comm_close", &content);
    }

    fn handle_comm_msg(&self, request: &Request) -> Reply {
        let CommMsg { comm_id, data } = parse(request)?;
        let message = CommMessage {
            data,
            metadata: serde_json::from_slice(&request.metadata).unwrap_or_default(),
            buffers: request.buffers.clone(),
        };
        match self.comms.hear(&comm_id, message) {
            Some(Heard::Answer(answer)) => {
                let (data, extras) = answer.into_extras();
                let content = json!({"comm_id": comm_id, "data": data});
                self.outbox
                    .publish_comm(&request.parent, "comm_msg", &content, extras);
            }
            Some(Heard::Question(message, envelope)) => self.ask(request, &comm_id, message.data, envelope),
            None => {}
        }
        Ok(None)
    }

    /// Lets a question wait for the script thread; a comm on which something else is said is closed.
    fn ask(&self, request: &Request, comm_id: &str, data: Value, envelope: Envelope) {
        let size = request.content.len();
        let Some(question) = Question::parse(&request.parent, comm_id, data, size, envelope) else {
            self.forget(comm_id);
            return self.say_closed(request, comm_id);
        };
        if let Some((refused, why)) = self.questions.put(question, &self.attention) {
            let content = json!({"comm_id": refused.comm_id, "data": refused.refusal(why)});
            self.outbox.publish(&refused.parent, "comm_msg", &content);
        }
        // Where that thread has ended nobody is answered any more.
        let _ = self.work.send(Work::wake(&request.parent));
    }

    fn forget(&self, comm_id: &str) {
        self.comms.close(comm_id);
        self.questions.forget(comm_id, &self.attention);
    }

    fn handle_comm_close(&self, request: &Request) -> Reply {
        let CommClose { comm_id } = parse(request)?;
        self.forget(&comm_id);
        Ok(None)
    }

    /// Answers a request between busy and idle; one that is not understood gets an error, not silence.
    async fn answer(
        &self,
        sender: &mut RouterSendHalf,
        request: &Request,
        handle: impl FnOnce(&Self, &Request) -> Reply,
    ) {
        let Request { msg_type, parent, .. } = request;
        self.outbox.begin_beside(parent);
        let reply = handle(self, request);
        let ends = msg_type == "shutdown_request" && reply.is_ok();
        let reply_type = request.reply_type();
        if let (Err(error), None) = (&reply, &reply_type) {
            note(format_args!("a {msg_type} was not understood: {}", error.value));
        }
        let content = reply.unwrap_or_else(|error| Some(replies::error(&error)));
        if let (Some(content), Some(reply_type)) = (content, reply_type) {
            let reply = self.wire.reply(&reply_type, parent, &content);
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

fn unknown(request: &Request) -> CellError {
    let (msg_type, channel) = (&request.msg_type, request.parent.channel);
    replies::invalid(format!("{msg_type} is not known on the {channel:?} channel"))
}
