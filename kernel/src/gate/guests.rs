//! Who has a place on a channel, and who goes when there is none left.
//!
//! Whoever reaches a port can take places and say nothing. So places are first of all for clients that have shown that
//! they have the key: where all are taken, a newcomer gets that of the peer that has not shown it, the oldest of them.
//! Clients have one name on all their sockets, and what one of these has shown counts for the others. On channels where
//! nothing is signed, output and heartbeat, the peer goes that has not said anything since it came.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::wire::Channel;

/// Names that are remembered as those of clients with the key.
const REMEMBERED: usize = 1 << 12;

/// The names of peers that have sent a rightly signed message.
#[derive(Default)]
pub(crate) struct Trusted(Mutex<Names>);

#[derive(Default)]
struct Names {
    known: HashSet<Bytes>,
    /// The one that came first in front.
    order: VecDeque<Bytes>,
}

impl Trusted {
    pub(crate) fn add(&self, name: &Bytes) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !names.known.insert(name.clone()) {
            return;
        }
        names.order.push_back(name.clone());
        if names.order.len() > REMEMBERED
            && let Some(oldest) = names.order.pop_front()
        {
            names.known.remove(&oldest);
        }
    }

    pub(crate) fn knows(&self, name: &Bytes) -> bool {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.known.contains(name)
    }
}

/// The peers of one channel.
pub(crate) struct Guests {
    channel: Channel,
    most: usize,
    trusted: Arc<Trusted>,
    present: Mutex<Vec<Arc<Guest>>>,
}

struct Guest {
    name: Bytes,
    has_spoken: AtomicBool,
    /// Another has its place now.
    displaced: Notify,
}

/// A place, as long as this lives.
pub(crate) struct Seat {
    guests: Arc<Guests>,
    guest: Arc<Guest>,
}

impl Guests {
    pub(crate) fn new(channel: Channel, most: usize, trusted: Arc<Trusted>) -> Self {
        Self {
            channel,
            most,
            trusted,
            present: Mutex::default(),
        }
    }

    /// A place for a peer of that name, that of another if need be; `None` where nobody has to go.
    pub(crate) fn enter(self: &Arc<Self>, name: &Bytes) -> Option<Seat> {
        let mut present = self.lock();
        if present.len() >= self.most {
            let goes = present.iter().position(|guest| self.has_to_go(guest))?;
            present.remove(goes).displaced.notify_one();
        }
        let guest = Arc::new(Guest {
            name: name.clone(),
            has_spoken: AtomicBool::new(false),
            displaced: Notify::new(),
        });
        present.push(guest.clone());
        Some(Seat {
            guests: self.clone(),
            guest,
        })
    }

    fn has_to_go(&self, guest: &Guest) -> bool {
        match self.channel {
            Channel::IoPub | Channel::Heartbeat => {
                !guest.has_spoken.load(Ordering::Relaxed) && !self.trusted.knows(&guest.name)
            }
            _ => !self.trusted.knows(&guest.name),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Guest>>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// The peer has said something since it came.
    pub(crate) fn has_spoken(&self) {
        self.guest.has_spoken.store(true, Ordering::Relaxed);
    }

    /// Whether it has shown that it has the key.
    pub(crate) fn is_trusted(&self) -> bool {
        self.guests.trusted.knows(&self.guest.name)
    }

    /// Returns when another has got this place.
    pub(crate) async fn displaced(&self) {
        self.guest.displaced.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.guests
            .lock()
            .retain(|guest| !Arc::ptr_eq(guest, &self.guest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guests(channel: Channel) -> (Arc<Guests>, Arc<Trusted>) {
        let trusted = Arc::new(Trusted::default());
        (Arc::new(Guests::new(channel, 3, trusted.clone())), trusted)
    }

    fn name(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn is_displaced(seat: &Seat) -> bool {
        let present = seat.guests.lock();
        !present.iter().any(|guest| Arc::ptr_eq(guest, &seat.guest))
    }

    #[test]
    fn the_oldest_without_the_key_goes_and_nobody_with_it() {
        let (guests, trusted) = guests(Channel::Shell);
        trusted.add(&name("client"));
        let client = guests.enter(&name("client")).unwrap();
        let (first, second) = (
            guests.enter(&name("a")).unwrap(),
            guests.enter(&name("b")).unwrap(),
        );
        // To have said something is not enough.
        first.has_spoken();
        let third = guests.enter(&name("c")).unwrap();
        assert!(is_displaced(&first) && !is_displaced(&second) && !is_displaced(&client));
        trusted.add(&name("b"));
        trusted.add(&name("c"));
        assert!(guests.enter(&name("d")).is_none(), "all have shown the key");
        drop(third);
        assert!(guests.enter(&name("d")).is_some());
    }

    #[test]
    fn where_nothing_is_signed_the_silent_go() {
        for channel in [Channel::IoPub, Channel::Heartbeat] {
            let (guests, trusted) = guests(channel);
            let seats = ["a", "b", "c"].map(|text| guests.enter(&name(text)).unwrap());
            seats[0].has_spoken();
            trusted.add(&name("b"));
            let newcomer = guests.enter(&name("d")).unwrap();
            newcomer.has_spoken();
            assert_eq!(seats.each_ref().map(is_displaced), [false, false, true]);
            assert!(guests.enter(&name("e")).is_none());
        }
    }

    #[test]
    fn names_without_end_take_no_memory_without_end() {
        let trusted = Trusted::default();
        for at in 0..3 * REMEMBERED {
            trusted.add(&Bytes::from(at.to_string()));
        }
        assert!(trusted.knows(&Bytes::from((3 * REMEMBERED - 1).to_string())));
        assert!(!trusted.knows(&name("0")));
        let names = trusted.0.lock().unwrap();
        assert_eq!((names.known.len(), names.order.len()), (REMEMBERED, REMEMBERED));
    }
}
