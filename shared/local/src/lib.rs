//! The embedded engine: the ports of `ozma-app` in one process, and DynamoDB and S3 in process under the ordinary SDK
//! clients, so that the conditions and transactions under test are the ones that ship. State is in a [`data_folder`].

pub mod bus;
pub mod data_folder;
pub mod dynamodb;
mod file;
pub mod launcher;
pub mod queue;
pub mod s3;
pub mod timer;
pub mod vault;
