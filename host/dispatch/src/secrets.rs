//! Secrets of the store, where keys and rows meet: the API seals what a person sets, workers open what a step is given. What a
//! change makes of a row is decided here, and written by whoever asks for it, if nobody has changed it since.

use pawl_base::envelope::{Closed, Keys};
use pawl_domain::namespace::Namespace;
use pawl_domain::secret::grant::{Grant, MOST_GRANTS};
use pawl_domain::secret::nowhere_in;
use pawl_store::secrets::SecretRow;
use pawl_store::{self as store, Store};

/// The settings that name master keys.
pub(crate) const SETTINGS: &str = "`secrets_key_file` (or `secrets_key`, `secrets_key_command`)";

/// How often a change is decided anew that somebody else was quicker than.
const TRIES: usize = 5;

/// Data keys that are wrapped anew in one piece.
pub const PIECE: u32 = 100;

/// Why a change is none.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is nothing to change.
    #[error("there is no secret `{0}` in the store: `pawl secret list` shows all")]
    NotThere(String),
    /// It can't be made like that.
    #[error("{0}")]
    Conflict(String),
    /// The keys of this process do not do.
    #[error("{0}")]
    Keys(String),
    /// The store's word.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// What a person asks for.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// A new value, and perhaps a grant besides those that there are.
    Set {
        /// Checked by [`pawl_domain::secret::check_value`].
        value: &'a str,
        /// For whom.
        grant: Option<&'a Grant>,
        /// The name of the token.
        by: Option<&'a str>,
    },
    /// One more grant.
    Grant(&'a Grant),
    /// One grant less.
    Revoke(&'a Grant),
    /// Its value and its grants go.
    Remove,
}

/// The value, as far as this process can open it; else why not, and what lets it.
///
/// # Errors
/// The reason, to follow on the secret's name.
pub fn opened(keys: &Keys, namespace: &Namespace, row: Option<&SecretRow>, name: &str) -> Result<String, String> {
    let Some((row, sealed)) = row.and_then(|row| Some((row, row.sealed.as_ref()?))) else {
        return Err(nowhere_in(namespace, name));
    };
    let text = keys.open(sealed, &SecretRow::about(namespace, name, row.version));
    text.and_then(|text| String::from_utf8(text).map_err(|_| Closed::Damaged))
        .map_err(|why| format!("a worker can't open it as it is stored: {}", hint(&why)))
}

/// What is wrong with keys, and how it is mended.
fn hint(why: &Closed) -> String {
    match why {
        Closed::NoKey => format!("{why}; set {SETTINGS} as the API has it, and start it again"),
        Closed::OtherKey(_) => format!("{why}; add that key to those of {SETTINGS}, and start it again"),
        Closed::Damaged => format!("{why}; set it again with `pawl secret set`"),
        Closed::NoRandomness => why.to_string(),
    }
}

/// Makes a change; what is there after it, and whether that is another thing than before.
///
/// # Errors
/// [`Refused`].
pub async fn change(
    store: &dyn Store,
    keys: &Keys,
    namespace: &Namespace,
    name: &str,
    change: Change<'_>,
) -> Result<(SecretRow, bool), Refused> {
    for _ in 0..TRIES {
        let before = store.secrets_named(namespace, &[name.to_owned()]).await?.into_iter().next();
        let Some(after) = decide(keys, namespace, name, before.as_ref(), change)? else {
            let same = before.ok_or_else(|| Refused::NotThere(name.to_owned()))?;
            return Ok((same, false));
        };
        let written = store.write_secret(namespace, &after).await?;
        if let Some(set_at_ms) = written {
            return Ok((SecretRow { set_at_ms: Some(set_at_ms), ..after }, true));
        }
    }
    Err(Refused::Conflict(format!("others change the secret `{name}` at the same time: try again")))
}

/// The row that follows; `None` if all is so already.
fn decide(
    keys: &Keys,
    namespace: &Namespace,
    name: &str,
    before: Option<&SecretRow>,
    change: Change<'_>,
) -> Result<Option<SecretRow>, Refused> {
    let there = || before.filter(|row| row.sealed.is_some()).ok_or_else(|| Refused::NotThere(name.to_owned()));
    let next = |row: &SecretRow| SecretRow { revision: row.revision + 1, ..row.clone() };
    Ok(match change {
        Change::Set { value, grant, by } => {
            let (revision, version) = before.map_or((0, 0), |row| (row.revision, row.version));
            let version = version + 1;
            let sealed = keys
                .seal(value.as_bytes(), &SecretRow::about(namespace, name, version))
                .map_err(|why| Refused::Keys(format!("secrets can't be stored here: {}", hint(&why))))?;
            let mut grants = before.map_or_else(Vec::new, |row| row.grants.clone());
            if let Some(grant) = grant {
                add(&mut grants, grant)?;
            }
            let (name, set_by) = (name.to_owned(), by.map(str::to_owned));
            let revision = revision + 1;
            Some(SecretRow { name, revision, version, sealed: Some(sealed), grants, set_at_ms: None, set_by })
        }
        Change::Grant(grant) => {
            let mut row = next(there()?);
            add(&mut row.grants, grant)?.then_some(row)
        }
        Change::Revoke(grant) => {
            let mut row = next(there()?);
            let count = row.grants.len();
            row.grants.retain(|known| known != grant);
            if row.grants.len() == count {
                let all = row.grants.iter().map(|grant| format!("`{grant}`")).collect::<Vec<_>>().join(", ");
                let all = if all.is_empty() { "it has none".to_owned() } else { format!("it has {all}") };
                return Err(Refused::Conflict(format!("the secret `{name}` has no grant `{grant}`: {all}")));
            }
            Some(row)
        }
        Change::Remove => Some(SecretRow { sealed: None, grants: Vec::new(), ..next(there()?) }),
    })
}

/// Whether it was not there.
fn add(grants: &mut Vec<Grant>, grant: &Grant) -> Result<bool, Refused> {
    if grants.contains(grant) {
        return Ok(false);
    }
    if grants.len() >= MOST_GRANTS || grant.hosts.len() > MOST_GRANTS {
        return Err(Refused::Conflict(format!("a secret has {MOST_GRANTS} grants at most, and each as many hosts")));
    }
    grants.push(grant.clone());
    Ok(true)
}

/// What a piece of a rotation has come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Data keys that are under the first master key now, and were not.
    pub rotated: u32,
    /// Secrets that stay as they are, each with why.
    pub stuck: Vec<(String, String)>,
    /// After which name the next piece begins; `None`: this was the last.
    pub next: Option<String>,
}

