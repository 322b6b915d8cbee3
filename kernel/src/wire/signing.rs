//! What makes a message one of a client's: its signature, and that it has not come before.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use chrono::{DateTime, NaiveDateTime, Utc};
use hmac::{Hmac, Mac};
use sha2::{Sha256, Sha512};

use crate::error::Error;

/// How many messages are remembered, to know them again: with their neighbours in the set, about 6 MB.
const REMEMBERED: usize = 1 << 16;
/// Of how many clients' sessions it is known which messages are forgotten. Each time a client is started it has another.
const REMEMBERED_SESSIONS: usize = 1 << 12;

/// The HMAC of the connection file. An empty key means unsigned messages.
pub(crate) enum Signer {
    Unsigned,
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
}

impl Signer {
    pub(crate) fn new(scheme: &str, key: &str) -> Result<Self, Error> {
        let unsupported = || Error::SignatureScheme {
            scheme: scheme.to_owned(),
        };
        // An HMAC takes a key of any length.
        let key = key.as_bytes();
        let signer = match scheme {
            "hmac-sha256" => Hmac::new_from_slice(key).map(Self::Sha256),
            "hmac-sha512" => Hmac::new_from_slice(key).map(Self::Sha512),
            _ => return Err(unsupported()),
        };
        if key.is_empty() {
            return Ok(Self::Unsigned);
        }
        signer.map_err(|_| unsupported())
    }

    /// Lower-case hexadecimal digits.
    pub(crate) fn sign(&self, frames: [&[u8]; 4]) -> String {
        match self {
            Self::Unsigned => String::new(),
            Self::Sha256(mac) => to_hex(&fed(mac, frames).finalize().into_bytes()),
            Self::Sha512(mac) => to_hex(&fed(mac, frames).finalize().into_bytes()),
        }
    }

    /// Compares in constant time.
    pub(crate) fn verify(&self, frames: [&[u8]; 4], signature: &[u8]) -> bool {
        let Some(bytes) = from_hex(signature) else {
            return matches!(self, Self::Unsigned);
        };
        match self {
            Self::Unsigned => true,
            Self::Sha256(mac) => fed(mac, frames).verify_slice(&bytes).is_ok(),
            Self::Sha512(mac) => fed(mac, frames).verify_slice(&bytes).is_ok(),
        }
    }
}

fn fed<M: Mac + Clone>(mac: &M, frames: [&[u8]; 4]) -> M {
    let mut mac = mac.clone();
    frames.iter().for_each(|frame| mac.update(frame));
    mac
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: u8| char::from(digit).to_digit(16);
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = pairs
        .iter()
        .map(|&[high, low]| Some((value(high)? * 16 + value(low)?) as u8));
    if rest.is_empty() { bytes.collect() } else { None }
}

/// The signatures of the messages that came last. What is older than these is known by its date: a client's clock and
/// messages go forward, so whatever it dated before one of its messages that is forgotten has come before.
#[derive(Default)]
pub(crate) struct ReplayWindow {
    known: HashSet<u128>,
    order: VecDeque<Seen>,
    /// The newest date that is forgotten, by a client's session.
    forgotten: HashMap<u64, DateTime<Utc>>,
    /// Those sessions, the one that was forgotten first in front.
    sessions: VecDeque<u64>,
}

/// A message that has come.
struct Seen {
    signature: u128,
    sent: Option<Sent>,
}

/// Who sent a message, and when, by the sender's own clock.
#[derive(Clone, Copy)]
pub(crate) struct Sent {
    /// A digest of the session's name.
    session: u64,
    date: DateTime<Utc>,
}

impl Sent {
    /// `None` where the header does not say both.
    pub(crate) fn new(session: Option<&str>, date: Option<&str>) -> Option<Self> {
        let (session, date) = (session?, date?);
        // Most clients name a time zone; without one it is what the client takes it for, each time the same.
        let zoned = DateTime::parse_from_rfc3339(date).map(|date| date.to_utc());
        let date = zoned.or_else(|_| date.parse::<NaiveDateTime>().map(|date| date.and_utc()));
        Some(Self {
            session: BuildHasherDefault::<DefaultHasher>::default().hash_one(session),
            date: date.ok()?,
        })
    }
}

