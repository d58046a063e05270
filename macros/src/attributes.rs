//! The attributes that stand with ours: which pass through, which tell something, which must go.

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote};
use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Meta, Token, punctuated::Punctuated};

const LINT_LEVELS: [&str; 5] = ["allow", "expect", "warn", "deny", "forbid"];

/// The user's other attributes.
#[derive(Default)]
pub(crate) struct Attributes {
    /// `#[cfg]`s: they must come before `#[test]`, which would else name a function that is not there.
    pub(crate) conditions: Vec<Attribute>,
    /// Lint levels, which are for the function's body.
    pub(crate) lints: Vec<Attribute>,
    /// All others that a plain test may have, in the user's order.
    pub(crate) others: Vec<Attribute>,
    /// Another macro has been here and may have changed the function.
    pub(crate) is_rewritten: bool,
    /// When a panic is what the test wants.
    pub(crate) should_panic: Option<ShouldPanic>,
}

/// A `#[should_panic]`, as the harness must know it.
pub(crate) struct ShouldPanic {
    /// The predicate of the `#[cfg_attr]` around it.
    pub(crate) condition: Option<TokenStream>,
    /// The text the panic must contain.
    pub(crate) expected: Option<LitStr>,
}

impl Attributes {
    pub(crate) fn sort(attributes: Vec<Attribute>) -> (Self, Vec<syn::Error>) {
        let mut sorted = Self::default();
        let mut errors = Vec::new();
        for attribute in attributes {
            if let Some(message) = refusal(&attribute) {
                sorted.is_rewritten |= written_by_a_macro(&attribute).is_some();
                errors.push(syn::Error::new_spanned(&attribute, message));
                continue;
            }
            if sorted.should_panic.is_none() {
                sorted.should_panic = should_panic(&attribute);
            }
            let list = match attribute.path().get_ident() {
                Some(name) if name == "cfg" => &mut sorted.conditions,
                Some(name) if LINT_LEVELS.iter().any(|level| name == level) => &mut sorted.lints,
                _ => &mut sorted.others,
            };
            list.push(attribute);
        }
        (sorted, errors)
    }
}

/// Why this attribute cannot stay: every other one that makes a test would make a second one.
fn refusal(attribute: &Attribute) -> Option<String> {
    let path = attribute.path();
    let written = written_by_a_macro(attribute).unwrap_or_else(|| {
        let path = path.to_token_stream().to_string();
        format!("#[{}]", path.replace(char::is_whitespace, ""))
    });
    match path.segments.last()?.ident.to_string().as_str() {
        "test" if written.contains("rstest") => Some(
            "`#[rstest]` takes only an attribute called `test` for a test's and has added `#[test]`: \
             write `#[vcluster_harness::test(..)]` or `#[test_attr(vcluster_test(..))]` below `#[rstest]`"
                .to_owned(),
        ),
        "test" | "vcluster_test" | "wasm_bindgen_test" | "bench" => Some(format!(
            "a second test attribute would run this test twice: delete the line `{written}`; \
             this one makes the test and its runtime"
        )),
        "rstest" | "test_case" | "test_matrix" => Some(format!(
            "`{written}` must come before this attribute: move it to the line above, \
             and write this one as `#[vcluster_harness::test(..)]` after the cases"
        )),
        _ => None,
    }
}

/// The attribute of the macro that wrote this one, as in `#[tokio::test]` for the `#[test]` it leaves:
/// the tokens of a macro point at where it stands.
fn written_by_a_macro(attribute: &Attribute) -> Option<String> {
    let first = attribute.path().segments.first()?;
    let text = first.ident.span().source_text()?;
    text.starts_with("#[").then_some(text)
}

fn should_panic(attribute: &Attribute) -> Option<ShouldPanic> {
    if attribute.path().is_ident("cfg_attr") {
        let list = attribute.meta.require_list().ok()?;
        let metas = list
            .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
            .ok()?;
        let mut metas = metas.into_iter();
        let condition = metas.next()?;
        return Some(ShouldPanic {
            condition: Some(quote!(#condition)),
            expected: expectation(&metas.find(|meta| meta.path().is_ident("should_panic"))?),
        });
    }
    attribute
        .path()
        .is_ident("should_panic")
        .then(|| ShouldPanic {
            condition: None,
            expected: expectation(&attribute.meta),
        })
}

/// `#[should_panic = "text"]` or `#[should_panic(expected = "text")]`; anything else is rustc's to refuse.
fn expectation(meta: &Meta) -> Option<LitStr> {
    match meta {
        Meta::Path(_) => None,
        Meta::NameValue(pair) => string(&pair.value),
        Meta::List(list) => {
            let pair = list.parse_args::<syn::MetaNameValue>().ok()?;
            pair.path
                .is_ident("expected")
                .then(|| string(&pair.value))
                .flatten()
        }
    }
}

fn string(value: &Expr) -> Option<LitStr> {
    match value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(literal),
            ..
        }) => Some(literal.clone()),
        _ => None,
    }
}
