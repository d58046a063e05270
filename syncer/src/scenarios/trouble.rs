//! What befalls a syncer in every model.

use std::time::Duration;

use proptest::prelude::*;

use super::world::World;

/// One thing that nobody asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trouble {
    /// The syncer ends, or begins.
    Toggle,
    /// It is killed in the middle of whatever it does, or begins.
    Crash,
    /// It gets some way with what it does.
    Proceed(u8),
    /// Watches end and their history is lost.
    Break,
    /// Some time passes.
    Rest,
}

pub(super) fn trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        1 => Just(Trouble::Toggle),
        2 => Just(Trouble::Crash),
        3 => (1..60u8).prop_map(Trouble::Proceed),
        1 => Just(Trouble::Break),
        2 => Just(Trouble::Rest),
    ]
}

impl World {
    /// Lets it happen.
    pub(super) async fn suffer(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Toggle if self.is_awake() => self.sleep().await,
            Trouble::Crash if self.is_awake() => self.crash(),
            Trouble::Toggle | Trouble::Crash => self.wake().await,
            Trouble::Proceed(steps) => proceed(steps.into()).await,
            Trouble::Break => {
                self.on_virtual.break_watches();
                self.on_host.break_watches();
            }
            Trouble::Rest => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }

    /// Sees to it that a syncer runs.
    pub(super) async fn rouse(&mut self) {
        if !self.is_awake() {
            self.wake().await;
        }
    }
}

/// Lets everybody else take some steps.
pub(super) async fn proceed(steps: usize) {
    for _ in 0..steps {
        tokio::task::yield_now().await;
    }
}
