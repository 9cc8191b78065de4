//! Times and lengths of time, as people read them.

use std::time::{SystemTime, UNIX_EPOCH};

use maud::{Markup, html};
pub(super) use pawl_base::duration;

const SECOND: i64 = 1_000;
const DAY: i64 = 86_400 * SECOND;

/// Ms since 1970, by this machine's clock.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// How long ago, with the time itself for whoever points at it.
pub(super) fn ago(at_ms: i64, now_ms: i64) -> Markup {
    html! { time datetime=(iso(at_ms)) title=(plain(at_ms)) { (rough((now_ms - at_ms).max(0))) " ago" } }
}

/// How long a step took, or takes; `–` if it has not begun, or if its begin and end were written in one transaction, and so have
/// one time.
pub(super) fn took(started_at_ms: Option<i64>, ended_at_ms: Option<i64>, now_ms: i64) -> String {
    match (started_at_ms, ended_at_ms) {
        (Some(started), Some(ended)) if ended <= started => "–".to_owned(),
        (Some(started), ended) => duration((ended.unwrap_or(now_ms) - started).max(0)),
        (None, _) => "–".to_owned(),
    }
}

/// The time itself.
pub(super) fn at(at_ms: i64) -> Markup {
    html! { time datetime=(iso(at_ms)) title=(plain(at_ms)) { (plain(at_ms).split_at(11).1) } }
}

/// A length of time in one unit: `42 s`, `3 min`, `5 h`, `12 d`.
pub(super) fn rough(ms: i64) -> String {
    const MINUTE: i64 = 60 * SECOND;
    const HOUR: i64 = 60 * MINUTE;
    match ms {
        ..SECOND => "0 s".to_owned(),
        SECOND..MINUTE => format!("{} s", ms / SECOND),
        MINUTE..HOUR => format!("{} min", ms / MINUTE),
        HOUR..DAY => format!("{} h", ms / HOUR),
        DAY.. => format!("{} d", ms / DAY),
    }
}

/// `2026-11-30T06:15:58.123Z`.
pub(super) fn iso(at_ms: i64) -> String {
    format!("{}Z", plain(at_ms).trim_end_matches(" UTC").replace(' ', "T"))
}

/// `2026-11-30 06:15:58.123 UTC`.
fn plain(at_ms: i64) -> String {
    let (days, ms) = (at_ms.div_euclid(DAY), at_ms.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{:03} UTC", ms % 1_000)
}

/// Year, month and day of a day since 1970. <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// A time of UTC as a field of a form has it, `2026-11-30T06:15` with seconds or without, in ms since 1970.
pub(super) fn from_utc(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next().unwrap_or(Some(0))?);
    let is_time = (1_970..=9_999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..60).contains(&second);
    is_time.then(|| days(year, month, day) * DAY + ((hour * 60 + minute) * 60 + second) * SECOND)
}

/// Days from 1970 to that one. <https://howardhinnant.github.io/date_algorithms.html#days_from_civil>
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (ms, said) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_796_019_358_123, "2026-11-30T06:15:58.123Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(iso(ms), said);
        }
    }

    #[test]
    fn a_step_that_was_written_at_once_does_not_read_as_if_it_took_no_time() {
        assert_eq!(took(None, None, 9), "–");
        assert_eq!(took(Some(5), Some(5), 9), "–");
        assert_eq!(took(Some(5), Some(7), 9), "2 ms");
        assert_eq!(took(Some(5), None, 9), "4 ms");
    }

    #[test]
    fn fields_of_forms_are_times_of_utc() {
        for (text, ms) in [
            ("1970-01-01T00:00", Some(0)),
            ("2000-02-29T00:00:00", Some(951_782_400_000)),
            ("2026-11-30T06:15:58", Some(1_796_019_358_000)),
            ("9999-12-31T23:59", Some(253_402_300_740_000)),
            ("2026-13-30T06:15", None),
            ("2026-11-30", None),
            ("yesterday", None),
        ] {
            assert_eq!(from_utc(text), ms, "{text}");
        }
    }

    #[test]
    fn ages_have_one_unit() {
        let told: Vec<String> = [0, 59_999, 60_000, 3_599_999, 7_200_000, 200_000_000].map(rough).into();
        assert_eq!(told, ["0 s", "59 s", "1 min", "59 min", "2 h", "2 d"]);
    }
}
