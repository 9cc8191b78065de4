//! A length of time, for people: one way to say it, wherever it is said.

/// `950 ms`, `4.2 s`, `3 min 20 s`, `5 h 2 min`, `2 d 3 h`; what is nothing of the smaller unit is not told: `1 h`.
#[must_use]
pub fn duration(ms: i64) -> String {
    const SECOND: i64 = 1_000;
    const MINUTE: i64 = 60 * SECOND;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    match ms {
        ..SECOND => format!("{ms} ms"),
        SECOND..MINUTE => format!("{}.{} s", ms / SECOND, ms % SECOND / 100),
        MINUTE..HOUR => both(ms / MINUTE, "min", ms % MINUTE / SECOND, "s"),
        HOUR..DAY => both(ms / HOUR, "h", ms % HOUR / MINUTE, "min"),
        DAY.. => both(ms / DAY, "d", ms % DAY / HOUR, "h"),
    }
}

fn both(large: i64, large_unit: &str, small: i64, small_unit: &str) -> String {
    match small {
        0 => format!("{large} {large_unit}"),
        _ => format!("{large} {large_unit} {small} {small_unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_fitting_units() {
        let told: Vec<String> =
            [0, 950, 2_540, 59_999, 200_000, 3_599_700, 18_120_000, 86_399_999, 183_600_000].map(duration).into();
        let expected =
            ["0 ms", "950 ms", "2.5 s", "59.9 s", "3 min 20 s", "59 min 59 s", "5 h 2 min", "23 h 59 min", "2 d 3 h"];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_is_nothing_of_the_smaller_unit_is_not_told() {
        assert_eq!([60_000, 3_600_000, 3_659_999, 172_800_000].map(duration), ["1 min", "1 h", "1 h", "2 d"]);
    }
}
