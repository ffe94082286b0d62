//! The OpenAPI form of the domain's closed lists: the names come from the domain, so that they cannot drift from it.

use ozma_domain::error_code::ErrorCode;
use ozma_domain::run::{Isolation, RunSource};
use ozma_domain::schedule::Overlap;
use ozma_domain::scheduling::KeyPolicy;
use ozma_domain::state::RunState;
use ozma_domain::waiting::WaitingFor;
use serde::Serialize;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Object, Schema};

pub(super) fn run_state() -> Schema {
    one_of(RunState::ALL)
}

pub(super) fn run_source() -> Schema {
    one_of(RunSource::ALL)
}

pub(super) fn error_code() -> Schema {
    one_of(ErrorCode::ALL)
}

pub(super) fn isolation() -> Schema {
    one_of([Isolation::Bubblewrap, Isolation::Process, Isolation::Container, Isolation::Fargate])
}

pub(super) fn key_policy() -> Schema {
    one_of([KeyPolicy::Queue, KeyPolicy::Skip, KeyPolicy::Supersede])
}

pub(super) fn overlap() -> Schema {
    one_of(Overlap::ALL)
}

pub(super) fn waiting_for() -> Schema {
    one_of(WaitingFor::ALL)
}

fn one_of<T: Serialize, const N: usize>(names: [T; N]) -> Schema {
    let names = names.map(|name| serde_json::to_value(name).unwrap_or_default());
    let object: Object = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).build();
    Schema::Object(object)
}
