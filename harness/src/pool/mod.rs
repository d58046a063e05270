//! Clusters that go from test to test: put back into their first state, they wait on the host until a
//! test asks for what they are, or until nobody has for a while.
//!
//! The record is the cluster's namespace: its labels say what it is for and whether it waits. No process
//! keeps the pool, so any number of them share it.

mod idle;
mod keeper;
mod key;
mod options;
mod record;
mod stock;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    idle::{claim, give_way, make_room, shelve},
    keeper::keep_watch,
    key::{Ingredients, PoolKey},
    record::{Standing, labels, pulse, resetting, withdraw},
    stock::{Lack, Stock},
};
pub use self::{
    options::{Pool, Since},
    record::{PoolState, key as keys},
};
