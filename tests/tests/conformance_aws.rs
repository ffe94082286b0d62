//! The conformance suite on AWS's implementations of the ports, against an emulator.

#[path = "conformance_aws/client_tokens.rs"]
mod client_tokens;
#[path = "conformance_aws/launcher.rs"]
mod launcher;
#[path = "conformance_aws/messages.rs"]
mod messages;
#[path = "conformance_aws/vault.rs"]
mod vault;
