//! Many subscribers, and some that do not read.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zeromq::SubSocket;

use crate::frontend::{Frontend, To};
use crate::message::Message;
use crate::peers::{Peer, hello};

/// Well below the five seconds and more that a wait for somebody who never reads used to take.
const UNDELAYED: Duration = Duration::from_secs(3);

/// The numbered lines of a flood, from busy to idle.
fn lines_of_flood(mut next: impl FnMut() -> Message) -> usize {
    let mut text = String::new();
    loop {
        let message = next();
        match message.msg_type.as_str() {
            "stream" => text.push_str(message.content["text"].as_str().unwrap()),
            "status" if message.content["execution_state"] == "idle" => break,
            _ => {}
        }
    }
    assert!(
        text.lines()
            .enumerate()
            .all(|(i, line)| line == format!("line {i}"))
    );
    text.lines().count()
}

fn flood(frontend: &mut Frontend, lines: usize) -> Duration {
    let start = Instant::now();
    let cell = frontend.execute(&format!("flood {lines}"));
    assert_eq!(lines_of_flood(|| frontend.iopub_message()), lines);
    assert_eq!(frontend.reply(To::Shell, &cell).content["status"], "ok");
    start.elapsed()
}

#[test]
fn a_hundred_subscribers_all_get_everything() {
    let mut frontend = Frontend::start();
    let mut subscribers: Vec<SubSocket> = (0..100).map(|_| frontend.subscribe_and_never_read()).collect();
    const LINES: usize = 2000;
    flood(&mut frontend, LINES);
    for subscriber in &mut subscribers {
        // Each has seen the greetings of those that came after it, too.
        assert_eq!(lines_of_flood(|| frontend.message_of(subscriber)), LINES);
    }
}

#[test]
fn one_that_stops_reading_costs_the_others_nothing_and_hardly_any_time() {
    let mut frontend = Frontend::start();
    const LINES: usize = 1_000_000;
    let alone = flood(&mut frontend, LINES);
    let _hanging = frontend.subscribe_and_never_read();
    let together = flood(&mut frontend, LINES);
    assert!(
        together < 2 * alone + UNDELAYED,
        "{alone:?} alone, {together:?} together"
    );
    assert!(flood(&mut frontend, LINES) < 2 * alone + UNDELAYED);
}

#[test]
fn fifty_that_stop_reading_are_no_worse_than_one() {
    let mut frontend = Frontend::start();
    const LINES: usize = 1_000_000;
    let alone = flood(&mut frontend, LINES);
    let _hanging: Vec<SubSocket> = (0..50).map(|_| frontend.subscribe_and_never_read()).collect();
    let together = flood(&mut frontend, LINES);
    assert!(
        together < 4 * alone + UNDELAYED,
        "{alone:?} alone, {together:?} together"
    );
}

/// A subscriber that reads so many bytes every so often, in a thread of its own, until it is cut off.
struct Reader {
    /// The lines of floods that it has seen.
    lines: Arc<AtomicUsize>,
    /// It need not pause any more.
    hurries: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Reader {
    fn start(frontend: &mut Frontend, bytes: usize, pause: Duration) -> Self {
        let mut peer = Peer::new(frontend, "iopub_port");
        peer.say(&hello("iopub_port", "")).say(b"\0\x01\x01");
        // It misses nothing from here on.
        while frontend.iopub_message().msg_type != "iopub_welcome" {}
        let (lines, hurries) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen, hurried) = (lines.clone(), hurries.clone());
        let thread = std::thread::spawn(move || {
            let (mut buffer, mut before) = (vec![0; bytes], 0);
            while let Ok(count @ 1..) = peer.0.read(&mut buffer) {
                for &byte in &buffer[..count] {
                    // A line's end, as JSON writes it.
                    seen.fetch_add(usize::from(before == b'\\' && byte == b'n'), Ordering::Relaxed);
                    before = byte;
                }
                if !hurried.load(Ordering::Relaxed) {
                    std::thread::sleep(pause);
                }
            }
        });
        Self {
            lines,
            hurries,
            thread,
        }
    }

    fn lines(&self) -> usize {
        self.lines.load(Ordering::Relaxed)
    }

    /// Reads without pauses what there is until the connection is closed: all lines it has ever seen.
    fn lines_at_the_end(self) -> usize {
        self.hurries.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.lines.load(Ordering::Relaxed)
    }
}

#[test]
fn one_that_reads_slowly_paces_the_script_and_loses_nothing() {
    let mut frontend = Frontend::start_tcp();
    const LINES: usize = 1_000_000;
    // Some megabytes a second; there is far more than sockets hold.
    let slow = Reader::start(&mut frontend, 64 << 10, Duration::from_millis(5));
    for _ in 0..3 {
        flood(&mut frontend, LINES);
    }
    let start = Instant::now();
    while slow.lines() < 3 * LINES && start.elapsed() < Duration::from_secs(60) {
        frontend.pause(Duration::from_millis(50));
    }
    assert_eq!(slow.lines(), 3 * LINES);
}

#[test]
fn one_that_hardly_reads_is_cut_off_and_hardly_delays_anybody() {
    let mut frontend = Frontend::start_tcp();
    const LINES: usize = 1_000_000;
    let twice = |frontend: &mut Frontend| flood(frontend, LINES) + flood(frontend, LINES);
    let alone = twice(&mut frontend);
    let trickle = Reader::start(&mut frontend, 1000, Duration::from_millis(20));
    let together = twice(&mut frontend);
    assert!(
        together < 2 * alone + UNDELAYED,
        "{alone:?} alone, {together:?} together"
    );
    // The kernel lives, and what is left for that one ends before the flood did.
    assert!(trickle.lines_at_the_end() < 2 * LINES);
}

#[test]
fn what_was_said_before_the_end_arrives() {
    let mut frontend = Frontend::start();
    const LINES: usize = 5000;
    let cell = frontend.execute(&format!("flood {LINES}"));
    assert_eq!(frontend.reply(To::Shell, &cell).content["status"], "ok");
    let asked = frontend.send(To::Shell, "kernel_info_request", json!({}));
    frontend.shutdown();
    // Only now is anything of it read.
    assert_eq!(lines_of_flood(|| frontend.iopub_message()), LINES);
    frontend.reply(To::Shell, &asked);
    let mut last = Value::Null;
    while last != "shutdown_reply" {
        last = frontend.iopub_message().msg_type.into();
    }
    let idle = frontend.iopub_message();
    assert_eq!(idle.content, json!({"execution_state": "idle"}));
}
