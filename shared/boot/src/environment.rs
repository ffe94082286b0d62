//! What is taken from the surroundings, read once.

#[cfg(feature = "local")]
use std::path::PathBuf;

#[cfg(feature = "local")]
use ozma_domain::answer::{InvalidPublicUrl, PublicUrl};
#[cfg(feature = "local")]
use ozma_domain::receiver::Reach;
#[cfg(feature = "local")]
use ozma_local::launcher::Host;

/// A look-up of variables: the process's own, or a map in tests.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The variables of this process.
#[expect(clippy::disallowed_methods, reason = "this crate is where the environment is read")]
pub fn of_process(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What agents may see of the machine: its programs.
#[cfg(feature = "local")]
pub fn host(lookup: Lookup<'_>) -> Host {
    const USUAL: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    Host {
        path: lookup("PATH").unwrap_or_else(|| USUAL.to_owned()).into(),
        home: lookup("HOME").filter(|home| !home.is_empty()).map(PathBuf::from),
    }
}

/// Where people find the dashboard, by `OZ_PUBLIC_URL`. Without it answers link to nothing: this machine's own address means
/// nothing to others.
#[cfg(feature = "local")]
pub fn public_url(lookup: Lookup<'_>) -> Result<Option<PublicUrl>, InvalidPublicUrl> {
    lookup("OZ_PUBLIC_URL")
        .map(|url| url.trim().to_owned())
        .filter(|url| !url.is_empty())
        .map(|url| url.parse())
        .transpose()
}

/// Where notifications may go: to this machine's own receivers only if `OZ_LOOPBACK_RECEIVERS` is `true` or `1`, because whoever
/// has an API key could reach with them what listens here.
#[cfg(feature = "local")]
pub fn receivers(lookup: Lookup<'_>) -> Reach {
    let allowed = lookup("OZ_LOOPBACK_RECEIVERS").is_some_and(|value| matches!(value.trim(), "1" | "true"));
    if allowed { Reach::PublicAndLoopback } else { Reach::Public }
}

/// Sockets at which Docker or Podman may listen, best first.
#[cfg(feature = "local")]
pub fn container_engines(lookup: Lookup<'_>) -> Vec<PathBuf> {
    let mut engines: Vec<PathBuf> = Vec::new();
    if let Some(path) = lookup("DOCKER_HOST").as_deref().and_then(|host| host.strip_prefix("unix://")) {
        engines.push(path.into());
    }
    engines.push("/var/run/docker.sock".into());
    if let Some(folder) = lookup("XDG_RUNTIME_DIR") {
        engines.push(PathBuf::from(folder).join("podman/podman.sock"));
    }
    engines.push("/run/podman/podman.sock".into());
    engines
}

#[cfg(all(test, feature = "local"))]
mod tests {
    use super::*;

    #[test]
    fn a_named_engine_comes_first() {
        let lookup = |name: &str| match name {
            "DOCKER_HOST" => Some("unix:///tmp/docker.sock".to_owned()),
            "XDG_RUNTIME_DIR" => Some("/run/user/1000".to_owned()),
            _ => None,
        };
        let expected = [
            "/tmp/docker.sock",
            "/var/run/docker.sock",
            "/run/user/1000/podman/podman.sock",
            "/run/podman/podman.sock",
        ];
        assert_eq!(container_engines(&lookup), expected.map(PathBuf::from));
        assert_eq!(container_engines(&|_| None).len(), 2);
        assert!(host(&|_| None).home.is_none());
    }

    #[test]
    fn this_machine_is_reached_only_if_somebody_says_so() {
        let check = |value: Option<&str>, expected| {
            assert_eq!(
                receivers(&|name| value.filter(|_| name == "OZ_LOOPBACK_RECEIVERS").map(str::to_owned)),
                expected
            );
        };
        check(None, Reach::Public);
        for no in ["", "0", "false", "yes"] {
            check(Some(no), Reach::Public);
        }
        for yes in ["1", "true", " true "] {
            check(Some(yes), Reach::PublicAndLoopback);
        }
    }
}
