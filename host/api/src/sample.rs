//! Runs whose steps are read together: the newest ones, as many as are asked for, and no more than cost little.

use std::collections::HashSet;

use pawl_store::runs::RunRow;

/// Steps that are read, and versions of pipelines that name them. A run that is larger is read alone.
const STEPS: u64 = 10_000;
const VERSIONS: usize = 20;

/// The newest of these runs, at most so many, and whether some were left out.
pub(super) fn newest(mut runs: Vec<RunRow>, most: u32) -> (Vec<RunRow>, bool) {
    runs.sort_by_key(|run| std::cmp::Reverse((run.created_at_ms, run.id.0)));
    let (mut steps, mut versions) = (0, HashSet::new());
    let is_cheap = |(number, run): &(usize, &RunRow)| {
        steps += u64::from(run.step_count);
        versions.insert(run.pipeline_digest);
        *number == 0 || (*number < most as usize && steps <= STEPS && versions.len() <= VERSIONS)
    };
    let read = runs.iter().enumerate().take_while(is_cheap).count();
    let is_cut = read < runs.len();
    runs.truncate(read);
    (runs, is_cut)
}

#[cfg(test)]
mod tests {
    use pawl_domain::id::Digest;
    use pawl_domain::status::RunStatus;

    use super::*;

    fn run(created_at_ms: i64, step_count: u32, version: i64) -> RunRow {
        RunRow {
            pipeline_digest: Digest::of(&version.to_be_bytes()),
            step_count,
            created_at_ms,
            ..RunRow::example(RunStatus::Succeeded)
        }
    }

    fn read(runs: &[(i64, u32, i64)], most: u32) -> (Vec<i64>, bool) {
        let runs = runs.iter().map(|(at, steps, version)| run(*at, *steps, *version)).collect();
        let (runs, is_cut) = newest(runs, most);
        (runs.iter().map(|run| run.created_at_ms).collect(), is_cut)
    }

    #[test]
    fn the_newest_are_read_and_no_more_than_cost_little() {
        assert_eq!(read(&[(1, 3, 0), (3, 3, 0), (2, 3, 0)], 2), (vec![3, 2], true));
        assert_eq!(read(&[(1, 3, 0), (2, 3, 0)], 2), (vec![2, 1], false));
        assert_eq!(read(&[(1, 1, 0), (2, 40_000, 0)], 9), (vec![2], true), "a large one alone");
        assert_eq!(read(&[(1, 6_000, 0), (2, 4_000, 0), (3, 6_000, 0)], 9), (vec![3, 2], true));
        let many: Vec<_> = (0..30).map(|number| (number, 1, number)).collect();
        assert_eq!(read(&many, 30).0.len(), 20, "each of another version");
        assert_eq!(read(&[], 9), (vec![], false));
    }
}
