//! What an administrator does with a namespace's keys: have new runs sealed or not, begin a new key, put all under another master
//! key. Erasing needs no key: the store does that alone.

use pawl_base::envelope::{Closed, Keys};
use pawl_base::sealing::GroupKey;
use pawl_domain::namespace::Namespace;
use pawl_domain::sealed::Sealing;
use pawl_store::Store;
use pawl_store::sealing::{NamespaceKeyRow, sealing_of};

use super::{Unopened, unopened};

/// How often a new key is numbered anew that somebody else was quicker than.
const TRIES: usize = 5;

/// Has new runs of a namespace sealed (`on`), or not; `anew`: under a new key, though there is one. Whether that is a change.
///
/// # Errors
/// [`Unopened::Keys`] if no master key is here; [`Unopened::Store`].
pub async fn keep_sealing(
    store: &dyn Store,
    keys: &Keys,
    namespace: &Namespace,
    on: bool,
    anew: bool,
    by: Option<&str>,
) -> Result<bool, Unopened> {
    for _ in 0..TRIES {
        let rows = store.namespace_keys(namespace).await?;
        match (sealing_of(&rows), on) {
            (Sealing::On, true) if !anew => return Ok(false),
            (Sealing::Clear, false) => return Ok(false),
            (_, false) => return Ok(store.retire_namespace_key(namespace).await?),
            (_, true) => {
                let version = rows.last().map_or(1, |newest| newest.version + 1);
                let made = GroupKey::make(keys, &NamespaceKeyRow::about(namespace, version));
                let made = made.map_err(|why| unopened("payloads can't be sealed here", &why))?;
                if store.add_namespace_key(namespace, version, &made, by).await? {
                    return Ok(true);
                }
            }
        }
    }
    let busy = format!("others change the keys of the namespace `{namespace}` at the same time: try again");
    Err(Unopened::Store(pawl_store::Error::Conflict(busy)))
}

/// What a rotation has come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Keys that are under the first master key now, and were not.
    pub rotated: u32,
    /// Those that stay as they are: the version, and why.
    pub stuck: Vec<(u32, String)>,
}

/// Puts all keys of a namespace under the first master key. Keys of runs, and payloads, stay as they are.
///
/// # Errors
/// [`Unopened::Keys`] if there is no key; [`Unopened::Store`]: what is done is done.
pub async fn rotate(store: &dyn Store, keys: &Keys, namespace: &Namespace) -> Result<Rotated, Unopened> {
    if keys.first().is_none() {
        return Err(unopened("nothing is rotated", &Closed::NoKey));
    }
    let mut rotated = Rotated::default();
    for row in store.namespace_keys(namespace).await? {
        let Some(sealed) = &row.sealed else { continue };
        match keys.wrap_anew(sealed, &NamespaceKeyRow::about(namespace, row.version)) {
            Ok(None) => {}
            Ok(Some(anew)) => {
                let written = store.wrap_namespace_key(namespace, row.version, &sealed.key_id, &anew).await?;
                rotated.rotated += u32::from(written);
            }
            Err(why) => rotated.stuck.push((row.version, why.to_string())),
        }
    }
    Ok(rotated)
}
