//! Peers that misbehave below the protocol: what they send is no message, no frame, or never ends.
//!
//! Each of these ends with the proof that the same kernel still answers: to the front end that was there
//! all the time, and to a newcomer.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::frontend::{Frontend, To};

const PORTS: [&str; 5] = [
    "shell_port",
    "control_port",
    "stdin_port",
    "hb_port",
    "iopub_port",
];
/// From 1 TiB to what is nearly everything.
const ABSURD: [u64; 7] = [
    1 << 40,
    1 << 47,
    1 << 62,
    (1 << 63) - 1,
    1 << 63,
    u64::MAX - 8,
    u64::MAX,
];
const TIMEOUT: Duration = Duration::from_secs(15);

/// A greeting and a READY, as any client sends them.
pub(crate) fn hello(port: &str, identity: &str) -> Vec<u8> {
    let socket_type = if port == "iopub_port" { "SUB" } else { "DEALER" };
    let mut ready = b"\x05READY".to_vec();
    for (name, value) in [("Socket-Type", socket_type), ("Identity", identity)] {
        ready.push(name.len() as u8);
        ready.extend(name.bytes());
        ready.extend((value.len() as u32).to_be_bytes());
        ready.extend(value.bytes());
    }
    [&greeting()[..], &[4, ready.len() as u8], &ready].concat()
}

