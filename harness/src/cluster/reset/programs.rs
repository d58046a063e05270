//! Programs that stay in the pods of clusters from one reset to the next: to start one costs more of the processors than
//! the reset.

use std::{cell::RefCell, collections::VecDeque, fmt};

use super::process::Process;

/// As many as clusters of one kind are handed on at the most. A program whose cluster is gone is among them until it is
/// the one that was used longest ago.
const MOST: usize = 16;

/// The programs of one thread, by the namespaces of their clusters. Each ends when it is dropped.
#[derive(Default)]
pub(in crate::cluster) struct Programs {
    staying: RefCell<VecDeque<(String, Process)>>,
}

impl Programs {
    /// The one in this cluster, which may have ended since.
    pub(super) fn take(&self, namespace: &str) -> Option<Process> {
        let mut staying = self.staying.borrow_mut();
        let index = staying.iter().position(|(name, _)| name == namespace)?;
        staying.remove(index).map(|(_, process)| process)
    }

    /// Leaves it for the next reset of this cluster.
    pub(super) fn keep(&self, namespace: &str, process: Process) {
        let mut staying = self.staying.borrow_mut();
        staying.push_back((namespace.to_owned(), process));
        if staying.len() > MOST {
            staying.pop_front();
        }
    }
}

impl fmt::Debug for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Programs").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(output: &'static str) -> Process {
        Process::new(tokio::io::sink(), output.as_bytes(), tokio::io::empty())
    }

    #[tokio::test]
    async fn each_cluster_has_its_own() {
        let programs = Programs::default();
        programs.keep("a", process("one\n"));
        programs.keep("b", process("two\n"));
        let mut of_b = programs.take("b").unwrap();
        assert_eq!(of_b.answer().await.unwrap(), "two\n");
        assert!(programs.take("b").is_none());
        assert!(programs.take("a").is_some());
    }

    #[test]
    fn of_too_many_the_oldest_ends() {
        let programs = Programs::default();
        for number in 0..=MOST {
            programs.keep(&number.to_string(), process(""));
        }
        assert!(programs.take("0").is_none());
        assert!(programs.take("1").is_some());
    }
}
