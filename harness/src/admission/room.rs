//! The room of one test, for all its clusters together: who held one place and waited for another could wait
//! for somebody who does the same.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::OnceCell;

use super::{
    gate::{Gate, Pass},
    queue::Error,
    spare::Spare,
};
use crate::progress::Progress;

/// What one test takes of the machine. Cheap to clone; it is free again when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Room {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    gate: Gate,
    test: String,
    clusters: usize,
    progress: Progress,
    pass: OnceCell<Pass>,
    /// How many of its starts are over.
    over: AtomicUsize,
}

impl Room {
    /// Room for a test with so many clusters, which is not asked for yet.
    pub fn new(gate: Gate, test: &str, clusters: usize, progress: Progress) -> Self {
        Self {
            inner: Arc::new(Inner {
                gate,
                test: test.to_owned(),
                clusters,
                progress,
                pass: OnceCell::new(),
                over: AtomicUsize::new(0),
            }),
        }
    }

    /// Room for one more cluster, which is nobody's wish.
    pub(crate) fn another(&self, purpose: &str) -> Self {
        Self::new(self.inner.gate.clone(), purpose, 1, Progress::silent())
    }

    /// A look at the processors of the machine that begins now.
    pub(crate) fn spare(&self) -> Spare {
        self.inner.gate.spare()
    }

    /// Waits until the test may start its clusters, unless it may already.
    ///
    /// # Errors
    /// As [`Gate::enter`].
    pub async fn enter(&self) -> Result<(), Error> {
        let Inner {
            gate,
            test,
            clusters,
            progress,
            pass,
            ..
        } = &*self.inner;
        let enter = || gate.enter(test, *clusters, progress);
        pass.get_or_try_init(enter).await.map(drop)
    }

    /// One of its clusters has started, or will not. Others may start when that is so of all.
    pub async fn start_is_over(&self) {
        let over = self.inner.over.fetch_add(1, Ordering::SeqCst) + 1;
        if over < self.inner.clusters {
            return;
        }
        if let Some(pass) = self.inner.pass.get() {
            pass.started().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[tokio::test]
    async fn both_clusters_of_a_test_share_one_place_until_both_have_started() {
        let cache = tempfile::tempdir().unwrap();
        let environment = [
            ("VCLUSTER_TEST_CACHE", cache.path().to_str().unwrap()),
            ("VCLUSTER_TEST_STARTS", "2"),
            // What this machine has is no matter here.
            ("VCLUSTER_TEST_CLUSTERS", "9"),
        ];
        let gate = Gate::new(&Settings::from_environment(&environment).unwrap());
        let room = Room::new(gate.clone(), "two", 2, Progress::silent());
        tokio::try_join!(room.enter(), room.enter()).unwrap();
        room.start_is_over().await;
        let next = tokio::spawn(async move {
            let room = Room::new(gate, "next", 1, Progress::silent());
            room.enter().await
        });
        let places = || {
            let files = std::fs::read_dir(cache.path().join("admission")).unwrap();
            files.count() - 1
        };
        while places() < 2 {
            tokio::task::yield_now().await;
        }
        assert!(!next.is_finished());
        room.start_is_over().await;
        next.await.unwrap().unwrap();
    }
}
