//! Which of several syncers works: the one that holds a Lease in the host namespace. The rest have
//! everything read and take over when it ends.

mod candidate;
mod decision;
mod mandate;

pub use candidate::Candidate;
pub use mandate::Mandate;
