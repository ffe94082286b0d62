//! Listening: on loopback for people, on a socket in the data folder for agents.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use axum::Router;
use axum::serve::Listener;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;

/// The socket's name in its folder, as agents know it.
const SOCKET: &str = "oz.sock";

pub(super) async fn listen(port: Option<u16>) -> Result<TcpListener, Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(0)));
    TcpListener::bind(address).await.map_err(|err| match (err.kind(), port) {
        (io::ErrorKind::AddrInUse, Some(port)) => Failure::new(format!("port {port} is taken by another program"))
            .hint("choose another with --port, or --port 0 for any that is free"),
        _ => Failure::new(format!("cannot listen on {address}")).because(err),
    })
}

/// Replaces the socket that an earlier process may have left: the data folder is locked, so nobody listens there.
pub(super) fn listen_for_agents(folder: &Path) -> Result<UnixListener, Failure> {
    let path = folder.join(SOCKET);
    let failed = |err: io::Error| Failure::new(format!("cannot listen on {}", path.display())).because(err);
    match std::fs::remove_file(&path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(failed(err)),
        _ => {}
    }
    // An address has at most 108 bytes, a path 4,096: the folder is named by a descriptor, which is always short.
    let handle = std::fs::File::open(folder).map_err(failed)?;
    let short = format!("/proc/self/fd/{}/{SOCKET}", handle.as_raw_fd());
    let listener = UnixListener::bind(&short).map_err(failed)?;
    // Agents of root's control plane are other users. Who may not enter the data folder cannot reach the socket.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).map_err(failed)?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).map_err(failed)?;
    Ok(listener)
}

/// Serves until `stopping`, and a moment longer for answers under way.
pub(super) fn serve<L>(listener: L, router: Router, stopping: CancellationToken)
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    tokio::spawn(async move {
        let server = axum::serve(listener, router);
        tokio::select! {
            served = server => {
                if let Err(err) = served {
                    tracing::error!(error = %err, "a server ended");
                }
            }
            () = stopping.cancelled() => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    });
}
