//! `matrix(distro = [..], version = [..], exclude(..))`: one test for each pair that is left.

use proc_macro2::{Span, TokenStream};
use syn::{Ident, LitStr};

use crate::{
    grammar::{Argument, Grammar, combined},
    values,
};

const GRAMMAR: Grammar = Grammar {
    what: "matrix argument",
    forms: &[
        ("version", "version = [\"1.33\", \"1.34\"]"),
        ("distro", "distro = [\"k8s\", \"k3s\"]"),
        ("exclude", "exclude(distro = \"k3s\", version = \"1.33\")"),
    ],
    repeatable: Some("exclude"),
};

const EXCLUDE: Grammar = Grammar {
    what: "`exclude` argument",
    forms: &[
        ("version", "version = \"1.33\""),
        ("distro", "distro = \"k3s\""),
    ],
    repeatable: None,
};

/// What the cells of a matrix are made of.
#[derive(Default)]
pub(crate) struct Matrix {
    distros: Vec<String>,
    versions: Vec<String>,
    excluded: Vec<Cell>,
}

/// One test of a matrix. `None` is what the matrix does not vary, and in an exclusion anything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Cell {
    pub(crate) distro: Option<String>,
    pub(crate) version: Option<String>,
}

impl Matrix {
    pub(crate) fn parse(argument: Argument) -> syn::Result<Self> {
        let whole = argument.name.span();
        let mut matrix = Self::default();
        let mut exclusions = Vec::new();
        let mut errors = GRAMMAR.read(argument.list()?, |name, argument| {
            match name {
                "distro" => matrix.distros = distinct(argument.strings(values::distro)?)?,
                "version" => matrix.versions = distinct(argument.strings(values::version)?)?,
                _ => exclusions.push((argument.name.span(), exclusion(argument.list()?)?)),
            }
            Ok(())
        });
        if !errors.is_empty() {
            return Err(combined(errors).expect("there is one"));
        }
        for (span, excluded) in exclusions {
            if !matrix.cells().iter().any(|cell| excluded.covers(cell)) {
                errors.push(syn::Error::new(
                    span,
                    "excludes nothing that is left of the matrix",
                ));
            }
            matrix.excluded.push(excluded);
        }
        if matrix.distros.is_empty() && matrix.versions.is_empty() {
            errors.push(syn::Error::new(
                whole,
                "a matrix needs `distro` or `version`",
            ));
        } else if matrix.cells().is_empty() {
            errors.push(syn::Error::new(
                whole,
                "nothing is left of the matrix: no test would run",
            ));
        }
        combined(errors).map_or(Ok(matrix), Err)
    }

    pub(crate) fn has_distros(&self) -> bool {
        !self.distros.is_empty()
    }

    pub(crate) fn has_versions(&self) -> bool {
        !self.versions.is_empty()
    }

    /// Every pair that is not excluded, by distro.
    pub(crate) fn cells(&self) -> Vec<Cell> {
        let cells = axis(&self.distros).into_iter().flat_map(|distro| {
            axis(&self.versions).into_iter().map(move |version| Cell {
                distro: distro.clone(),
                version,
            })
        });
        cells
            .filter(|cell| !self.excluded.iter().any(|excluded| excluded.covers(cell)))
            .collect()
    }
}

impl Cell {
    /// What the cell's test is called: `k3s_1_34`, `k3s` or `v1_34`.
    pub(crate) fn name(&self) -> Ident {
        let version = self.version.as_deref().map(worded);
        let name = match (&self.distro, version) {
            (Some(distro), Some(version)) => format!("{distro}_{version}"),
            (Some(distro), None) => distro.clone(),
            (None, Some(version)) if version.starts_with(|c: char| c.is_ascii_digit()) => {
                format!("v{version}")
            }
            (None, version) => version.unwrap_or_default(),
        };
        Ident::new(&name, Span::call_site())
    }

    fn covers(&self, cell: &Self) -> bool {
        let covers =
            |mine: &Option<String>, theirs: &Option<String>| mine.is_none() || mine == theirs;
        covers(&self.distro, &cell.distro) && covers(&self.version, &cell.version)
    }
}

fn exclusion(tokens: TokenStream) -> syn::Result<Cell> {
    let mut cell = Cell::default();
    let errors = EXCLUDE.read(tokens, |name, argument| {
        match name {
            "distro" => cell.distro = Some(argument.string(values::distro)?),
            _ => cell.version = Some(argument.string(values::version)?),
        }
        Ok(())
    });
    combined(errors).map_or(Ok(cell), Err)
}

/// `1.34` and `v1.34` are the same, and would be two tests of one name.
fn distinct(values: Vec<(LitStr, String)>) -> syn::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut errors = Vec::new();
    let mut kept = Vec::new();
    for (literal, value) in values {
        let name = worded(&value);
        if names.contains(&name) {
            errors.push(syn::Error::new(
                literal.span(),
                format!("`{value}` is in the list already"),
            ));
        }
        names.push(name);
        kept.push(value);
    }
    combined(errors).map_or(Ok(kept), Err)
}

fn worded(value: &str) -> String {
    let number = value.strip_prefix('v').unwrap_or(value);
    number.replace(['.', '-'], "_")
}

/// The values of an axis; one without a value when the matrix does not have it.
fn axis(values: &[String]) -> Vec<Option<String>> {
    match values {
        [] => vec![None],
        values => values.iter().cloned().map(Some).collect(),
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;
    use rstest::rstest;

    use super::*;
    use crate::arguments::Arguments;

    fn names(tokens: TokenStream) -> Vec<String> {
        let (arguments, errors) = Arguments::parse(tokens);
        assert!(errors.is_empty(), "{errors:?}");
        let cells = arguments.matrix.unwrap().cells();
        cells.iter().map(|cell| cell.name().to_string()).collect()
    }

    #[rstest]
    #[case::both(
        quote!(matrix(distro = ["k8s", "k3s"], version = ["1.33", "latest-1"])),
        &["k8s_1_33", "k8s_latest_1", "k3s_1_33", "k3s_latest_1"]
    )]
    #[case::distros(quote!(matrix(distro = ["k8s", "k0s"])), &["k8s", "k0s"])]
    #[case::versions(quote!(matrix(version = ["v1.34.2", "oldest"])), &["v1_34_2", "oldest"])]
    #[case::excluded(
        quote!(matrix(
            distro = ["k8s", "k3s", "k0s"], version = ["1.33", "1.34"],
            exclude(distro = "k3s", version = "1.33"), exclude(distro = "k0s")
        )),
        &["k8s_1_33", "k8s_1_34", "k3s_1_34"]
    )]
    fn each_pair_that_is_left_has_a_name(#[case] tokens: TokenStream, #[case] expected: &[&str]) {
        assert_eq!(names(tokens), expected);
    }
}
