//! The order of the sources, and what is said when none has an asset. The engine is a fake one.

mod engine;
mod sources;
