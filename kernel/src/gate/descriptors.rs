//! How many peers there may be: what they cost is descriptors, and those are limited.

/// More than this is never asked for.
const ENOUGH: u64 = 4096;
/// Channels of a connection file.
const CHANNELS: u64 = 5;
/// A peer has its own connection, and both ends of the one to ZeroMQ.
const PER_PEER: u64 = 3;
/// Of each channel, however many descriptors there are.
const MOST_PEERS: u64 = 250;
const MOST_HANDSHAKES: u64 = 32;
/// What the kernel itself opens after this is computed: listeners, signals.
const OWN: u64 = 24;

/// How many there may be on one channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Places {
    /// Who has not yet said who they are; the oldest makes room for a newcomer.
    pub handshakes: usize,
    pub peers: usize,
}

/// Raises this process's limit as far as is useful and allowed, and shares out what there is.
pub(crate) fn places() -> Places {
    let used = std::fs::read_dir("/proc/self/fd").map_or(16, |entries| entries.count() as u64);
    share(raised_limit(), used)
}

/// Leaves an eighth, 64 at most, to scripts, which open models and files.
fn share(limit: u64, used: u64) -> Places {
    let limit = limit.min(ENOUGH);
    let kept = used + OWN + (limit / 8).min(64);
    let each = limit.saturating_sub(kept) / CHANNELS;
    let handshakes = (each / 4).clamp(1, MOST_HANDSHAKES);
    let peers = (each.saturating_sub(handshakes) / PER_PEER).clamp(1, MOST_PEERS);
    Places {
        handshakes: handshakes as usize,
        peers: peers as usize,
    }
}

fn raised_limit() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: writes to the structure it is given.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return 256;
    }
    if limit.rlim_cur < ENOUGH {
        let raised = libc::rlimit {
            rlim_cur: limit.rlim_max.min(ENOUGH),
            ..limit
        };
        // SAFETY: reads the structure it is given.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) } == 0 {
            return raised.rlim_cur;
        }
    }
    limit.rlim_cur
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_out_is_there() {
        for limit in [128, 256, 1024, 4096, 1 << 20] {
            let used = 20;
            let places = share(limit, used);
            let cost = CHANNELS * (places.handshakes as u64 + PER_PEER * places.peers as u64);
            assert!(used + OWN + cost < limit, "{limit}: {places:?}");
        }
        let plenty = Places {
            handshakes: 32,
            peers: 250,
        };
        assert_eq!(share(1 << 20, 20), plenty);
        // One client has one connection to each channel, whatever it takes.
        assert_eq!(share(16, 20).peers, 1);
    }
}
