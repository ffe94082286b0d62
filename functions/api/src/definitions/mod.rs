//! Definitions off the wire and back. Their members are those of the bodies by which things are created: there is no second
//! list of them.

mod read;
mod schema;
mod tell;

pub(crate) use read::parse;
pub(crate) use schema::schema;
pub(crate) use tell::{Told, all, told, written};
