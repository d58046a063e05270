//! Two connections made one: what comes in at one end goes out at the other, unread.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, sleep_until},
};

/// As much as a TLS record holds; more does not make it faster.
const BUFFER: usize = 16 * 1024;

/// How long nothing may move.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// While both sides may speak.
    pub(super) idle: Duration,
    /// When one side has said its last.
    pub(super) half_closed: Duration,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended {
    /// Bytes that went from the first to the second.
    pub(super) forth: u64,
    /// Bytes that went from the second to the first.
    pub(super) back: u64,
    /// Nothing moved for too long.
    pub(super) timed_out: bool,
}

/// Joins `a` and `b` until both have said their last, one fails, or nothing moves any more. An end
/// of one direction is passed on and leaves the other open.
pub(super) async fn splice<A, B>(a: A, b: B, patience: Patience) -> io::Result<Ended>
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (a_read, a_write) = tokio::io::split(a);
    let (b_read, b_write) = tokio::io::split(b);
    let (forth, back) = (Direction::new(), Direction::new());
    let done = async {
        tokio::try_join!(forth.copy(a_read, b_write), back.copy(b_read, a_write)).map(|_| ())
    };
    // Dropping the copies half-way loses what is in their buffers, which is what ending a dead
    // stream means.
    let timed_out = tokio::select! {
        result = done => { result?; false }
        () = stillness(&forth, &back, patience) => true,
    };
    Ok(Ended {
        forth: forth.bytes(),
        back: back.bytes(),
        timed_out,
    })
}

/// One direction of a stream and what has passed through it.
#[derive(Debug)]
struct Direction {
    // The number of bytes, doubled; odd when the end has come.
    state: AtomicU64,
}

impl Direction {
    fn new() -> Self {
        Self {
            state: AtomicU64::new(0),
        }
    }

    fn bytes(&self) -> u64 {
        self.state.load(Ordering::Relaxed) / 2
    }

    fn has_ended(&self) -> bool {
        self.state.load(Ordering::Relaxed) % 2 == 1
    }

    async fn copy(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = from.read(&mut buffer).await?;
            if count == 0 {
                self.state.fetch_add(1, Ordering::Relaxed);
                return to.shutdown().await;
            }
            to.write_all(&buffer[..count]).await?;
            // TLS keeps back what did not fit into the socket at once.
            to.flush().await?;
            self.state.fetch_add(2 * count as u64, Ordering::Relaxed);
        }
    }
}

/// Returns when nothing has moved for as long as `patience` allows.
async fn stillness(forth: &Direction, back: &Direction, patience: Patience) {
    let mut last = (0, 0);
    let mut since = Instant::now();
    loop {
        let limit = if forth.has_ended() || back.has_ended() {
            patience.half_closed
        } else {
            patience.idle
        };
        let now = Instant::now();
        let seen = (
            forth.state.load(Ordering::Relaxed),
            back.state.load(Ordering::Relaxed),
        );
        if seen != last {
            (last, since) = (seen, now);
        } else if now >= since + limit {
            return;
        }
        // The limit shrinks when one side ends, so look again within the shorter of the two.
        sleep_until((since + limit).min(now + patience.half_closed / 2)).await;
    }
}
