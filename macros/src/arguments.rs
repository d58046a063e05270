//! The attribute's arguments.

use std::time::Duration;

use proc_macro2::TokenStream;
use syn::Path;

use crate::{
    fixtures::FixtureSource,
    grammar::{Argument, Grammar},
    matrix::Matrix,
    values,
};

/// Every argument and how it is written.
const GRAMMAR: Grammar = Grammar {
    what: "argument",
    forms: &[
        ("version", "version = \"1.34\""),
        ("distro", "distro = \"k8s\""),
        ("timeout", "timeout = \"5m\""),
        ("keep", "keep = \"failed\""),
        ("nodes", "nodes = 2"),
        ("sync", "sync = \"sync.yaml\""),
        ("store", "store = \"kine\""),
        ("fixtures", "fixtures = [\"crds/\", \"seed.yaml\", SEED]"),
        ("fresh", "fresh"),
        ("replicas", "replicas = 3"),
        (
            "matrix",
            "matrix(distro = [\"k8s\", \"k3s\"], version = [\"1.33\", \"1.34\"])",
        ),
        ("flavor", "flavor = \"multi_thread\""),
        ("worker_threads", "worker_threads = 2"),
        ("crate", "crate = path::to::vcluster_harness"),
    ],
    repeatable: None,
};

/// The arguments, valid as far as a compiler can know.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) distro: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) timeout: Option<Duration>,
    /// A variant of `settings::Keep`.
    pub(crate) keep: Option<&'static str>,
    pub(crate) nodes: Option<usize>,
    /// A file, from the directory of the crate's manifest.
    pub(crate) sync: Option<String>,
    /// `etcd`, `kine` or `env:NAME`.
    pub(crate) store: Option<String>,
    pub(crate) fixtures: Vec<FixtureSource>,
    pub(crate) fresh: bool,
    pub(crate) replicas: Option<u8>,
    pub(crate) matrix: Option<Matrix>,
    /// A variant of `testing::Flavor`.
    pub(crate) flavor: Option<&'static str>,
    pub(crate) worker_threads: Option<usize>,
    /// Where the harness is, when it is not `::vcluster_harness`.
    pub(crate) harness: Option<Path>,
}

impl Arguments {
    /// Reads all of them, and what does not go together.
    pub(crate) fn parse(tokens: TokenStream) -> (Self, Vec<syn::Error>) {
        let mut arguments = Self::default();
        let mut names = Vec::new();
        let mut errors = GRAMMAR.read(tokens, |name, argument| {
            names.push(argument.name.clone());
            arguments.set(name, argument)
        });
        for name in names {
            let text = name.to_string();
            if let Some(message) = arguments.conflict(&text) {
                errors.push(syn::Error::new(name.span(), message));
            }
        }
        (arguments, errors)
    }

    fn set(&mut self, name: &str, argument: Argument) -> syn::Result<()> {
        match name {
            "distro" => self.distro = Some(argument.string(values::distro)?),
            "version" => self.version = Some(argument.string(values::version)?),
            "timeout" => self.timeout = Some(argument.string(values::duration)?),
            "keep" => self.keep = Some(argument.string(values::keep)?),
            "flavor" => self.flavor = Some(argument.string(values::flavor)?),
            "fixtures" => self.fixtures = argument.fixtures()?,
            "fresh" => self.fresh = argument.alone()?,
            "nodes" => self.nodes = Some(argument.count()?),
            "sync" => self.sync = Some(argument.string(values::path)?),
            "store" => self.store = Some(argument.string(values::store)?),
            "replicas" => self.replicas = Some(argument.one_of(&[1, 3, 5])?),
            "matrix" => self.matrix = Some(Matrix::parse(argument)?),
            "worker_threads" => self.worker_threads = Some(argument.count()?),
            _ => self.harness = Some(argument.path()?),
        }
        Ok(())
    }

    /// Why this argument cannot stand beside the others.
    fn conflict(&self, name: &str) -> Option<&'static str> {
        let is_axis = |axis: fn(&Matrix) -> bool| self.matrix.as_ref().is_some_and(axis);
        match name {
            "worker_threads" if self.flavor == Some("CurrentThread") => {
                Some("the `worker_threads` option requires the `multi_thread` runtime flavor")
            }
            "replicas" if self.distro.as_deref().is_some_and(|distro| distro != "k8s") => {
                Some("only the control plane of `k8s` can be made of several pods")
            }
            "replicas" if self.store.as_deref().is_some_and(|store| store != "etcd") => {
                Some("only with `etcd` can a control plane be made of several pods")
            }
            "distro" if is_axis(Matrix::has_distros) => {
                Some("`distro` is given by the matrix: delete it here")
            }
            "version" if is_axis(Matrix::has_versions) => {
                Some("`version` is given by the matrix: delete it here")
            }
            _ => None,
        }
    }
}
