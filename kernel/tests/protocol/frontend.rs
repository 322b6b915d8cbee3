//! A front end for tests: starts a kernel in this process and talks to it over sockets.

use std::collections::VecDeque;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ecco_interpreter::{Interpreter, Interrupt};
use ecco_protocol::{connection, serve};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use zeromq::{DealerSocket, Socket, SocketOptions, SocketRecv, SocketSend, SubSocket, ZmqMessage};

use crate::message::{Draft, KEY, Message, decode, line, sign};
use crate::toy::Toy;

const TIMEOUT: Duration = Duration::from_secs(10);
/// More than the toy language needs, less than a script.
const STACK_BYTES: usize = 2 << 20;

pub(crate) struct Frontend {
    runtime: Runtime,
    shell: DealerSocket,
    control: DealerSocket,
    stdin: DealerSocket,
    iopub: SubSocket,
    /// Read from iopub while something else was looked for.
    unread: VecDeque<Message>,
    sent: u32,
    name: String,
    kernel: Option<JoinHandle<()>>,
    connection: Value,
    folder: Option<tempfile::TempDir>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum To {
    Shell,
    Control,
    Stdin,
}

impl Frontend {
    /// A front end of a kernel that speaks the toy language.
    pub(crate) fn start() -> Self {
        Self::start_with(|interrupt| Box::new(Toy::new(interrupt)))
    }

    pub(crate) fn start_with(make: impl FnOnce(Interrupt) -> Box<dyn Interpreter> + Send + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_on(&ipc(folder.path()), folder, None, make)
    }

    /// The same with a history that outlives the kernel.
    pub(crate) fn start_remembering(history: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_on(&ipc(folder.path()), folder, Some(history), |interrupt| {
            Box::new(Toy::new(interrupt))
        })
    }

    /// The same over TCP, on ports that were free a moment ago.
    pub(crate) fn start_tcp() -> Self {
        let listeners: Vec<_> = (0..5)
            .map(|_| std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap())
            .collect();
        let port = |i: usize| listeners[i].local_addr().unwrap().port();
        let connection = json!({
            "transport": "tcp", "ip": "127.0.0.1", "key": KEY, "signature_scheme": "hmac-sha256",
            "shell_port": port(0), "iopub_port": port(1), "stdin_port": port(2), "control_port": port(3),
            "hb_port": port(4),
        });
        drop(listeners);
        let folder = tempfile::tempdir().unwrap();
        Self::start_on(&connection, folder, None, |interrupt| {
            Box::new(Toy::new(interrupt))
        })
    }

    fn start_on(
        connection: &Value,
        folder: tempfile::TempDir,
        history: Option<&Path>,
        make: impl FnOnce(Interrupt) -> Box<dyn Interpreter> + Send + 'static,
    ) -> Self {
        let parsed = connection::parse(&connection.to_string()).unwrap();
        let history = history.map(Path::to_owned);
        let kernel = std::thread::spawn(move || serve(&parsed, history, STACK_BYTES, make).unwrap());
        let mut frontend = Self::connect(connection, "a-frontend");
        frontend.kernel = Some(kernel);
        frontend.folder = Some(folder);
        frontend
    }

    /// A second front end of the same kernel.
    pub(crate) fn another(&self) -> Self {
        Self::connect(&self.connection, "another-frontend")
    }

    /// A front end of a kernel that runs elsewhere.
    pub(crate) fn connect(connection: &Value, identity: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let dealer = || {
            let mut options = SocketOptions::default();
            options.peer_identity(identity.parse().unwrap());
            DealerSocket::with_options(options)
        };
        let (mut shell, mut control, mut stdin) = (dealer(), dealer(), dealer());
        let mut iopub = SubSocket::new();
        runtime.block_on(async {
            connect(&mut shell, connection, "shell_port").await;
            connect(&mut control, connection, "control_port").await;
            connect(&mut stdin, connection, "stdin_port").await;
            connect(&mut iopub, connection, "iopub_port").await;
            iopub.subscribe("").await.unwrap();
        });
        let mut frontend = Self {
            runtime,
            shell,
            control,
            stdin,
            iopub,
            unread: VecDeque::new(),
            sent: 0,
            name: identity.to_owned(),
            kernel: None,
            connection: connection.clone(),
            folder: None,
        };
        while frontend.iopub_message().msg_type != "iopub_welcome" {}
        frontend
    }

