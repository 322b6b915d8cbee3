//! What makes a message one of a client's: its signature, and that it has not come before.

use std::collections::{HashSet, VecDeque};

use hmac::{Hmac, Mac};
use sha2::{Sha256, Sha512};

use crate::error::Error;

/// How many messages are remembered, to know them again: with their neighbours in the set, about 4 MB.
const REMEMBERED: usize = 1 << 16;

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

/// The signatures of the messages that came last.
#[derive(Default)]
pub(crate) struct ReplayWindow {
    known: HashSet<u128>,
    order: VecDeque<u128>,
}

impl ReplayWindow {
    /// Whether a signature, which is right, has not come before. Messages without one are not told apart.
    pub(crate) fn is_new(&mut self, signature: &[u8]) -> bool {
        let digest = from_hex(signature).and_then(|digest| digest.first_chunk().copied());
        digest.is_none_or(|start| self.insert(u128::from_be_bytes(start)))
    }

    /// Whether this is new; forgets the oldest for it when there are many.
    fn insert(&mut self, signature: u128) -> bool {
        if !self.known.insert(signature) {
            return false;
        }
        self.order.push_back(signature);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
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
        assert!((0..REMEMBERED as u128 + 1).all(|signature| seen.insert(signature)));
        assert!(!seen.insert(REMEMBERED as u128) && seen.insert(0));
        assert_eq!((seen.known.len(), seen.order.len()), (REMEMBERED, REMEMBERED));
        // Unsigned messages have nothing to be known by.
        assert!(seen.is_new(b"") && seen.is_new(b""));
    }
}
