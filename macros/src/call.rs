//! The call of the harness: a specification made of literals, the needs of the arguments, the body.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{FnArg, Ident, ItemFn, Path, Type, parse_quote, spanned::Spanned as _};

use crate::{arguments::Arguments, attributes::Attributes, matrix::Cell};

/// What a call is made of.
pub(crate) struct Call<'a> {
    pub(crate) arguments: &'a Arguments,
    pub(crate) attributes: &'a Attributes,
    pub(crate) function: &'a ItemFn,
}

impl Call<'_> {
    /// The statements that run the function at `path` as the test of this name.
    pub(crate) fn expand(&self, test: &Ident, cell: &Cell, path: &TokenStream) -> TokenStream {
        let harness = &self.harness();
        let specification = self.specification(test, cell);
        let kinds = kinds(self.function);
        // Hygienic: the user's function may be called `given`, too.
        let slots: Vec<_> = (0..kinds.len())
            .map(|index| Ident::new(&format!("slot_{index}"), Span::mixed_site()))
            .collect();
        let given = Ident::new("given", Span::mixed_site());
        // Spanned at the type, so that a type that cannot be asked for is shown where it stands, and once.
        let places = kinds
            .iter()
            .map(|kind| quote_spanned!(kind.span()=> #harness::testing::slot::<#kind>()));
        let argument = if kinds.is_empty() {
            quote!(_)
        } else {
            quote!(#given)
        };
        quote! {
            #(let #slots = #places;)*
            #harness::testing::run(
                #specification,
                &[#(#slots.need()),*],
                async |#argument| ::core::result::Result::Ok(#path(#(#given.next(&#slots).await?),*)),
            )
        }
    }

    fn harness(&self) -> Path {
        self.arguments
            .harness
            .clone()
            .unwrap_or_else(|| parse_quote!(::vcluster_harness))
    }

    /// `TestSpec::new(..)` and a setter for each argument that was given.
    fn specification(&self, test: &Ident, cell: &Cell) -> TokenStream {
        let harness = self.harness();
        let arguments = self.arguments;
        let name = test.to_string();
        let name = name.trim_start_matches("r#");
        let distro = arguments.distro.iter().chain(&cell.distro);
        let version = arguments.version.iter().chain(&cell.version);
        let timeout = arguments.timeout.map(literal).into_iter();
        let keep = arguments.keep.map(called).into_iter();
        let nodes = arguments.nodes.iter();
        let sync = arguments.sync.as_deref().map(included).into_iter();
        let store = arguments.store.iter();
        let fixtures = self.fixtures(&harness).into_iter();
        let fresh = arguments.fresh.then(|| quote!(.fresh())).into_iter();
        let replicas = arguments.replicas.iter();
        let matrix = self.matrix().into_iter();
        let flavor = arguments.flavor.map(called).into_iter();
        let threads = arguments.worker_threads.iter();
        let panic = self.should_panic().into_iter();
        quote! {
            #harness::testing::TestSpec::new(::core::module_path!(), #name)
                #(.distro(#distro))*
                #(.version(#version))*
                #(.timeout(#timeout))*
                #(.keep(#harness::settings::Keep::#keep))*
                #(.nodes(#nodes))*
                #(.sync(#sync))*
                #(.store(#store))*
                #(.fixtures(#fixtures))*
                #(#fresh)*
                #(.replicas(#replicas))*
                #(.matrix(#matrix))*
                #(.flavor(#harness::testing::Flavor::#flavor))*
                #(.worker_threads(#threads))*
                #(#panic)*
        }
    }

    /// A static, in which statics and constants of the user may be named alike.
    fn fixtures(&self, harness: &Path) -> Option<TokenStream> {
        let named = &self.arguments.fixtures;
        let values = named.iter().map(|fixture| fixture.expand(harness));
        (!named.is_empty()).then(|| {
            quote!({
                static FIXTURES: &[&dyn #harness::fixture::Fixture] = &[#(#values),*];
                FIXTURES
            })
        })
    }

    /// All cells, so that each test knows when the environment leaves none of them.
    fn matrix(&self) -> Option<TokenStream> {
        let cells = self.arguments.matrix.as_ref()?.cells();
        let pairs = cells.iter().map(|cell| {
            let distro = option(cell.distro.as_deref());
            let version = option(cell.version.as_deref());
            quote!((#distro, #version))
        });
        Some(quote!(&[#(#pairs),*]))
    }

    fn should_panic(&self) -> Option<TokenStream> {
        let panic = self.attributes.should_panic.as_ref()?;
        let text = match &panic.expected {
            Some(text) => text.value(),
            None => String::new(),
        };
        Some(match &panic.condition {
            None => quote!(.should_panic(#text)),
            Some(condition) => quote!(.should_panic_if(::core::cfg!(#condition), #text)),
        })
    }
}

fn kinds(function: &ItemFn) -> Vec<&Type> {
    fn kind(argument: &FnArg) -> Option<&Type> {
        match argument {
            FnArg::Typed(typed) => Some(&typed.ty),
            FnArg::Receiver(_) => None,
        }
    }
    function.sig.inputs.iter().filter_map(kind).collect()
}

fn called(variant: &str) -> Ident {
    Ident::new(variant, Span::call_site())
}

/// The text of a file of the user's crate. The compiler reads it, so that a change compiles the test anew.
fn included(path: &str) -> TokenStream {
    quote! {
        ::core::include_str!(::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), "/", #path))
    }
}

fn option(text: Option<&str>) -> TokenStream {
    text.map_or_else(
        || quote!(::core::option::Option::None),
        |text| quote!(::core::option::Option::Some(#text)),
    )
}

fn literal(duration: Duration) -> TokenStream {
    let seconds = duration.as_secs();
    match duration.subsec_nanos() {
        0 => quote!(::core::time::Duration::from_secs(#seconds)),
        nanos => quote!(::core::time::Duration::new(#seconds, #nanos)),
    }
}
