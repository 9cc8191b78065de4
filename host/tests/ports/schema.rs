//! Postgres that is read only for a while, and a schema that is newer than this build.

use std::time::Duration;

use pawl_rehearsal::private::PrivatePostgres;
use pawl_store::{Error, Postgres, Schema as _};
use sqlx::{Connection as _, PgConnection};

async fn migrated(folder: &std::path::Path) -> (PrivatePostgres, Postgres, PgConnection) {
    let postgres = PrivatePostgres::start(folder).expect("a private Postgres");
    let store = Postgres::new(&postgres.url(), 4, Duration::from_secs(30)).expect("a store");
    store.migrate().await.expect("migrations");
    let person = PgConnection::connect(&postgres.url()).await.expect("a connection");
    (postgres, store, person)
}

async fn does(person: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(person).await.expect(sql);
}

#[tokio::test]
async fn what_is_read_only_is_asked_anew_and_not_on_a_session_that_is_so_for_ever() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_postgres, store, mut person) = migrated(folder.path()).await;
    store.check_writes().await.expect("it takes writes");
    does(&mut person, "alter role all set default_transaction_read_only = on").await;
    does(&mut person, "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()").await;
    // The first one may still meet a session that has ended.
    let _ = store.check_writes().await;
    assert!(matches!(store.check_writes().await, Err(Error::ReadOnly(_))));
    does(&mut person, "set default_transaction_read_only = off; alter role all reset default_transaction_read_only")
        .await;
    store.check_writes().await.expect("by a session of its own");
}

#[tokio::test]
async fn a_build_works_with_a_newer_schema_as_far_as_that_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_postgres, store, mut person) = migrated(folder.path()).await;
    does(
        &mut person,
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'of a later build', true, '', 0)",
    )
    .await;
    store.check_schema().await.expect("a newer schema that works with this build");
    let refused = store.migrate().await.expect_err("there is one that this build does not know");
    assert!(matches!(refused, Error::Schema { found: 9999, needed: 25.. }), "{refused}");
    does(&mut person, "update works_with set oldest = 9999").await;
    assert!(matches!(store.check_schema().await, Err(Error::Schema { found: 9999, needed: 25.. })));
}
