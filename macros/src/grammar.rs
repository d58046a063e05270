//! What stands between parentheses: `name = value` and `name(list)`, comma-separated, each once.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::{
    Expr, ExprArray, ExprLit, Ident, Lit, LitStr, Path, Token,
    ext::IdentExt as _,
    parse::{ParseStream, Parser as _},
    spanned::Spanned as _,
};

use crate::{fixtures::FixtureSource, values};

/// The arguments that a list may have.
pub(crate) struct Grammar {
    /// What one of them is called in messages.
    pub(crate) what: &'static str,
    /// Their names, and how each is written.
    pub(crate) forms: &'static [(&'static str, &'static str)],
    /// The one that may be given more than once.
    pub(crate) repeatable: Option<&'static str>,
}

/// One argument of the grammar, with whatever value it was given.
pub(crate) struct Argument {
    pub(crate) name: Ident,
    form: &'static str,
    value: Value,
}

enum Value {
    None,
    Expression(Expr),
    List(TokenStream),
}

impl Grammar {
    /// Reads all arguments, so that the user sees all mistakes in one compile.
    pub(crate) fn read(
        &self,
        tokens: TokenStream,
        mut take: impl FnMut(&str, Argument) -> syn::Result<()>,
    ) -> Vec<syn::Error> {
        let mut seen = Vec::<String>::new();
        let mut errors = Vec::new();
        for chunk in split_at_commas(tokens) {
            let outcome = (|input: ParseStream<'_>| self.argument(input))
                .parse2(chunk)
                .and_then(|argument| {
                    let name = argument.name.unraw().to_string();
                    if seen.contains(&name) && self.repeatable != Some(&name) {
                        return Err(argument.error(&format!("`{name}` set multiple times")));
                    }
                    seen.push(name.clone());
                    take(&name, argument)
                });
            errors.extend(outcome.err());
        }
        errors
    }

    fn argument(&self, input: ParseStream<'_>) -> syn::Result<Argument> {
        if !input.peek(Ident::peek_any) {
            let (_, form) = self.forms[0];
            return Err(input.error(format!("expected an argument such as `{form}`")));
        }
        let name = input.call(Ident::parse_any)?;
        let form = self.form(&name)?;
        let value = if input.is_empty() {
            Value::None
        } else if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            if input.is_empty() {
                Value::None
            } else {
                Value::Expression(input.parse()?)
            }
        } else if input.peek(syn::token::Paren) {
            let list;
            syn::parenthesized!(list in input);
            Value::List(list.parse()?)
        } else {
            return Err(input.error(format!("expected `{form}`")));
        };
        if !input.is_empty() {
            return Err(input.error("expected `,` before the next argument"));
        }
        Ok(Argument { name, form, value })
    }

    fn form(&self, name: &Ident) -> syn::Result<&'static str> {
        let text = name.unraw().to_string();
        let names = self.forms.iter().map(|(name, _)| *name);
        self.forms
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, form)| *form)
            .ok_or_else(|| syn::Error::new(name.span(), values::unknown(self.what, &text, names)))
    }
}

impl Argument {
    /// An error at the argument's name.
    pub(crate) fn error(&self, message: &str) -> syn::Error {
        syn::Error::new(self.name.span(), message)
    }

    /// A string, judged by `judge`; what it says is shown at the value.
    pub(crate) fn string<T>(
        &self,
        judge: impl FnOnce(&str) -> Result<T, String>,
    ) -> syn::Result<T> {
        let literal = string(self.expression()?).ok_or_else(|| self.expected("a string"))?;
        judged(&literal, judge)
    }

    /// One or more strings in brackets, each judged by itself.
    pub(crate) fn strings<T>(
        &self,
        judge: impl Fn(&str) -> Result<T, String>,
    ) -> syn::Result<Vec<(LitStr, T)>> {
        let Expr::Array(ExprArray { elems, .. }) = self.expression()? else {
            return Err(self.expected("strings in brackets"));
        };
        if elems.is_empty() {
            return Err(self.expected("one string at least"));
        }
        let read = |element: &Expr| {
            let literal = string(element).ok_or_else(|| {
                syn::Error::new(
                    element.span(),
                    format!("expected a string: `{}`", self.form),
                )
            })?;
            judged(&literal, &judge).map(|value| (literal, value))
        };
        all(elems.iter().map(read))
    }

