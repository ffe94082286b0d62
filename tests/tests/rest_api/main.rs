//! The REST API against its contract, in process: every answer of every test is also held against the API's own
//! description of itself.

mod api;
mod applying;
mod artifacts;
mod automations;
mod creating;
mod definitions;
mod environments;
mod errors;
mod identities;
mod listing;
mod paging;
mod schedules;
mod schema;
mod served;
mod subscriptions;
mod watching;
