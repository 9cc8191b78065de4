//! What is set of traces, put together: nothing is sent unless somebody names a collector.

use pawl_domain::trace::Sampler;
use pawl_traces::Config;

/// The standard's samplers, by their names.
pub(super) const SAMPLERS: &[&str] = &[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// What a sampler's name begins with that goes by the trace which a request belongs to.
const BY_PARENT: &str = "parentbased_";

/// Where OTLP's receiver for traces is below a collector's address.
const PATH: &str = "/v1/traces";

/// The values of these settings.
#[derive(Debug, Clone)]
pub(super) struct Traces {
    pub(super) on: bool,
    pub(super) url: Option<String>,
    pub(super) headers: Option<String>,
    pub(super) service: String,
    pub(super) resource: Option<String>,
    pub(super) sampler: String,
    pub(super) ratio: String,
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            on: true,
            url: None,
            headers: None,
            service: "pawl".to_owned(),
            resource: None,
            sampler: "parentbased_always_on".to_owned(),
            ratio: "1".to_owned(),
        }
    }
}

impl Traces {
    /// All of it; `None` if no spans are sent.
    ///
    /// # Errors
    /// What is wrong, and how it looks.
    pub(super) fn config(&self) -> Result<Option<Config>, String> {
        let Some(url) = self.url.clone().filter(|_| self.on) else { return Ok(None) };
        if !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(
                "traces_url is no URL that begins with http:// or https://: spans are sent by OTLP over HTTP".into()
            );
        }
        let pairs = |text: &Option<String>, name: &str| {
            Config::pairs(text.as_deref().unwrap_or_default()).map_err(|misread| format!("{name}: {misread}"))
        };
        Ok(Some(Config {
            url,
            headers: pairs(&self.headers, "traces_headers")?,
            service: self.service.clone(),
            resource: pairs(&self.resource, "traces_resource")?,
            sampler: sampler(&self.sampler, &self.ratio)?,
        }))
    }
}

fn sampler(name: &str, ratio: &str) -> Result<Sampler, String> {
    let by_parent = name.starts_with(BY_PARENT);
    let ratio = match name.trim_start_matches(BY_PARENT) {
        "always_on" => 1.0,
        "always_off" => 0.0,
        _ => {
            let ratio = ratio.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
            ratio.ok_or("traces_ratio is a number from 0 to 1, for example 0.1")?
        }
    };
    Ok(Sampler { ratio, by_parent })
}

/// The receiver's address, by the collector's.
pub(super) fn receiver(collector: &str) -> String {
    format!("{}{PATH}", collector.trim_end_matches('/'))
}

/// What is on if the other is off.
pub(super) fn not(text: &str) -> String {
    (!text.eq_ignore_ascii_case("true")).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_samplers_are_known_by_their_names() {
        for (name, ratio, by_parent) in [
            ("always_on", 1.0, false),
            ("always_off", 0.0, false),
            ("traceidratio", 0.25, false),
            ("parentbased_always_on", 1.0, true),
            ("parentbased_always_off", 0.0, true),
            ("parentbased_traceidratio", 0.25, true),
        ] {
            assert!(SAMPLERS.contains(&name));
            assert_eq!(sampler(name, "0.25"), Ok(Sampler { ratio, by_parent }), "{name}");
        }
        for wrong in ["", "2", "-1", "NaN", "many"] {
            assert!(sampler("traceidratio", wrong).is_err(), "{wrong}");
            assert!(sampler("always_on", wrong).is_ok(), "nobody asks for it");
        }
    }

    #[test]
    fn nothing_is_sent_unless_there_is_where_to() {
        let to = |url: Option<&str>| Traces { url: url.map(str::to_owned), ..Traces::default() };
        assert!(to(None).config().expect("nothing is wrong").is_none());
        let off = Traces { on: false, ..to(Some("http://collector:4318/v1/traces")) };
        assert!(off.config().expect("nothing is wrong").is_none());
        let on = to(Some("http://collector:4318/v1/traces")).config().expect("nothing is wrong").expect("it is on");
        assert_eq!((on.url.as_str(), on.service.as_str()), ("http://collector:4318/v1/traces", "pawl"));
        assert!(to(Some("collector:4317")).config().is_err());
        let wrong = Traces { headers: Some("token".to_owned()), ..to(Some("http://collector")) };
        let said = wrong.config().expect_err("no pair");
        assert!(said.starts_with("traces_headers") && !said.contains("token"), "{said}");
    }
}
