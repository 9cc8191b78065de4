//! On what the letters of a page would go on: the version of their plugin that is active now, if they are all of one plugin. And
//! of which pipeline they are, so that their runs can be led to when the letters are gone.

use pawl_api::types::{DeadLetter, PluginDetail};

use super::{Which, letters_of};
use crate::plugins;
use crate::visit::Visit;

/// What is known of it; nothing where it can't be read.
#[derive(Default)]
pub(super) struct Target {
    pub(super) pipeline: Option<String>,
    pub(super) plugin: Option<PluginDetail>,
    /// Whether the newest letter died on a version that is not the active one.
    died_elsewhere: bool,
}

impl Target {
    /// Asked for before something is done: afterwards there may be no letter to learn it from.
    pub(super) async fn before(visit: &Visit, which: &Which) -> Self {
        match letters_of(visit, which).await {
            Ok(list) => Self::of(visit, which, &list.dead_letters).await,
            Err(_) => Self::default(),
        }
    }

    /// Of a pipeline there may be letters of many plugins: no version is named for these.
    pub(super) async fn of(visit: &Visit, which: &Which, letters: &[DeadLetter]) -> Self {
        if let Which::Pipeline(pipeline) = which {
            return Self { pipeline: Some(pipeline.clone()), ..Self::default() };
        }
        let plugin = match only_plugin(letters) {
            Some(plugin) => visit.read::<PluginDetail>(&format!("/v1{}", plugins::path(plugin))).await.ok(),
            None => None,
        };
        Self::new(letters, plugin)
    }

    pub(super) fn new(letters: &[DeadLetter], plugin: Option<PluginDetail>) -> Self {
        let newest = letters.first();
        let died_elsewhere = newest.and_then(|letter| letter.died_on.as_ref()).is_some_and(|on| !on.active);
        Self { pipeline: newest.map(|letter| letter.pipeline.clone()), plugin, died_elsewhere }
    }

    /// `pricing 1.4.0`, if that is what the active version comes to for them.
    pub(super) fn active(&self) -> Option<String> {
        let plugin = self.plugin.as_ref().filter(|_| !self.is_named())?;
        plugin.active_version.as_ref().map(|version| format!("{} {version}", plugin.name))
    }

    /// Whether the pipeline names a version, so that its steps get that, whichever is active.
    fn is_named(&self) -> bool {
        let mut users = self.plugin.iter().flat_map(|plugin| &plugin.used_by);
        users.any(|user| Some(&user.pipeline) == self.pipeline.as_ref() && user.version.is_some())
    }

    /// Whether the active version is what helps: on the one that they died on they would only die again.
    pub(super) fn is_better(&self) -> bool {
        let has_active = self.plugin.as_ref().is_none_or(|plugin| plugin.active_version.is_some());
        self.died_elsewhere && has_active && !self.is_named()
    }

    /// What is chosen by one tick: the active version, by its name if that is known.
    pub(super) fn choice(&self) -> String {
        match self.active() {
            Some(active) => format!("on {active}, which is active now"),
            None => "on the versions that are active now".to_owned(),
        }
    }

    /// On what they go on, as it was asked for.
    pub(super) fn on(&self, latest: bool) -> String {
        match (latest, self.active()) {
            (true, Some(active)) => format!("on {active}"),
            (true, None) => "on the versions that are active now".to_owned(),
            (false, _) => "on the versions that they have".to_owned(),
        }
    }
}

/// The plugin of all of them, if it is one.
fn only_plugin(letters: &[DeadLetter]) -> Option<&str> {
    let mut plugins = letters.iter().filter_map(|letter| letter.died_on.as_ref()).map(|on| &*on.plugin);
    let first = plugins.next()?;
    plugins.all(|plugin| plugin == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn letter(plugin: &str, version: &str, active: bool) -> DeadLetter {
        let digest = pawl_domain::id::Digest::of(version.as_bytes());
        serde_json::from_value(json!({
            "run": "01890000-0000-7000-8000-000000000000", "step": "price", "pipeline": "orders", "state": "failed",
            "cause": "c", "group": "g", "died_at_ms": 1,
            "died_on": {"plugin": plugin, "version": version, "active": active, "component": digest},
        }))
        .unwrap()
    }

    /// `pricing` with an active version, used by `orders`, which names a version or not.
    fn pricing(named: &Value) -> PluginDetail {
        let mut user = json!({"pipeline": "orders", "steps": 1});
        if !named.is_null() {
            user["version"] = named.clone();
        }
        serde_json::from_value(json!({
            "name": "pricing", "active_version": "1.4.0", "previous_version": null, "versions": [], "used_by": [user],
            "more_pipelines": false, "looked_runs": 0, "more_runs": false,
        }))
        .unwrap()
    }

    #[test]
    fn after_a_rollback_the_active_version_is_chosen_by_its_name() {
        let target = Target::new(&[letter("pricing", "1.5.0", false)], Some(pricing(&Value::Null)));
        assert!(target.is_better());
        assert_eq!(target.choice(), "on pricing 1.4.0, which is active now");
        assert_eq!(
            (target.on(true).as_str(), target.on(false).as_str()),
            ("on pricing 1.4.0", "on the versions that they have")
        );
        let there = Target::new(&[letter("pricing", "1.4.0", true)], Some(pricing(&Value::Null)));
        assert!(!there.is_better() && there.active().is_some());
    }

    #[test]
    fn no_version_is_named_that_is_not_known_to_be_theirs() {
        let letters = [letter("pricing", "1.5.0", false)];
        for (plugin, is_better) in [(None, true), (Some(pricing(&json!("1.5.0"))), false)] {
            let target = Target::new(&letters, plugin);
            assert_eq!((target.is_better(), target.active()), (is_better, None));
            assert_eq!(target.choice(), "on the versions that are active now");
        }
        assert_eq!(only_plugin(&letters), Some("pricing"));
        assert_eq!(only_plugin(&[letter("pricing", "1", true), letter("tax", "1", true)]), None);
        assert_eq!(only_plugin(&[]), None);
    }
}
