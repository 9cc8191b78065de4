//! What somebody outside does to a run: read without a lock ([`known`]), decided in `domain`, and applied by one call
//! that does so only if the run is still as it was read ([`apply`]).

use async_trait::async_trait;
use pawl_domain::decision::Verb;
use pawl_domain::id::RunId;
use sqlx::PgConnection;

use super::Postgres;
use crate::control::{Control, Done};
use crate::{Error, Result, within};

mod apply;
mod known;

/// How often it is decided anew because the run has moved, before the run is held still.
const ATTEMPTS: u32 = 3;

#[async_trait]
impl Control for Postgres {
    async fn act(&self, run: RunId, verb: Verb) -> Result<Done> {
        let acting = async {
            let mut conn = self.pool.lend().await?;
            for _ in 0..ATTEMPTS {
                if let Some(done) = attempt(&mut conn, run, &verb).await? {
                    conn.done();
                    return Ok(done);
                }
            }
            conn.done();
            self.act_while_it_stands_still(run, &verb).await
        };
        within(self.pool.patience().saturating_mul(ATTEMPTS), acting).await
    }
}

impl Postgres {
    /// A run of thousands of steps moves in every commit of its workers, and a person must be able to stop it all the
    /// same. So the last attempt holds its row, for three round trips: the only transaction that waits for its client,
    /// which the session's time limits end if the client is lost.
    async fn act_while_it_stands_still(&self, run: RunId, verb: &Verb) -> Result<Done> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("select from run where id = $1 for no key update").bind(run.0).execute(&mut *transaction).await?;
        let done = attempt(&mut transaction, run, verb).await?;
        transaction.commit().await?;
        done.ok_or_else(|| Error::Conflict(format!("run {run} has moved under its lock")))
    }
}

/// None if the run has moved since it was read.
async fn attempt(conn: &mut PgConnection, run: RunId, verb: &Verb) -> Result<Option<Done>> {
    let known = known::read(conn, run, &verb.look()).await?;
    let changes = verb.decide(known)?;
    if changes.are_none() {
        return Ok(Some(Done::default()));
    }
    let ready = apply::apply(conn, run, &changes).await?;
    Ok(ready.map(|ready| Done { is_new: true, ready }))
}
