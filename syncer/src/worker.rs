//! Takes keys from a queue and works on several at a time.

use std::{fmt, future::Future, hash::Hash, time::Duration};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    chain::Chain,
    metrics::Metrics,
    queue::{Outcome, Queue},
    write,
};

/// How many keys of one queue are worked on at a time: nearly all of that time is the wait for an API
/// server, which under load takes half a second for a pod, and pods come by the hundred.
const CONCURRENCY: usize = 64;

/// Works until `stop`, then finishes what was begun.
pub(crate) async fn work<T, F>(queue: &Queue<T>, stop: &CancellationToken, turn: impl Fn(T) -> F)
where
    T: Clone + Eq + Hash + Send + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    let mut turns: JoinSet<(T, Outcome)> = JoinSet::new();
    loop {
        // Every branch may be dropped: a wait for the next key loses nothing, and a turn that ended
        // stays in the set.
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = turns.join_next(), if !turns.is_empty() => {
                if let Ok((key, outcome)) = ended {
                    queue.finish(key, outcome);
                }
            }
            key = queue.next(), if turns.len() < CONCURRENCY => {
                let turn = turn(key.clone());
                turns.spawn(async move { (key, turn.await) });
            }
        }
    }
    while turns.join_next().await.is_some() {}
}

/// Counts a turn and says what comes next; a failure is tried again soon, and then less often.
pub(crate) fn report(
    metrics: &Metrics,
    (kind, object): (&'static str, &dyn fmt::Display),
    elapsed: Duration,
    waiting: usize,
    result: Result<Outcome, write::Error>,
) -> Outcome {
    metrics.turn(kind, elapsed, result.is_err(), waiting);
    result.unwrap_or_else(|error| {
        if error.is_stale() || error.is_overload() {
            debug!(kind, %object, error = %Chain(&error), "trying again");
        } else {
            warn!(kind, %object, error = %Chain(&error), "could not sync");
        }
        error.again(Duration::from_millis(20), Duration::from_secs(10))
    })
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn several_keys_are_worked_on_at_a_time_and_finished() {
        let queue = Queue::default();
        for key in 0..3 * CONCURRENCY {
            queue.add(key);
        }
        let (running, most, done) =
            <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let stop = CancellationToken::new();
        let work = work(&queue, &stop, |_| {
            let (running, most, done) = (running.clone(), most.clone(), done.clone());
            let stop = stop.clone();
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(1)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                if done.fetch_add(1, Ordering::SeqCst) == CONCURRENCY + 8 {
                    stop.cancel();
                }
                Outcome::Done
            }
        });
        work.await;
        assert_eq!(most.load(Ordering::SeqCst), CONCURRENCY);
        assert_eq!(
            running.load(Ordering::SeqCst),
            0,
            "what was begun is finished"
        );
        assert_eq!(done.load(Ordering::SeqCst), 2 * CONCURRENCY);
    }
}