    /// Runs a cell: the transcript of its outputs, and the content of its reply.
    pub(crate) fn run(&mut self, code: &str) -> (Vec<String>, Value) {
        let id = self.execute(code);
        (self.transcript(&id), self.reply(To::Shell, &id).content)
    }

    /// Sends an execute request and does not wait.
    pub(crate) fn execute(&mut self, code: &str) -> String {
        self.send(
            To::Shell,
            "execute_request",
            json!({"code": code, "allow_stdin": true}),
        )
    }

    /// Sends a request and returns the content of its reply.
    pub(crate) fn ask(&mut self, to: To, msg_type: &str, content: Value) -> Value {
        let id = self.send(to, msg_type, content);
        self.reply(to, &id).content
    }

    /// Sends a message and returns its msg_id.
    pub(crate) fn send(&mut self, to: To, msg_type: &str, content: Value) -> String {
        self.send_draft(to, msg_type, Draft::new(content))
    }

    pub(crate) fn send_draft(&mut self, to: To, msg_type: &str, draft: Draft) -> String {
        self.sent += 1;
        let id = format!("{}-{}", self.name, self.sent);
        self.send_bytes(to, draft.frames(&id, msg_type));
        id
    }

    /// Sends frames as they are.
    pub(crate) fn send_frames(&mut self, to: To, frames: Vec<String>) {
        self.send_bytes(to, frames.into_iter().map(Bytes::from).collect());
    }

    fn send_bytes(&mut self, to: To, frames: Vec<Bytes>) {
        let message = ZmqMessage::try_from(frames).unwrap();
        self.runtime
            .block_on(socket(&mut self.shell, &mut self.control, &mut self.stdin, to).send(message))
            .unwrap();
    }

    /// Signs four frames and sends them, whatever they hold.
    pub(crate) fn send_signed(&mut self, to: To, frames: [&str; 4]) {
        let signature = sign(frames.iter().map(|frame| frame.as_bytes()));
        let envelope = ["<IDS|MSG>", &signature];
        self.send_frames(
            to,
            envelope.into_iter().chain(frames).map(str::to_owned).collect(),
        );
    }

    /// The next message on a channel, which must answer `id`.
    pub(crate) fn reply(&mut self, from: To, id: &str) -> Message {
        let message = self.next(from);
        assert_eq!(message.parent["msg_id"], id, "{message:?}");
        // The header comes back verbatim, with fields that the kernel knows nothing of.
        assert!(message.parent.get("subshell_id").is_some());
        message
    }

    /// The next message on a channel.
    pub(crate) fn next(&mut self, from: To) -> Message {
        let socket = socket(&mut self.shell, &mut self.control, &mut self.stdin, from);
        let message = self
            .runtime
            .block_on(async { tokio::time::timeout(TIMEOUT, socket.recv()).await });
        decode(
            message
                .unwrap_or_else(|_| panic!("nothing came on {from:?}"))
                .unwrap(),
        )
    }

    /// Whether a channel stays silent for a while.
    pub(crate) fn is_silent(&mut self, from: To) -> bool {
        let socket = socket(&mut self.shell, &mut self.control, &mut self.stdin, from);
        let wait = Duration::from_millis(200);
        self.runtime
            .block_on(async { tokio::time::timeout(wait, socket.recv()).await })
            .is_err()
    }

    /// What iopub says about the request `id`, from busy to idle, one line each.
    pub(crate) fn transcript(&mut self, id: &str) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        let mut others = VecDeque::new();
        while lines.last().is_none_or(|line| line != "idle") {
            let message = self.iopub_message();
            if message.parent["msg_id"] == id {
                lines.push(line(&message));
            } else {
                others.push_back(message);
            }
        }
        others.extend(self.unread.drain(..));
        self.unread = others;
        lines
    }

    /// Waits until iopub says `expected` about the request `id`.
    pub(crate) fn wait_for(&mut self, id: &str, expected: &str) {
        while {
            let message = self.iopub_message();
            message.parent["msg_id"] != id || line(&message) != expected
        } {}
    }

