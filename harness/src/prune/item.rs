//! One thing that is left, and its removal.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bollard::{
    errors::Error as DockerError,
    query_parameters::{RemoveContainerOptionsBuilder, RemoveImageOptions, RemoveVolumeOptions},
};
use serde::Serialize;

use crate::{
    engine::{self, Engine},
    host::{self, idle},
    lease::{self, Runs},
    lock_file,
};

/// Something that nobody needs.
#[derive(Debug, Serialize)]
pub struct Item {
    /// What kind of thing.
    pub kind: Kind,
    /// Its name, or its path.
    pub name: String,
    /// Why it may go.
    pub because: String,
    #[serde(skip)]
    pub(super) removal: Removal,
}

/// Kinds of things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// A kind cluster.
    Host,
    /// A container that was there to make an image.
    Container,
    /// A network of the engine.
    Network,
    /// A volume of the engine.
    Volume,
    /// An image of the engine.
    Image,
    /// A file of the cache.
    File,
    /// What a creator of such a file left.
    HalfMade,
    /// A lock file.
    Lock,
    /// The directory of a test process.
    Run,
}

/// How it is removed.
#[derive(Debug)]
pub(super) enum Removal {
    /// Not at all.
    None,
    /// Files or directories, by who holds their lock.
    Files { paths: Vec<PathBuf>, lock: PathBuf },
    /// Lock files, by who holds one of them.
    Locks(Vec<PathBuf>),
    /// The directories of all dead test processes.
    Runs(Runs),
    /// A container by id.
    Container(Engine, String),
    /// A network by id.
    Network(Engine, String),
    /// A volume by name.
    Volume(Engine, String),
    /// A name of an image, which goes with its last name.
    Image(Engine, String),
    /// A host that was not finished or was stopped, by who holds its lock.
    Host {
        engine: Engine,
        name: String,
        lock: PathBuf,
    },
    /// A host whose time is up.
    IdleHost {
        name: String,
        cache: PathBuf,
        after: Duration,
    },
}

/// Something that could not be found out or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The cache.
    #[error("could not {step} {}", path.display())]
    File {
        /// What was done with it.
        step: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A lease.
    #[error("could not look at the directories of test processes")]
    Runs(#[from] lease::Error),
    /// The engine.
    #[error("could not use the engine")]
    Engine(#[from] engine::Error),
    /// A request to the engine.
    #[error("the engine could not {step} {object}")]
    Request {
        /// What it was asked.
        step: &'static str,
        /// About what.
        object: String,
        /// Its answer.
        source: DockerError,
    },
    /// A host.
    #[error("could not use a host")]
    Host(#[from] host::Error),
    /// Its use.
    #[error("could not find out whether a host is used")]
    Use(#[from] idle::UseError),
}

impl Kind {
    /// A word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Container => "container",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::Image => "image",
            Self::File => "file",
            Self::HalfMade => "half-made file",
            Self::Lock => "lock",
            Self::Run => "run",
        }
    }
}

impl Item {
    pub(super) fn new(
        kind: Kind,
        name: impl Into<String>,
        because: impl Into<String>,
        removal: Removal,
    ) -> Self {
        Self {
            kind,
            name: name.into(),
            because: because.into(),
            removal,
        }
    }

    /// Something that is only told of: it is not removed.
    pub fn told(kind: Kind, name: &str, because: &str) -> Self {
        Self::new(kind, name, because, Removal::None)
    }

    /// Removes it, unless somebody has begun to use it; says whether it did.
    ///
    /// # Errors
    /// It stays.
    pub async fn remove(&self) -> Result<bool, Error> {
        match &self.removal {
            Removal::None => Ok(false),
            Removal::Files { paths, lock } => {
                let Some(_lock) = alone(lock)? else {
                    return Ok(false);
                };
                paths.iter().try_for_each(|path| remove(path))?;
                Ok(true)
            }
            Removal::Locks(paths) => {
                let Some(_locks) = all_alone(paths)? else {
                    return Ok(false);
                };
                paths.iter().try_for_each(|path| remove(path))?;
                Ok(true)
            }
            Removal::Runs(runs) => Ok(runs.remove_dead()? > 0),
            Removal::Container(engine, id) => {
                let options = RemoveContainerOptionsBuilder::new().force(true).v(true);
                let docker = engine.docker();
                let removed = docker.remove_container(id, Some(options.build())).await;
                answered("remove the container", id, removed)
            }
            Removal::Network(engine, id) => {
                let removed = engine.docker().remove_network(id).await;
                answered("remove the network", id, removed)
            }
            Removal::Volume(engine, name) => {
                // Not by force either.
                let options = None::<RemoveVolumeOptions>;
                let removed = engine.docker().remove_volume(name, options).await;
                answered("remove the volume", name, removed)
            }
            Removal::Image(engine, name) => {
                // Not by force: an image that a container has by now stays.
                let options = None::<RemoveImageOptions>;
                let removed = engine.docker().remove_image(name, options, None).await;
                answered("remove the image", name, removed)
            }
            Removal::Host { engine, name, lock } => {
                let Some(_lock) = alone(lock)? else {
                    return Ok(false);
                };
                host::kind::delete(engine, name).await?;
                Ok(true)
            }
            Removal::IdleHost { name, cache, after } => {
                Ok(idle::delete_now(name, cache, *after).await?)
            }
        }
    }
}

/// The lock at `path`, unless somebody has it.
pub(super) fn alone(path: &Path) -> Result<Option<File>, Error> {
    lock_file::alone(path).map_err(|source| Error::File {
        step: "lock",
        path: path.to_owned(),
        source,
    })
}

/// The locks at all of these paths, unless somebody has one of them.
pub(super) fn all_alone(paths: &[PathBuf]) -> Result<Option<Vec<File>>, Error> {
    paths.iter().map(|path| alone(path)).collect()
}

fn remove(path: &Path) -> Result<(), Error> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::File {
            step: "remove",
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// What is gone is removed; what is in use stays, and that is no fault.
fn answered<T>(
    step: &'static str,
    object: &str,
    answer: Result<T, DockerError>,
) -> Result<bool, Error> {
    match answer {
        Ok(_)
        | Err(DockerError::DockerResponseServerError {
            status_code: 404, ..
        }) => Ok(true),
        Err(DockerError::DockerResponseServerError {
            status_code: 403 | 409,
            ..
        }) => Ok(false),
        Err(source) => Err(Error::Request {
            step,
            object: object.to_owned(),
            source,
        }),
    }
}
