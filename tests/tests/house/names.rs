//! Above the ports nobody knows what is behind them: a worker on SQLite must not speak of Postgres. A name in their code
//! would also be the beginning of a case distinction that belongs into the port.

use crate::tree;

/// What stands behind the ports.
const SERVERS: [&str; 3] = ["postgres", "redis", "sqlite"];

/// The crates that see ports, if anything. `host/src` chooses and sets up what is behind them, rehearsals count and break it.
const ABOVE: [&str; 9] = ["base", "domain", "metrics", "traces", "engine", "dispatch", "worker", "api", "pages"];

/// What may be said all the same, and why.
const ALLOWED: [(&str, &str); 1] = [("redis.read.before_claim", "a fault point: its name is part of docs/protocol.md")];

#[test]
fn no_layer_above_the_ports_names_what_is_behind_them() {
    let mut named = Vec::new();
    for (path, text) in tree::texts() {
        if !ABOVE.iter().any(|name| path.starts_with(&format!("host/{name}/src/"))) {
            continue;
        }
        // Tests choose an implementation, as whoever starts a role does: in files of their own, or at the end of one.
        if path.ends_with("/tests.rs") {
            continue;
        }
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (number, line) in (1..).zip(product.lines()) {
            let line = ALLOWED.iter().fold(line.to_lowercase(), |line, (allowed, _)| line.replace(allowed, ""));
            if SERVERS.iter().any(|server| line.contains(server)) {
                named.push(format!("{path}:{number}: {}", line.trim()));
            }
        }
    }
    assert!(named.is_empty(), "say `store.name()` or \"the store\":\n{}", named.join("\n"));
}
