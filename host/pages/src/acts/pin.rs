//! On which component a parked step goes on: the one that it has, the active one, or any version of its plugin that is there,
//! first the one that recorded its journal. With what each comes to, since a step that has left its journal leaves it again on the
//! component that it has.

use maud::{Markup, html};
use pawl_api::types::{Plugin, PluginList, PluginVersion, Problem, Step, StepStatus};
use pawl_domain::attempt::Divergence;
use pawl_domain::id::Digest;

use super::known::RESUME_STEP;
use crate::run::divergence;
use crate::said;
use crate::visit::Visit;
use crate::words::cut;

/// Versions that are offered, and letters of a version's name.
const OFFERED: usize = 12;
const NAME: usize = 40;

/// The plugins with their versions, where somebody may choose one; or why they can't be had.
pub(crate) struct Versions(Result<Vec<Plugin>, Problem>);

impl Versions {
    /// Asked for where one of these steps is parked and the visitor may let it go on.
    pub(crate) async fn of(visit: &Visit, steps: &[Step]) -> Self {
        let is_parked = steps.iter().any(|step| step.status == StepStatus::Parked);
        if !is_parked || !visit.may(&RESUME_STEP.method(), RESUME_STEP.route) {
            return Self(Ok(Vec::new()));
        }
        Self(visit.read::<PluginList>("/v1/plugins").await.map(|list| list.plugins))
    }

    /// The field by which one is chosen.
    pub(super) fn choice(&self, step: &Step) -> Markup {
        let divergence = divergence::of_step(step);
        let plugin = self.0.iter().flatten().find(|plugin| plugin.name == step.plugin);
        let choices = Choices::of(step.component, divergence.as_ref(), plugin);
        html! {
            (choices.field(&step.plugin))
            p class="muted" { (choices.come_to()) }
            @if let Err(problem) = &self.0 { (said::unread("The plugin’s versions", problem, true)) }
        }
    }
}

/// What a step may go on with.
struct Choices<'a> {
    divergence: Option<&'a Divergence>,
    /// The version that it has, the active one, and the one that recorded the journal which another has left; each if it is there.
    has: Option<&'a PluginVersion>,
    active: Option<&'a PluginVersion>,
    recorder: Option<&'a PluginVersion>,
    /// Others than the one that it has, each component once: the recorder first, else the newest first.
    versions: Vec<&'a PluginVersion>,
}

impl<'a> Choices<'a> {
    fn of(has: Option<Digest>, divergence: Option<&'a Divergence>, plugin: Option<&'a Plugin>) -> Self {
        let all: &'a [PluginVersion] = plugin.map_or(&[], |plugin| &plugin.versions);
        let with = |digest: Digest| all.iter().find(|version| version.digest == digest);
        let active = plugin.and_then(|plugin| plugin.active_version.as_ref());
        let active = active.and_then(|active| all.iter().find(|version| version.version == *active));
        let recorder = divergence.and_then(Divergence::by_another).and_then(with);
        let mut versions: Vec<&PluginVersion> = Vec::new();
        for version in recorder.into_iter().chain(all) {
            if Some(version.digest) != has && versions.iter().all(|known| known.digest != version.digest) {
                versions.push(version);
            }
        }
        versions.truncate(OFFERED);
        Self { divergence, has: has.and_then(with), active, recorder, versions }
    }

    fn field(&self, plugin: &str) -> Markup {
        let chosen = self.chosen();
        let named =
            |version: Option<&PluginVersion>| version.map(|version| format!(", {}", cut(&version.version, NAME)));
        html! {
            label { "On"
                select name="on" {
                    option value="pinned" selected[chosen == "pinned"] { "the version that it has" (named(self.has).unwrap_or_default()) }
                    option value="latest" selected[chosen == "latest"] { "the version that is active now" (named(self.active).unwrap_or_default()) }
                    @if !self.versions.is_empty() {
                        optgroup label={ "another version of " (plugin) } {
                            @for version in &self.versions {
                                @let digest = version.digest.short();
                                option value=(digest) selected[chosen == digest] { (self.label(version)) }
                            }
                        }
                    }
                }
            }
        }
    }

    fn label(&self, version: &PluginVersion) -> String {
        let is = |other: Option<&PluginVersion>| other.is_some_and(|other| other.digest == version.digest);
        let more = match (is(self.recorder), is(self.active)) {
            (true, true) => ", which recorded it and is active",
            (true, false) => ", which recorded it",
            (false, true) => ", which is active",
            (false, false) => "",
        };
        format!("{}{more}", cut(&version.version, NAME))
    }

    /// Whether the active version is the one that has left the journal.
    fn has_active_left(&self) -> bool {
        let left = self.divergence.and_then(|divergence| divergence.component);
        left.is_some() && left == self.active.map(|active| active.digest)
    }

