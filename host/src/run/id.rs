//! Ids of runs as people type them: whole, or their first digits where these are enough.

use anyhow::bail;
use pawl_api::client::Client;
use pawl_api::types::RunList;
use pawl_domain::id::RunId;

use crate::exit::{End, not_found};

/// Fewer digits name a time of days.
const FEWEST_DIGITS: usize = 4;

/// Runs that are named where several begin so.
const NAMED: &str = "5";

/// A mistyped id is told here, before anything is asked.
pub(crate) fn run_id(text: &str) -> Result<String, String> {
    if let Ok(id) = text.parse::<RunId>() {
        return Ok(id.to_string());
    }
    let digits = text.chars().filter(|c| *c != '-').count();
    let is_beginning = text.chars().all(|c| c.is_ascii_hexdigit() || c == '-') && (FEWEST_DIGITS..32).contains(&digits);
    if is_beginning {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(format!(
            "a run's id looks like 0199b2c4-6e1f-7c3a-9d52-7f0a1b2c3d4e; {FEWEST_DIGITS} of its first digits are enough if no other run's begins so"
        ))
    }
}

/// Makes a whole id of its first digits.
pub(crate) async fn complete(run: &mut String, client: &Client) -> anyhow::Result<()> {
    if run.parse::<RunId>().is_ok() {
        return Ok(());
    }
    let found: RunList = client.get(&["v1", "runs"], &[("id", run), ("limit", NAMED)]).await?;
    match found.runs.as_slice() {
        [one] => {
            *run = one.id.to_string();
            Ok(())
        }
        [] => Err(not_found(format!("there is no run whose id begins with {run}"))),
        several => {
            let named: Vec<String> = several.iter().map(|run| format!("{} ({})", run.id, run.pipeline)).collect();
            bail!(End::Usage(format!("several runs begin with {run}, give more digits: {}", named.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_digits_are_taken_and_what_is_no_id_is_told() {
        assert_eq!(
            run_id("0199B2C4-6e1f-7c3a-9d52-7f0a1b2c3d4e").as_deref(),
            Ok("0199b2c4-6e1f-7c3a-9d52-7f0a1b2c3d4e")
        );
        assert_eq!(run_id("0199B2C4-6e").as_deref(), Ok("0199b2c4-6e"));
        for wrong in ["019", "temperatures", "0199b2c4-6e1f-7c3a-9d52-7f0a1b2c3d4e5", ""] {
            assert!(run_id(wrong).is_err(), "{wrong}");
        }
    }
}
