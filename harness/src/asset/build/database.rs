//! Database servers for this project's own tests, out of Debian's packages: a server and the libraries
//! that it is linked with, without what their installers would do.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::process::Command;

use super::{
    Builder, Error, archive::ImageConfig, builder::write_image_on, command, debian, layer::Layer,
    shell,
};
use crate::asset::store::Key;

/// The images are made anew when this changes.
const REVISION: &str = "1";

const START: &str = "/start.sh";

const LIMIT: Duration = Duration::from_mins(5);

/// What no server reads.
const NEEDLESS: [&str; 4] = [
    "./usr/share/doc",
    "./usr/share/man",
    "./usr/share/locale",
    "./usr/lib/postgresql/*/lib/bitcode",
];

/// A database server that this project's own tests start. No search for an image finds it.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DatabaseServer {
    /// `PostgreSQL`, on port 5432, with the user `postgres`.
    Postgresql,
    /// `MariaDB`, on port 3306, with the user `root`. Debian has no `MySQL`.
    Mariadb,
}

impl DatabaseServer {
    fn name(self) -> &'static str {
        match self {
            Self::Postgresql => "postgresql",
            Self::Mariadb => "mariadb",
        }
    }

    /// The package that asks for the server and for all that it needs.
    fn package(self) -> &'static str {
        match self {
            Self::Postgresql => "postgresql",
            Self::Mariadb => "mariadb-server-core",
        }
    }

    fn script(self) -> &'static str {
        match self {
            Self::Postgresql => include_str!("../../../build/database/postgresql.sh"),
            Self::Mariadb => include_str!("../../../build/database/mariadb.sh"),
        }
    }

    /// Of what apt would install: servers, and libraries that they are linked with. What they only load
    /// when it is there, and what installers and accounts need, is left out.
    fn takes(self, package: &str) -> bool {
        const UNUSED: [&str; 6] = [
            "libc-",
            "libllvm",
            "libpam-modules",
            "libperl",
            "libz3",
            "libsemanage",
        ];
        let is_server = match self {
            Self::Postgresql => package
                .strip_prefix("postgresql-")
                .is_some_and(|version| version.bytes().all(|byte| byte.is_ascii_digit())),
            Self::Mariadb => package == "mariadb-server-core",
        };
        let is_library = package == "zlib1g" || package.starts_with("lib");
        let is_unused =
            UNUSED.iter().any(|unused| package.starts_with(unused)) || package.ends_with("-perl");
        is_server || package == "tzdata" || (is_library && !is_unused)
    }
}

impl Builder {
    /// The archive of a server's image and its name. It takes its password from the variable `PASSWORD`,
    /// keeps its data in `/data`, and must not be root.
    ///
    /// # Errors
    /// This is no Debian, or its mirror does not answer.
    pub(crate) async fn database(
        &self,
        server: DatabaseServer,
    ) -> Result<(String, PathBuf), Error> {
        let name = server.name();
        let inputs = [
            REVISION,
            shell::REVISION,
            server.package(),
            server.script(),
            std::env::consts::ARCH,
        ];
        let key = &Key::new(format!("image-{name}"), inputs);
        let reference = format!("localhost/vcluster-test/{name}:{}", key.short());
        let references = vec![reference.clone()];
        let (archive, _) = self
            .store
            .get_or_make(key, |output| async move {
                let step = self.progress.step(format!("unpacking Debian's {name}"));
                let busybox = self.busybox().await?;
                let work = self.store.work(&key.to_string())?;
                let base = unpack(server, work.path()).await?;
                let config = ImageConfig {
                    entrypoint: ["/busybox", "sh", START].map(str::to_owned).into(),
                    command: Vec::new(),
                };
                let layer = files(server, busybox);
                write_image_on(Some(base), &work, output, references, config, layer).await?;
                step.done();
                Ok::<_, Error>(())
            })
            .await?;
        Ok((reference, archive))
    }
}

/// A tar of what the packages hold.
async fn unpack(server: DatabaseServer, work: &Path) -> Result<PathBuf, Error> {
    let packages = debian::download_closure(server.package(), |name| server.takes(name), work);
    let tree = work.join("tree");
    for package in packages.await? {
        command::run(
            Command::new("dpkg-deb").arg("-x").args([&package, &tree]),
            LIMIT,
        )
        .await?;
    }
    // From Debian 13 on the packages leave the old places to an installer.
    for name in ["lib", "lib64"] {
        let (old, new) = (tree.join(name), Path::new("usr").join(name));
        if !old.exists() && tree.join(&new).exists() {
            symlink(new, &old).map_err(Error::io("link", old))?;
        }
    }
    let tar = work.join("tree.tar");
    debian::pack(&tree, &NEEDLESS, &tar).await?;
    Ok(tar)
}

/// What makes a container of the packages. Programs of `PostgreSQL` ask for `/bin/sh` and for their user's name.
fn files(server: DatabaseServer, busybox: PathBuf) -> Layer {
    Layer::default()
        .copy("busybox", 0o755, busybox)
        .link("bin/sh", "/busybox")
        .directory("tmp", 0o1777)
        .directory("data", 0o1777)
        .bytes("etc/passwd", 0o644, "database:x:65532:65532::/:/bin/sh\n")
        .bytes(START, 0o644, server.script())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::server("postgresql-15", true)]
    #[case::metapackage("postgresql", false)]
    #[case::client("postgresql-client-15", false)]
    #[case::library("libpq5", true)]
    #[case::for_compiled_queries("libllvm14", false)]
    #[case::for_installers("libjson-perl", false)]
    #[case::installer("debconf", false)]
    fn only_what_a_server_is_linked_with_is_taken(#[case] package: &str, #[case] taken: bool) {
        assert_eq!(DatabaseServer::Postgresql.takes(package), taken);
    }
}
