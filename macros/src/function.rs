//! What a test function must be: async, concrete, free; its arguments asked for by type and value.

use quote::ToTokens;
use syn::{FnArg, ItemFn, Safety, Type};

/// Everything about the signature that cannot be a test's.
pub(crate) fn errors(function: &ItemFn) -> Vec<syn::Error> {
    let signature = &function.sig;
    let mut errors = Vec::new();
    let mut refuse = |tokens: &dyn ToTokens, message: &str| {
        errors.push(syn::Error::new_spanned(tokens, message));
    };

    if signature.asyncness.is_none() {
        refuse(&signature.fn_token, not_async(function));
    }
    if let Some(constness) = &signature.constness {
        refuse(constness, "a test cannot be `const`: delete the word");
    }
    if let Safety::Unsafe(word) = &signature.safety {
        refuse(word, "a test cannot be `unsafe`: delete the word");
    }
    if let Some(abi) = &signature.abi {
        refuse(abi, "a test cannot be `extern`: delete the words");
    }
    if let Some(variadic) = &signature.variadic {
        refuse(variadic, "a test cannot be variadic");
    }
    if !signature.generics.params.is_empty() {
        refuse(
            &signature.generics,
            "a test cannot be generic: its arguments are made by their types, which must be known",
        );
    }
    if let Some(clause) = &signature.generics.where_clause {
        refuse(clause, "a test cannot have a `where` clause");
    }
    for argument in &signature.inputs {
        match argument {
            FnArg::Receiver(receiver) => refuse(
                receiver,
                "a test cannot take `self`: it must be a free function",
            ),
            FnArg::Typed(argument) => {
                if let Some(message) = unusable(&argument.ty) {
                    refuse(&argument.ty, message);
                }
            }
        }
    }
    errors
}

fn not_async(function: &ItemFn) -> &'static str {
    if is_left_by_tokio(function) {
        "a second test attribute would run this test twice: delete the line `#[tokio::test]`, \
         `#[vcluster_test]` makes the test and its runtime"
    } else {
        "a test that is given a cluster must be `async`: write `async fn`"
    }
}

/// `#[tokio::test]` above ours was expanded first: the function is no longer async and runs its own runtime.
fn is_left_by_tokio(function: &ItemFn) -> bool {
    let text = function
        .block
        .to_token_stream()
        .to_string()
        .replace(char::is_whitespace, "");
    text.contains("runtime::Builder") && text.contains("block_on(body)")
}

fn unusable(kind: &Type) -> Option<&'static str> {
    match kind {
        Type::Reference(_) => {
            Some("an argument is the test's own: take it by value, without the `&`")
        }
        Type::ImplTrait(_) => Some("an argument is made by its type: name the type"),
        Type::Infer(_) => Some("an argument is made by its type: name the type instead of `_`"),
        _ => None,
    }
}
