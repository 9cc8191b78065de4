//! All settings. A new one is a line here, and the field of a `Config` that it fills; flag, environment variable, key
//! in the file, help, `pawl config` and `docs/settings.md` follow from it.

use super::kind::Kind::{
    Address, Choice, Count, File, Folder, Grants, Hosts, Names, Networks, Secret, Size, Switch, Term, Text, Time,
    Token, Url,
};
use super::setting::Role::{Api, Client, Dev, Worker};
use super::setting::{Role, Setting, setting};
use super::traces::{SAMPLERS, not, receiver};

const EVERYBODY: &[Role] = &[Api, Worker, Dev, Client];
/// Those who serve the API.
const SERVING: &[Role] = &[Api, Dev];
/// Those who may listen beyond this machine.
const LISTENING: &[Role] = &[Api, Worker];
/// Those who execute steps.
const EXECUTING: &[Role] = &[Worker, Dev];
/// Those with workers to judge.
const ROLES: &[Role] = &[Api, Worker, Dev];

const MS: u64 = 1;
const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// What one commit writes must be written in less than half a lease.
const LARGEST_DOCUMENT: u64 = 16 * MIB;

/// Settings of one heading.
pub(super) struct Group {
    pub(super) heading: &'static str,
    pub(super) settings: &'static [Setting],
}

/// Every setting, in the order in which it is told.
pub(super) fn all() -> impl Iterator<Item = &'static Setting> {
    GROUPS.iter().flat_map(|group| group.settings)
}

/// The same under headings.
pub(super) static GROUPS: &[Group] = &[
    Group { heading: "Servers", settings: SERVERS },
    Group { heading: "Serving", settings: API },
    Group { heading: "Identity provider", settings: OIDC },
    Group { heading: "Secrets", settings: SECRETS },
    Group { heading: "Executing", settings: WORKER },
    Group { heading: "Outside hosts", settings: OUTSIDE },
    Group { heading: "Retention", settings: RETENTION },
    Group { heading: "Limits", settings: LIMITS },
    Group { heading: "Caches", settings: CACHES },
    Group { heading: "Development", settings: DEV },
    Group { heading: "Log", settings: LOG },
    Group { heading: "Metrics", settings: METRICS },
    Group { heading: "Traces", settings: TRACES },
];

