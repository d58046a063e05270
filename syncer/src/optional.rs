//! Fields that are optional in some versions of the API's types and required in others.
//!
//! Whoever builds the final program chooses the version of `k8s-openapi`, so this crate compiles with each of
//! them: such fields are read by these functions and written with `.into()`.

/// The value of a field, `None` where the version knows that it may be missing and it is.
pub(crate) fn given<T>(field: impl Into<Option<T>>) -> Option<T> {
    field.into()
}

/// A list to write: an empty one is left out where it may be.
pub(crate) fn list<T, F>(items: Vec<T>) -> F
where
    F: From<Vec<T>> + Default,
{
    if items.is_empty() {
        F::default()
    } else {
        items.into()
    }
}

/// A list that may be missing; then it is empty.
pub(crate) trait Items<T> {
    /// What is in it.
    fn items(&self) -> &[T];
}

impl<T> Items<T> for Vec<T> {
    fn items(&self) -> &[T] {
        self
    }
}

impl<T> Items<T> for Option<Vec<T>> {
    fn items(&self) -> &[T] {
        self.as_deref().unwrap_or_default()
    }
}
