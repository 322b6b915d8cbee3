//! Inputs that nobody thought of: a seeded mutator over valid samples, against everything that reads what
//! peers send. A short run belongs to the tests; a long one is
//!
//! ```text
//! ECCO_FUZZ_INPUTS=10000000 ECCO_FUZZ_SEED=7 cargo test --release -p ecco-protocol --lib fuzz -- --nocapture
//! ```
//!
//! (inputs for each of the three targets). A failure names the seed of its input.

use std::fmt::Debug;
use std::time::Instant;

use bytes::Bytes;
use jupyter_protocol::IsCompleteRequest;
use serde::de::DeserializeOwned;
use zeromq::ZmqMessage;

use crate::gate::zmtp::hello::hello;
use crate::gate::zmtp::{Event, Inspector, MESSAGE_LIMIT, Rules, Violation};
use crate::requests::{
    CommOpen, CompleteRequest, ExecuteRequest, HistoryRequest, InputReply, InspectRequest, ShutdownRequest,
};
use crate::wire::{Channel, Wire};

const CHANNELS: [Channel; 5] = [
    Channel::Shell,
    Channel::Control,
    Channel::Stdin,
    Channel::Heartbeat,
    Channel::IoPub,
];

/// Numbers that are not predictable to the code under test, and the same every time (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// Changes a few places: bytes, bits, repetitions, cuts, and pieces that mean something.
    fn mutate(&mut self, bytes: &mut Vec<u8>, pieces: &[&[u8]]) {
        for _ in 0..self.below(5) {
            let at = self.below(bytes.len() + 1);
            let length = self.below(12).min(bytes.len() - at);
            match self.below(6) {
                0 => bytes.truncate(at),
                1 => drop(bytes.drain(at..at + length)),
                2 => drop(bytes.splice(at..at, self.of(pieces).to_vec())),
                3 => drop(bytes.splice(at..at + length, self.of(pieces).to_vec())),
                4 => bytes.extend_from_within(at..at + length),
                _ if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                _ => bytes.push(self.next() as u8),
            }
        }
    }
}

/// Runs `target` on random numbers; a panic names the seed that led to it.
fn run(name: &str, target: impl Fn(&mut Random)) {
    let number = |variable, default| {
        std::env::var(variable).map_or(default, |value: String| value.parse().expect("a number"))
    };
    let (inputs, seed) = (number("ECCO_FUZZ_INPUTS", 100_000), number("ECCO_FUZZ_SEED", 1));
    let start = Instant::now();
    for input in 0..inputs {
        let seed = seed ^ (input << 20);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| target(&mut Random(seed))));
        assert!(outcome.is_ok(), "{name} fails with the seed {seed}");
    }
    println!("{name}: {inputs} inputs in {:?}", start.elapsed());
}

/// What the inspector makes of a stream that comes in pieces.
fn verdict(
    channel: Channel,
    stream: &[u8],
    mut piece: impl FnMut() -> usize,
) -> (Vec<u8>, usize, Option<Violation>) {
    let (mut inspector, mut passed, mut events) = (Inspector::new(Rules::of(channel)), Vec::new(), 0);
    let mut rest = stream;
    while !rest.is_empty() {
        let (mut input, later) = rest.split_at(piece().clamp(1, rest.len()));
        rest = later;
        while !input.is_empty() {
            match inspector.inspect(&mut input, &mut passed) {
                Ok(event) => events += usize::from(event != Event::Done),
                Err(refused) => return (passed, events, Some(refused)),
            }
        }
    }
    (passed, events, None)
}

/// What was passed on must be frames of messages, none of them too long, only the last cut short.
fn assert_harmless(channel: Channel, mut passed: &[u8]) {
    let mut message = 0_u64;
    while let Some((&flags, rest)) = passed.split_first() {
        assert_eq!(flags & !3, 0, "a command or undefined flags");
        let size = if flags & 2 != 0 { 8 } else { 1 };
        let (length, rest) = rest.split_at(size);
        let length = length
            .iter()
            .fold(0, |length, &byte| length << 8 | u64::from(byte));
        message += length;
        assert!(message <= MESSAGE_LIMIT);
        assert!(channel != Channel::IoPub || (1..=1024).contains(&length) && flags & 1 == 0);
        if flags & 1 == 0 {
            message = 0;
        }
        passed = rest.get(usize::try_from(length).unwrap()..).unwrap_or_default();
    }
}