static SERVERS: &[Setting] = &[
    setting("api-url", Url, &[Client, Worker], |it| &mut it.api_url)
        .usually("that of the `pawl dev` of this folder or one above it, if one runs, else http://127.0.0.1:7340")
        .what("The API's address; a worker keeps steps away from it"),
    setting("api-ca", File, &[Client], |it| &mut it.api_ca)
        .usually("those of the system")
        .what("Certificates (PEM) by one of which that of an API with TLS must be signed"),
    setting("api-certificate", File, &[Client], |it| &mut it.api_certificate)
        .usually("none")
        .what("The certificate (PEM) that commands show to an API which wants one; `api_key` goes with it"),
    setting("api-key", File, &[Client], |it| &mut it.api_key)
        .usually("none")
        .what("The private key (PEM) of that certificate"),
    setting("api-token", Token, EVERYBODY, |it| &mut it.api_token.text)
        .what("A token with the role `admin` that needs no database; commands send it. [access.md](access.md) says who is let in, with it and without it"),
    setting("api-token-file", File, &[Api, Worker, Client], |it| &mut it.api_token.file)
        .usually("none")
        .what("A file with that token, in its place"),
    setting("namespace", Text, &[Client], |it| &mut it.namespace)
        .usually("the token's own; of a run its own; else `default`")
        .what("Whose pipelines, plugins, secrets and runs commands are about, see [namespaces.md](namespaces.md)"),
    setting("database-url", Url, &[Api, Worker, Client], |it| &mut it.database_url.text)
        .what("Postgres, for example postgres://pawl@127.0.0.1/pawl. Elsewhere than on this machine over TLS alone, with a certificate that is trusted: [postgres.md](postgres.md#tls)"),
    setting("database-url-file", File, &[Api, Worker, Client], |it| &mut it.database_url.file)
        .usually("none")
        .what("A file with that URL, in its place"),
    setting("redis-url", Url, &[Api, Worker, Client], |it| &mut it.redis_url.text)
        .what("Redis, for example redis://127.0.0.1/, or rediss://user:password@host/ with TLS; of a cluster one node or, with commas between them, several"),
    setting("redis-url-file", File, &[Api, Worker, Client], |it| &mut it.redis_url.file)
        .usually("none")
        .what("A file with that URL, in its place"),
    setting("redis-prefix", Text, &[Api, Worker, Client], |it| &mut it.redis_prefix)
        .what("What Pawl's keys and channels in Redis begin with; after it comes the installation's id"),
    setting("redis-ca", File, &[Api, Worker, Client], |it| &mut it.redis_ca)
        .usually("those of the system")
        .what("Certificates (PEM) by one of which that of a Redis with TLS must be signed"),
    setting("redis-certificate", File, &[Api, Worker, Client], |it| &mut it.redis_certificate)
        .usually("none")
        .what("The certificate (PEM) that is shown to a Redis with TLS that wants one; `redis_key` goes with it"),
    setting("redis-key", File, &[Api, Worker, Client], |it| &mut it.redis_key)
        .usually("none")
        .what("The private key (PEM) of that certificate"),
    setting("database-connections", Count(1, 1_000), &[Api, Worker], |it| &mut it.database_connections)
        .what("Connections to Postgres, besides those of a worker's lanes and of its heartbeat"),
    setting("statement-timeout", Time(100 * MS, HOUR), &[Api], |it| &mut it.statement_timeout)
        .what("Longest time for a statement of the API; a worker's is a little less than half its lease"),
];

static API: &[Setting] = &[
    setting("listen", Address, SERVING, |it| &mut it.api.listen)
        .what("Where the API listens; port 0 takes a free one, and so does `pawl dev` if the default is taken"),
    setting("tls-certificate", File, LISTENING, |it| &mut it.tls_certificate)
        .usually("none: http, for a proxy in front that speaks TLS")
        .what("The certificate (PEM, with those in between) with which the API, and a worker that tells its figures, speak https; `tls_key` goes with it. A changed file is shown to new connections within seconds"),
    setting("tls-key", File, LISTENING, |it| &mut it.tls_key)
        .usually("none")
        .what("The private key (PEM) of that certificate"),
    setting("tls-client-ca", File, LISTENING, |it| &mut it.tls_client_ca)
        .usually("none: clients show no certificate")
        .what("Certificates (PEM) by one of which that of each client must be signed, `/health` and `/ready` included; a token is wanted besides"),
    setting("allowed-hosts", Hosts, ROLES, |it| &mut it.api.allowed_hosts)
        .usually("none")
        .what("Names that requests may be for, besides `localhost`, addresses, and the name in `listen`: that of a proxy or of a service; `*.example.org` is for all names below. Requests for other hosts are refused, those for a worker's figures too"),
    setting("trusted-proxies", Networks, ROLES, |it| &mut it.api.trusted_proxies)
        .what("Proxies in front, by their addresses or networks, whose `X-Forwarded-For` or `Forwarded` says where a request comes from: for the record of changes, and for slowing down wrong tokens. Others' word counts for nothing, see [access.md](access.md#behind-a-proxy)"),
    setting("grace", Time(0, HOUR), SERVING, |it| &mut it.api.grace)
        .what("How long a stop waits for requests under way"),
    setting("connections", Count(1, 1_000_000), SERVING, |it| &mut it.api.connections)
        .what("Connections served at once; more are refused"),
    setting("readers", Count(1, 1_000_000), SERVING, |it| &mut it.api.readers)
        .what("Event streams and waits for the end of a run at once; fewer than connections"),
    setting("header-timeout", Time(100 * MS, HOUR), SERVING, |it| &mut it.api.header_timeout)
        .what("How long the head of a request may take, and a connection idle"),
    setting("body-timeout", Time(100 * MS, HOUR), SERVING, |it| &mut it.api.body_timeout)
        .what("How long the body of a request may take, besides a second for each 32 KiB"),
    setting("compile-timeout", Time(100 * MS, HOUR), SERVING, |it| &mut it.api.apart.time)
        .what("How long a component that is pushed may take to be compiled and to say what it is, in a process of its own; and a step to be replayed for whoever looks at it"),
    setting("compile-memory", Size(256 * MIB, 1 << 40), SERVING, |it| &mut it.api.apart.memory_bytes)
        .usually("2GiB, or three quarters of what the container, or the machine, allows")
        .what("What that process may take in memory"),
    setting("trusted-digests", File, &[Api], |it| &mut it.api.trusted.digests)
        .what("A file with the digests of components that are let in, a line each. With it or `trusted_keys`, no others are, see [signatures.md](signatures.md)"),
    setting("trusted-keys", File, &[Api], |it| &mut it.api.trusted.keys)
        .what("A file with public keys (Ed25519, PEM): components that one of them has signed are let in, too"),
];

