//! TLS at the API's own door: who has shaken hands is served as anybody, who has not in time is let go, and a certificate that is
//! renewed is shown to those who come after it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pawl_api::TlsFiles;
use pawl_tests::certificates::{Authority, Signed};
use pawl_tests::{Client, bounds, wait};

use crate::served::Api;

/// What is waited for: short, and far above what a handshake takes.
const SHORT: Duration = Duration::from_secs(1);

/// An API that shows what was signed by an authority of its own.
fn secured(name: &str, set: impl FnOnce(&mut Api, &Authority) -> Result<()>) -> Result<(Api, Authority)> {
    let mut api = Api::prepare(name)?;
    api.migrate()?;
    let authority = Authority::new(&api.folder.join("certificates"))?;
    let Signed { certificate, key } = authority.sign("first", "IP:127.0.0.1")?;
    api.config.tls = Some(TlsFiles { certificate, key, client_ca: None });
    api.client = trusting(&api, &authority.ca(), None)?;
    set(&mut api, &authority)?;
    api.serve()?;
    Ok((api, authority))
}

fn trusting(api: &Api, ca: &Path, own: Option<&Signed>) -> Result<Client> {
    Client::trusting(format!("https://{}", api.config.listen), ca, own)
}

fn is_answered(client: &Client) -> bool {
    client.get("/health").is_ok_and(|answer| answer.status == 200)
}

fn connect(api: &Api) -> Result<TcpStream> {
    let stream = TcpStream::connect(&api.config.listen)?;
    stream.set_read_timeout(Some(bounds::PROCESS))?;
    Ok(stream)
}

/// All that still comes, until the other side has ended the connection.
fn rest(mut stream: TcpStream) -> Result<String> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).context("the connection stays open")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[test]
fn a_certificate_that_is_renewed_is_shown_to_new_connections_and_open_ones_go_on() -> Result<()> {
    let (mut api, authority) = secured("tls_renewed", |_, _| Ok(()))?;
    let files = api.config.tls.clone().context("it speaks TLS")?;
    // It keeps its connection, and trusts no other authority.
    let open = api.client.clone();
    ensure!(is_answered(&open));

    let other = Authority::new(&api.folder.join("renewed"))?;
    let Signed { certificate, key } = other.sign("second", "IP:127.0.0.1")?;
    std::fs::copy(certificate, &files.certificate)?;
    std::fs::copy(key, &files.key)?;
    wait::until_true(bounds::PROCESS, "the new certificate to be shown", || {
        Ok(is_answered(&trusting(&api, &other.ca(), None)?))
    })?;
    ensure!(!is_answered(&trusting(&api, &authority.ca(), None)?), "new connections are shown the new one");
    ensure!(is_answered(&open), "what is open goes on");
    api.stop()
}

#[test]
fn a_handshake_that_does_not_come_is_cut_off_and_gives_its_place_back() -> Result<()> {
    let (mut api, authority) = secured("tls_slow", |api, _| {
        (api.config.header_timeout, api.config.connections) = (SHORT, 3);
        Ok(())
    })?;
    // As far as a record's head, and no further; and nothing at all.
    let mut begun = connect(&api)?;
    begun.write_all(&[22, 3, 1, 2, 0])?;
    let silent = connect(&api)?;
    rest(begun)?;
    ensure!(rest(silent)?.is_empty(), "who says nothing at all is not told anything");
    wait::until_true(bounds::PROCESS, "a place", || Ok(is_answered(&trusting(&api, &authority.ca(), None)?)))?;
    api.stop()
}

#[test]
fn connections_beyond_the_limit_are_told_so_over_tls_too() -> Result<()> {
    let (mut api, authority) = secured("tls_full", |api, _| {
        api.config.connections = 1;
        Ok(())
    })?;
    // Whoever has asked whether it serves keeps its connection no longer.
    api.client = trusting(&api, &authority.ca(), None)?;
    let held = wait::until(bounds::PROCESS, "the only place to be taken", || {
        let held = connect(&api)?;
        let told = trusting(&api, &authority.ca(), None)?.get("/health");
        Ok(match told {
            Ok(answer) if answer.status == 503 => wait::Look::Done(held),
            other => wait::Look::NotYet(format!("{other:?}")),
        })
    })?;
    drop(held);
    wait::until_true(bounds::PROCESS, "a place", || Ok(is_answered(&trusting(&api, &authority.ca(), None)?)))?;
    api.stop()
}

#[test]
fn who_asks_without_tls_is_told_that_it_is_spoken_here() -> Result<()> {
    let (mut api, _) = secured("tls_plain", |_, _| Ok(()))?;
    let mut plain = connect(&api)?;
    plain.write_all(b"GET /v1/runs HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
    let told = rest(plain)?;
    ensure!(
        told.starts_with("HTTP/1.1 400 ") && told.contains("/problems/bad-request") && told.contains("https://"),
        "{told}"
    );
    api.stop()
}

#[test]
fn only_clients_with_a_certificate_of_the_authority_come_as_far_as_the_token() -> Result<()> {
    let mut own = None;
    let (mut api, authority) = secured("tls_clients", |api, authority| {
        api.config.token = Some("s3cret".to_owned());
        if let Some(tls) = &mut api.config.tls {
            tls.client_ca = Some(authority.ca());
        }
        let signed = authority.sign("client", "DNS:client")?;
        api.client = trusting(api, &authority.ca(), Some(&signed))?;
        own = Some(signed);
        Ok(())
    })?;
    let stranger = Authority::new(&api.folder.join("stranger"))?.sign("client", "DNS:client")?;
    for (shown, status) in [(None, None), (Some(&stranger), None), (own.as_ref(), Some(401))] {
        let client = trusting(&api, &authority.ca(), shown)?;
        ensure!(client.get("/v1/runs").ok().map(|answer| answer.status) == status, "{shown:?}");
    }
    let with_token = trusting(&api, &authority.ca(), own.as_ref())?;
    with_token.show("s3cret");
    ensure!(with_token.get("/v1/runs")?.status == 200);
    api.stop()
}
