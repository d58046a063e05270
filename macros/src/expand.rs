//! What the attribute writes: the user's attributes, `#[test]`, a plain function of the same name that
//! holds the async one, a specification made of literals, one call.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{FnArg, Ident, ItemFn, Path, Type, Visibility, parse_quote, spanned::Spanned as _};

use crate::{
    arguments::Arguments,
    attributes::{Attributes, ShouldPanic},
    function,
};

/// Expands the attribute. Mistakes become compile errors, all at once, and the item is emitted with them,
/// so that an editor keeps knowing the function.
pub(crate) fn expand(arguments: TokenStream, item: &TokenStream) -> TokenStream {
    let (arguments, mut errors) = Arguments::parse(arguments);
    let mut function = match syn::parse2::<ItemFn>(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            errors.push(not_a_function(item).unwrap_or(error));
            let errors = errors.iter().map(syn::Error::to_compile_error);
            return quote!(#(#errors)* #item);
        }
    };
    let (attributes, refused) = Attributes::sort(std::mem::take(&mut function.attrs));
    errors.extend(refused);
    if !attributes.is_rewritten {
        errors.extend(function::not_async(&function));
    }
    errors.extend(function::errors(&function));
    if errors.is_empty() {
        test(&arguments, &attributes, &function)
    } else {
        let errors = errors.iter().map(syn::Error::to_compile_error);
        let conditions = &attributes.conditions;
        let function = function::defused(function);
        quote!(#(#errors)* #(#conditions)* #[allow(unused, reason = "reported above")] #function)
    }
}

/// Any other item parses; what does not parse at all is better told by the parser's own message.
fn not_a_function(item: &TokenStream) -> Option<syn::Error> {
    let item = syn::parse2::<syn::Item>(item.clone()).ok()?;
    Some(syn::Error::new_spanned(
        item,
        "`#[vcluster_test]` goes on an async function",
    ))
}

fn test(arguments: &Arguments, attributes: &Attributes, function: &ItemFn) -> TokenStream {
    let Attributes {
        conditions,
        kept,
        should_panic,
        ..
    } = attributes;
    let harness = arguments
        .harness
        .clone()
        .unwrap_or_else(|| parse_quote!(::vcluster_harness));
    let visibility = &function.vis;
    let name = &function.sig.ident;
    let output = &function.sig.output;
    let body = ItemFn {
        vis: Visibility::Inherited,
        ..function.clone()
    };
    let specification = specification(&harness, name, arguments, should_panic.as_ref());
    let kinds = kinds(function);
    // Spanned at the type, so that a type that cannot be asked for is shown where it stands.
    let needs = kinds
        .iter()
        .map(|kind| quote_spanned!(kind.span()=> #harness::testing::needs::<#kind>()));
    // Hygienic: the user's function may be called `given`, too.
    let given = Ident::new("given", Span::mixed_site());
    let values = kinds
        .iter()
        .map(|kind| quote_spanned!(kind.span()=> #given.next::<#kind>().await?));
    let given = if kinds.is_empty() {
        quote!(_)
    } else {
        quote!(#given)
    };
    quote! {
        #(#conditions)*
        #[::core::prelude::v1::test]
        #(#kept)*
        #visibility fn #name() #output {
            #[allow(clippy::unused_async, reason = "a test may have nothing to await")]
            #body
            #harness::testing::run(
                #specification,
                &[#(#needs),*],
                async |#given| ::core::result::Result::Ok(#name(#(#values),*)),
            )
        }
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

/// `TestSpec::new(..)` and a setter for each argument that was given.
fn specification(
    harness: &Path,
    name: &Ident,
    arguments: &Arguments,
    should_panic: Option<&ShouldPanic>,
) -> TokenStream {
    let name = name.to_string();
    let name = name.trim_start_matches("r#");
    let distro = arguments.distro.iter().map(|text| quote!(.distro(#text)));
    let version = arguments.version.iter().map(|text| quote!(.version(#text)));
    let timeout = arguments.timeout.iter().map(|duration| {
        let duration = literal(*duration);
        quote!(.timeout(#duration))
    });
    let keep = arguments.keep.iter().map(|policy| {
        let policy = Ident::new(policy, Span::call_site());
        quote!(.keep(#harness::settings::Keep::#policy))
    });
    let nodes = arguments.nodes.iter().map(|count| quote!(.nodes(#count)));
    let flavor = arguments.flavor.iter().map(|flavor| {
        let flavor = Ident::new(flavor, Span::call_site());
        quote!(.flavor(#harness::testing::Flavor::#flavor))
    });
    let threads = arguments
        .worker_threads
        .iter()
        .map(|count| quote!(.worker_threads(#count)));
    let panic = should_panic.iter().map(|panic| {
        let expected = panic.expected.iter();
        let text = quote!(#(#expected)*);
        let text = if text.is_empty() { quote!("") } else { text };
        match &panic.condition {
            None => quote!(.should_panic(#text)),
            Some(condition) => quote!(.should_panic_if(::core::cfg!(#condition), #text)),
        }
    });
    quote! {
        #harness::testing::TestSpec::new(::core::module_path!(), #name)
            #(#distro)* #(#version)* #(#timeout)* #(#keep)* #(#nodes)* #(#flavor)* #(#threads)* #(#panic)*
    }
}

fn literal(duration: Duration) -> TokenStream {
    let seconds = duration.as_secs();
    match duration.subsec_nanos() {
        0 => quote!(::core::time::Duration::from_secs(#seconds)),
        nanos => quote!(::core::time::Duration::new(#seconds, #nanos)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expansion as rustfmt would write it.
    fn shown(arguments: TokenStream, item: &TokenStream) -> String {
        let file = syn::parse2(expand(arguments, item)).unwrap();
        prettyplease::unparse(&file)
    }

    #[test]
    fn a_test_without_anything_is_a_call() {
        insta::assert_snapshot!(shown(
            quote!(),
            &quote!(
                async fn nothing_is_asked_for() {}
            )
        ));
    }

    #[test]
    fn every_argument_is_a_setter() {
        insta::assert_snapshot!(shown(
            quote!(
                distro = "k8s",
                version = "1.34",
                timeout = "90s",
                keep = "failed",
                nodes = 2,
                flavor = "multi_thread",
                worker_threads = 3,
            ),
            &quote! {
                async fn guestbook_answers(cluster: VirtualCluster, mut client: kube::Client) -> anyhow::Result<()> {
                    client.apiserver_version().await?;
                    Ok(())
                }
            },
        ));
    }

    #[test]
    fn attributes_stay_and_conditions_come_first() {
        insta::assert_snapshot!(shown(
            quote!(crate = crate::again, timeout = "250ms"),
            &quote! {
                /// What it shows.
                #[should_panic(expected = "boom")]
                #[ignore = "slow"]
                #[cfg(unix)]
                #[expect(unused_variables)]
                pub(crate) async fn it_panics(_: VirtualCluster) { panic!("boom") }
            },
        ));
    }

    #[test]
    fn a_conditional_should_panic_stays_conditional() {
        insta::assert_snapshot!(shown(
            quote!(),
            &quote! {
                #[cfg_attr(windows, should_panic)]
                async fn it_panics_there() {}
            },
        ));
    }

    #[test]
    fn a_mistake_leaves_the_function_in_place() {
        insta::assert_snapshot!(shown(
            quote!(verison = "1.34", distro = "k9s"),
            &quote! {
                #[tokio::test]
                async fn guestbook_answers(cluster: &VirtualCluster) {}
            },
        ));
    }
}
