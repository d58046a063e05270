//! Clusters that go from test to test: put back into their first state, they wait on the host until a
//! test asks for what they are, or until nobody has for a while.
//!
//! The record is the cluster's namespace: its labels say what it is for and whether it waits. No process
//! keeps the pool, so any number of them share it.

pub(crate) mod demand;
mod idle;
mod keeper;
mod key;
mod options;
mod record;
mod stock;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    idle::{claim, give_way, make_room, open, shelve, take_back},
    keeper::keep_watch,
    key::{Ingredients, PoolKey},
    record::{Standing, labels, pulse, withdraw},
    stock::{Lack, Stock},
};
pub use self::{
    options::{Pool, Since},
    record::{PoolState, key as keys},
};