fn greeting() -> [u8; 64] {
    let mut greeting = [0; 64];
    greeting[..16].copy_from_slice(b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0NULL");
    greeting
}

fn long_frame(flags: u8, length: u64) -> Vec<u8> {
    [&[flags | 2][..], &length.to_be_bytes()].concat()
}

/// A connection that says whatever it is told to.
pub(crate) struct Peer(pub TcpStream);

impl Peer {
    pub(crate) fn new(frontend: &Frontend, port: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", frontend.port(port))).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        Self(stream)
    }

    /// Says what the kernel may not want to hear to its end.
    pub(crate) fn say(&mut self, bytes: &[u8]) -> &mut Self {
        if let Err(error) = self.0.write_all(bytes) {
            assert!(!is_timeout(error.kind()), "the kernel neither reads nor closes");
        }
        self
    }

    /// Reads until the kernel closes the connection: how much there was.
    pub(crate) fn is_cut_off(&mut self) -> usize {
        let mut bytes = Vec::new();
        if let Err(error) = self.0.read_to_end(&mut bytes) {
            assert!(
                !is_timeout(error.kind()),
                "the kernel did not close the connection"
            );
        }
        bytes.len()
    }

    fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn assert_alive(frontend: &mut Frontend) {
    assert_eq!(
        frontend.run("value alive").0[2].split(' ').nth(1),
        Some(r#""alive""#)
    );
    assert_eq!(
        frontend.ask(To::Control, "kernel_info_request", json!({}))["status"],
        "ok"
    );
    assert_eq!(frontend.heartbeat(b"still there?")[1], &b"still there?"[..]);
    drop(frontend.subscribe_and_never_read());
}

#[test]
fn whoever_does_not_speak_zeromq_is_cut_off_on_every_port() {
    let mut frontend = Frontend::start_tcp();
    let garbage: Vec<u8> = (0..200_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let sayings: [&[u8]; 6] = [
        &garbage,
        b"GET /api/kernels HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\xff\0\0\0\0\0\0\0\x01\x7f\x01\x05",
        &[0; 64],
    ];
    for port in PORTS {
        for saying in sayings {
            // Our own greeting is all it gets.
            assert!(Peer::new(&frontend, port).say(saying).is_cut_off() <= 64);
        }
        // Garbage is none of it even from somebody who was let in.
        Peer::new(&frontend, port)
            .say(&hello(port, ""))
            .say(&garbage)
            .is_cut_off();
    }
    assert_alive(&mut frontend);
}

#[test]
fn absurd_lengths_are_refused_before_and_after_the_handshake() {
    let mut frontend = Frontend::start_tcp();
    for port in PORTS {
        for length in ABSURD {
            let in_place_of_ready = [&greeting()[..], &long_frame(4, length)].concat();
            Peer::new(&frontend, port).say(&in_place_of_ready).is_cut_off();
            for flags in [0, 1, 4] {
                let after = [&hello(port, "")[..], &long_frame(flags, length), b"some of it"].concat();
                Peer::new(&frontend, port).say(&after).is_cut_off();
            }
        }
    }
    assert_alive(&mut frontend);
}

#[test]
fn a_message_over_the_limit_ends_its_sender_only() {
    let mut frontend = Frontend::start_tcp();
    let limit: u64 = 64 << 20;
    let over = [&hello("shell_port", "")[..], &long_frame(0, limit + 1)].concat();
    Peer::new(&frontend, "shell_port").say(&over).is_cut_off();
    let in_parts = [&hello("shell_port", "")[..], b"\x01\x01a", &long_frame(1, limit)].concat();
    Peer::new(&frontend, "shell_port").say(&in_parts).is_cut_off();
    let endless = [&hello("shell_port", "")[..], &b"\x01\0".repeat(3000)].concat();
    Peer::new(&frontend, "shell_port").say(&endless).is_cut_off();
    let beat = [&hello("hb_port", "")[..], &long_frame(0, 5000)].concat();
    Peer::new(&frontend, "hb_port").say(&beat).is_cut_off();
    assert_alive(&mut frontend);
}

#[test]
fn a_request_of_60_megabytes_is_answered() {
    let mut frontend = Frontend::start_tcp();
    let code = format!("{}\nvalue done", " ".repeat(60_000_000));
    let (transcript, reply) = frontend.run(&code);
    assert_eq!(
        (&transcript[2][..], &reply["status"]),
        (r#"Out[1] "done""#, &json!("ok"))
    );
    assert_alive(&mut frontend);
}

#[test]
fn announced_messages_that_do_not_come_take_no_room_from_small_ones() {
    let mut frontend = Frontend::start_tcp();
    let announcement = [&hello("shell_port", "")[..], &long_frame(0, 60 << 20), &[0; 1000]].concat();
    let _peers: Vec<Peer> = (0..40)
        .map(|_| {
            let mut peer = Peer::new(&frontend, "shell_port");
            peer.say(&announcement);
            peer
        })
        .collect();
    assert_alive(&mut frontend);
}

#[test]
fn hundreds_of_handshakes_that_never_end_are_in_nobodys_way() {
    let mut frontend = Frontend::start_tcp();
    let mut peers = Vec::new();
    for i in 0..500 {
        let port = PORTS[i % PORTS.len()];
        let mut peer = Peer::new(&frontend, port);
        // Some say nothing at all, some nearly everything.
        let hello = hello(port, "");
        peer.say(&hello[..[0, 1, 10, 63, 64, 70, hello.len() - 1][i % 7]]);
        peers.push(peer);
        if i % 100 == 99 {
            assert_alive(&mut frontend);
        }
    }
    // The oldest have made room.
    peers[0].is_cut_off();
    assert_alive(&mut frontend);
}

#[test]
fn a_handshake_has_ten_seconds() {
    let mut frontend = Frontend::start_tcp();
    let start = Instant::now();
    Peer::new(&frontend, "control_port").say(&greeting()).is_cut_off();
    let time = start.elapsed();
    assert!((9..14).contains(&time.as_secs()), "{time:?}");
    assert_alive(&mut frontend);
}

#[test]
fn peers_that_die_in_the_middle_of_something_are_forgotten() {
    let mut frontend = Frontend::start_tcp();
    for port in PORTS {
        let hello = hello(port, "the same name every time");
        for end in [
            &b""[..],
            b"\x01",
            b"\x02\0\0",
            b"\0\x09some",
            b"\x01\x04some",
            b"\x01\x09<IDS|MSG>\x01",
            &[&long_frame(0, 1 << 20)[..], &[1; 1000]].concat(),
        ] {
            Peer::new(&frontend, port).say(&hello).say(end);
        }
    }
    assert_alive(&mut frontend);
}

#[test]
fn nobody_gets_the_replies_of_somebody_else_by_taking_the_name() {
    let mut frontend = Frontend::start_tcp();
    let cell = frontend.execute("sleep 300\nvalue mine");
    for port in ["shell_port", "control_port", "stdin_port"] {
        let mut thief = Peer::new(&frontend, port);
        // The greeting is all that it hears.
        assert_eq!(thief.say(&hello(port, "a-frontend")).is_cut_off(), 64);
    }
    assert_eq!(frontend.reply(To::Shell, &cell).content["status"], "ok");
    assert_alive(&mut frontend);
}

#[test]
fn a_name_is_free_again_when_its_owner_has_left() {
    let mut frontend = Frontend::start_tcp();
    for _ in 0..5 {
        let mut peer = Peer::new(&frontend, "shell_port");
        peer.say(&hello("shell_port", "comes and goes"));
        // The greeting and the head of a READY: it was let in.
        assert_eq!(peer.read(66)[64], 4);
    }
    assert_alive(&mut frontend);
}

#[test]
fn who_floods_the_heartbeat_and_does_not_listen_waits() {
    let mut frontend = Frontend::start_tcp();
    let mut peer = Peer::new(&frontend, "hb_port");
    peer.say(&hello("hb_port", ""))
        .0
        .set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let beat = [&[0, 200][..], &[7; 200]].concat().repeat(1000);
    // The kernel stops reading from it: what it takes is bounded by what the sockets hold.
    let taken = (0..1000).take_while(|_| peer.0.write_all(&beat).is_ok()).count();
    assert!(taken < 500, "200 MB of heartbeats were taken");
    assert_alive(&mut frontend);
}

#[test]
fn a_recorded_message_is_not_obeyed_again() {
    let mut frontend = Frontend::start_tcp();
    let header = r#"{"msg_id": "m1", "msg_type": "execute_request", "subshell_id": null}"#;
    for _ in 0..3 {
        frontend.send_signed(To::Shell, [header, "{}", "{}", r#"{"code": "print once"}"#]);
    }
    frontend.reply(To::Shell, "m1");
    assert!(frontend.is_silent(To::Shell));
    assert_alive(&mut frontend);
}

#[test]
fn nesting_without_end_is_an_error_reply() {
    let mut frontend = Frontend::start_tcp();
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let content = format!(r#"{{"code": "value 1", "user_expressions": {{"a": {deep}}}}}"#);
    let header = r#"{"msg_id": "m1", "msg_type": "execute_request", "subshell_id": null}"#;
    frontend.send_signed(To::Shell, [header, "{}", "{}", &content]);
    assert_eq!(frontend.reply(To::Shell, "m1").content["status"], "error");
    // Metadata is not looked into, however it is made.
    let header = header.replace("m1", "m2");
    frontend.send_signed(To::Shell, [&header, "{}", &deep, r#"{"code": "value 2"}"#]);
    assert_eq!(frontend.reply(To::Shell, "m2").content["status"], "ok");
    assert_alive(&mut frontend);
}

#[test]
fn nothing_depends_on_the_time_of_day() {
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(sources).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let clocks = [
            "SystemTime",
            "Utc::now",
            "Local::now",
            "CLOCK_REALTIME",
            "UNIX_EPOCH",
        ];
        if clocks.iter().any(|clock| text.contains(clock)) {
            found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    found.sort();
    // The dates of headers and of the history are written, and nothing is decided by them. Everything
    // else counts time with a clock that only goes forward.
    found.retain(|name| name != "history.rs");
    assert_eq!(found, ["wire.rs"]);
}

#[test]
fn peers_that_take_all_places_and_say_nothing_keep_no_front_end_out() {
    let mut frontend = Frontend::start_tcp();
    assert_alive(&mut frontend);
    // More than there are places, on each channel.
    let silent: Vec<Peer> = (0..5 * 260)
        .map(|i| {
            let port = PORTS[i % PORTS.len()];
            let mut peer = Peer::new(&frontend, port);
            peer.say(&hello(port, ""));
            peer
        })
        .collect();
    let mut another = frontend.another();
    assert_alive(&mut another);
    // Who has shown the key is still there.
    assert_alive(&mut frontend);
    drop(silent);
}

#[test]
fn who_announces_large_messages_takes_no_room_from_who_has_the_key() {
    let mut frontend = Frontend::start_tcp();
    assert_alive(&mut frontend);
    let announcement = [&hello("shell_port", "")[..], &long_frame(0, 60 << 20), &[0; 1000]].concat();
    let _peers: Vec<Peer> = (0..10)
        .map(|_| {
            let mut peer = Peer::new(&frontend, "shell_port");
            peer.say(&announcement);
            peer
        })
        .collect();
    let start = Instant::now();
    let code = format!("{}\nvalue done", " ".repeat(2_000_000));
    let (transcript, _) = frontend.run(&code);
    assert_eq!(&transcript[2][..], r#"Out[2] "done""#);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
