//! A moment of a process's life: when the harness says so in its log. There, and nowhere else, the process ends.

use std::fmt::{self, Write as _};

use rustix::process::{Signal, kill_current_process_group};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer,
    layer::{Context, SubscriberExt as _},
    util::SubscriberInitExt as _,
};

/// Says at which words an inner test is killed.
pub(crate) const MOMENT: &str = "E2E_MOMENT";

/// What is logged, and so may be a moment.
const LOGGED: &str = "vcluster_harness=debug,e2e=debug";

/// From here on this process says what it does, and is killed with its group when it says the words that it was
/// told: at that very place, not a while after.
pub(crate) fn end_at_it() {
    let moment = std::env::var(MOMENT).ok().map(Moment);
    let log = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_test_writer();
    tracing_subscriber::registry()
        .with(EnvFilter::new(LOGGED))
        .with(log)
        .with(moment)
        .init();
}

/// Words of the log.
struct Moment(String);

impl<S: Subscriber> Layer<S> for Moment {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        if said.line().starts_with(&self.0) {
            // As a runner does that has lost patience.
            kill_current_process_group(Signal::KILL).expect("it is our group");
        }
    }
}

/// An event as a line of the log: its message, then its fields.
#[derive(Default)]
struct Said {
    message: String,
    fields: String,
}

impl Said {
    fn line(&self) -> String {
        format!("{}{}", self.message, self.fields)
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {field}={value:?}")
        };
        written.expect("a string takes everything");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;
    use crate::child::{Runner, is_inner};

    #[test]
    #[ignore = "run by another test"]
    fn speaks() {
        if is_inner() {
            end_at_it();
            tracing::debug!(step = "first", "goes on");
            println!("\nafter the first");
            tracing::debug!(step = "second", "goes on");
            println!("\nafter the second");
        }
    }

    #[test]
    fn a_process_ends_where_it_says_the_words() -> anyhow::Result<()> {
        let moment = [(MOMENT, r#"goes on step="second""#)];
        let ended = Runner::Nextest
            .start("moment::tests::speaks", &moment)?
            .end();
        assert_eq!(ended.status.signal(), Some(Signal::KILL.as_raw()));
        assert!(ended.output.contains("after the first"), "{}", ended.output);
        assert!(
            !ended.output.contains("after the second"),
            "{}",
            ended.output
        );
        Ok(())
    }
}
