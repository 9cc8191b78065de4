//! An identity provider: publishes its keys over HTTP, and signs tokens with them.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, anyhow};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use pawl_base::lock;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

/// A provider on a port of its own. It serves until the process ends.
pub struct Provider {
    /// Its URL, which is its name.
    pub issuer: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    keys: Mutex<Vec<Value>>,
    is_away: AtomicBool,
    asked: AtomicUsize,
}

impl Provider {
    /// One without keys so far.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let issuer = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared::default());
        let (its, name) = (Arc::clone(&shared), issuer.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever goes away meanwhile is not answered.
                let _ = its.answer(stream, &name);
            }
        });
        Ok(Self { issuer, shared })
    }

    /// These are its keys from now on.
    pub fn publish(&self, keys: &[&SigningKey]) {
        self.publish_as(keys.iter().map(|key| key.published.clone()).collect());
    }

    /// The same, as they are told.
    pub fn publish_as(&self, keys: Vec<Value>) {
        *lock(&self.shared.keys) = keys;
    }

    /// Whether it answers that it can't.
    pub fn be_away(&self, is_away: bool) {
        self.shared.is_away.store(is_away, Relaxed);
    }

    /// How often it was asked for its keys.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Relaxed)
    }

    /// Where its keys are.
    #[must_use]
    pub fn keys_url(&self) -> String {
        format!("{}/keys", self.issuer)
    }
}

impl Shared {
    fn answer(&self, mut stream: std::net::TcpStream, issuer: &str) -> std::io::Result<()> {
        let (mut head, mut chunk) = (Vec::new(), [0; 1_024]);
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut chunk)? {
                0 => return Ok(()),
                read => head.extend_from_slice(&chunk[..read]),
            }
        }
        let is_for_keys = head.starts_with(b"GET /keys ");
        let (status, body) = match head.starts_with(b"GET /.well-known/openid-configuration ") {
            _ if self.is_away.load(Relaxed) => ("503 Service Unavailable", json!({})),
            true => ("200 OK", json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")})),
            false if is_for_keys => ("200 OK", json!({"keys": *lock(&self.keys)})),
            false => ("404 Not Found", json!({})),
        };
        self.asked.fetch_add(usize::from(is_for_keys), Relaxed);
        let body = body.to_string();
        let length = body.len();
        write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
    }
}

/// A key that it signs with.
pub struct SigningKey {
    pair: Pair,
    id: String,
    /// Its public half, as RFC 7517 has it.
    pub published: Value,
}

enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// For ES256.
    pub fn p256(id: &str) -> Result<Self> {
        let (scheme, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let made = EcdsaKeyPair::generate_pkcs8(scheme, &random).map_err(|error| anyhow!("{error}"))?;
        let pair = EcdsaKeyPair::from_pkcs8(scheme, made.as_ref(), &random).map_err(|error| anyhow!("{error}"))?;
        let point = pair.public_key().as_ref();
        let (x, y) = point[1..].split_at_checked(32).context("two coordinates")?;
        let published =
            json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": id, "x": BASE64.encode(x), "y": BASE64.encode(y)});
        Ok(Self { pair: Pair::P256(pair), id: id.to_owned(), published })
    }

    /// For EdDSA.
    pub fn ed25519(id: &str) -> Result<Self> {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|error| anyhow!("{error}"))?;
        let pair = Ed25519KeyPair::from_pkcs8(made.as_ref()).map_err(|error| anyhow!("{error}"))?;
        let x = BASE64.encode(pair.public_key().as_ref());
        let published = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": id, "x": x});
        Ok(Self { pair: Pair::Ed25519(pair), id: id.to_owned(), published })
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> Result<String> {
        let algorithm = match &self.pair {
            Pair::P256(_) => "ES256",
            Pair::Ed25519(_) => "EdDSA",
        };
        self.token_with(&json!({"alg": algorithm, "kid": self.id}), claims)
    }

    /// The same, with that head.
    pub fn token_with(&self, head: &Value, claims: &Value) -> Result<String> {
        let text = format!("{}.{}", BASE64.encode(head.to_string()), BASE64.encode(claims.to_string()));
        let signature = match &self.pair {
            Pair::P256(pair) => {
                let signed = pair.sign(&SystemRandom::new(), text.as_bytes()).map_err(|error| anyhow!("{error}"))?;
                BASE64.encode(signed.as_ref())
            }
            Pair::Ed25519(pair) => BASE64.encode(pair.sign(text.as_bytes()).as_ref()),
        };
        Ok(format!("{text}.{signature}"))
    }
}