    /// The next message on iopub, whoever it is for.
    pub(crate) fn iopub_message(&mut self) -> Message {
        if let Some(message) = self.unread.pop_front() {
            return message;
        }
        let iopub = &mut self.iopub;
        receive(&self.runtime, iopub)
    }

    /// The next message that another subscriber gets.
    pub(crate) fn message_of(&self, subscriber: &mut SubSocket) -> Message {
        receive(&self.runtime, subscriber)
    }

    /// The number of a port in the connection file.
    pub(crate) fn port(&self, name: &str) -> u16 {
        self.connection[name].as_u64().unwrap().try_into().unwrap()
    }

    /// Asks the heartbeat, as libzmq's REQ does: an empty frame, then anything.
    pub(crate) fn heartbeat(&mut self, beat: &'static [u8]) -> Vec<Bytes> {
        let connection = &self.connection;
        self.runtime.block_on(async {
            let mut socket = DealerSocket::new();
            connect(&mut socket, connection, "hb_port").await;
            let frames = vec![Bytes::new(), Bytes::from_static(beat)];
            socket.send(ZmqMessage::try_from(frames).unwrap()).await.unwrap();
            tokio::time::timeout(TIMEOUT, socket.recv())
                .await
                .unwrap()
                .unwrap()
                .into_vec()
        })
    }

    /// A second subscriber, which is stuck from the start.
    pub(crate) fn subscribe_and_never_read(&mut self) -> SubSocket {
        let connection = &self.connection;
        let socket = self.runtime.block_on(async {
            let mut socket = SubSocket::new();
            connect(&mut socket, connection, "iopub_port").await;
            socket.subscribe("").await.unwrap();
            socket
        });
        while self.iopub_message().msg_type != "iopub_welcome" {}
        socket
    }

    /// Shuts the kernel down and waits until it is gone.
    pub(crate) fn shutdown(&mut self) {
        let reply = self.ask(To::Control, "shutdown_request", json!({"restart": false}));
        assert_eq!(reply, json!({"status": "ok", "restart": false}));
        self.wait_for_end();
    }

    pub(crate) fn wait_for_end(&mut self) {
        self.kernel.take().unwrap().join().unwrap();
    }

    pub(crate) fn pause(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }
}

impl Drop for Frontend {
    fn drop(&mut self) {
        if self.kernel.is_some() && !std::thread::panicking() {
            self.shutdown();
        }
    }
}

fn receive(runtime: &Runtime, iopub: &mut SubSocket) -> Message {
    let message = runtime.block_on(async { tokio::time::timeout(TIMEOUT, iopub.recv()).await });
    let mut frames = message.expect("nothing came on iopub").unwrap().into_vec();
    assert!(
        frames[0].is_empty() || frames[0].starts_with(b"kernel."),
        "topic {:?}",
        frames.remove(0)
    );
    decode(ZmqMessage::try_from(frames).unwrap())
}

/// A connection over sockets in `folder`.
pub(crate) fn ipc(folder: &Path) -> Value {
    json!({
        "transport": "ipc", "ip": folder.join("kernel"), "key": KEY,
        "signature_scheme": "hmac-sha256", "kernel_name": "ecco",
        "shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, "hb_port": 5,
    })
}

async fn connect(socket: &mut impl Socket, connection: &Value, port: &str) {
    let (transport, ip) = (
        connection["transport"].as_str().unwrap(),
        connection["ip"].as_str().unwrap(),
    );
    let separator = if transport == "ipc" { "-" } else { ":" };
    let endpoint = format!("{transport}://{ip}{separator}{}", connection[port]);
    let start = Instant::now();
    while let Err(error) = socket.connect(&endpoint).await {
        assert!(start.elapsed() < TIMEOUT, "{endpoint}: {error}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn socket<'a>(
    shell: &'a mut DealerSocket,
    control: &'a mut DealerSocket,
    stdin: &'a mut DealerSocket,
    to: To,
) -> &'a mut DealerSocket {
    match to {
        To::Shell => shell,
        To::Control => control,
        To::Stdin => stdin,
    }
}
