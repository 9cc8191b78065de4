//! Tokens over HTTP: make, list, revoke. A text is told once, to whoever had it made.

use axum::Json;
use axum::body::Body;
use axum::extract::Extension;
use axum::http::{HeaderMap, StatusCode};
use pawl_domain::access::Role;
use pawl_domain::name::Name;
use pawl_domain::namespace::Namespace;
use pawl_domain::token::{RANDOM_BYTES, TokenText};
use pawl_store::tokens::{NewToken, Standing, TokenRow};

use super::access::Caller;
use super::problem::Result;
use super::recorded::Subject;
use super::request::{Path, read_json};
use super::types::{CreateToken, CreatedToken, Problem, RevokedToken, Token, TokenList, TokenState};
use super::whose::{Scoped, meant, named};

/// What the token of the setting is called, and that of `pawl dev`: others can't be called so.
pub(super) const API_TOKEN: &str = "api_token";
pub(super) const DEV_TOKEN: &str = "pawl-dev";

/// A request to make one.
const REQUEST_BYTES: usize = 4 << 10;

/// A token with a text of its own: from the system's randomness, which is nobody else's.
///
/// # Errors
/// If the system has none, or the name is one of those that Pawl gives itself.
pub fn new_token(
    name: &Name,
    role: Role,
    namespace: Option<Namespace>,
    expires_in_ms: Option<u64>,
) -> std::result::Result<(TokenText, NewToken), String> {
    if [API_TOKEN, DEV_TOKEN].contains(&name.as_str()) {
        return Err(format!("`{name}` is what Pawl calls a token of its own: give this one another name"));
    }
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(|error| format!("the system has no randomness for a token: {error}"))?;
    let text = TokenText::of(random);
    let digest = text.digest();
    Ok((text, NewToken { digest, name: name.to_string(), role, namespace, created_by: None, expires_in_ms }))
}

pub(super) async fn create(
    Scoped(state): Scoped,
    Extension(caller): Extension<Caller>,
    Extension(subject): Extension<Subject>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<CreatedToken>)> {
    let CreateToken { name, role, namespace, expires_in_ms } =
        read_json(body, &headers, "a request to make a token", REQUEST_BYTES).await?;
    subject.is(format!("{name}: {role}"));
    let namespace = meant(&state, &caller, namespace).await?;
    if expires_in_ms.is_some_and(|ms| !CreateToken::EXPIRES_IN_MS.contains(&ms)) {
        return Err(Problem::bad_request("`expires_in_ms` is from 1 ms to a hundred years".to_owned()));
    }
    // From the first one on, nobody is let in without any.
    let is_last_word = caller.name.is_none() && (role < Role::Admin || namespace.is_some() || expires_in_ms.is_some());
    if is_last_word && !state.store.has_tokens().await? {
        return Err(Problem::conflict(
            "with the first token, nobody is let in without one any more: make one first that has the role `admin`, \
             everywhere, and does not expire, else nobody could make another",
        ));
    }
    let (text, token) = new_token(&name, role, namespace, expires_in_ms).map_err(Problem::conflict)?;
    let token = NewToken { created_by: caller.name.as_deref().map(str::to_owned), ..token };
    state.store.create_token(&token).await?;
    let made = state.store.token(token.digest).await?;
    let made = made.ok_or_else(|| Problem::conflict("the token was made, and is gone again"))?;
    Ok((StatusCode::CREATED, Json(CreatedToken { token: text.reveal().to_owned(), about: made.into() })))
}

pub(super) async fn list(Scoped(state): Scoped, Extension(caller): Extension<Caller>) -> Result<Json<TokenList>> {
    let tokens = state.store.tokens(caller.namespace.as_ref()).await?;
    Ok(Json(TokenList { tokens: tokens.into_iter().map(Token::from).collect() }))
}

pub(super) async fn revoke(
    Scoped(state): Scoped,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Json<RevokedToken>> {
    let none = || Problem::not_found(format!("there is no token {name:?} to revoke; `pawl token list` shows all"));
    let name: Name = name.parse().map_err(|_| none())?;
    let mut found = state.store.tokens_named(name.as_str()).await?;
    if let Some(meant) = caller.namespace.or(named(&headers)?) {
        found.retain(|token| token.namespace.as_ref() == Some(&meant));
    }
    let token = match found.as_slice() {
        [] => return Err(none()),
        [token] => token,
        several => {
            let of = |token: &TokenRow| token.namespace.as_ref().map_or_else(|| "all".to_owned(), ToString::to_string);
            let of: Vec<String> = several.iter().map(of).collect();
            return Err(Problem::conflict(format!(
                "there are tokens `{name}` of several namespaces ({}): name the one that is meant, with --namespace",
                of.join(", ")
            )));
        }
    };
    match state.store.revoke_token(token.digest).await? {
        true => Ok(Json(RevokedToken { name })),
        false => Err(none()),
    }
}

impl From<TokenRow> for Token {
    fn from(row: TokenRow) -> Self {
        Self {
            name: row.name,
            role: row.role,
            namespace: row.namespace,
            state: match row.standing {
                Standing::Good(_) => TokenState::Good,
                Standing::Expired => TokenState::Expired,
                Standing::Revoked => TokenState::Revoked,
            },
            created_at_ms: row.created_at_ms,
            created_by: row.created_by,
            expires_at_ms: row.expires_at_ms,
            revoked_at_ms: row.revoked_at_ms,
        }
    }
}
