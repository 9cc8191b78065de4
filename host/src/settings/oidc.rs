//! What is set of an identity provider, put together: nobody comes in by one unless somebody names it.

use pawl_api::oidc::{Config, Place, is_safe};
use pawl_domain::access::Role;
use pawl_domain::namespace::Namespace;

/// The values of these settings.
#[derive(Debug, Clone)]
pub(super) struct Oidc {
    pub(super) issuer: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) keys_url: Option<String>,
    pub(super) name_claim: String,
    pub(super) role_claim: String,
    pub(super) roles: Option<String>,
    pub(super) namespace_claim: String,
    pub(super) namespaces: Option<String>,
}

impl Default for Oidc {
    fn default() -> Self {
        Self {
            issuer: None,
            audience: None,
            keys_url: None,
            name_claim: "sub".to_owned(),
            role_claim: "roles".to_owned(),
            roles: None,
            namespace_claim: "namespaces".to_owned(),
            namespaces: None,
        }
    }
}

impl Oidc {
    /// All of it; `None` if there is no provider.
    ///
    /// # Errors
    /// What is wrong, and how it looks.
    pub(super) fn config(&self) -> Result<Option<Config>, String> {
        let Some(issuer) = self.issuer.clone() else {
            let others = [
                ("oidc_audience", &self.audience),
                ("oidc_keys_url", &self.keys_url),
                ("oidc_roles", &self.roles),
                ("oidc_namespaces", &self.namespaces),
            ];
            return match others.into_iter().find(|(_, value)| value.is_some()) {
                Some((name, _)) => Err(format!("{name} is set and oidc_issuer is not: nobody comes in by it")),
                None => Ok(None),
            };
        };
        for (name, url) in [("oidc_issuer", Some(&issuer)), ("oidc_keys_url", self.keys_url.as_ref())] {
            if url.is_some_and(|url| !is_safe(url)) {
                return Err(format!(
                    "{name} is no URL that begins with https://: others could put keys of their own in its place"
                ));
            }
        }
        for (name, claim) in [
            ("oidc_name_claim", &self.name_claim),
            ("oidc_role_claim", &self.role_claim),
            ("oidc_namespace_claim", &self.namespace_claim),
        ] {
            if claim.trim() != claim {
                return Err(format!("{name} begins or ends with a blank, which no claim's name does"));
            }
        }
        let missing = |name: &str, example: &str| {
            format!(
                "oidc_issuer is set and {name} is not, by which tokens for others would be good here: for example {example}"
            )
        };
        let audience = self.audience.clone().ok_or_else(|| missing("oidc_audience", "pawl"))?;
        let roles = self.roles.as_deref().ok_or_else(|| missing("oidc_roles", "operators=operate,*=read"))?;
        Ok(Some(Config {
            issuer,
            audience,
            keys_url: self.keys_url.clone(),
            name_claim: self.name_claim.clone(),
            role_claim: self.role_claim.clone(),
            roles: roles.split(',').map(|pair| role_of(pair.trim())).collect::<Result<_, _>>()?,
            namespace_claim: self.namespace_claim.clone(),
            namespaces: match self.namespaces.as_deref() {
                // Whoever has not said where, has not said that all teams' things are meant.
                None => vec![("*".to_owned(), Place::In(Namespace::default()))],
                Some(pairs) => pairs.split(',').map(|pair| place_of(pair.trim())).collect::<Result<_, _>>()?,
            },
        }))
    }
}

/// A word of the claim, and the role that it means.
fn role_of(pair: &str) -> Result<(String, Role), String> {
    let (word, role) = pair.rsplit_once('=').filter(|(word, _)| !word.is_empty()).ok_or_else(|| {
        format!("oidc_roles has {pair:?}, which is not WORD=ROLE: for example operators=operate,*=read")
    })?;
    Ok((word.to_owned(), role.parse().map_err(|rule| format!("oidc_roles has {pair:?}: {rule}"))?))
}

/// A word of the claim, and where it lets its bearer in.
fn place_of(pair: &str) -> Result<(String, Place), String> {
    let (word, place) = pair.rsplit_once('=').filter(|(word, _)| !word.is_empty()).ok_or_else(|| {
        format!("oidc_namespaces has {pair:?}, which is not WORD=NAMESPACE: for example payments=team-a,platform=*")
    })?;
    let place = match place {
        "*" => Place::All,
        name => Place::In(name.parse().map_err(|rule| format!("oidc_namespaces has {pair:?}: {rule}"))?),
    };
    Ok((word.to_owned(), place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Oidc {
        Oidc {
            issuer: Some("https://id.example.org/realms/x".to_owned()),
            audience: Some("pawl".to_owned()),
            roles: Some("pawl-admins=admin, ops=operate,*=read".to_owned()),
            ..Oidc::default()
        }
    }

    #[test]
    fn words_become_roles_and_nothing_is_set_by_halves() {
        let config = whole().config().expect("good").expect("a provider");
        let roles = [("pawl-admins", Role::Admin), ("ops", Role::Operate), ("*", Role::Read)];
        assert_eq!(config.roles, roles.map(|(word, role)| (word.to_owned(), role)));
        let everybody = |place| vec![("*".to_owned(), place)];
        assert_eq!(config.namespaces, everybody(Place::In(Namespace::default())), "unless somebody says more");
        let everywhere = Oidc { namespaces: Some("*=*".to_owned()), ..whole() };
        assert_eq!(everywhere.config().expect("good").expect("a provider").namespaces, everybody(Place::All));
        assert_eq!(Oidc::default().config(), Ok(None));
        for (oidc, says) in [
            (Oidc { audience: None, ..whole() }, "oidc_audience is not"),
            (Oidc { roles: None, ..whole() }, "oidc_roles is not"),
            (Oidc { issuer: None, ..whole() }, "oidc_issuer is not"),
            (
                Oidc { issuer: Some("http://id.example.org".to_owned()), ..whole() },
                "oidc_issuer is no URL that begins with https",
            ),
            (Oidc { keys_url: Some("id.example.org".to_owned()), ..whole() }, "oidc_keys_url is no URL"),
            (Oidc { name_claim: "sub ".to_owned(), ..whole() }, "oidc_name_claim begins or ends with a blank"),
            (Oidc { roles: Some("ops".to_owned()), ..whole() }, "which is not WORD=ROLE"),
            (Oidc { roles: Some("ops=root".to_owned()), ..whole() }, "root"),
            (Oidc { namespaces: Some("ops".to_owned()), ..whole() }, "which is not WORD=NAMESPACE"),
            (Oidc { namespaces: Some("ops=a/b".to_owned()), ..whole() }, "the name of a namespace"),
            (Oidc { issuer: None, ..whole() }, "oidc_issuer is not"),
        ] {
            let error = oidc.config().expect_err(says);
            assert!(error.contains(says), "{error}");
        }
    }
}
