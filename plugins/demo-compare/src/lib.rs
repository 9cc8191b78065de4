//! The join of the demo: sets two cities side by side. Its input is an object by step name, since it needs
//! two steps.

use std::collections::BTreeMap;

use pawl_sdk::{Context, Failure, step};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
struct City {
    city: String,
    report_url: String,
    days: Vec<DayMean>,
    /// Everything else that is known of it goes into the report as it is.
    #[serde(flatten)]
    facts: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct DayMean {
    date: String,
    mean: f64,
}

#[derive(Serialize)]
struct Output {
    report_url: String,
    report: Report,
}

#[derive(Debug, PartialEq, Serialize)]
struct Report {
    /// By the city's name.
    cities: BTreeMap<String, BTreeMap<String, Value>>,
    days_compared: usize,
    /// By the city's name: on how many days it was the warmer one.
    warmer_days: BTreeMap<String, usize>,
    /// By the city's name: the day on which it was warmer by the most.
    warmest_lead: BTreeMap<String, Lead>,
    months: Vec<Month>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Lead {
    date: String,
    by: f64,
}

#[derive(Debug, PartialEq, Serialize)]
struct Month {
    /// For example `2010-07`.
    month: String,
    /// By the city's name: the mean of its daily means.
    mean: BTreeMap<String, f64>,
}

/// Compares two cities day by day and month by month.
#[step]
fn compare(_: &mut Context, input: BTreeMap<String, City>) -> Result<Output, Failure> {
    let cities: Vec<City> = input.into_values().collect();
    let [first, second]: [City; 2] =
        cities.try_into().map_err(|cities: Vec<City>| Failure::fatal(format!("{} cities, not two", cities.len())))?;
    Ok(Output { report_url: first.report_url.clone(), report: report(first, second) })
}

fn report(first: City, second: City) -> Report {
    let means: BTreeMap<&str, f64> = second.days.iter().map(|day| (day.date.as_str(), day.mean)).collect();
    let both = |day: &DayMean| means.get(day.date.as_str()).map(|other| (day.date.clone(), day.mean, *other));
    let pairs: Vec<(String, f64, f64)> = first.days.iter().filter_map(both).collect();

    let mut report = Report {
        days_compared: pairs.len(),
        months: months(&first.city, &second.city, &pairs),
        cities: BTreeMap::new(),
        warmer_days: BTreeMap::new(),
        warmest_lead: BTreeMap::new(),
    };
    let leads = |sign: f64| pairs.iter().map(move |(date, one, other)| (date, (one - other) * sign));
    for (city, leads) in [(&first, leads(1.0)), (&second, leads(-1.0))] {
        let ahead: Vec<_> = leads.filter(|(_, by)| *by > 0.0).collect();
        report.warmer_days.insert(city.city.clone(), ahead.len());
        let most = ahead.iter().max_by(|one, other| one.1.total_cmp(&other.1));
        if let Some((date, by)) = most {
            report.warmest_lead.insert(city.city.clone(), Lead { date: (*date).clone(), by: round(*by) });
        }
    }
    report.cities = [first, second].into_iter().map(|city| (city.city, city.facts)).collect();
    report
}

fn months(first: &str, second: &str, pairs: &[(String, f64, f64)]) -> Vec<Month> {
    let same = |one: &(String, f64, f64), other: &(String, f64, f64)| one.0.get(..7) == other.0.get(..7);
    let month = |days: &[(String, f64, f64)]| {
        let mean = |sum: f64| round(sum / days.len() as f64);
        Month {
            month: days[0].0.get(..7).unwrap_or_default().to_owned(),
            mean: BTreeMap::from([
                (first.to_owned(), mean(days.iter().map(|day| day.1).sum())),
                (second.to_owned(), mean(days.iter().map(|day| day.2).sum())),
            ]),
        }
    };
    pairs.chunk_by(same).map(month).collect()
}

/// To two decimals.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use pawl_sdk::testing::{Host, json};

    use super::*;

    #[test]
    fn it_takes_two_cities_and_asks_nothing() {
        let city = |name: &str| json!({ "city": name, "report_url": "http://a/", "days": [], "rows": 0 });
        let run = Host::new().crash_everywhere(compare, json!({ "means-a": city("A"), "means-b": city("B") }));
        assert_eq!((run.output().report_url.as_str(), run.calls().len()), ("http://a/", 0));
        let run = Host::new().run(compare, json!({ "means-a": city("A") }));
        assert_eq!(run.failure().to_string(), "1 cities, not two");
    }

    fn city(name: &str, days: &[(&str, f64)]) -> City {
        City {
            city: name.to_owned(),
            report_url: String::new(),
            days: days.iter().map(|(date, mean)| DayMean { date: (*date).to_owned(), mean: *mean }).collect(),
            facts: BTreeMap::from([("rows".to_owned(), Value::from(24))]),
        }
    }

    #[test]
    fn days_are_compared_by_date_and_ties_belong_to_nobody() {
        let north =
            city("North", &[("2010-01-30", 40.0), ("2010-01-31", 50.0), ("2010-02-01", 42.0), ("2010-02-02", 9.0)]);
        let south =
            city("South", &[("2010-01-30", 45.5), ("2010-01-31", 50.0), ("2010-02-01", 41.0), ("2010-02-03", 9.0)]);
        let report = report(north, south);
        assert_eq!(report.days_compared, 3);
        assert_eq!(report.warmer_days, BTreeMap::from([("North".to_owned(), 1), ("South".to_owned(), 1)]));
        assert_eq!(report.warmest_lead["South"], Lead { date: "2010-01-30".to_owned(), by: 5.5 });
        assert_eq!(report.months.len(), 2);
        assert_eq!((report.months[0].mean["North"], report.months[0].mean["South"]), (45.0, 47.75));
        assert_eq!(report.cities["North"]["rows"], 24);
    }
}
