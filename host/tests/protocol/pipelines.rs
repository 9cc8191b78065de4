//! What the runs of all histories are of.

use pawl_domain::id::Digest;
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline::{Pipeline, StepSpec, Versions};
use pawl_store::SharedStore;
use pawl_store::plugins::NewVersion;

/// Steps 1 to 3 fan out from 0 and join in 4; 5 follows 4; 6 to 9 are a chain.
pub const NEEDS: [&[i32]; 10] = [&[], &[0], &[0], &[0], &[1, 2, 3], &[4], &[], &[6], &[7], &[8]];

/// What steps run on, the first one active at the beginning: nothing is executed here.
pub const COMPONENTS: [(&str, &[u8]); 2] = [("1", b"no component"), ("2", b"another one")];

/// Both versions of the plugin, and a pipeline for each time at which steps may get theirs.
pub async fn prepare(store: &SharedStore) {
    let namespace = &Namespace::default();
    for (version, bytes) in COMPONENTS.into_iter().rev() {
        let digest = Digest::of(bytes);
        let new = NewVersion { namespace, name: "p", version, digest, bytes, manifest: b"{}", activate: true };
        store.push_version(new).await.expect("a plugin");
    }
    for versions in Versions::ALL {
        store.apply_pipeline(namespace, &pipeline(versions)).await.expect("a pipeline");
    }
}

/// It is named as its versions are.
pub fn pipeline(versions: Versions) -> Pipeline {
    let steps = NEEDS.iter().enumerate().map(|(number, needs)| {
        let spec = serde_json::json!({"name": format!("s{number}"), "plugin": "p", "needs": needs});
        serde_json::from_value::<StepSpec>(spec).expect("a step")
    });
    Pipeline { name: versions.as_str().into(), versions, retention: Default::default(), steps: steps.collect() }
}
