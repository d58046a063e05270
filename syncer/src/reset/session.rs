//! A program that stays: it puts one store back as often as it is told to.

use std::{path::PathBuf, time::Duration};

use super::{
    Error, Report,
    rounds::{self, PutBack},
    state::State,
    step::Step,
    store::Store,
};

/// One store, the file of its saved state, and how far it is on its way back.
pub(super) struct Session<'a, S> {
    store: &'a S,
    state: PathBuf,
    /// How many bytes the store may take.
    largest: Option<u64>,
    /// How long a step may take.
    limit: Duration,
    /// What a reset has begun. It holds the whole state, and goes when nothing is left to do.
    begun: Option<PutBack<'a, S>>,
}

impl<'a, S: Store> Session<'a, S> {
    pub(super) fn new(store: &'a S, state: PathBuf, largest: Option<u64>, limit: Duration) -> Self {
        Self {
            store,
            state,
            largest,
            limit,
            begun: None,
        }
    }

    /// Takes a step. A reset starts from the saved state as it is by now: the one before has renewed some of it, and
    /// it may have been another program's.
    pub(super) async fn take(&mut self, step: Step) -> Result<Report, Error> {
        if let Some(largest) = self.largest {
            rounds::check_size(self.store, largest, self.limit).await?;
        }
        let begun = self.begun.take().filter(|_| step == Step::Tidy);
        let mut back = match begun {
            Some(back) => back,
            None => PutBack::new(self.store, &State::read(&self.state)?),
        };
        match back.step(step, self.limit).await {
            Ok(outcome) => {
                // What was renewed is what the next reset starts from.
                outcome.state.write(&self.state)?;
                self.begun = Some(back).filter(|_| step == Step::Reset);
                Ok(outcome.report)
            }
            Err(Error::Differs { keys, .. }) => Ok(Report {
                differences: keys,
                ..Report::default()
            }),
            Err(error) => Err(error),
        }
    }
}
