//! asset

mod component;

pub use component::Component;