#[test]
fn the_inspector_says_the_same_however_the_bytes_come_and_passes_nothing_harmful() {
    let long = [&b"\x02"[..], &300_u64.to_be_bytes(), &[b'x'; 300]].concat();
    let samples: Vec<Vec<u8>> = vec![
        hello("DEALER", b"me"),
        [
            &hello("SUB", b"")[..],
            b"\0\x01\x01",
            b"\0\x04\x01abc",
            b"\0\x04\0abc",
        ]
        .concat(),
        [&hello("REQ", b"")[..], b"\x01\0\0\x04ping"].concat(),
        [
            &hello("DEALER", b"a")[..],
            b"\x01\x09<IDS|MSG>\x01\x02{}",
            &long,
            b"\x04\x05\x04PING",
        ]
        .concat(),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
    ];
    let pieces: [&[u8]; 12] = [
        b"\xff\0\0\0\0\0\0\0\x01\x7f",
        b"\x04\x19\x05READY",
        b"\x0bSocket-Type\0\0\0\x06DEALER",
        b"\x08Identity\xff\xff\xff\xff",
        b"\x02\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x03\0\0\x01\0\0\0\0\0",
        b"\x02\0\0\0\0\x04\0\0\x01",
        b"\x06\x80\0\0\0\0\0\0\0",
        b"\x01\0",
        b"\0\0",
        b"\0\x05\x01abcd",
        b"\x01\xff",
    ];
    run("the inspector", |random| {
        let mut stream = random.of(&samples).clone();
        random.mutate(&mut stream, &pieces);
        let channel = *random.of(&CHANNELS);
        let whole = verdict(channel, &stream, || usize::MAX);
        let torn = verdict(channel, &stream, || 1 + random.below(9));
        assert_eq!(whole, torn);
        assert_harmless(channel, &whole.0);
    });
}

#[test]
fn the_wire_rejects_or_decodes_any_frames() {
    let header = br#"{"msg_id": "1", "msg_type": "execute_request", "session": "s", "date": "2026-01-01"}"#;
    let sample: [&[u8]; 8] = [
        b"peer",
        b"<IDS|MSG>",
        b"",
        header,
        b"{}",
        b"{}",
        br#"{"code": "1"}"#,
        b"buffer",
    ];
    let pieces: [&[u8]; 6] = [b"<IDS|MSG>", b"null", b"{", b"\"msg_type\"", b"\xff", b"[[[[["];
    let wires = ["", "key"].map(|key| Wire::new("hmac-sha256", key).unwrap());
    run("the wire", |random| {
        let mut frames: Vec<Vec<u8>> = sample.iter().map(|frame| frame.to_vec()).collect();
        for _ in 0..random.below(4) {
            let at = random.below(frames.len());
            match random.below(3) {
                0 if frames.len() > 1 => drop(frames.remove(at)),
                1 => frames.insert(at, random.of(&sample).to_vec()),
                _ => random.mutate(&mut frames[at], &pieces),
            }
        }
        let signed = frames.contains(&b"<IDS|MSG>".to_vec());
        let frames: Vec<Bytes> = frames.into_iter().map(Bytes::from).collect();
        let message = ZmqMessage::try_from(frames).unwrap();
        let [open, keyed] = &wires;
        // Nothing here was signed by who has the key.
        assert!(keyed.decode(*random.of(&CHANNELS), message.clone()).is_err());
        match open.decode(Channel::Shell, message) {
            Ok(request) => assert!(signed && !open.reply("reply", &request.parent, &()).is_empty()),
            Err(rejected) => assert!(!rejected.to_string().is_empty()),
        }
    });
}

#[test]
fn contents_are_understood_or_refused() {
    let samples: [&[u8]; 7] = [
        br#"{"code": "let a = 1;\n\u00e9", "silent": false, "store_history": true, "user_expressions": {"a": "1"},
            "allow_stdin": true, "stop_on_error": null}"#,
        br#"{"code": "ab", "cursor_pos": 2, "detail_level": 1}"#,
        br#"{"hist_access_type": "range", "session": -1, "start": 0, "stop": 9, "output": true, "raw": true}"#,
        br#"{"hist_access_type": "search", "pattern": "a*", "n": 3, "unique": true}"#,
        br#"{"hist_access_type": "tail", "n": 10}"#,
        br#"{"comm_id": "1", "target_name": "jupyter.widget", "data": {"state": {}}}"#,
        br#"{"restart": true, "value": "an answer"}"#,
    ];
    let deep = b"[".repeat(5000);
    let pieces: [&[u8]; 12] = [
        b"null",
        b"-1",
        b"1e999",
        b"18446744073709551616",
        b"\"\\ud800\"",
        b"\"code\":",
        b"\"n\":",
        b"{}",
        b"[",
        b"\0",
        b"{\"a\":",
        &deep,
    ];
    run("contents", |random| {
        let mut content = random.of(&samples).to_vec();
        random.mutate(&mut content, &pieces);
        try_parse::<ExecuteRequest>(&content);
        try_parse::<CompleteRequest>(&content);
        try_parse::<InspectRequest>(&content);
        try_parse::<IsCompleteRequest>(&content);
        try_parse::<HistoryRequest>(&content);
        try_parse::<CommOpen>(&content);
        try_parse::<ShutdownRequest>(&content);
        try_parse::<InputReply>(&content);
    });
}

/// A content that is taken holds what it can be printed from; one that is not is explained.
fn try_parse<T: DeserializeOwned + Debug>(content: &[u8]) {
    match serde_json::from_slice::<T>(content) {
        Ok(request) => assert!(format!("{request:?}").len() < 64 * content.len() + 1024),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