static OIDC: &[Setting] = &[
    setting("oidc-issuer", Url, &[Api], |it| &mut it.oidc.issuer)
        .what("Whose tokens (OpenID Connect) let people in besides those that `pawl token` makes, as they name it; see [access.md](access.md)"),
    setting("oidc-audience", Text, &[Api], |it| &mut it.oidc.audience)
        .what("As tokens name this installation in `aud`; those for others let nobody in"),
    setting("oidc-keys-url", Url, &[Api], |it| &mut it.oidc.keys_url)
        .usually("as the issuer's `/.well-known/openid-configuration` says")
        .what("Where the issuer's public keys are (JWKS)"),
    setting("oidc-name-claim", Text, &[Api], |it| &mut it.oidc.name_claim)
        .what("The claim that names the bearer in the record of changes; one that the issuer never gives to somebody else"),
    setting("oidc-role-claim", Text, &[Api], |it| &mut it.oidc.role_claim)
        .what("The claim with words that mean roles: a list, or a text with blanks; of one within others, with dots: `realm_access.roles`"),
    setting("oidc-roles", Text, &[Api], |it| &mut it.oidc.roles)
        .what("These words and their roles, for example `operators=operate,*=read`: the highest counts, `*` is for whoever has a good token"),
    setting("oidc-namespace-claim", Text, &[Api], |it| &mut it.oidc.namespace_claim)
        .what("The claim with words that mean namespaces, as above"),
    setting("oidc-namespaces", Text, &[Api], |it| &mut it.oidc.namespaces)
        .usually("`*=default`: all of its tokens count in `default` alone")
        .what("These words and their namespaces, for example `payments=team-a,platform=*`: `=*` is everywhere, `*=` for whoever has a good token. A token without any such word counts nowhere"),
];

static SECRETS: &[Setting] = &[
    setting("secrets-key-file", File, ROLES, |it| &mut it.secret_keys.file)
        .usually("none; in `pawl dev` one of its own")
        .what("A file with the master keys of secrets that the store keeps: 64 hexadecimal digits each, the first one seals, all open. The API and all workers need them, see [secrets.md](secrets.md)"),
    setting("secrets-key", Secret, ROLES, |it| &mut it.secret_keys.text)
        .what("The same keys themselves, with commas or blanks between them"),
    setting("secrets-key-command", Text, ROLES, |it| &mut it.secret_keys.command)
        .what("A command (of `sh`) that says the same keys on its standard output, when a role starts; its own standard error is the role's"),
];

