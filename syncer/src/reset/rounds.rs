//! Saving and putting back: reads, decides, writes, and reads again until nothing is left to do.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::debug;
use uuid::Uuid;

use super::{
    Error, Report,
    object::is_lasting_token,
    plan::{Beginning, Plan, plan, turn},
    rule::{Product, Rule, rule},
    state::State,
    step::Step,
    store::{Reading, Store, Write, Written},
    target::Target,
};

/// How many keys that differ are logged.
const SHOWN: usize = 8;
/// How many writes are under way at a time.
const CONCURRENCY: usize = 32;
/// How often a write is tried that somebody else is quicker than.
const ATTEMPTS: usize = 5;
/// How many rounds follow each other at once.
const CHASES: usize = 5;
/// How long nothing may change before a state is saved.
const REST: Duration = Duration::from_millis(500);
/// How long controllers have to answer before the result is compared for the second time.
const ANSWER: Duration = Duration::from_millis(100);
/// How long controllers have to make what is missing before it is looked for again: ever longer.
const PATIENCE: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_millis(200);

/// Saves the state of a store once it has come to rest.
pub(super) async fn save(store: &impl Store, limit: Duration) -> Result<State, Error> {
    let deadline = Instant::now() + limit;
    let mut last: Option<State> = None;
    let mut keys = Vec::new();
    loop {
        let state = State::of(read(store, deadline, limit).await?);
        if let Some(before) = &last {
            keys = changed(before, &state);
            if keys.is_empty() {
                check(&state)?;
                return Ok(state);
            }
        }
        if Instant::now() >= deadline {
            return Err(Error::Restless { limit, keys });
        }
        last = Some(state);
        sleep(REST).await;
    }
}

/// Refuses a store that takes more than it may: what a tenant wrote into it goes, and what it remembers of
/// that does not.
pub(super) async fn check_size(
    store: &impl Store,
    largest: u64,
    limit: Duration,
) -> Result<(), Error> {
    let size = within(Instant::now() + limit, limit, store.size()).await?;
    if size > largest {
        return Err(Error::Grown { size, largest });
    }
    Ok(())
}

/// A store on its way back to a saved state.
pub(super) struct PutBack<'a, S> {
    store: &'a S,
    keys: usize,
    target: Target,
    /// Of the first step. What came later may be the controllers' answer, whichever step finds it.
    beginning: Option<Beginning>,
}

/// What a step led to.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The state as it is now, with all that was renewed.
    pub(super) state: State,
    pub(super) report: Report,
}

impl<'a, S: Store> PutBack<'a, S> {
    pub(super) fn new(store: &'a S, saved: &State) -> Self {
        Self {
            store,
            keys: saved.entries.len(),
            target: Target::new(saved, new_uid),
            beginning: None,
        }
    }

    /// Reads, writes and reads again until as many readings in a row agree with the saved state as the step asks for.
    pub(super) async fn step(&mut self, step: Step, limit: Duration) -> Result<Outcome, Error> {
        let start = Instant::now();
        let deadline = start + limit;
        let mut report = Report {
            keys: self.keys,
            ..Report::default()
        };
        let mut agreed = 0;
        let mut patience = PATIENCE;
        loop {
            let reading = read(self.store, deadline, limit).await?;
            report.readings += 1;
            let todo = self.compare(&reading);
            debug!(
                step = step.name(),
                elapsed = ?start.elapsed(),
                writes = todo.writes.len(),
                missing = ?todo.missing,
                first = ?todo.differences().iter().take(SHOWN).collect::<Vec<_>>(),
                "compared"
            );
            if todo.is_empty() {
                agreed += 1;
                if agreed == step.agreements() {
                    report.milliseconds =
                        start.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
                    let state = State::of(reading);
                    return Ok(Outcome { state, report });
                }
                sleep(ANSWER).await;
                continue;
            }
            agreed = 0;
            if Instant::now() >= deadline {
                let keys = todo.differences();
                return Err(Error::Differs { limit, keys });
            }
            // Who makes things again for some reason of the host's is not to be chased.
            if todo.writes.is_empty() || report.readings > CHASES {
                sleep(patience).await;
                patience = (patience * 3 / 2).min(LONGEST);
            }
            if !todo.writes.is_empty() {
                carry_out(self.store, &todo, &mut report, deadline, limit).await?;
            }
        }
    }

