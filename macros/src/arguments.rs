//! What stands between the attribute's parentheses: `name = value`, comma-separated, each once.

use std::time::Duration;

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::{
    Expr, ExprLit, Ident, Lit, LitStr, Path, Token,
    ext::IdentExt as _,
    parse::{ParseStream, Parser as _},
    spanned::Spanned as _,
};

use crate::values;

/// Every argument and how it is written.
const FORMS: &[(&str, &str)] = &[
    ("distro", "distro = \"k8s\""),
    ("version", "version = \"1.34\""),
    ("timeout", "timeout = \"5m\""),
    ("keep", "keep = \"failed\""),
    ("nodes", "nodes = 2"),
    ("flavor", "flavor = \"multi_thread\""),
    ("worker_threads", "worker_threads = 2"),
    ("crate", "crate = path::to::vcluster_harness"),
];

/// The arguments, valid as far as a compiler can know.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) distro: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) timeout: Option<Duration>,
    /// A variant of `settings::Keep`.
    pub(crate) keep: Option<&'static str>,
    pub(crate) nodes: Option<usize>,
    /// A variant of `testing::Flavor`.
    pub(crate) flavor: Option<&'static str>,
    pub(crate) worker_threads: Option<usize>,
    /// Where the harness is, when it is not `::vcluster_harness`.
    pub(crate) harness: Option<Path>,
}

/// One argument as written, before its name is known to be one of ours.
struct Written {
    name: Ident,
    value: Option<Expr>,
}

impl Arguments {
    /// Reads all of them, so that the user sees all mistakes in one compile.
    pub(crate) fn parse(tokens: TokenStream) -> (Self, Vec<syn::Error>) {
        let mut arguments = Self::default();
        let mut errors = Vec::new();
        let mut seen = Vec::<(String, Span)>::new();
        for chunk in split_at_commas(tokens) {
            let outcome = written.parse2(chunk).and_then(|argument| {
                let name = argument.name.unraw().to_string();
                if seen.iter().any(|(earlier, _)| *earlier == name) {
                    return Err(syn::Error::new(
                        argument.name.span(),
                        format!("`{name}` set multiple times"),
                    ));
                }
                let form = form(&argument.name)?;
                seen.push((name.clone(), argument.name.span()));
                arguments.set(&name, form, argument)
            });
            errors.extend(outcome.err());
        }
        if let ("CurrentThread", Some(_)) = (
            arguments.flavor.unwrap_or_default(),
            arguments.worker_threads,
        ) {
            let span = seen.iter().find(|(name, _)| name == "worker_threads");
            errors.push(syn::Error::new(
                span.map_or_else(Span::call_site, |(_, span)| *span),
                "the `worker_threads` option requires the `multi_thread` runtime flavor",
            ));
        }
        (arguments, errors)
    }

    fn set(&mut self, name: &str, form: &str, argument: Written) -> syn::Result<()> {
        let Some(value) = argument.value else {
            return Err(syn::Error::new(
                argument.name.span(),
                format!("`{name}` needs a value: `{form}`"),
            ));
        };
        match name {
            "distro" => self.distro = Some(read(&value, form, values::distro)?),
            "version" => self.version = Some(read(&value, form, values::version)?),
            "timeout" => self.timeout = Some(read(&value, form, values::duration)?),
            "keep" => self.keep = Some(read(&value, form, values::keep)?),
            "flavor" => self.flavor = Some(read(&value, form, values::flavor)?),
            "nodes" => self.nodes = Some(count(&value, form)?),
            "worker_threads" => self.worker_threads = Some(count(&value, form)?),
            _ => self.harness = Some(path(value, form)?),
        }
        Ok(())
    }
}

/// Tokens between commas. Groups are one token, so a comma in parentheses does not count.
fn split_at_commas(tokens: TokenStream) -> Vec<TokenStream> {
    let mut chunks = vec![TokenStream::new()];
    for token in tokens {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ',' => chunks.push(TokenStream::new()),
            other => chunks.last_mut().expect("starts with one").extend([other]),
        }
    }
    chunks.retain(|chunk| !chunk.is_empty());
    chunks
}

fn written(input: ParseStream<'_>) -> syn::Result<Written> {
    if !input.peek(Ident::peek_any) {
        return Err(input.error(format!("expected an argument such as `{}`", FORMS[1].1)));
    }
    let name = input.call(Ident::parse_any)?;
    if input.is_empty() {
        return Ok(Written { name, value: None });
    }
    if !input.peek(Token![=]) {
        let form = form(&name)?;
        return Err(input.error(format!("expected `=`: `{form}`")));
    }
    input.parse::<Token![=]>()?;
    if input.is_empty() {
        return Ok(Written { name, value: None });
    }
    let value = Some(input.parse()?);
    if !input.is_empty() {
        return Err(input.error("expected `,` before the next argument"));
    }
    Ok(Written { name, value })
}

/// How the argument of this name is written, or that there is none.
fn form(name: &Ident) -> syn::Result<&'static str> {
    let text = name.unraw().to_string();
    FORMS
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, form)| *form)
        .ok_or_else(|| {
            let known = FORMS.iter().map(|(name, _)| *name);
            syn::Error::new(name.span(), values::unknown("argument", &text, known))
        })
}

/// A string literal, judged by `judge`; what it says is shown at the value.
fn read<T>(
    value: &Expr,
    form: &str,
    judge: impl FnOnce(&str) -> Result<T, String>,
) -> syn::Result<T> {
    let literal = string(value)
        .ok_or_else(|| syn::Error::new(value.span(), format!("expected a string: `{form}`")))?;
    judge(&literal.value()).map_err(|message| syn::Error::new(literal.span(), message))
}

fn count(value: &Expr, form: &str) -> syn::Result<usize> {
    let number = match ungrouped(value) {
        Expr::Lit(ExprLit {
            lit: Lit::Int(number),
            ..
        }) => number.base10_parse::<usize>().ok(),
        _ => None,
    };
    number.filter(|number| *number > 0).ok_or_else(|| {
        syn::Error::new(
            value.span(),
            format!("expected a whole number of at least 1: `{form}`"),
        )
    })
}

/// A path, or a string that holds one, as tokio and serde take it.
fn path(value: Expr, form: &str) -> syn::Result<Path> {
    let span = value.span();
    let parsed = match (string(&value), value) {
        (Some(literal), _) => literal.parse_with(Path::parse_mod_style).ok(),
        (None, Expr::Path(path)) if path.qself.is_none() => Some(path.path),
        (None, other) => syn::parse2(other.into_token_stream()).ok(),
    };
    parsed.ok_or_else(|| syn::Error::new(span, format!("expected a path: `{form}`")))
}

fn string(value: &Expr) -> Option<LitStr> {
    match ungrouped(value) {
        Expr::Lit(ExprLit {
            lit: Lit::Str(literal),
            ..
        }) => Some(literal.clone()),
        _ => None,
    }
}

/// A `$value` of a `macro_rules` comes in an invisible group.
fn ungrouped(value: &Expr) -> &Expr {
    match value {
        Expr::Group(group) => ungrouped(&group.expr),
        other => other,
    }
}
