//! Who is waited for: how much may be unread by a peer, and what happens beyond that.
//!
//! While less than [`SOFT`] bytes wait for a peer, all is well. From there on nothing more is taken for it
//! from ZeroMQ, which then holds back whatever it wants to send; so a subscriber that reads slowly paces
//! the script. That patience is bounded: it is used up by time, and earned by reading, [`GRACE`] at most,
//! so that nothing ever goes on slower than [`RATE`] because of one peer, for longer than [`GRACE`].
//!
//! Where there is no other peer to be held up, a peer is waited for as long as it may be alive: a front end
//! that pauses for some seconds must not miss how a cell ended.
//!
//! A peer without patience left is not waited for. What comes for it is kept up to a hard limit, and up to
//! another one for all such peers of a channel together; beyond that it is cut off. It is waited for again
//! when it has read everything, or has earned the whole of its patience.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::wire::Channel;

/// Bytes that may wait for a peer before it holds up the others.
pub(crate) const SOFT: usize = 64 << 10;
/// How long a peer that does not read at all holds up the others.
pub(crate) const GRACE: Duration = Duration::from_millis(250);
/// How long a peer that does not read at all is waited for when it holds up nobody.
const ALONE: Duration = Duration::from_secs(30);
/// Bytes per second that a peer has to read to be waited for. A client in Python on a busy machine takes about a
/// thousand small messages in a second, a kilobyte each.
const RATE: u32 = 256 << 10;

/// What one channel keeps for peers that are not waited for, in bytes.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    /// For one of them.
    each: usize,
    /// For all of them together.
    all: usize,
    kept: Arc<AtomicUsize>,
    /// How many of its peers are waited for.
    waited_for: Arc<AtomicUsize>,
}

impl Store {
    pub(crate) fn of(channel: Channel) -> Self {
        let (each, all) = match channel {
            // Everybody gets all of it.
            Channel::IoPub => (8 << 20, 16 << 20),
            // Replies, each of which somebody asked for.
            _ => (64 << 20, 128 << 20),
        };
        Self {
            each,
            all,
            kept: Arc::default(),
            waited_for: Arc::default(),
        }
    }
}

/// The account of one peer.
pub(crate) struct Pace {
    store: Store,
    /// This peer's part in what the store keeps.
    kept: usize,
    patience: Duration,
    waited_for: bool,
    /// When it has last read something, or had nothing to read.
    alive: Instant,
    /// Whether there was as much unread as holds up others when the account was made up last …
    behind: bool,
    /// … and when that was.
    at: Instant,
}

/// A peer has more unread than is kept for it.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("it does not read, and {unread} bytes wait for it")]
pub(crate) struct Overflow {
    pub unread: usize,
}

impl Pace {
    pub(crate) fn new(store: &Store, now: Instant) -> Self {
        store.waited_for.fetch_add(1, Ordering::Relaxed);
        Self {
            store: store.clone(),
            kept: 0,
            patience: GRACE,
            waited_for: true,
            alive: now,
            behind: false,
            at: now,
        }
    }

    /// Makes up the account: `read` bytes have been read by the peer since the last time, `unread` are waiting.
    pub(crate) fn account(&mut self, now: Instant, read: usize, unread: usize) -> Result<(), Overflow> {
        let earned = Duration::from_secs(1).saturating_mul(u32::try_from(read).unwrap_or(u32::MAX)) / RATE;
        let used = if self.behind {
            now.saturating_duration_since(self.at)
        } else {
            Duration::ZERO
        };
        self.patience = (self.patience + earned).saturating_sub(used).min(GRACE);
        self.behind = unread >= SOFT;
        self.at = now;
        if unread == 0 {
            self.patience = GRACE;
        }
        if unread == 0 || read > 0 {
            self.alive = now;
        }
        if self.patience.is_zero() {
            self.wait(self.holds_up_nobody() && now.saturating_duration_since(self.alive) < ALONE);
        } else if self.patience == GRACE {
            self.wait(true);
        }
        self.keep(if self.waited_for { 0 } else { unread })
    }

    /// Whether more may be taken from ZeroMQ for this peer, of which `unread` bytes are waiting.
    pub(crate) fn takes(&self, unread: usize) -> bool {
        unread < SOFT || !self.waited_for
    }

    /// When the account is to be made up again even if nothing happens.
    pub(crate) fn until(&self, unread: usize) -> Option<Instant> {
        // Without patience it is waited for because it is alone, which may change.
        let time = if self.patience.is_zero() {
            GRACE
        } else {
            self.patience
        };
        (!self.takes(unread)).then(|| self.at + time)
    }

    /// Whether no other peer is waited for.
    fn holds_up_nobody(&self) -> bool {
        self.store.waited_for.load(Ordering::Relaxed) <= usize::from(self.waited_for)
    }