static WORKER: &[Setting] = &[
    setting("slots", Count(1, 10_000), EXECUTING, |it| &mut it.worker.slots)
        .what("Steps executed at once, as far as there is memory for them"),
    setting("memory", Size(64 * MIB, 1 << 50), EXECUTING, |it| &mut it.engine.memory_bytes)
        .usually("five eighths of what the container, or the machine, allows")
        .what("What all guests together may make the process hold; a step that does not fit waits"),
    setting("queues", Names, EXECUTING, |it| &mut it.worker.queues).formerly("queue").what("Queues to serve"),
    setting("lease", Time(500 * MS, 600 * SECOND), EXECUTING, |it| &mut it.worker.lease)
        .formerly("lease-ms")
        .what("How long the worker's right to its steps outlives its last sign of life"),
    setting("drain", Time(0, 24 * HOUR), EXECUTING, |it| &mut it.worker.drain)
        .formerly("drain-ms")
        .what("How long a stop waits for running steps before they are handed back"),
    setting("lanes", Count(1, 16), &[Worker], |it| &mut it.worker.lanes)
        .what("Connections that write; a run belongs to one"),
    setting("in-a-row", Count(0, 1_000_000), EXECUTING, |it| &mut it.worker.in_a_row)
        .what("Successors that a worker takes in a row while other steps wait"),
    setting("run-ahead", Switch, EXECUTING, |it| &mut it.worker.run_ahead)
        .what("Whether short steps may start before the commit that hands them over"),
    setting("longest-retry-delay", Time(SECOND, 365 * 24 * HOUR), EXECUTING, |it| &mut it.worker.longest_retry_delay)
        .what("Longest delay that a step may ask for before its next attempt; what its pipeline says is bounded there"),
    setting("suspect-from", Count(1, 1_000), ROLES, |it| &mut it.suspicion.suspect_from)
        .what("Deaths of its workers in a row, without progress, from which on a step is a suspect: it runs beside few others of its kind, then alone"),
    setting("crash-limit", Count(2, 1_000), ROLES, |it| &mut it.suspicion.crash_limit)
        .what("Deaths of its workers in a row, without progress, after which a step is parked"),
    setting("auto-recover", Switch, ROLES, |it| &mut it.auto_recover)
        .what("Whether a start lets interrupted runs go on, as `pawl recover --auto-resume` does, and logs what came of it"),
];

static OUTSIDE: &[Setting] = &[
    setting("outside-hosts", Grants, EXECUTING, |it| &mut it.engine.outside.most)
        .what("What steps may reach at most, whatever their pipelines say; an address that is not public must be named here. See [hosts.md](hosts.md)"),
    setting("default-allow", Grants, EXECUTING, |it| &mut it.engine.outside.usual)
        .what("What a step may reach whose pipeline has no `allow` for it"),
    setting("outside-certificates", File, EXECUTING, |it| &mut it.engine.outside.certificates)
        .usually("those of the system")
        .what("Certificates (PEM) by one of which those of outside hosts must be signed"),
    setting("circuits", Switch, EXECUTING, |it| &mut it.worker.circuits.on)
        .what("Whether attempts are deferred that would call an outside host which is down, or ask for a secret that the worker lacks"),
    setting("circuit-failures", Count(2, 1_000_000), EXECUTING, |it| &mut it.worker.circuits.failures)
        .what("Calls of a host in a row, of two attempts or more, that must fail before it counts as down"),
    setting("circuit-first", Time(100 * MS, HOUR), EXECUTING, |it| &mut it.worker.circuits.first)
        .what("How long it is not called at first; each probe that fails makes this an eighth longer"),
    setting("circuit-longest", Time(100 * MS, 24 * HOUR), EXECUTING, |it| &mut it.worker.circuits.longest)
        .what("The longest that it is not called between two probes"),
];

static RETENTION: &[Setting] = &[
    setting("retention-succeeded", Term, EXECUTING, |it| &mut it.worker.retention.succeeded).what(
        "How long a run that has succeeded is kept after its end, unless its pipeline says otherwise; `keep` for ever",
    ),
    setting("retention-failed", Term, EXECUTING, |it| &mut it.worker.retention.failed)
        .what("The same of a run that has failed"),
    setting("retention-cancelled", Term, EXECUTING, |it| &mut it.worker.retention.cancelled)
        .what("The same of a run that was cancelled"),
    setting("retention-versions", Time(0, 36_500 * 24 * HOUR), EXECUTING, |it| &mut it.worker.retention.grace)
        .what("How long a version of a pipeline or plugin, with its component, stays after nothing names it any more"),
    setting("retention-audit", Term, EXECUTING, |it| &mut it.worker.retention.audit)
        .what("How long a line of the record of changes (`pawl audit`) is kept; `keep` for ever"),
];

