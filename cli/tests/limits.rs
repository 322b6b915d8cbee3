//! The program under limits of the system, and what it listens on.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use zeromq::{DealerSocket, Socket, SocketRecv, SocketSend, ZmqMessage};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ecco-kernel");
const TIMEOUT: Duration = Duration::from_secs(15);
const PORTS: [&str; 5] = [
    "shell_port",
    "control_port",
    "stdin_port",
    "hb_port",
    "iopub_port",
];

/// A kernel that is ended with the test.
struct Kernel {
    process: Child,
    connection: Value,
    folder: tempfile::TempDir,
}

impl Kernel {
    /// Starts one over TCP that may open so many files if it asks for it, and 64 otherwise.
    fn start(open_files: u32) -> Self {
        Self::start_after(&format!("ulimit -S -n 64; ulimit -H -n {open_files}"))
    }

    /// Starts one by a shell that does something first.
    fn start_after(first: &str) -> Self {
        // Between finding free ports and the kernel's taking them, another program may have taken one.
        let mut tries = (0..3).map(|_| Self::try_start(first));
        tries.find_map(|kernel| kernel).expect("a kernel on free ports")
    }

    /// `None` if the kernel ends because a port is taken.
    fn try_start(first: &str) -> Option<Self> {
        let listeners: Vec<_> = PORTS
            .iter()
            .map(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap())
            .collect();
        let mut connection = json!({"transport": "tcp", "ip": "127.0.0.1", "key": ""});
        for (name, listener) in PORTS.iter().zip(&listeners) {
            connection[name] = listener.local_addr().unwrap().port().into();
        }
        drop(listeners);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("connection.json");
        std::fs::write(&file, connection.to_string()).unwrap();
        let script = format!("{first}; exec '{PROGRAM}' run -f '{}'", file.display());
        let temporary = folder.path().join("temporary");
        std::fs::create_dir(&temporary).unwrap();
        let process = Command::new("sh")
            .args(["-c", &script])
            .env("TMPDIR", &temporary)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut kernel = Self {
            process,
            connection,
            folder,
        };
        let start = Instant::now();
        while TcpStream::connect(kernel.address("iopub_port")).is_err() {
            if kernel.process.try_wait().unwrap().is_some() {
                let mut said = String::new();
                let mut stderr = kernel.process.stderr.take().unwrap();
                stderr.read_to_string(&mut said).unwrap();
                assert!(said.contains("in use"), "{said}");
                return None;
            }
            assert!(start.elapsed() < TIMEOUT);
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(kernel)
    }

    fn address(&self, port: &str) -> (&'static str, u16) {
        ("127.0.0.1", self.connection[port].as_u64().unwrap() as u16)
    }

    /// Asks for kernel_info over a new connection.
    fn answers(&self) -> bool {
        let (ip, port) = self.address("shell_port");
        let header = r#"{"msg_id": "1", "msg_type": "kernel_info_request"}"#;
        let frames = ["<IDS|MSG>", "", header, "{}", "{}", "{}"].map(|frame| Bytes::from(frame.to_owned()));
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            let talk = async {
                let mut socket = DealerSocket::new();
                socket.connect(&format!("tcp://{ip}:{port}")).await.ok()?;
                socket
                    .send(ZmqMessage::try_from(frames.to_vec()).ok()?)
                    .await
                    .ok()?;
                socket.recv().await.ok()
            };
            let answer = tokio::time::timeout(TIMEOUT, talk).await.ok().flatten();
            answer.is_some_and(|answer| answer.len() == 6)
        })
    }

    /// What it has used of processors so far.
    fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(self.proc("stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        // utime and stime, in hundredths of a second.
        let ticks: u64 = fields[11..13]
            .iter()
            .map(|field| field.parse::<u64>().unwrap())
            .sum();
        Duration::from_millis(ticks * 10)
    }

    /// In bytes.
    fn address_space(&self) -> u64 {
        let statm = std::fs::read_to_string(self.proc("statm")).unwrap();
        statm.split(' ').next().unwrap().parse::<u64>().unwrap() * 4096
    }

    fn proc(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.process.id())
    }

    /// Ends it; what it wrote to stderr.
    fn end(&mut self) -> String {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        let mut text = String::new();
        self.process
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert!(self.process.wait().unwrap().success());
        text
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Connects, and introduces itself as a client does if it is told to.
fn connect(kernel: &Kernel, port: &str, introduced: bool) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(kernel.address(port)).ok()?;
    if introduced {
        let mut hello = [0; 64];
        hello[..16].copy_from_slice(b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0NULL");
        let ready: &[u8] = match port {
            "iopub_port" => b"\x04\x18\x05READY\x0bSocket-Type\0\0\0\x03SUB\0",
            _ => b"\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06DEALER",
        };
        // One that is not let in is closed in the midst of this.
        let _ = stream.write_all(&hello).and_then(|()| stream.write_all(ready));
    }
    Some(stream)
}

#[test]
fn more_peers_than_descriptors_are_in_nobodys_way() {
    for (open_files, introduced) in [(128, false), (128, true)] {
        let mut kernel = Kernel::start(open_files);
        assert!(kernel.answers());
        let mut peers = Vec::new();
        for i in 0..300 {
            // Where somebody is to be let in again, not all places are taken.
            let port = PORTS[if introduced { 1 + i % 4 } else { i % 5 }];
            peers.extend(connect(&kernel, port, introduced));
        }
        assert!(kernel.answers(), "{introduced}");
        let before = kernel.processor_time();
        std::thread::sleep(Duration::from_secs(1));
        let used = kernel.processor_time() - before;
        assert!(
            used < Duration::from_millis(300),
            "{used:?} in a second of doing nothing"
        );
        drop(peers);
        assert!(kernel.answers());
        // A flood of peers is no flood of lines.
        let log = kernel.end();
        assert!(log.lines().count() < 60, "{log}");
    }
}

#[test]
fn what_is_announced_and_does_not_come_takes_no_memory() {
    let kernel = Kernel::start(1024);
    assert!(kernel.answers());
    let before = kernel.address_space();
    let peers: Vec<TcpStream> = (0..25)
        .filter_map(|_| {
            let mut peer = connect(&kernel, "shell_port", true)?;
            let announcement = [&[2][..], &(60_u64 << 20).to_be_bytes(), &[7; 1000]].concat();
            peer.write_all(&announcement).ok()?;
            Some(peer)
        })
        .collect();
    assert_eq!(peers.len(), 25);
    assert!(kernel.answers());
    // That many would be 1,500 MB; room is made for 256 at a time.
    let grown = kernel.address_space() - before;
    assert!(grown < 600 << 20, "{grown} bytes more");
}

#[test]
fn a_soft_limit_is_raised() {
    let kernel = Kernel::start(512);
    let limits = std::fs::read_to_string(kernel.proc("limits")).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let values: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(values[3], values[4], "{line}");
    // More than 64 would have been enough for.
    let peers: Vec<TcpStream> = (0..15)
        .filter_map(|_| connect(&kernel, "shell_port", true))
        .collect();
    assert!(kernel.answers());
    drop(peers);
}

#[test]
fn with_little_room_it_starts_or_says_why_not() {
    for megabytes in [350, 500, 1100, 1500] {
        let kernel = Kernel::start_after(&format!("ulimit -v {}", megabytes * 1000));
        assert!(kernel.answers(), "{megabytes} MB");
    }
    for megabytes in [60, 120, 200, 270] {
        let refused =
            std::panic::catch_unwind(|| Kernel::start_after(&format!("ulimit -v {}", megabytes * 1000)));
        let Err(refused) = refused else {
            panic!("started with {megabytes} MB");
        };
        // What it said is not what is said where a port is taken.
        let said = refused
            .downcast::<String>()
            .map_or_else(|_| String::new(), |said| *said);
        assert!(said.contains("ulimit -v"), "{megabytes} MB: {said}");
    }
}

/// The inodes of all sockets that a process has.
fn sockets_of(kernel: &Kernel) -> HashSet<String> {
    std::fs::read_dir(kernel.proc("fd"))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| {
            Some(
                link.to_str()?
                    .strip_prefix("socket:[")?
                    .trim_end_matches(']')
                    .to_owned(),
            )
        })
        .collect()
}

