//! The sockets that the API server connects to, and nobody else.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixStream};
use tracing::warn;

/// A unix socket that only its owner, and root, may use.
#[derive(Debug)]
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
}

impl Socket {
    /// Listens at `path`. A socket that an earlier run left there is replaced; anything else is in
    /// the way. Whoever finds the socket finds somebody listening.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(parent)?;
        }
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "something that is no socket is in the way",
                ));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let fresh = path.with_extension("new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&fresh)?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600))?;
        let owner = fs::symlink_metadata(&fresh)?.uid();
        fs::rename(&fresh, path)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            owner,
        })
    }

    /// The next connection. A folder shared between containers may be open to more users than the
    /// socket's mode says, so the kernel is asked who calls.
    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let user = stream.peer_cred()?.uid();
            if user == self.owner || user == 0 {
                return Ok(stream);
            }
            warn!(user, "refused a connection of another user");
        }
    }

    /// Listens no more and removes the socket.
    pub(super) fn close(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}
