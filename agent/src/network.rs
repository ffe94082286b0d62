//! The way to the control plane. In an image that may bring nothing (no resolver of a C library, no certificates), the
//! agent brings its own.

use reqwest::ClientBuilder;

use crate::config::ControlUrl;

/// A client's builder for `control`, and what stands before the paths of its calls.
pub(crate) fn towards(control: &ControlUrl, builder: ClientBuilder) -> (ClientBuilder, &str) {
    match control {
        ControlUrl::Http(url) if url.starts_with("https://") => (trusting(resolving(builder)), url.as_str()),
        // Loading the machine's certificates costs time and memory that a plain connection does not need.
        ControlUrl::Http(url) => (resolving(builder).tls_certs_only([]), url.as_str()),
        ControlUrl::Unix(path) => (builder.tls_certs_only([]).unix_socket(path.as_path()), "http://localhost"),
    }
}

#[cfg(not(feature = "program"))]
fn resolving(builder: ClientBuilder) -> ClientBuilder {
    builder
}

#[cfg(not(feature = "program"))]
fn trusting(builder: ClientBuilder) -> ClientBuilder {
    builder
}

#[cfg(feature = "program")]
use alone::{resolving, trusting};

#[cfg(feature = "program")]
mod alone {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::sync::{Arc, OnceLock};

    use hickory_resolver::TokioResolver;
    use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig};
    use hickory_resolver::net::NetError;
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    use reqwest::dns::{Addrs, Name, Resolve, Resolving};
    use reqwest::{Certificate, ClientBuilder};

    /// Where names are asked for in an image without a usable `/etc/resolv.conf`: on Fargate at the VPC's resolver, and
    /// elsewhere where the C libraries ask. Never at a public one: the name would leave the network it belongs to.
    const SERVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(169, 254, 169, 253), Ipv4Addr::LOCALHOST];

    /// A static program must not ask the C library, which would load parts of the image's.
    pub(super) fn resolving(builder: ClientBuilder) -> ClientBuilder {
        builder.dns_resolver(Resolver::default())
    }

    /// Mozilla's authorities, and those of the image or of `SSL_CERT_FILE` where there are any.
    pub(super) fn trusting(builder: ClientBuilder) -> ClientBuilder {
        let certificates = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
        builder.tls_certs_merge(certificates.filter_map(|der| Certificate::from_der(der).ok()))
    }

    /// Reads `/etc/resolv.conf` and `/etc/hosts` at the first name.
    #[derive(Default)]
    struct Resolver {
        resolver: Arc<OnceLock<TokioResolver>>,
    }

    impl Resolve for Resolver {
        fn resolve(&self, name: Name) -> Resolving {
            let resolver = self.resolver.clone();
            Box::pin(async move {
                let resolver = match resolver.get() {
                    Some(resolver) => resolver,
                    None => {
                        let new = new()?;
                        resolver.get_or_init(|| new)
                    }
                };
                let found = resolver.lookup_ip(name.as_str()).await?;
                let addresses: Vec<IpAddr> = found.iter().collect();
                // The port is the URL's.
                let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
                Ok(addresses)
            })
        }
    }

    fn new() -> Result<TokioResolver, NetError> {
        let mut builder = TokioResolver::builder_tokio().unwrap_or_else(|err| {
            tracing::warn!("/etc/resolv.conf is of no use ({err}); asking {SERVERS:?} for names");
            let servers = SERVERS.map(|address| NameServerConfig::udp_and_tcp(address.into()));
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.to_vec());
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        });
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        builder.build()
    }
}
