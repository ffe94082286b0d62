//! Fields that bodies of several kinds have, and what they may say.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use ozma_domain::error_code::ErrorCode;
use ozma_domain::harness::HarnessKind;

use crate::error::ApiError;
use crate::wire::McpServer;

/// The id that a text is, if it says something.
pub(crate) fn id<T: FromStr<Err: Display>>(field: &str, text: Option<&str>) -> Result<Option<T>, ApiError> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|err| ApiError::invalid(field, err)),
    }
}

/// A harness that this version can run.
pub(crate) fn available(field: &str, name: &str) -> Result<HarnessKind, ApiError> {
    let kind: HarnessKind = name.parse().map_err(|err| ApiError::invalid(field, err))?;
    if kind.is_available() {
        return Ok(kind);
    }
    let detail = format!("{field}: the harness {name} is not available in this version; use \"shell\"");
    Err(ApiError::new(ErrorCode::OperationNotSupported, detail))
}

pub(crate) fn check_mode(mode: Option<&str>) -> Result<(), ApiError> {
    match mode {
        None | Some("normal") => Ok(()),
        Some("plan" | "orchestrate") => {
            let detail = "mode: modes other than normal are not supported by this version";
            Err(ApiError::new(ErrorCode::OperationNotSupported, detail))
        }
        Some(other) => Err(ApiError::invalid("mode", format!("\"{other}\" is not normal, plan or orchestrate"))),
    }
}

pub(crate) fn check_strategy(field: &str, strategy: Option<&str>) -> Result<(), ApiError> {
    match strategy {
        None | Some("CREATOR" | "EXECUTOR") => Ok(()),
        Some(other) => Err(ApiError::invalid(field, format!("\"{other}\" is not CREATOR or EXECUTOR"))),
    }
}

pub(crate) fn check_mcp_servers(field: &str, servers: Option<&BTreeMap<String, McpServer>>) -> Result<(), ApiError> {
    for (name, server) in servers.into_iter().flatten() {
        let given = [&server.warp_id, &server.command, &server.url].into_iter().flatten().count();
        if given != 1 {
            let reason = "needs exactly one of warp_id, command and url";
            return Err(ApiError::invalid(&format!("{field}.{name}"), reason));
        }
    }
    Ok(())
}
