//! What a test function must be: async, concrete, free; its arguments asked for by type and value.

use quote::ToTokens;
use syn::{FnArg, ItemFn, Safety, Type};

/// A function that is not async has no use for a cluster.
pub(crate) fn not_async(function: &ItemFn) -> Option<syn::Error> {
    let signature = &function.sig;
    signature.asyncness.is_none().then(|| {
        syn::Error::new_spanned(
            signature.fn_token,
            "a test that is given a cluster must be `async`: write `async fn`; \
             if another test attribute stands above this one, delete that line",
        )
    })
}

/// Everything else about the signature that cannot be a test's.
pub(crate) fn errors(function: &ItemFn) -> Vec<syn::Error> {
    let signature = &function.sig;
    let mut errors = Vec::new();
    let mut refuse = |tokens: &dyn ToTokens, message: &str| {
        errors.push(syn::Error::new_spanned(tokens, message));
    };

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

/// The function without what the compiler would complain of once more.
pub(crate) fn defused(mut function: ItemFn) -> ItemFn {
    function.sig.constness = None;
    function.sig.variadic = None;
    for argument in &mut function.sig.inputs {
        match argument {
            FnArg::Receiver(receiver) => receiver.attrs.clear(),
            FnArg::Typed(argument) => argument.attrs.clear(),
        }
    }
    function
}

fn unusable(kind: &Type) -> Option<&'static str> {
    match kind {
        Type::Reference(_) => {
            Some("an argument is the test's own: take it by value, without the `&`")
        }
        Type::ImplTrait(_) => Some("an argument is made by its type: name the type"),
        _ => None,
    }
}