static LIMITS: &[Setting] = &[
    setting("limit-input", Size(KIB, LARGEST_DOCUMENT), SERVING, |it| &mut it.limits.input_bytes)
        .what("The input of a run"),
    setting("limit-output", Size(KIB, LARGEST_DOCUMENT), EXECUTING, |it| &mut it.limits.output_bytes)
        .what("The output of a step"),
    setting("limit-joined", Size(KIB, 1_024 * MIB), EXECUTING, |it| &mut it.limits.joined_bytes)
        .what("The outputs that a step joins, together"),
    setting("limit-entry", Size(KIB, LARGEST_DOCUMENT), EVERYBODY, |it| &mut it.limits.entry_bytes)
        .what("A journal entry: an answer over HTTP, the value of a `once`, what a signal carries"),
    setting("limit-checkpoint", Size(KIB, 256 * MIB), &[Worker, Dev, Client], |it| &mut it.limits.checkpoint_bytes)
        .what("A checkpoint"),
    setting("limit-component", Size(KIB, 512 * MIB), EVERYBODY, |it| &mut it.limits.component_bytes)
        .what("A component"),
    setting("limit-memory", Size(64 * KIB, 4_096 * MIB), EVERYBODY, |it| &mut it.limits.memory_bytes)
        .what("The memory of a guest"),
    setting("limit-attempt-time", Time(MS, 720 * HOUR), &[Api, Dev, Client], |it| &mut it.limits.attempt_ms)
        .what("An attempt of a step that names no `timeout`; written into a pipeline when it is applied"),
    setting("limit-log-line", Size(256, MIB), EVERYBODY, |it| &mut it.limits.log_line_bytes)
        .what("A line that a guest logs; a longer one is cut"),
    setting("limit-log", Size(256, 1_024 * MIB), EVERYBODY, |it| &mut it.limits.log_bytes).what(
        "All that a guest logs in an attempt; the rest is dropped. Of a step, four times as much is kept: the newest",
    ),
    setting("limit-log-lines", Count(1, 1_000_000), EVERYBODY, |it| &mut it.limits.log_lines)
        .what("The same, counted in lines"),
    setting("limit-steps", Count(1, 100_000), &[Api, Dev, Client], |it| &mut it.limits.steps)
        .what("Steps of a pipeline"),
    setting("limit-entries", Count(1, 10_000_000), &[Worker, Dev, Client], |it| &mut it.limits.journal_entries)
        .what("Journal entries of a step since its checkpoint"),
    setting("limit-inbox", Count(1, 1_000_000), SERVING, |it| &mut it.limits.inbox_signals)
        .what("Signals of a run that no step has taken; more are refused, but for those that a step waits for"),
    setting("limit-host-connections", Count(1, 10_000_000), EXECUTING, |it| &mut it.limits.host_connections)
        .what("Connections that an attempt makes to one outside host"),
    setting("limit-host-bytes", Size(KIB, 1 << 50), EXECUTING, |it| &mut it.limits.host_bytes)
        .what("Bytes that an attempt exchanges with one outside host; the answer that passes it is the last"),
];

