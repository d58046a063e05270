//! What is done behind the backs of tests, on a thread of its own: clusters put back, and made ahead. It ends with
//! the process; what it has not finished belongs to the process's session, and so its reaper deletes it.

use std::{
    io,
    rc::Rc,
    sync::{Mutex, PoisonError},
};

use futures::future::LocalBoxFuture;
use tokio::{
    runtime::Builder,
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::{LocalSet, spawn_local},
};
use tracing::warn;

use super::reset::Programs;

type Work = Box<dyn FnOnce(Rc<Programs>) -> LocalBoxFuture<'static, ()> + Send>;

/// The way to the thread, once there is one.
static STAGE: Mutex<Option<UnboundedSender<Work>>> = Mutex::new(None);

/// Has this done side by side with everything else, with the programs that stay for as long as the thread does; says
/// whether that can be.
pub(super) fn run<F: Future<Output = ()> + 'static>(
    work: impl FnOnce(Rc<Programs>) -> F + Send + 'static,
) -> bool {
    let mut stage = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    if stage.is_none() {
        match open() {
            Ok(opened) => *stage = Some(opened),
            Err(error) => warn!(%error, "nothing is done behind the backs of tests"),
        }
    }
    let work: Work = Box::new(|programs| Box::pin(work(programs)));
    stage.as_ref().is_some_and(|stage| stage.send(work).is_ok())
}

fn open() -> io::Result<UnboundedSender<Work>> {
    let (stage, mut wanted) = unbounded_channel::<Work>();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name("vcluster-backstage".to_owned())
        .spawn(move || {
            LocalSet::new().block_on(&runtime, async {
                let programs = Rc::new(Programs::default());
                while let Some(work) = wanted.recv().await {
                    // It reports to nobody: each work handles its own errors.
                    drop(spawn_local(work(Rc::clone(&programs))));
                }
            });
        })?;
    Ok(stage)
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc::channel, time::Duration};

    use super::*;

    #[test]
    fn one_work_does_not_wait_for_another_nor_end_with_it() {
        let (done, seen) = channel();
        let (first, last) = (done.clone(), done);
        let (open_gate, gate) = tokio::sync::oneshot::channel();
        assert!(run(move |_| async move {
            gate.await.unwrap();
            first.send("first").unwrap();
        }));
        assert!(run(|_| async { panic!("of one work alone") }));
        assert!(run(move |_| async move {
            last.send("last").unwrap();
            open_gate.send(()).unwrap();
        }));
        let next = || seen.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_eq!([next(), next()], ["last", "first"]);
    }
}
