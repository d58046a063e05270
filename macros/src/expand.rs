//! What the attribute writes: the user's attributes, `#[test]`, a plain function of the same name that
//! holds the async one, a specification made of literals, one call. A matrix is a module of such functions.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Ident, ItemFn, Visibility};

use crate::{
    arguments::Arguments,
    attributes::Attributes,
    call::Call,
    function,
    matrix::{Cell, Matrix},
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
        match &arguments.matrix {
            None => test(&arguments, &attributes, function),
            Some(matrix) => tests(matrix, &arguments, &attributes, function),
        }
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

fn test(arguments: &Arguments, attributes: &Attributes, mut function: ItemFn) -> TokenStream {
    let visibility = std::mem::replace(&mut function.vis, Visibility::Inherited);
    let name = &function.sig.ident;
    let output = &function.sig.output;
    let call = Call {
        arguments,
        attributes,
        function: &function,
    };
    let call = call.expand(name, &Cell::default(), &quote!(#name));
    let conditions = &attributes.conditions;
    let (lints, others) = (&attributes.lints, &attributes.others);
    quote! {
        #(#conditions)*
        #[::core::prelude::v1::test]
        #(#others)*
        #(#lints)*
        #visibility fn #name() #output {
            #[allow(clippy::unused_async, reason = "a test may have nothing to await")]
            #function
            #call
        }
    }
}

/// The function stays where it is, so that its paths mean what they say; the tests are in a module.
fn tests(
    matrix: &Matrix,
    arguments: &Arguments,
    attributes: &Attributes,
    mut function: ItemFn,
) -> TokenStream {
    function.vis = Visibility::Inherited;
    let name = &function.sig.ident;
    let output = &function.sig.output;
    let conditions = &attributes.conditions;
    let (lints, others) = (&attributes.lints, &attributes.others);
    let call = Call {
        arguments,
        attributes,
        function: &function,
    };
    let tests = matrix.cells().into_iter().map(|cell| {
        let test: Ident = cell.name();
        let call = call.expand(&test, &cell, &quote!(super::#name));
        quote! {
            #[::core::prelude::v1::test]
            #(#others)*
            fn #test() #output {
                #call
            }
        }
    });
    quote! {
        #[cfg(test)]
        #(#conditions)*
        #(#lints)*
        #[allow(clippy::unused_async, reason = "a test may have nothing to await")]
        #function

        #[cfg(test)]
        #(#conditions)*
        mod #name {
            #[allow(unused_imports, reason = "a test may have no arguments")]
            use super::*;

            #(#tests)*
        }
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
                sync = "tests/sync.yaml",
                fixtures = ["crds/", "tests/seed.yaml", crate::seed::SEED],
                fresh,
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

    #[test]
    fn a_matrix_is_a_module_of_tests() {
        insta::assert_snapshot!(shown(
            quote!(matrix(
                distro = ["k8s", "k3s"],
                version = ["1.34", "latest"],
                exclude(distro = "k3s", version = "latest")
            )),
            &quote! {
                /// What it shows.
                #[cfg(unix)]
                #[ignore = "slow"]
                #[expect(unused_variables)]
                async fn works_everywhere(client: kube::Client) -> anyhow::Result<()> { Ok(()) }
            },
        ));
    }
}
