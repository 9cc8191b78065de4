//! Where Pawl and its servers listen, as far as settings tell: no step goes there.

use pawl_base::one_by_one;
use pawl_domain::reach::Host;
use pawl_engine::Endpoint;
use pawl_store::Postgres;
use url::Url;

use super::config::Config;
use super::in_files::InFile;

const REDIS_PORT: u16 = 6379;

/// All of them that are known before anything listens. Of other nodes of a cluster the queue tells once it has met them.
pub(super) fn endpoints(config: &Config) -> Vec<Endpoint> {
    // Whoever can't read a file connects to nothing, and says so.
    let url = |setting: &str, given: &InFile| given.read(setting).ok().flatten();
    let database = url("database_url", &config.database_url).map(|url| Postgres::endpoints(&url));
    let database = database.into_iter().flatten().map(Endpoint::of_server);
    let redis = url("redis_url", &config.redis_url).into_iter().flat_map(|url| of_servers(&url).collect::<Vec<_>>());
    let servers = database.chain(redis);
    let listening = [Some(config.api.listen.as_str()), config.metrics_listen.as_deref()];
    let listening = listening.into_iter().flatten().filter_map(of_address);
    let api = Url::parse(&config.api_url).ok().and_then(|url| of_url(&url, 0));
    servers.chain(listening).chain(api).filter(|own| own.port != 0).collect()
}

fn of_servers(url: &str) -> impl Iterator<Item = Endpoint> {
    one_by_one(url).into_iter().filter_map(|url| of_url(&Url::parse(&url).ok()?, REDIS_PORT))
}

fn of_url(url: &Url, port: u16) -> Option<Endpoint> {
    Some(Endpoint { host: Host::of(url.host_str()?), port: url.port_or_known_default().unwrap_or(port) })
}

/// Host and port.
fn of_address(text: &str) -> Option<Endpoint> {
    let (host, port) = text.rsplit_once(':')?;
    Some(Endpoint { host: Host::of(host), port: port.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Role;

    #[test]
    fn servers_are_known_by_their_urls_and_listeners_by_their_addresses() {
        let mut config = Config::of(Role::Worker);
        config.database_url.text = Some("postgres://ann:secret@one:1,two/pawl".to_owned());
        config.redis_url.text = Some("rediss://[::1]/".to_owned());
        config.metrics_listen = Some("0.0.0.0:7341".to_owned());
        config.api_url = "https://pawl.example.org".to_owned();
        let told: Vec<_> = endpoints(&config).iter().map(|own| format!("{}:{}", own.host, own.port)).collect();
        assert_eq!(told, ["one:1", "two:5432", "[::1]:6379", "127.0.0.1:7340", "0.0.0.0:7341", "pawl.example.org:443"]);
        config.database_url.text = Some("postgres:///pawl?host=db.example.org&port=6432".to_owned());
        let first = endpoints(&config).remove(0);
        assert_eq!((first.host.to_string().as_str(), first.port), ("db.example.org", 6432));
        config.metrics_listen = Some("127.0.0.1:0".to_owned());
        assert!(endpoints(&config).iter().all(|own| own.port != 0), "what is free is known once it is taken");
    }
}
