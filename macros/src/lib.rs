//! The attribute behind `vcluster_harness::vcluster_test`: it parses, expands and stops.
//!
//! It knows nothing of Kubernetes; what a test does is in `vcluster_harness::testing`. Only that crate is
//! promised to users: depend on it, not on this one.

mod arguments;
mod attributes;
mod call;
mod expand;
mod fixtures;
mod function;
mod grammar;
mod matrix;
mod values;

/// Gives an async test a Kubernetes of its own. Documented as `vcluster_harness::vcluster_test`.
#[proc_macro_attribute]
pub fn vcluster_test(
    arguments: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    expand::expand(arguments.into(), &item.into()).into()
}

/// The same attribute under the one name that rstest takes for a test's.
#[proc_macro_attribute]
pub fn test(
    arguments: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    expand::expand(arguments.into(), &item.into()).into()
}
