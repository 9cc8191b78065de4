//! The file's size: what deletions have made room for is given back to the disk, a piece at a time, with the commit that made it.
//!
//! SQLite can do so only in a file that keeps track of who points to which page, from its first table on; a file that was made
//! before is written anew, once, when it is opened. A large one would take long, and stays as it is: what goes from it makes
//! room for what comes.

use rusqlite::Connection;

use super::row;
use crate::Result;

/// For a new file, before its first table; nothing in one that has some.
pub(super) const TRACKED: &str = "pragma auto_vacuum = incremental";

/// What SQLite calls that.
const INCREMENTAL: i64 = 2;

/// The largest file that is written anew when it is opened, bytes.
const QUICK_BYTES: i64 = 256 << 20;

/// Free pages that a file keeps for what comes next, and how many go at once.
const KEPT_PAGES: i64 = 256;
const PIECE_PAGES: i64 = 2_048;

/// Makes sure, if that is quick, that a file can give back what is free in it. If it can't be done now, it is as good as before.
pub(super) fn prepare(conn: &Connection) -> Result<()> {
    let pragma = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let bytes = pragma("page_count")? * pragma("page_size")?;
    if pragma("auto_vacuum")? != INCREMENTAL && bytes <= QUICK_BYTES {
        // In a file of its own, and not in memory, as other work is.
        let rewrite = format!("pragma temp_store = file; {TRACKED}; vacuum");
        let _ = conn.execute_batch(&rewrite);
        conn.execute_batch("pragma temp_store = memory")?;
    }
    Ok(())
}

/// Gives back some of the pages that are free.
pub(super) fn give_back(conn: &Connection) -> Result<()> {
    let free = row(conn, "pragma freelist_count", [], |row| Ok(row.get::<_, i64>(0)?))?.unwrap_or(0);
    let pages = (free - KEPT_PAGES).min(PIECE_PAGES);
    if pages > 0 {
        let mut statement = conn.prepare(&format!("pragma incremental_vacuum({pages})"))?;
        let mut freed = statement.query([])?;
        // A page with each step.
        while freed.next()?.is_some() {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(conn: &Connection) -> i64 {
        conn.pragma_query_value(None, "page_count", |row| row.get(0)).expect("a number")
    }

    /// A file with so many pages that are free.
    fn with_free_pages(conn: &Connection, count: i64) {
        conn.execute_batch("create table if not exists t (bytes blob)").expect("a table");
        let fill = "with recursive n (i) as (select 1 union all select i + 1 from n where i < ?1)
                    insert into t select randomblob(4000) from n";
        conn.execute(fill, [count]).expect("rows");
        conn.execute_batch("delete from t").expect("no rows");
    }

    #[test]
    fn a_file_shrinks_in_pieces_and_keeps_a_little_room() {
        let folder = tempfile::tempdir().expect("a folder");
        let conn = Connection::open(folder.path().join("new")).expect("a file");
        conn.execute_batch(TRACKED).expect("a new file");
        with_free_pages(&conn, KEPT_PAGES + 2 * PIECE_PAGES);
        let full = pages(&conn);
        conn.execute_batch("begin").expect("as the writer does it");
        give_back(&conn).expect("a piece");
        conn.execute_batch("commit").expect("committed");
        // And some that say who points to them.
        assert!((full - PIECE_PAGES - 8..=full - PIECE_PAGES).contains(&pages(&conn)), "{full}, {}", pages(&conn));
        for _ in 0..3 {
            give_back(&conn).expect("a piece");
        }
        assert!((KEPT_PAGES..KEPT_PAGES + 32).contains(&pages(&conn)), "{} pages are left", pages(&conn));
    }

    #[test]
    fn a_file_of_before_is_written_anew_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let conn = Connection::open(folder.path().join("old")).expect("a file");
        conn.execute_batch("pragma journal_mode = wal").expect("as all are");
        with_free_pages(&conn, 1_000);
        give_back(&conn).expect("nothing can be done");
        assert!(pages(&conn) > 1_000);
        prepare(&conn).expect("written anew");
        assert!(pages(&conn) < 100);
        with_free_pages(&conn, 1_000);
        give_back(&conn).expect("a piece");
        assert!(pages(&conn) < 500, "{} pages are left", pages(&conn));
    }
}
