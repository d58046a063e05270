//! A queue of keys to look at. A key is in it once however often it was added, is never handed out
//! twice at a time, and comes back later when it failed.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    fmt,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// The queue; shared by reference between those who add and the one who takes.
pub struct Queue<T> {
    state: Mutex<State<T>>,
    wake: Notify,
}

struct State<T> {
    ready: VecDeque<T>,
    /// Since when each key waits.
    queued: HashMap<T, Instant>,
    /// How long each key waited.
    running: HashMap<T, Duration>,
    /// Added while running: to be looked at again, and since when.
    again: HashMap<T, Instant>,
    later: HashMap<T, Instant>,
    failures: HashMap<T, u32>,
}

/// What became of a key that was handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing more to do until something changes.
    Done,
    /// To be looked at again after this time, without anything having gone wrong.
    After(Duration),
    /// It failed; to be looked at again after a pause that grows with every failure in a row,
    /// starting with this one.
    Failed {
        /// The first pause.
        first: Duration,
        /// The longest pause.
        longest: Duration,
    },
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                ready: VecDeque::new(),
                queued: HashMap::new(),
                running: HashMap::new(),
                again: HashMap::new(),
                later: HashMap::new(),
                failures: HashMap::new(),
            }),
            wake: Notify::new(),
        }
    }
}

impl<T: Clone + Eq + Hash> Queue<T> {
    /// Adds a key, to be handed out as soon as possible.
    pub fn add(&self, key: T) {
        let mut state = self.lock();
        state.later.remove(&key);
        state.enqueue(key, Instant::now());
        drop(state);
        self.wake.notify_one();
    }

    /// Adds a key, to be handed out in `pause` unless it is due before.
    pub fn add_after(&self, key: T, pause: Duration) {
        let due = Instant::now() + pause;
        let mut state = self.lock();
        let when = state.later.entry(key).or_insert(due);
        *when = due.min(*when);
        drop(state);
        self.wake.notify_one();
    }

    /// Waits for the next key. Only one may wait at a time. A wait that is dropped loses nothing.
    pub async fn next(&self) -> T {
        loop {
            let soonest = {
                let mut state = self.lock();
                let now = Instant::now();
                let soonest = state.promote(now);
                if let Some(key) = state.ready.pop_front() {
                    let since = state.queued.remove(&key).unwrap_or(now);
                    state.running.insert(key.clone(), now - since);
                    return key;
                }
                soonest
            };
            match soonest {
                Some(due) => tokio::select! {
                    () = self.wake.notified() => {}
                    () = sleep_until(due) => {}
                },
                None => self.wake.notified().await,
            }
        }
    }

    /// Gives back a key that [`Self::next`] handed out.
    pub fn finish(&self, key: T, outcome: Outcome) {
        let pause = {
            let mut state = self.lock();
            state.running.remove(&key);
            let pause = match outcome {
                Outcome::Done => {
                    state.failures.remove(&key);
                    None
                }
                Outcome::After(pause) => {
                    state.failures.remove(&key);
                    Some(pause)
                }
                Outcome::Failed { first, longest } => {
                    let failures = state.failures.entry(key.clone()).or_default();
                    let pause = first.saturating_mul(1 << (*failures).min(20)).min(longest);
                    *failures += 1;
                    Some(pause)
                }
            };
            if let Some(since) = state.again.remove(&key) {
                state.enqueue(key.clone(), since);
            }
            pause
        };
        match pause {
            Some(pause) => self.add_after(key, pause),
            None => self.wake.notify_one(),
        }
    }

    /// How long a key that is handed out waited for that, once it was due.
    pub fn waited(&self, key: &T) -> Duration {
        self.lock().running.get(key).copied().unwrap_or_default()
    }

    /// How many keys wait to be handed out now.
    pub fn len(&self) -> usize {
        self.lock().ready.len()
    }

