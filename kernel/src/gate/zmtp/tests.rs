use bytes::Bytes;

use super::hello::{GREETING, hello};
use super::rules::*;
use super::{Event, Inspector};
use crate::wire::Channel;

/// What a peer's bytes come to: what is passed on, the events, and why it ended.
fn inspect(channel: Channel, bytes: &[u8]) -> (Vec<u8>, Vec<Event>, Option<Violation>) {
    let (mut inspector, mut passed, mut events) = (Inspector::new(Rules::of(channel)), vec![], vec![]);
    let mut input = bytes;
    loop {
        match inspector.inspect(&mut input, &mut passed) {
            Ok(Event::Done) => return (passed, events, None),
            Ok(event) => events.push(event),
            Err(refused) => return (passed, events, Some(refused)),
        }
    }
}

fn after_hello(channel: Channel, socket_type: &str, bytes: &[u8]) -> (Vec<u8>, Option<Violation>) {
    let (passed, events, refused) = inspect(channel, &[&hello(socket_type, b"me"), bytes].concat());
    assert!(matches!(events[0], Event::Ready(_)));
    (passed, refused)
}

#[test]
fn a_handshake_is_kept_and_traffic_passed_on() {
    let bytes = [&hello("DEALER", b"me")[..], b"\x01\x02hi\x00\x00"].concat();
    let (passed, events, refused) = inspect(Channel::Shell, &bytes);
    assert_eq!((&passed[..], refused), (&b"\x01\x02hi\x00\x00"[..], None));
    assert_eq!(events, [Event::Ready(Bytes::from_static(b"me"))]);
}

#[test]
fn what_is_not_zmtp_is_refused_at_its_first_byte() {
    for bytes in [&b"G"[..], b"\x16\x03\x01", b"\0"] {
        assert_eq!(inspect(Channel::Shell, bytes).2, Some(Violation::NotZmtp));
    }
    let mut old = GREETING;
    old[10] = 1;
    assert_eq!(
        inspect(Channel::Shell, &old[..11]).2,
        Some(Violation::Version { major: 1 })
    );
    let mut curve = GREETING;
    curve[12..17].copy_from_slice(b"CURVE");
    assert_eq!(inspect(Channel::Shell, &curve).2, Some(Violation::Mechanism));
}

#[test]
fn only_a_whole_ready_of_a_fitting_socket_is_taken() {
    let frame = |body: &[u8]| [&GREETING[..], &[COMMAND, body.len() as u8], body].concat();
    let wrong = [
        hello("PUB", b""),
        hello("", b"me"),
        hello("DEALER", &[b'x'; 256]),
        [&GREETING[..], b"\0\x02hi"].concat(),
        frame(b""),
        frame(b"\x05ERROR"),
        frame(b"\x05READY\x0bSocket-Type\0\0\0"),
        frame(b"\x05READY\x0bSocket-Type\xff\xff\xff\xffDEALER"),
        frame(b"\x05READY\x40Socket-Type"),
    ];
    for bytes in wrong {
        let refused = inspect(Channel::Shell, &bytes).2;
        assert!(
            matches!(refused, Some(Violation::Handshake { .. })),
            "{bytes:?}: {refused:?}"
        );
    }
    assert_eq!(
        inspect(Channel::IoPub, &hello("DEALER", b"")).2,
        inspect(Channel::Shell, &hello("PUB", b"")).2
    );
}

#[test]
fn the_header_of_a_frame_that_is_too_long_is_never_passed_on() {
    for exponent in 27..64 {
        for length in [1_u64 << exponent, (1 << exponent) - 1 + (1 << (exponent - 1))] {
            for flags in [LONG, LONG | MORE, LONG | COMMAND] {
                let bytes = [&[flags][..], &length.to_be_bytes()].concat();
                let (passed, refused) = after_hello(Channel::Shell, "DEALER", &bytes);
                assert!(passed.is_empty() && matches!(refused, Some(Violation::TooLong { .. })));
                let bytes = [&GREETING[..], &[LONG | COMMAND], &length.to_be_bytes()].concat();
                let refused = inspect(Channel::Shell, &bytes).2;
                assert_eq!(refused, Some(Violation::TooLong { limit: COMMAND_LIMIT }));
            }
        }
    }
}

#[test]
fn the_frames_of_a_message_count_together() {
    let long = [
        &[LONG | MORE][..],
        &(MESSAGE_LIMIT / 2).to_be_bytes(),
        &vec![0; 32 << 20],
    ]
    .concat();
    let (passed, refused) = after_hello(Channel::Shell, "DEALER", &[&long[..], &long, b"\0\x01"].concat());
    assert_eq!(refused, Some(Violation::TooLong { limit: MESSAGE_LIMIT }));
    assert_eq!(passed.len(), 2 * long.len());
    let endless = [MORE, 0].repeat(2000);
    let refused = after_hello(Channel::Shell, "DEALER", &endless).1;
    assert_eq!(refused, Some(Violation::TooManyFrames { limit: FRAME_LIMIT }));
}

#[test]
fn room_is_claimed_for_what_is_not_small() {
    let small = [
        &[LONG | MORE][..],
        &SMALL_MESSAGE.to_be_bytes(),
        &[7; SMALL_MESSAGE as usize],
    ]
    .concat();
    let bytes = [&hello("REQ", b"")[..], &small, b"\0\x03abc", b"\0\x01x"].concat();
    let (_, events, refused) = inspect(Channel::Control, &bytes);
    assert_eq!(refused, None);
    assert_eq!(
        events,
        [Event::Ready(Bytes::new()), Event::Claim(3), Event::Complete]
    );
}

#[test]
fn commands_after_the_handshake_are_dropped() {
    let (passed, refused) = after_hello(
        Channel::Shell,
        "DEALER",
        b"\x04\x07\x04PING\0\0\x00\x01a\x04\x00\x00\x01b",
    );
    assert_eq!((&passed[..], refused), (&b"\x00\x01a\x00\x01b"[..], None));
    let refused = after_hello(Channel::Shell, "DEALER", &[0x08, 0]).1;
    assert_eq!(refused, Some(Violation::Flags { flags: 8 }));
    assert_eq!(
        after_hello(Channel::Shell, "DEALER", &[5, 0]).1,
        Some(Violation::Flags { flags: 5 })
    );
}

#[test]
fn subscribers_only_subscribe_and_not_endlessly() {
    let subscribe = b"\0\x04\x01abc";
    assert_eq!(
        after_hello(Channel::IoPub, "SUB", subscribe),
        (subscribe.to_vec(), None)
    );
    for wrong in [&b"\0\x04\x02abc"[..], b"\0\0", b"\x01\x01\x01"] {
        assert_eq!(
            after_hello(Channel::IoPub, "SUB", wrong).1,
            Some(Violation::NoSubscription)
        );
    }
    let refused = after_hello(Channel::IoPub, "SUB", &subscribe.repeat(65)).1;
    assert_eq!(
        refused,
        Some(Violation::TooManySubscriptions {
            limit: SUBSCRIPTION_LIMIT
        })
    );
    let refused = after_hello(Channel::IoPub, "SUB", b"\x02\0\0\0\0\0\0\x08\0").1;
    assert_eq!(refused, Some(Violation::TooLong { limit: TOPIC_LIMIT }));
}
