//! Versions of a pipeline, and what the current one takes.

use axum::Json;
use pawl_domain::name::Name;
use pawl_store::pipelines::{PipelineRow, Tenure};

use super::{detail, unknown};
use crate::problem::Result;
use crate::request::{Path, pipeline_name};
use crate::state::{AppState, step_name};
use crate::types::{InputSchema, PipelineDetail, PipelineInput, PipelineVersion, PipelineVersionList, Problem};
use crate::whose::Scoped;

/// Digits of a version that are enough, if they mean one. What people see are 12.
pub(crate) const FEWEST_DIGITS: usize = 6;

pub(crate) async fn list(Scoped(state): Scoped, Path(name): Path<String>) -> Result<Json<PipelineVersionList>> {
    let tenures = tenures(&state, &pipeline_name(&name)?).await?;
    let mut until_ms = None;
    let version = |Tenure { digest, step_count, since_ms }| {
        let version = PipelineVersion { digest, step_count, since_ms, until_ms };
        until_ms = Some(since_ms);
        version
    };
    Ok(Json(PipelineVersionList { versions: tenures.into_iter().map(version).collect() }))
}

/// A version is found by its digest among those of this pipeline, in this namespace: another one's is nobody's here.
pub(crate) async fn show(
    Scoped(state): Scoped,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<PipelineDetail>> {
    let name = pipeline_name(&name)?;
    let tenure = meant(&tenures(&state, &name).await?, &version).ok_or_else(|| {
        let digits = version.escape_debug();
        Problem::not_found(format!("pipeline `{}` has had no version `{digits}`, or it is gone", name.as_str()))
    })?;
    let pipeline = state.pipeline(tenure.digest).await?;
    let Tenure { digest, step_count, since_ms } = tenure;
    let row = PipelineRow { name: name.into(), digest, step_count, updated_at_ms: since_ms };
    detail(&state, row, &pipeline).await.map(Json)
}

/// What the first steps of the current version take, as a run that is submitted now is checked by.
pub(crate) async fn input(Scoped(state): Scoped, Path(name): Path<String>) -> Result<Json<PipelineInput>> {
    let name = pipeline_name(&name)?;
    let (row, pipeline) = state.store.pipeline(&state.namespace, name.as_str()).await.map_err(unknown)?;
    let first = state.store.first_steps(&state.namespace, name.as_str()).await?;
    let mut steps = Vec::new();
    for (number, component) in first.map_or_else(Vec::new, |first| first.components) {
        if let Some(schema) = &state.schemas_of(component).await?.input {
            steps.push(InputSchema { step: step_name(&pipeline, number), schema: schema.document().clone() });
        }
    }
    Ok(Json(PipelineInput { name: row.name, digest: row.digest, steps }))
}

async fn tenures(state: &AppState, name: &Name) -> Result<Vec<Tenure>> {
    state.store.tenures(&state.namespace, name.as_str()).await.map_err(unknown)
}

/// The version that begins with these digits, where it was current last; none if there are several.
fn meant(tenures: &[Tenure], digits: &str) -> Option<Tenure> {
    let mut meant =
        tenures.iter().filter(|it| digits.len() >= FEWEST_DIGITS && it.digest.to_string().starts_with(digits));
    let first = meant.next()?;
    meant.all(|other| other.digest == first.digest).then_some(*first)
}

#[cfg(test)]
mod tests {
    use pawl_domain::id::Digest;

    use super::*;

    #[test]
    fn a_version_is_meant_by_its_first_digits_where_they_mean_one() {
        let tenure = |digest: &str, since_ms| Tenure { digest: digest.parse().unwrap(), step_count: 1, since_ms };
        let (one, other) = ("ab12cd".to_owned() + &"0".repeat(58), "ab12cd".to_owned() + &"1".repeat(58));
        let tenures = [tenure(&one, 3), tenure(&other, 2), tenure(&one, 1)];
        let found = |digits: &str| meant(&tenures, digits).map(|it| it.since_ms);
        assert_eq!(found(&one), Some(3), "it was current twice");
        assert_eq!(found(&other[..7]), Some(2));
        assert_eq!([found("ab12cd"), found("ab12"), found(""), found("ffffff")], [None; 4]);
        assert_eq!(meant(&[], &Digest::of(b"x").to_string()), None);
    }
}