    /// Does none wait to be handed out now?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Is nothing due, and nothing handed out?
    pub fn is_idle(&self) -> bool {
        let state = self.lock();
        state.ready.is_empty() && state.running.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone + Eq + Hash> State<T> {
    /// Once however often it is added; the first time counts.
    fn enqueue(&mut self, key: T, since: Instant) {
        if self.running.contains_key(&key) {
            self.again.entry(key).or_insert(since);
        } else if let Entry::Vacant(entry) = self.queued.entry(key) {
            self.ready.push_back(entry.key().clone());
            entry.insert(since);
        }
    }

    /// Moves what is due by `now` to the ready ones, and says when the next one is.
    fn promote(&mut self, now: Instant) -> Option<Instant> {
        if self.later.is_empty() {
            return None;
        }
        let due: Vec<(T, Instant)> = self
            .later
            .iter()
            .filter(|(_, due)| **due <= now)
            .map(|(key, due)| (key.clone(), *due))
            .collect();
        for (key, due) in due {
            self.later.remove(&key);
            self.enqueue(key, due);
        }
        self.later.values().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const FAILED: Outcome = Outcome::Failed {
        first: Duration::from_millis(100),
        longest: Duration::from_secs(1),
    };

    #[tokio::test(start_paused = true)]
    async fn a_key_is_in_it_once() {
        let queue = Queue::default();
        queue.add("a");
        queue.add("a");
        queue.add("b");
        assert_eq!(queue.next().await, "a");
        assert_eq!(queue.next().await, "b");
        assert_eq!(queue.next().now_or_never(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_never_handed_out_twice_at_a_time() {
        let queue = Queue::default();
        queue.add("a");
        assert_eq!(queue.next().await, "a");
        queue.add("a");
        assert_eq!(queue.next().now_or_never(), None);
        queue.finish("a", Outcome::Done);
        assert_eq!(queue.next().await, "a");
    }

    #[tokio::test(start_paused = true)]
    async fn failures_come_back_ever_later_until_one_success() {
        let queue = Queue::default();
        queue.add("a");
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let start = Instant::now();
            let key = queue.next().await;
            pauses.push(start.elapsed().as_millis());
            queue.finish(key, FAILED);
        }
        assert_eq!(pauses, [0, 100, 200, 400, 800, 1000]);
        let key = queue.next().await;
        queue.finish(key, Outcome::Done);
        queue.add("a");
        let key = queue.next().await;
        queue.finish(key, FAILED);
        let start = Instant::now();
        queue.next().await;
        assert_eq!(start.elapsed().as_millis(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_waits_from_the_moment_that_it_is_due() {
        let queue = Queue::default();
        let pass = |seconds| tokio::time::advance(Duration::from_secs(seconds));
        queue.add("a");
        pass(2).await;
        queue.add("a");
        pass(1).await;
        queue.next().await;
        assert_eq!(queue.waited(&"a").as_secs(), 3);
        queue.add("a");
        pass(4).await;
        queue.finish("a", Outcome::Done);
        queue.next().await;
        assert_eq!(queue.waited(&"a").as_secs(), 4);
        queue.finish("a", Outcome::After(Duration::from_secs(5)));
        pass(6).await;
        queue.next().await;
        assert_eq!(queue.waited(&"a").as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn news_come_before_the_pause_is_over() {
        let queue = Queue::default();
        queue.add_after("a", Duration::from_mins(1));
        queue.add("a");
        assert_eq!(queue.next().now_or_never(), Some("a"));
        queue.finish("a", Outcome::Done);
        assert_eq!(
            queue.next().now_or_never(),
            None,
            "the later turn is taken back"
        );
        assert!(queue.is_idle());
    }

    #[tokio::test(start_paused = true)]
    async fn the_earlier_of_two_turns_counts() {
        let queue = Queue::default();
        queue.add_after("a", Duration::from_mins(1));
        queue.add_after("a", Duration::from_secs(1));
        let start = Instant::now();
        queue.next().await;
        assert_eq!(start.elapsed().as_secs(), 1);
    }
}
