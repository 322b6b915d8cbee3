use super::*;

fn frames(frames: &[&[u8]]) -> ZmqMessage {
    let frames: Vec<Bytes> = frames.iter().map(|frame| Bytes::copy_from_slice(frame)).collect();
    ZmqMessage::try_from(frames).unwrap()
}

const HEADER: &[u8] = br#"{"msg_id": "1", "msg_type": "kernel_info_request", "subshell_id": "s"}"#;
// Computed by Python: hmac.new(b"key", HEADER + b"{}{}{}", "sha256").hexdigest()
const SIGNATURE: &[u8] = b"cdfc4cc2a8077339d495c541934d02e0a6defb780f3ad11c7bfd41797fc32dab";

#[test]
fn a_message_signed_by_python_is_accepted_and_its_header_comes_back_verbatim() {
    let wire = Wire::new("hmac-sha256", "key").unwrap();
    let message = frames(&[
        b"peer", DELIMITER, SIGNATURE, HEADER, b"{}", b"{}", b"{}", b"buffer",
    ]);
    let request = wire.decode(Channel::Shell, message).unwrap();
    assert_eq!(request.msg_type, "kernel_info_request");
    assert_eq!(request.buffers, [Bytes::from_static(b"buffer")]);
    let reply = wire.reply("kernel_info_reply", &request.parent, &serde_json::json!({}));
    assert_eq!(reply.get(0).unwrap(), &b"peer"[..]);
    assert_eq!(reply.get(4).unwrap(), HEADER);
}

#[test]
fn a_reply_verifies_under_the_same_key_only() {
    for scheme in ["hmac-sha256", "hmac-sha512"] {
        let wire = Wire::new(scheme, "key").unwrap();
        let message = wire.publication("status", &Parent::none(), &serde_json::json!({"a": 1}));
        let decode = |key| {
            let wire = Wire::new(scheme, key).unwrap();
            wire.decode(Channel::Shell, message.clone())
                .map(|request| request.msg_type)
        };
        assert_eq!(decode("key").unwrap(), "status");
        assert_eq!(decode("another").unwrap_err(), Rejection::Signature);
        // Nobody gets it to talk to itself, either.
        let reflected = wire.decode(Channel::Shell, message.clone()).unwrap_err();
        assert_eq!(reflected, Rejection::Reflected);
    }
}

#[test]
fn what_is_not_a_message_is_rejected() {
    let wire = Wire::new("hmac-sha256", "").unwrap();
    let decode = |parts: &[&[u8]]| wire.decode(Channel::Shell, frames(parts)).unwrap_err();
    assert_eq!(decode(&[b"hello"]), Rejection::NoDelimiter);
    assert_eq!(decode(&[DELIMITER, b"", b"{}"]), Rejection::TooShort { found: 2 });
    let header = decode(&[DELIMITER, b"", b"\xff", b"{}", b"{}", b"{}"]);
    assert!(matches!(header, Rejection::Header { .. }));
    let long = format!(r#"{{"msg_id": "{}", "msg_type": "a"}}"#, "x".repeat(HEADER_LIMIT));
    let header = decode(&[DELIMITER, b"", long.as_bytes(), b"{}", b"{}", b"{}"]);
    assert!(matches!(header, Rejection::Header { .. }));
}

#[test]
fn a_message_counts_once_as_long_as_it_is_remembered() {
    let wire = Wire::new("hmac-sha256", "key").unwrap();
    let message = frames(&[DELIMITER, SIGNATURE, HEADER, b"{}", b"{}", b"{}"]);
    assert!(wire.decode(Channel::Shell, message.clone()).is_ok());
    // Digits in capitals say the same.
    let capitals = SIGNATURE.to_ascii_uppercase();
    let again = frames(&[DELIMITER, &capitals, HEADER, b"{}", b"{}", b"{}"]);
    for message in [message, again] {
        assert_eq!(
            wire.decode(Channel::Control, message).unwrap_err(),
            Rejection::Replayed
        );
    }
}

#[test]
fn nesting_is_bounded_before_any_stack_is() {
    let wire = Wire::new("hmac-sha256", "").unwrap();
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let deep = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
        let header = format!(r#"{{"msg_id": "1", "msg_type": "x", "session": {deep}}}"#);
        let message = frames(&[DELIMITER, b"", header.as_bytes(), b"{}", b"{}", b"{}"]);
        let rejected = wire.decode(Channel::Shell, message).unwrap_err();
        assert!(matches!(rejected, Rejection::Header { .. }));
        assert!(serde_json::from_str::<serde_json::Value>(&deep).is_err());
        let flat = header.replace(&deep, "null");
        let message = frames(&[
            DELIMITER,
            b"",
            flat.as_bytes(),
            deep.as_bytes(),
            deep.as_bytes(),
            b"{}",
        ]);
        assert!(wire.decode(Channel::Shell, message).is_ok());
    }
}

#[test]
fn a_signature_that_is_no_hexadecimal_number_is_wrong_and_harmless() {
    let wire = Wire::new("hmac-sha256", "key").unwrap();
    for signature in [&b""[..], b"0", b"zz", b"\xff\xfe", &SIGNATURE[..62]] {
        let message = frames(&[DELIMITER, signature, HEADER, b"{}", b"{}", b"{}"]);
        assert_eq!(
            wire.decode(Channel::Shell, message).unwrap_err(),
            Rejection::Signature
        );
    }
}
