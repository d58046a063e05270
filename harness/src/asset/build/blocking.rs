//! Copying and hashing large files, which has no place on an async thread.

use super::Error;

/// Runs `work` on a thread that may block. A panic in it goes on here.
///
/// # Errors
/// Those of `work`; the runtime is shutting down.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Error::Run {
                program: "a background task".to_owned(),
                source: std::io::Error::other(error),
            }),
        },
    }
}
