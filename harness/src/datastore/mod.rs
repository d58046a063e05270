//! Where a control plane keeps its objects, as a user says it. Nothing here connects to anything, and no
//! password is shown.

mod choice;
mod dsn;
mod endpoint;

pub use choice::{Datastore, DatastoreError, DatastoreKind};
pub use endpoint::{Database, Endpoint, EndpointError};
