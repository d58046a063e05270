//! An operator as people write them with kube: a [`Guestbook`] becomes a config map, a deployment that
//! serves it, and a service in front.
//!
//! The tests of this operator, in `examples/tests/guestbook.rs`, are what this project is for.

mod controller;
mod objects;
mod resource;

pub use self::{
    controller::{Error, run},
    objects::{config_map, deployment, service},
    resource::{Guestbook, GuestbookSpec, GuestbookStatus},
};
