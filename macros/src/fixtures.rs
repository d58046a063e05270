//! What is named as a fixture: files, directories of files, and values that know their objects.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Expr, LitStr, Path};

use crate::values;

/// One fixture, as it is named.
pub(crate) enum FixtureSource {
    /// A file, from the directory of the manifest. The compiler reads it.
    File(String),
    /// A directory there. The test reads it, so that no new file is missed.
    Directory(String),
    /// A constant or static whose type is a fixture.
    Value(Box<Expr>),
}

impl FixtureSource {
    pub(crate) fn named(literal: &LitStr) -> syn::Result<Self> {
        let path = values::path(&literal.value());
        let path = path.map_err(|message| syn::Error::new(literal.span(), message))?;
        Ok(match path.strip_suffix('/') {
            Some(directory) => Self::Directory(directory.to_owned()),
            None => Self::File(path),
        })
    }

    /// A reference to it. `harness` is where the harness is.
    pub(crate) fn expand(&self, harness: &Path) -> TokenStream {
        let root = quote!(::core::env!("CARGO_MANIFEST_DIR"));
        match self {
            Self::File(path) => quote! {
                &#harness::fixture::Manifest {
                    name: #path,
                    yaml: ::core::include_str!(::core::concat!(#root, "/", #path)),
                }
            },
            Self::Directory(path) => quote! {
                &#harness::fixture::Folder { name: #path, root: #root }
            },
            Self::Value(value) => quote!(&#value),
        }
    }
}
