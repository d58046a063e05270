//! What is left on this machine that nobody needs any more: found, with the reason, and removed on request.
//!
//! In use is what somebody holds a lock on, what a container runs of, and what a living process owns. Nothing of
//! that is found here, and it is asked again right before something is removed.

mod engine;
mod files;
mod hosts;
mod item;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

pub use self::item::{Error, Item, Kind};
use crate::{engine::Engine, settings::Settings};

/// What was not used for so long has no user: a file of the cache, an image.
const UNUSED: Duration = Duration::from_hours(14 * 24);

/// What is younger may be somebody's who is about to lock it, or to make a container of it.
const YOUNG: Duration = Duration::from_hours(24);

/// All that may be removed in the cache of this user, without touching it.
///
/// # Errors
/// The cache cannot be read.
pub fn of_cache(settings: &Settings) -> Result<Vec<Item>, Error> {
    files::survey(&settings.cache)
}

/// All that may be removed in the engine: hosts, containers, images, networks. Virtual clusters are
/// [the reaper's](crate::reaper::Reaper::survey) business.
///
/// # Errors
/// The engine or a host does not answer.
pub async fn of_engine(settings: &Settings, engine: &Engine) -> Result<Vec<Item>, Error> {
    let mut items = hosts::survey(settings, engine).await?;
    items.extend(engine::survey(&settings.cache, engine).await?);
    Ok(items)
}

/// The lock of something that the cache makes.
fn lock_of(cache: &Path, name: &str) -> PathBuf {
    cache.join("locks").join(format!("{name}.lock"))
}
