//! Two roles: one owns the schema and changes it, the other works in it. What the second may do is granted here, by the first.

use sqlx::AssertSqlSafe;

use super::Postgres;
use crate::{Error, Result, within};

/// Rows that say what the database is: whoever works in it reads them.
const READ_ONLY: [&str; 3] = ["_sqlx_migrations", "installation", "works_with"];

/// The statements that grant it, for what the session's own role owns in the schema; nothing of anybody else's.
const GRANTS: &str = "
    with mine as (
        select c.oid::regclass::text as name, relkind, relname from pg_class c
        where relnamespace = current_schema()::regnamespace and relowner = current_user::regrole),
    routines as (
        select p.oid::regprocedure::text as name from pg_proc p
        where pronamespace = current_schema()::regnamespace and proowner = current_user::regrole)
    select format('grant usage on schema %I to %I', current_schema(), $1)
    union all select format('grant select on %s to %I', string_agg(name, ', '), $1) from mine where relkind in ('r', 'p', 'v')
    union all select format('grant insert, update, delete on %s to %I', string_agg(name, ', '), $1)
        from mine where relkind in ('r', 'p') and relname <> all ($2)
    union all select format('grant usage on sequence %s to %I', string_agg(name, ', '), $1)
        from mine where relkind = 'S' having count(*) > 0
    union all select format('grant execute on routine %s to %I', string_agg(name, ', '), $1) from routines";

impl Postgres {
    /// Lets another role work in the schema, and change nothing of it. To be called again after each migration, which may have
    /// brought tables.
    ///
    /// # Errors
    /// [`Error::Config`] if it is the session's own role, else as the database says.
    pub async fn let_work(&self, role: &str) -> Result<()> {
        let granting = async {
            let mut own = self.connect().await?;
            let is_own: bool = sqlx::query_scalar("select current_user = $1").bind(role).fetch_one(&mut own).await?;
            if is_own {
                return Err(Error::Config(format!(
                    "{role} is the role of database_url, which owns the schema: the other one is to be named"
                )));
            }
            let grants: Vec<String> = sqlx::query_scalar(GRANTS)
                .bind(role)
                .bind(READ_ONLY.map(str::to_owned).to_vec())
                .fetch_all(&mut own)
                .await?;
            Ok(sqlx::raw_sql(AssertSqlSafe(grants.join(";\n"))).execute(&mut own).await.map(drop)?)
        };
        within(self.pool.patience(), granting).await
    }
}