    /// A whole number above zero.
    pub(crate) fn count(&self) -> syn::Result<usize> {
        let number = match ungrouped(self.expression()?) {
            Expr::Lit(ExprLit {
                lit: Lit::Int(number),
                ..
            }) => number.base10_parse::<usize>().ok(),
            _ => None,
        };
        number
            .filter(|number| *number > 0)
            .ok_or_else(|| self.expected("a whole number of at least 1"))
    }

    /// One of these numbers.
    pub(crate) fn one_of(&self, valid: &[u8]) -> syn::Result<u8> {
        let number = self
            .count()
            .ok()
            .and_then(|number| u8::try_from(number).ok());
        number
            .filter(|number| valid.contains(number))
            .ok_or_else(|| {
                let valid: Vec<_> = valid.iter().map(u8::to_string).collect();
                self.expected(&format!("one of {}", valid.join(", ")))
            })
    }

    /// A path, or a string that holds one, as tokio and serde take it.
    pub(crate) fn path(&self) -> syn::Result<Path> {
        let value = self.expression()?;
        let parsed = match (string(value), value) {
            (Some(literal), _) => literal.parse_with(Path::parse_mod_style).ok(),
            (None, Expr::Path(path)) if path.qself.is_none() => Some(path.path.clone()),
            (None, other) => syn::parse2(other.to_token_stream()).ok(),
        };
        parsed.ok_or_else(|| self.expected("a path"))
    }

    /// Files, directories and paths of values, in brackets.
    pub(crate) fn fixtures(&self) -> syn::Result<Vec<FixtureSource>> {
        let Expr::Array(ExprArray { elems, .. }) = self.expression()? else {
            return Err(self.expected("fixtures in brackets"));
        };
        if elems.is_empty() {
            return Err(self.expected("one fixture at least"));
        }
        all(elems
            .iter()
            .map(|element| match (string(element), element) {
                (Some(literal), _) => FixtureSource::named(&literal),
                (None, Expr::Path(_)) => Ok(FixtureSource::Value(Box::new(element.clone()))),
                (None, _) => Err(syn::Error::new(
                    element.span(),
                    format!(
                        "expected a file, a directory or a constant: `{}`",
                        self.form
                    ),
                )),
            }))
    }

    /// Nothing but its name.
    pub(crate) fn alone(&self) -> syn::Result<bool> {
        match self.value {
            Value::None => Ok(true),
            Value::Expression(_) | Value::List(_) => Err(self.expected("the word alone")),
        }
    }

    /// What stands in its parentheses.
    pub(crate) fn list(self) -> syn::Result<TokenStream> {
        match self.value {
            Value::List(tokens) => Ok(tokens),
            Value::None | Value::Expression(_) => Err(self.expected("parentheses")),
        }
    }

    fn expression(&self) -> syn::Result<&Expr> {
        match &self.value {
            Value::Expression(expression) => Ok(expression),
            Value::None => Err(self.error(&format!(
                "`{}` needs a value: `{}`",
                self.name.unraw(),
                self.form
            ))),
            Value::List(_) => Err(self.expected("`=`")),
        }
    }

    /// At the value, where there is one.
    fn expected(&self, what: &str) -> syn::Error {
        let span = match &self.value {
            Value::Expression(value) => value.span(),
            Value::List(tokens) if !tokens.is_empty() => tokens.span(),
            Value::None | Value::List(_) => self.name.span(),
        };
        syn::Error::new(span, format!("expected {what}: `{}`", self.form))
    }
}

/// All values, or all errors.
pub(crate) fn all<T>(results: impl Iterator<Item = syn::Result<T>>) -> syn::Result<Vec<T>> {
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(error) => errors.push(error),
        }
    }
    combined(errors).map_or(Ok(values), Err)
}

/// Several errors as one, which the compiler shows one by one.
pub(crate) fn combined(errors: Vec<syn::Error>) -> Option<syn::Error> {
    errors.into_iter().reduce(|mut all, error| {
        all.combine(error);
        all
    })
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

fn judged<T>(literal: &LitStr, judge: impl FnOnce(&str) -> Result<T, String>) -> syn::Result<T> {
    judge(&literal.value()).map_err(|message| syn::Error::new(literal.span(), message))
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
