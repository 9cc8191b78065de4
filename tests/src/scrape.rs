//! What a process tells at `/metrics`, read as strictly as Prometheus could: by its text format, version 0.0.4.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail, ensure};

use crate::Client;

type Labels = BTreeMap<String, String>;

/// All figures of one reading.
#[derive(Debug, Clone, Default)]
pub struct Scrape {
    series: BTreeMap<(String, Labels), f64>,
}

impl Scrape {
    /// Reads what is told at the client's address.
    ///
    /// # Errors
    /// If there is no answer, or it is not of the format.
    pub fn of(client: &Client) -> anyhow::Result<Self> {
        let answer = client.get("/metrics")?;
        let text = String::from_utf8(answer.body)?;
        ensure!(answer.status == 200, "status {}: {text}", answer.status);
        ensure!(answer.content_type.starts_with("text/plain; version=0.0.4"), "content type {}", answer.content_type);
        Self::parse(&text).with_context(|| text)
    }

    /// Reads the text.
    ///
    /// # Errors
    /// If it breaks a rule of the format.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        ensure!(text.is_empty() || text.ends_with('\n'), "the last line has no end");
        let mut all = Self::default();
        let (mut helped, mut types) = (BTreeSet::new(), BTreeMap::new());
        let mut family = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, _) = rest.split_once(' ').context("a name and its help")?;
                ensure!(helped.insert(name), "{name} has two helps");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').context("a name and its type")?;
                ensure!(["counter", "gauge", "histogram"].contains(&kind), "{name} is a {kind}");
                ensure!(helped.contains(name), "{name} has no help before its type");
                ensure!(types.insert(name, kind).is_none(), "{name} has two types, or stands in two places");
                family = name;
            } else {
                let (name, labels, value) = sample(line).with_context(|| format!("line {line:?}"))?;
                let part = name.strip_prefix(family).unwrap_or("-");
                let parts: &[&str] =
                    if types.get(family) == Some(&"histogram") { &["_bucket", "_sum", "_count"] } else { &[""] };
                ensure!(parts.contains(&part), "{name} stands below {family}");
                ensure!(!value.is_nan() && value >= 0.0, "{line}");
                ensure!(all.series.insert((name, labels), value).is_none(), "{line:?} stands there twice");
            }
        }
        all.check_histograms()?;
        Ok(all)
    }

    /// The sum of all series of that name which have these labels.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).map(|(_, value)| value).sum()
    }

    /// Whether there is such a series.
    #[must_use]
    pub fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.find(name, labels).next().is_some()
    }

    fn find<'a>(&'a self, name: &'a str, labels: &'a [(&str, &str)]) -> impl Iterator<Item = (&'a Labels, f64)> {
        let has = move |of: &Labels| labels.iter().all(|(label, value)| of.get(*label).is_some_and(|it| it == value));
        let found = self.series.iter().filter(move |((known, of), _)| known == name && has(of));
        found.map(|((_, labels), value)| (labels, *value))
    }

    /// Of each histogram, what is below a bound is below the next one; and all is below the last.
    fn check_histograms(&self) -> anyhow::Result<()> {
        let mut buckets: BTreeMap<(&str, Labels), Vec<(f64, f64)>> = BTreeMap::new();
        for ((name, labels), value) in &self.series {
            if let Some(family) = name.strip_suffix("_bucket") {
                let mut labels = labels.clone();
                let bound = number(&labels.remove("le").with_context(|| format!("{name} without a bound"))?)?;
                buckets.entry((family, labels)).or_default().push((bound, *value));
            }
        }
        for ((family, labels), mut buckets) in buckets {
            buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
            ensure!(buckets.is_sorted_by(|low, high| low.1 <= high.1), "{family} {labels:?}: {buckets:?}");
            let count = self.series.get(&(format!("{family}_count"), labels.clone()));
            let last = buckets.last().filter(|(bound, _)| bound.is_infinite()).map(|(_, count)| count);
            ensure!(
                count.is_some() && count == last,
                "{family} {labels:?} counts {count:?}, and {last:?} below its last bound"
            );
            ensure!(self.series.contains_key(&(format!("{family}_sum"), labels)), "{family} has no sum");
        }
        Ok(())
    }
}