/// Wraps data keys anew under the first master key: of those secrets after that name, a piece.
///
/// # Errors
/// [`Refused::Keys`] if there is no key; [`Refused::Store`]: what is done is done.
pub async fn rotate(
    store: &dyn Store,
    keys: &Keys,
    namespace: &Namespace,
    after: Option<&str>,
) -> Result<Rotated, Refused> {
    if keys.first().is_none() {
        return Err(Refused::Keys(format!("nothing is rotated: {}", hint(&Closed::NoKey))));
    }
    let rows = store.secrets(namespace, after, PIECE).await?;
    let next = rows.last().filter(|_| rows.len() >= PIECE as usize).map(|row| row.name.clone());
    let mut rotated = Rotated { next, ..Rotated::default() };
    for row in rows {
        let Some(sealed) = &row.sealed else { continue };
        match keys.wrap_anew(sealed, &SecretRow::about(namespace, &row.name, row.version)) {
            Ok(None) => {}
            Ok(Some(sealed)) => {
                let anew = SecretRow { revision: row.revision + 1, sealed: Some(sealed), ..row };
                if store.write_secret(namespace, &anew).await?.is_some() {
                    rotated.rotated += 1;
                } else {
                    let why = "somebody has changed it meanwhile: rotate again".to_owned();
                    rotated.stuck.push((anew.name, why));
                }
            }
            Err(why) => rotated.stuck.push((row.name, hint(&why))),
        }
    }
    Ok(rotated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_store::Sqlite;
    use pawl_store::secrets::Secrets as _;

    fn keys(digits: &str) -> Keys {
        let texts: Vec<String> = digits.chars().map(|digit| digit.to_string().repeat(64)).collect();
        Keys::read(&texts.join(" ")).unwrap()
    }

    fn grant(step: &str) -> Grant {
        let (pipeline, step) = ("orders".parse().unwrap(), Some(step.parse().unwrap()));
        Grant { pipeline, step, plugin: None, hosts: Vec::new() }
    }

    fn set(value: &str) -> Change<'_> {
        Change::Set { value, grant: None, by: Some("ada") }
    }

    #[tokio::test]
    async fn a_new_value_keeps_the_grants_and_a_removal_leaves_nothing_of_either() {
        let (folder, here, keys) = (tempfile::tempdir().unwrap(), Namespace::default(), keys("1"));
        let store = Sqlite::open(folder.path()).unwrap();
        let change = async |change: Change<'_>| super::change(&store, &keys, &here, "token", change).await;
        let refused = async |wanted: Change<'_>| change(wanted).await.unwrap_err().to_string();
        assert!(refused(Change::Grant(&grant("pay"))).await.contains("there is no secret `token`"));
        change(set("the first value")).await.unwrap();
        assert!(change(Change::Grant(&grant("pay"))).await.unwrap().1);
        assert!(!change(Change::Grant(&grant("pay"))).await.unwrap().1, "it is so already");
        let with = Change::Set { value: "the second value", grant: Some(&grant("ship")), by: None };
        let (row, _) = change(with).await.unwrap();
        assert_eq!((row.version, row.revision, &row.grants[..]), (2, 3, &[grant("pay"), grant("ship")][..]));
        assert_eq!(opened(&keys, &here, Some(&row), "token"), Ok("the second value".to_owned()));
        let why = refused(Change::Revoke(&grant("load"))).await;
        assert!(
            why.contains("no grant `--pipeline orders --step load`: it has `--pipeline orders --step pay`"),
            "{why}"
        );
        assert_eq!(change(Change::Revoke(&grant("pay"))).await.unwrap().0.grants, [grant("ship")]);

        let (gone, _) = change(Change::Remove).await.unwrap();
        assert!(gone.sealed.is_none() && gone.grants.is_empty());
        let lacking = opened(&keys, &here, Some(&gone), "token").unwrap_err();
        assert!(lacking.contains("PAWL_SECRET_TOKEN") && lacking.contains("`pawl secret set token`"), "{lacking}");
        assert!(refused(Change::Remove).await.contains("there is no secret `token`"));
        let (again, _) = change(set("the third value")).await.unwrap();
        assert_eq!((again.version, again.grants), (3, Vec::new()), "whoever had the old one has not this one");
    }

    #[tokio::test]
    async fn without_the_right_key_nothing_opens_and_the_setting_is_named() {
        let (folder, here) = (tempfile::tempdir().unwrap(), Namespace::default());
        let store = Sqlite::open(folder.path()).unwrap();
        let refused = change(&store, &Keys::default(), &here, "token", set("hunter2hunter2")).await.unwrap_err();
        assert!(refused.to_string().contains("set `secrets_key_file`"), "{refused}");
        let (row, _) = change(&store, &keys("1"), &here, "token", set("hunter2hunter2")).await.unwrap();
        let id = row.sealed.clone().unwrap().key_id;
        for (keys, says) in [(Keys::default(), "no master key here; set `secrets_key_file`"), (keys("2"), id.as_str())]
        {
            let why = opened(&keys, &here, Some(&row), "token").unwrap_err();
            assert!(why.contains(says) && why.contains("`secrets_key_file`") && !why.contains("hunter2"), "{why}");
        }
        let moved = SecretRow { version: 2, ..row };
        assert!(opened(&keys("1"), &here, Some(&moved), "token").unwrap_err().contains("set it again"));
    }

    #[tokio::test]
    async fn a_rotation_wraps_all_data_keys_anew_in_pieces_and_names_what_it_can_not() {
        let (folder, here) = (tempfile::tempdir().unwrap(), Namespace::default());
        let store = Sqlite::open(folder.path()).unwrap();
        for number in 0..PIECE + 20 {
            change(&store, &keys("1"), &here, &format!("token_{number:03}"), set("hunter2hunter2")).await.unwrap();
        }
        change(&store, &keys("3"), &here, "lost", set("hunter2hunter2")).await.unwrap();
        let both = keys("21");
        let first = rotate(&store, &both, &here, None).await.unwrap();
        assert_eq!((first.rotated, first.stuck.len()), (PIECE - 1, 1));
        assert!(first.stuck[0].0 == "lost" && first.stuck[0].1.contains("add that key"), "{:?}", first.stuck);
        let second = rotate(&store, &both, &here, first.next.as_deref()).await.unwrap();
        assert_eq!((second.rotated, second.next.as_deref()), (21, None));
        assert_eq!(rotate(&store, &both, &here, None).await.unwrap().rotated, 0, "it is done");
        for row in store.secrets(&here, Some("m"), 1_000).await.unwrap() {
            let value = opened(&keys("2"), &here, Some(&row), &row.name);
            assert_eq!((value, row.version), (Ok("hunter2hunter2".to_owned()), 1), "without the old key");
        }
        assert!(
            rotate(&store, &Keys::default(), &here, None).await.unwrap_err().to_string().contains("secrets_key_file")
        );
    }
}