    fn wait(&mut self, wait: bool) {
        match (self.waited_for, wait) {
            (false, true) => drop(self.store.waited_for.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(self.store.waited_for.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
        self.waited_for = wait;
    }

    fn keep(&mut self, kept: usize) -> Result<(), Overflow> {
        // Additions come first, so that the sum never wraps below zero.
        self.store.kept.fetch_add(kept, Ordering::Relaxed);
        let all = self.store.kept.fetch_sub(self.kept, Ordering::Relaxed) - self.kept;
        self.kept = kept;
        if kept > self.store.each || (kept > 0 && all > self.store.all) {
            return Err(Overflow { unread: kept });
        }
        Ok(())
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.wait(false);
        self.store.kept.fetch_sub(self.kept, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(10);

    /// For how long a peer holds up a flood in ten seconds, if it reads `read` bytes every 10 ms; and
    /// whether it is cut off.
    fn held_up(read: usize, flood: usize) -> (Duration, bool) {
        let mut now = Instant::now();
        let store = Store::of(Channel::IoPub);
        let _other = Pace::new(&store, now);
        let mut pace = Pace::new(&store, now);
        let (mut unread, mut held) = (0_usize, Duration::ZERO);
        for _ in 0..1000 {
            now += TICK;
            if pace.takes(unread) {
                unread += flood;
            } else {
                held += TICK;
            }
            let taken = read.min(unread);
            unread -= taken;
            if pace.account(now, taken, unread).is_err() {
                return (held, true);
            }
        }
        (held, false)
    }

    #[test]
    fn a_peer_that_reads_fast_enough_is_never_cut_off() {
        let (held, cut) = held_up(40_000, 50_000);
        assert!(!cut && held > Duration::ZERO, "{held:?}");
        assert_eq!(held_up(50_000, 50_000), (Duration::ZERO, false));
    }

    #[test]
    fn a_peer_that_does_not_read_or_hardly_holds_the_others_up_once() {
        for read in [0, 1, 500, 1000] {
            let (held, cut) = held_up(read, 500_000);
            assert!(cut && held <= 2 * GRACE, "{read}: {held:?}");
        }
        assert!(held_up(0, 500_000).0 <= GRACE);
    }

    #[test]
    fn a_peer_that_pauses_and_then_reads_on_is_waited_for_again() {
        let mut now = Instant::now();
        let store = Store::of(Channel::IoPub);
        let _other = Pace::new(&store, now);
        let mut pace = Pace::new(&store, now);
        pace.account(now, 0, SOFT).unwrap();
        now += GRACE;
        pace.account(now, 0, SOFT).unwrap();
        assert!(pace.takes(SOFT) && pace.until(SOFT).is_none());
        for _ in 0..5 {
            now += TICK;
            pace.account(now, 200_000, SOFT + 1).unwrap();
        }
        assert!(!pace.takes(SOFT + 1));
    }

    #[test]
    fn a_peer_that_is_alone_is_waited_for_until_it_must_be_dead() {
        let start = Instant::now();
        let store = Store::of(Channel::IoPub);
        let mut pace = Pace::new(&store, start);
        pace.account(start, 0, SOFT).unwrap();
        let mut now = start;
        while now < start + ALONE {
            assert!(!pace.takes(SOFT), "given up after {:?}", now - start);
            now = pace.until(SOFT).unwrap();
            pace.account(now, 0, SOFT).unwrap();
        }
        assert!(pace.takes(SOFT));
        // Once there is somebody else, it is waited for no longer than any other.
        let mut pace = Pace::new(&store, now);
        pace.account(now, 0, SOFT).unwrap();
        pace.account(now + GRACE, 0, SOFT).unwrap();
        assert!(!pace.takes(SOFT));
        let _other = Pace::new(&store, now);
        pace.account(now + 2 * GRACE, 0, SOFT).unwrap();
        assert!(pace.takes(SOFT));
    }

    #[test]
    fn many_that_do_not_read_share_what_is_kept() {
        let start = Instant::now();
        let store = Store::of(Channel::IoPub);
        let late = start + GRACE;
        let other = Pace::new(&store, start);
        let mut peers: Vec<_> = (0..100).map(|_| Pace::new(&store, start)).collect();
        let mut cut = 0;
        for peer in &mut peers {
            peer.account(start, 0, SOFT).unwrap();
            cut += usize::from(peer.account(late, 0, 1 << 20).is_err());
        }
        assert_eq!(cut, 100 - 16);
        drop((peers, other));
        assert_eq!(store.waited_for.load(Ordering::Relaxed), 0);
        assert_eq!(store.kept.load(Ordering::Relaxed), 0);
    }
}