    fn compare(&mut self, reading: &Reading) -> Plan {
        let beginning = *self.beginning.get_or_insert_with(|| Beginning::of(reading));
        self.target.follow(reading, beginning, new_uid);
        plan(self.target.state(), reading, beginning)
    }
}

async fn carry_out(
    store: &impl Store,
    plan: &Plan,
    report: &mut Report,
    deadline: Instant,
    limit: Duration,
) -> Result<(), Error> {
    for turn in plan.writes.chunk_by(|a, b| turn(a) == turn(b)) {
        let writes = stream::iter(turn)
            .map(|write| async move { Ok((write, insist(store, write).await?)) })
            .buffer_unordered(CONCURRENCY)
            .try_collect::<Vec<_>>();
        let made = within(deadline, limit, writes).await?;
        for (write, _) in made.iter().filter(|(_, is_made)| *is_made) {
            match write.value {
                Some(_) => report.written += 1,
                None => report.deleted += 1,
            }
        }
    }
    Ok(())
}

/// Makes a change also if somebody is quicker, again and again: controllers write the status of what is
/// about to be put back, all the more since its products go. What they make themselves is left to the
/// next comparison.
async fn insist(store: &impl Store, write: &Write) -> Result<bool, Error> {
    let mut write = write.clone();
    for _ in 0..ATTEMPTS {
        match store.write(&write).await? {
            Written::Done => return Ok(true),
            Written::Missed(_) if matches!(rule(&write.key), Rule::Made(_)) => break,
            Written::Missed(0) if write.value.is_none() => break,
            Written::Missed(now) => write.seen = now,
        }
    }
    Ok(false)
}

async fn read(store: &impl Store, deadline: Instant, limit: Duration) -> Result<Reading, Error> {
    within(deadline, limit, store.read()).await
}

/// A store that hangs is not waited for. At least a second, so that the last comparison is made.
async fn within<T>(
    deadline: Instant,
    limit: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let end = deadline.max(Instant::now() + Duration::from_secs(1));
    timeout_at(end, work)
        .await
        .unwrap_or(Err(Error::Silent { limit }))
}

/// The keys whose objects changed between two readings.
fn changed(before: &State, after: &State) -> Vec<String> {
    let is_still = |key: &str, a: Option<&Vec<u8>>, b: Option<&Vec<u8>>| match rule(key) {
        // Their values change all the time.
        Rule::Kept | Rule::Made(Product::Node) => a.is_some() == b.is_some(),
        _ => a == b,
    };
    let keys = before.entries.keys().chain(after.entries.keys());
    let mut changed: Vec<_> = keys
        .filter(|key| {
            let value = |state: &State| state.entries.get(*key).map(|entry| entry.value.clone());
            !is_still(key, value(before).as_ref(), value(after).as_ref())
        })
        .cloned()
        .collect();
    changed.sort();
    changed.dedup();
    changed
}

/// Can the state be put back?
fn check(state: &State) -> Result<(), Error> {
    let keys: Vec<_> = state
        .entries
        .iter()
        .filter(|(key, entry)| {
            key.starts_with("/registry/secrets/") && is_lasting_token(&entry.value)
        })
        .map(|(key, _)| key.clone())
        .collect();
    if keys.is_empty() {
        Ok(())
    } else {
        Err(Error::LastingToken { keys })
    }
}

fn new_uid() -> String {
    Uuid::new_v4().to_string()
}