/// The local addresses of listening sockets in one of the tables of `/proc/net`.
fn listening(kernel: &Kernel, table: &str) -> Vec<String> {
    let sockets = sockets_of(kernel);
    let text = std::fs::read_to_string(kernel.proc(&format!("net/{table}"))).unwrap();
    let mut found: Vec<String> = text
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter_map(|fields| {
            let (inode, address, listens) = match table {
                // Flag __SO_ACCEPTCON; sockets without a name have no path.
                "unix" => (
                    fields[6],
                    fields.get(7).copied().unwrap_or(""),
                    fields[3] == "00010000",
                ),
                _ => (
                    fields[9],
                    fields[1],
                    table.starts_with("udp") || fields[3] == "0A",
                ),
            };
            (listens && sockets.contains(inode)).then(|| address.to_owned())
        })
        .collect();
    found.sort();
    // A table is read in pieces, and a line stands in two of them where another process opens a socket meanwhile.
    found.dedup();
    found
}

#[test]
fn it_listens_on_what_the_file_says_and_nowhere_else() {
    let mut kernel = Kernel::start(1024);
    let mut expected: Vec<String> = PORTS
        .iter()
        .map(|port| format!("0100007F:{:04X}", kernel.address(port).1))
        .collect();
    expected.sort();
    assert_eq!(listening(&kernel, "tcp"), expected);
    for table in ["tcp6", "udp", "udp6"] {
        assert_eq!(listening(&kernel, table), [""; 0], "{table}");
    }
    // Between the ports and ZeroMQ there are sockets that have no name any more by which to reach them.
    let private = listening(&kernel, "unix");
    assert_eq!(private.len(), PORTS.len());
    assert!(
        private
            .iter()
            .all(|path| !path.starts_with('@') && !Path::new(path).exists()),
        "{private:?}"
    );
    let temporary = kernel.folder.path().join("temporary");
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
    assert!(kernel.answers());
    kernel.end();
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
}