    /// What is chosen beforehand, as it is asked for: never what would only leave the journal again, if there is another.
    fn chosen(&self) -> String {
        match self.recorder {
            Some(recorder) => recorder.digest.short(),
            None if self.divergence.is_some() && self.active.is_some() && !self.has_active_left() => {
                "latest".to_owned()
            }
            None => "pinned".to_owned(),
        }
    }

    fn come_to(&self) -> String {
        let Some(divergence) = self.divergence else {
            return "On the version that it has it goes on as it is. On another it goes on if that makes the same calls as are \
                    recorded; if not, it is parked again."
                .to_owned();
        };
        let active = if self.has_active_left() {
            "So it would on the active version, which is the same one."
        } else {
            "On the active one it goes on if that makes the calls that are recorded."
        };
        let recorder = match (divergence.by_another(), self.recorder) {
            (Some(_), Some(_)) => " On the one that recorded the journal it goes on; no other step is moved to that.",
            (Some(_), None) if self.has.is_some() => " The one that recorded the journal is not there any more.",
            _ => "",
        };
        format!("On the version that it has it would leave the journal again, at the same place. {active}{recorder}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn digest(version: &str) -> Digest {
        Digest::of(version.as_bytes())
    }

    /// Versions as they were pushed, the newest first; `2.4.1` is the component of `2.4.0`, under another name.
    fn plugin(active: &str, versions: &[&str]) -> Plugin {
        let version = |name: &&str| {
            let of = if *name == "2.4.1" { "2.4.0" } else { *name };
            json!({"version": name, "digest": digest(of), "size_bytes": 1, "manifest": {}, "created_at_ms": 1})
        };
        let versions: Vec<_> = versions.iter().map(version).collect();
        serde_json::from_value(json!({"name": "fx", "active_version": active, "versions": versions})).unwrap()
    }

    fn left(component: &str, recorded_by: &str) -> Divergence {
        Divergence {
            position: 4,
            expected: None,
            actual: "durable.now()".into(),
            difference: None,
            component: Some(digest(component)),
            recorded_by: Some(digest(recorded_by)),
            backtrace: None,
            restored: None,
        }
    }

    #[test]
    fn a_step_that_has_left_its_journal_is_offered_the_version_that_recorded_it() {
        let (plugin, divergence) =
            (plugin("2.4.0", &["2.4.1", "2.4.0", "2.3.1", "2.3.0", "2.2.0"]), left("2.4.0", "2.3.0"));
        let choices = Choices::of(Some(digest("2.4.0")), Some(&divergence), Some(&plugin));
        let labels: Vec<String> = choices.versions.iter().map(|version| choices.label(version)).collect();
        assert_eq!(labels, ["2.3.0, which recorded it", "2.3.1", "2.2.0"]);
        assert_eq!(choices.chosen(), digest("2.3.0").short());
        let field = choices.field("fx").into_string();
        let option =
            format!("<option value=\"{}\" selected>2.3.0, which recorded it</option>", digest("2.3.0").short());
        assert!(field.contains(&option) && field.matches(" selected").count() == 1, "{field}");
        let words = choices.come_to();
        assert!(
            words.contains("at the same place. So it would on the active version") && words.ends_with("to that."),
            "{words}"
        );
    }

    #[test]
    fn where_the_recorder_is_gone_nothing_is_chosen_that_would_only_leave_the_journal_again() {
        let divergence = left("2.4.0", "2.3.0");
        let chosen = |active: &str, versions: &[&str]| {
            let plugin = plugin(active, versions);
            let choices = Choices::of(Some(digest("2.4.0")), Some(&divergence), Some(&plugin));
            assert!(choices.come_to().contains("is not there any more"), "{}", choices.come_to());
            choices.chosen()
        };
        assert_eq!(chosen("2.2.0", &["2.4.0", "2.2.0"]), "latest");
        assert_eq!(chosen("2.4.0", &["2.4.0", "2.2.0"]), "pinned", "the active one is the same");
    }

    #[test]
    fn without_a_divergence_or_without_versions_a_step_goes_on_as_it_is() {
        let plugin = plugin("2", &["2", "1"]);
        let poisoned = Choices::of(Some(digest("2")), None, Some(&plugin));
        assert_eq!((&*poisoned.chosen(), poisoned.versions.len()), ("pinned", 1));
        let divergence = left("2", "1");
        let unread = Choices::of(Some(digest("2")), Some(&divergence), None);
        assert_eq!((&*unread.chosen(), unread.versions.len()), ("pinned", 0));
        assert!(!unread.come_to().contains("any more") && !unread.field("fx").into_string().contains("optgroup"));
    }

    #[test]
    fn names_are_text_and_versions_are_bounded() {
        let names: Vec<String> =
            (0..100).map(|number| format!("</option><script>{number}{}", "x".repeat(500))).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let plugin = plugin("0", &names);
        let field = Choices::of(None, None, Some(&plugin)).field("</select><script>").into_string();
        assert!(!field.contains("<script") && field.len() < 3_000, "{} bytes: {field}", field.len());
    }
}