/// `name{label="value",…} 1`
fn sample(line: &str) -> anyhow::Result<(String, Labels, f64)> {
    let (series, value) = line.rsplit_once(' ').context("a series and its value")?;
    let (name, rest) = series.split_at(series.find('{').unwrap_or(series.len()));
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    ensure!(is_name && !name.is_empty(), "{name:?} is no name");
    let mut labels = Labels::new();
    if !rest.is_empty() {
        let mut rest = rest.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).context("labels in braces")?;
        while !rest.is_empty() {
            let (label, quoted) = rest.split_once("=\"").context("a label and its value")?;
            let (value, after) = unquoted(quoted)?;
            ensure!(labels.insert(label.to_owned(), value).is_none(), "{label} stands there twice");
            rest = after.strip_prefix(',').unwrap_or(after);
        }
    }
    Ok((name.to_owned(), labels, number(value)?))
}

/// The text up to the closing quote, and what is behind it.
fn unquoted(text: &str) -> anyhow::Result<(String, &str)> {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.push(match chars.next().context("something after a backslash")?.1 {
                'n' => '\n',
                escaped @ ('\\' | '"') => escaped,
                other => bail!("\\{other} means nothing"),
            }),
            other => value.push(other),
        }
    }
    bail!("no closing quote")
}

fn number(text: &str) -> anyhow::Result<f64> {
    match text {
        "+Inf" => Ok(f64::INFINITY),
        _ => text.parse().with_context(|| format!("{text:?} is no number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "# HELP runs_total Runs.\n# TYPE runs_total counter\n\
                         runs_total{pipeline=\"a\",outcome=\"failed\"} 2\nruns_total{pipeline=\"\\\"b\\\\\\n\",outcome=\"failed\"} 3\n\
                         # HELP run_seconds Time.\n# TYPE run_seconds histogram\n\
                         run_seconds_bucket{le=\"1\"} 1\nrun_seconds_bucket{le=\"+Inf\"} 2\nrun_seconds_sum 2.5\nrun_seconds_count 2\n";

    #[test]
    fn what_is_sound_is_read() {
        let read = Scrape::parse(SOUND).unwrap();
        assert_eq!(read.sum("runs_total", &[("outcome", "failed")]), 5.0);
        assert_eq!(read.sum("runs_total", &[("pipeline", "\"b\\\n")]), 3.0);
        assert!(read.has("run_seconds_sum", &[]) && !read.has("run_seconds", &[]));
    }

    #[test]
    fn what_is_not_is_refused() {
        for (sound, broken, why) in [
            ("_count 2\n", "_count 2", "the last line"),
            ("# HELP runs_total Runs.\n", "", "no help"),
            ("# TYPE runs_total counter\n", "", "stands below"),
            ("runs_total counter", "runs_total summary", "summary"),
            ("pipeline=\"a\",outcome", "outcome=\"x\",outcome", "twice"),
            ("{pipeline=\"a\",outcome=\"failed\"} 2", "{pipeline=\"a\",outcome=\"failed\"} two", "no number"),
            ("\\\\\\n", "\\\\\\t", "means nothing"),
            ("{le=\"1\"} 1", "{le=\"1\"} 3", "run_seconds"),
            ("_count 2", "_count 3", "counts"),
            ("run_seconds_sum 2.5\n", "", "no sum"),
        ] {
            let text = SOUND.replace(sound, broken);
            assert_ne!(text, SOUND, "{sound}");
            let error = format!("{:#}", Scrape::parse(&text).expect_err(broken));
            assert!(error.contains(why), "{broken}: {error}");
        }
    }
}
