//! Which of several syncers of one virtual cluster works.

use serde::{Deserialize, Serialize};

use super::error::Error;

/// How several syncers of one virtual cluster agree on the one that works. The others wait with
/// everything read; all of them relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LeaderElection {
    /// There may be several. Without it a syncer takes itself for the only one.
    pub enabled: bool,
    /// How long the others wait for a sign of life before one of them takes over. The one that works
    /// stops after two thirds of it.
    pub lease_seconds: u16,
}

impl Default for LeaderElection {
    fn default() -> Self {
        Self {
            enabled: false,
            lease_seconds: 15,
        }
    }
}

impl LeaderElection {
    /// Several syncers, with the usual time.
    pub const ON: Self = Self {
        enabled: true,
        lease_seconds: 15,
    };

    /// Says why it cannot work.
    ///
    /// # Errors
    /// The time leaves none for a request.
    pub(super) fn check(self) -> Result<(), Error> {
        if self.lease_seconds < SHORTEST {
            return Err(Error::ShortLease {
                seconds: self.lease_seconds,
                shortest: SHORTEST,
            });
        }
        Ok(())
    }
}

/// A loaded host needs some seconds for an answer.
const SHORTEST: u16 = 6;
