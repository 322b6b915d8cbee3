//! The one task that sends what the script thread says, and looks after subscribers.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use zeromq::{RouterSendHalf, SocketSend, XPubSocket, ZmqMessage};

use crate::journal::note;
use crate::outbox::{Item, Outbox};
use crate::output::Answer;
use crate::sockets::{receive, send};
use crate::wire::{Channel, Wire};

/// A client may ask for a cell to be run before its stdin socket is connected: a question is tried this
/// often …
const ASK_PAUSE: Duration = Duration::from_millis(50);
/// … and so many times.
const ASK_ATTEMPTS: u32 = 40;

pub(crate) struct Dispatch {
    pub wire: Arc<Wire>,
    pub outbox: Arc<Outbox>,
    pub iopub: XPubSocket,
    pub shell: RouterSendHalf,
    pub control: RouterSendHalf,
    pub stdin: RouterSendHalf,
    pub answers: Sender<Answer>,
}

impl Dispatch {
    /// Sends until the outbox is closed and empty.
    pub(crate) async fn run(mut self) {
        loop {
            tokio::select! {
                message = receive(&mut self.iopub) => self.handle_subscription(message).await,
                next = self.outbox.next() => match next {
                    Some((item, size)) => {
                        self.send(item).await;
                        self.outbox.release(size);
                    }
                    None => return,
                },
            }
        }
    }

    async fn send(&mut self, item: Item) {
        let sent = match item {
            Item::Publish(message) => self.iopub.send(message).await,
            Item::Reply(Channel::Control, message) => send(&mut self.control, message).await,
            Item::Reply(_, message) => send(&mut self.shell, message).await,
            Item::Ask(question, message) => {
                let (stdin, answers) = (self.stdin.clone(), self.answers.clone());
                tokio::spawn(ask(stdin, question, message, answers));
                Ok(())
            }
        };
        // The client is gone, and its reply with it.
        if let Err(error) = sent {
            note(format_args!("a message was not sent: {error}"));
        }
    }

    /// Greets who has just subscribed, so that it knows from when on it misses nothing.
    async fn handle_subscription(&mut self, message: ZmqMessage) {
        let Some(frame) = message.get(0).filter(|frame| frame.first() == Some(&1)) else {
            return;
        };
        let welcome = self.wire.welcome(frame.slice(1..));
        self.send(Item::Publish(welcome)).await;
    }
}

async fn ask(mut stdin: RouterSendHalf, question: String, message: ZmqMessage, answers: Sender<Answer>) {
    for _ in 0..ASK_ATTEMPTS {
        if send(&mut stdin, message.clone()).await.is_ok() {
            return;
        }
        tokio::time::sleep(ASK_PAUSE).await;
    }
    // Nobody waits any more if the script thread is gone.
    let _ = answers.send(Answer {
        question: Some(question),
        from: None,
        line: Err("the client that asked for this cell does not listen for questions".to_owned()),
    });
}