static CACHES: &[Setting] = &[
    setting("cache-dir", Folder, EVERYBODY, |it| &mut it.engine.cache_dir)
        .usually("`pawl` in the user's cache folder")
        .what("Where compiled components are kept"),
    setting("cache-dir-size", Size(MIB, 1 << 40), EVERYBODY, |it| &mut it.engine.cache_dir_bytes)
        .what("What compiled components may take there, about"),
    setting("cache-memory", Size(MIB, 1 << 40), ROLES, |it| &mut it.engine.cache_bytes)
        .usually("512MiB, or an eighth of what the container, or the machine, allows")
        .what("What compiled components may take in memory"),
    setting("api-pipelines", Count(1, 1_000_000), SERVING, |it| &mut it.api.pipelines)
        .what("Versions of pipelines that the API keeps in memory"),
    setting("worker-pipelines", Count(1, 1_000_000), EXECUTING, |it| &mut it.worker.plans)
        .what("Versions of pipelines that a worker keeps in memory"),
];

static DEV: &[Setting] = &[
    setting("data", Folder, &[Dev], |it| &mut it.data).what("Where runs are kept"),
    setting("plugins", Folder, &[Dev], |it| &mut it.plugins)
        .usually("this folder if it is a plugin's source, else `plugins` if there is one")
        .what("A plugin's source, or a folder of plugins' sources and components (.wasm)"),
    setting("pipelines", Folder, &[Dev], |it| &mut it.pipelines)
        .usually("`pipelines` if there is one, and the file pipeline.toml")
        .what("A folder of pipelines"),
];

static LOG: &[Setting] = &[
    setting("log", Text, EVERYBODY, |it| &mut it.log)
        .usually("`info` for api, worker and dev, else `warn`; of slow statements none")
        .what("Which lines are logged, for example `debug` or `pawl=debug`"),
    setting("log-format", Choice(&["text", "json"]), EVERYBODY, |it| &mut it.log_format)
        .what("How log lines look on standard error"),
    setting("step-logs", Switch, EXECUTING, |it| &mut it.worker.step_logs)
        .what("Whether what steps log is kept, for `pawl run logs`; on standard error it stands in any case"),
];

static METRICS: &[Setting] = &[
    setting("metrics", Switch, ROLES, |it| &mut it.metrics)
        .what("Whether figures are kept for Prometheus, and told at `/metrics`"),
    setting("metrics-listen", Address, &[Worker], |it| &mut it.metrics_listen)
        .usually("nowhere")
        .what("Where a worker tells its figures, for example 127.0.0.1:7341; port 0 takes a free one. The API and `pawl dev` tell theirs where they listen"),
];

static TRACES: &[Setting] = &[
    setting("traces", Switch, ROLES, |it| &mut it.traces.on)
        .or_by(&[("OTEL_SDK_DISABLED", not)])
        .what("Whether spans are sent, if there is where to"),
    setting("traces-url", Url, ROLES, |it| &mut it.traces.url)
        .usually("nowhere")
        .or_by(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", str::to_owned), ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver)])
        .what("Where spans are sent, by OTLP over HTTP, for example http://collector:4318/v1/traces"),
    setting("traces-headers", Secret, ROLES, |it| &mut it.traces.headers)
        .or_by(&[("OTEL_EXPORTER_OTLP_TRACES_HEADERS", str::to_owned), ("OTEL_EXPORTER_OTLP_HEADERS", str::to_owned)])
        .what("Headers of these requests: name=value,name=value, with odd characters as in a URL"),
    setting("traces-service", Text, ROLES, |it| &mut it.traces.service)
        .or_by(&[("OTEL_SERVICE_NAME", str::to_owned)])
        .what("What the process is called in traces"),
    setting("traces-resource", Text, ROLES, |it| &mut it.traces.resource)
        .or_by(&[("OTEL_RESOURCE_ATTRIBUTES", str::to_owned)])
        .what("What else is said of the process there, written as the headers are"),
    setting("traces-sampler", Choice(SAMPLERS), ROLES, |it| &mut it.traces.sampler)
        .or_by(&[("OTEL_TRACES_SAMPLER", str::to_owned)])
        .what("Which traces are kept; of a run all attempts are, or none"),
    setting("traces-ratio", Text, ROLES, |it| &mut it.traces.ratio)
        .or_by(&[("OTEL_TRACES_SAMPLER_ARG", str::to_owned)])
        .what("The part of them, from 0 to 1, where the sampler goes by it"),
];
