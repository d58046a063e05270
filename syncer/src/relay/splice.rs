//! Two connections made one: what comes in at one end goes out at the other, unread.

use std::{
    fmt, io,
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

/// What passed, and how it ended.
#[derive(Debug)]
pub(super) struct Spliced {
    /// Bytes that went from the first to the second.
    pub(super) forth: u64,
    /// Bytes that went from the second to the first.
    pub(super) back: u64,
    /// How it ended.
    pub(super) end: End,
}

/// How a stream ended.
#[derive(Debug)]
pub(super) enum End {
    /// Both sides have said their last.
    Closed,
    /// One side went away; most programs end that way.
    Broken(io::Error),
    /// Nothing moved for too long.
    Still,
}

/// Joins `a` and `b` until both have said their last, one fails, or nothing moves any more. An end
/// of one direction is passed on and leaves the other open.
pub(super) async fn splice<A, B>(a: A, b: B, patience: Patience) -> Spliced
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (a_read, a_write) = tokio::io::split(a);
    let (b_read, b_write) = tokio::io::split(b);
    let (forth, back) = (Direction::new(), Direction::new());
    let done = async { tokio::try_join!(forth.copy(a_read, b_write), back.copy(b_read, a_write)) };
    // Dropping the copies half-way loses what is in their buffers, which is what ending a dead
    // stream means.
    let end = tokio::select! {
        result = done => result.map_or_else(End::Broken, |_| End::Closed),
        () = stillness(&forth, &back, patience) => End::Still,
    };
    Spliced {
        forth: forth.bytes(),
        back: back.bytes(),
        end,
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed"),
            Self::Broken(error) => write!(f, "broken: {error}"),
            Self::Still => f.write_str("nothing moved"),
        }
    }
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

#[cfg(test)]
mod tests {
    use tokio::{
        io::{DuplexStream, duplex},
        task::JoinHandle,
    };

    use super::*;

    const PATIENCE: Patience = Patience {
        idle: Duration::from_hours(4),
        half_closed: Duration::from_mins(5),
    };

    /// Both ends of a spliced stream.
    fn spliced() -> (DuplexStream, DuplexStream, JoinHandle<(Spliced, Instant)>) {
        let ((a, near), (far, b)) = (duplex(64), duplex(64));
        let splicing = async { (splice(near, far, PATIENCE).await, Instant::now()) };
        (a, b, tokio::spawn(splicing))
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_on_which_nothing_moves_ends_after_hours() {
        let (mut a, mut b, splicing) = spliced();
        let start = Instant::now();
        tokio::time::sleep(Duration::from_hours(3)).await;
        a.write_all(b"x").await.unwrap();
        b.read_u8().await.unwrap();
        let (spliced, end) = splicing.await.unwrap();
        assert!(matches!(spliced.end, End::Still), "{}", spliced.end);
        assert_eq!((spliced.forth, spliced.back), (1, 0));
        let took = end - start;
        assert!(took >= Duration::from_hours(7), "{took:?}");
        assert!(
            took < Duration::from_hours(7) + PATIENCE.half_closed,
            "{took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_closed_stream_ends_after_minutes() {
        let (mut a, _b, splicing) = spliced();
        let start = Instant::now();
        a.shutdown().await.unwrap();
        let (spliced, end) = splicing.await.unwrap();
        assert!(matches!(spliced.end, End::Still), "{}", spliced.end);
        assert!(end - start < 2 * PATIENCE.half_closed, "{:?}", end - start);
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_closed_stream_that_moves_goes_on() {
        let (mut a, mut b, splicing) = spliced();
        a.shutdown().await.unwrap();
        for _ in 0..10 {
            tokio::time::sleep(PATIENCE.half_closed / 2).await;
            b.write_all(b"x").await.unwrap();
            a.read_u8().await.unwrap();
        }
        drop(b);
        let (spliced, _) = splicing.await.unwrap();
        assert!(matches!(spliced.end, End::Closed), "{}", spliced.end);
        assert_eq!((spliced.forth, spliced.back), (0, 10));
    }
}