impl ReplayWindow {
    /// Whether a signature, which is right, has not come before. Messages without one are not told apart.
    pub(crate) fn is_new(&mut self, signature: &[u8], sent: Option<Sent>) -> bool {
        let digest = from_hex(signature).and_then(|digest| digest.first_chunk().copied());
        digest.is_none_or(|start| self.insert(u128::from_be_bytes(start), sent))
    }

    /// Whether this is new; forgets the oldest for it when there are many.
    fn insert(&mut self, signature: u128, sent: Option<Sent>) -> bool {
        let forgotten = |sent: Sent| {
            self.forgotten
                .get(&sent.session)
                .is_some_and(|&newest| sent.date <= newest)
        };
        if sent.is_some_and(forgotten) || !self.known.insert(signature) {
            return false;
        }
        self.order.push_back(Seen { signature, sent });
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest.signature);
            if let Some(sent) = oldest.sent {
                self.forget(sent);
            }
        }
        true
    }

    fn forget(&mut self, Sent { session, date }: Sent) {
        if let Some(newest) = self.forgotten.get_mut(&session) {
            *newest = date.max(*newest);
            return;
        }
        self.forgotten.insert(session, date);
        self.sessions.push_back(session);
        if self.sessions.len() > REMEMBERED_SESSIONS
            && let Some(oldest) = self.sessions.pop_front()
        {
            self.forgotten.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_that_is_not_known_is_refused_whether_there_is_a_key_or_not() {
        for scheme in ["hmac-md5", "hmac-sha1", "HMAC-SHA256", "", "none"] {
            for key in ["", "key"] {
                assert!(Signer::new(scheme, key).is_err(), "{scheme:?} {key:?}");
            }
        }
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let mut seen = ReplayWindow::default();
        assert!((0..REMEMBERED as u128 + 1).all(|signature| seen.insert(signature, None)));
        assert!(!seen.insert(REMEMBERED as u128, None) && seen.insert(0, None));
        assert_eq!((seen.known.len(), seen.order.len()), (REMEMBERED, REMEMBERED));
        // Unsigned messages have nothing to be known by.
        assert!(seen.is_new(b"", None) && seen.is_new(b"", None));
    }

    #[test]
    fn what_is_forgotten_is_known_by_its_date() {
        let mut seen = ReplayWindow::default();
        let sent = |session: &str, second: usize| {
            let date = format!(
                "2026-01-{:02}T{:02}:{:02}:{:02}.5Z",
                second / 86_400 + 1,
                second / 3600 % 24,
                second / 60 % 60,
                second % 60
            );
            let sent = Sent::new(Some(session), Some(&date));
            assert!(sent.is_some(), "{date}");
            sent
        };
        let n = REMEMBERED + 10;
        assert!((0..n).all(|at| seen.insert(at as u128, sent("a", at))));
        // All of it once more, from the first message on.
        assert!((0..n).all(|at| !seen.insert(at as u128, sent("a", at))));
        // Another client's clock may be behind; its messages are new all the same.
        assert!(seen.insert(u128::MAX, sent("b", 0)));
        assert!(seen.insert(u128::MAX - 1, sent("a", n)));
    }

    #[test]
    fn dates_are_read_with_and_without_a_zone() {
        let date = |date| Sent::new(Some("a"), Some(date)).map(|sent| sent.date.to_string());
        let expected = Some("2026-01-01 10:00:00.500 UTC".to_owned());
        assert_eq!(date("2026-01-01T10:00:00.5Z"), expected);
        assert_eq!(date("2026-01-01T12:00:00.5+02:00"), expected);
        assert_eq!(date("2026-01-01T10:00:00.5"), expected);
        assert!(date("yesterday").is_none() && Sent::new(None, Some("2026-01-01T10:00:00Z")).is_none());
    }

    #[test]
    fn sessions_without_end_take_no_memory_without_end() {
        let mut seen = ReplayWindow::default();
        for at in 0..2 * REMEMBERED_SESSIONS + REMEMBERED {
            let sent = Sent::new(Some(&at.to_string()), Some("2026-01-01T10:00:00Z"));
            assert!(seen.insert(at as u128, sent));
        }
        assert_eq!(
            (seen.forgotten.len(), seen.sessions.len()),
            (REMEMBERED_SESSIONS, REMEMBERED_SESSIONS)
        );
    }
}
