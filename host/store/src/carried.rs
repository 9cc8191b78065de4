//! What an embedded store holds, on its way into Postgres: read row by row, sent on in pieces of a bounded size in the form
//! that Postgres' COPY reads. At no time is more in memory than some pieces and one row, however large the store is.
//!
//! [`tables::TABLES`] is the one list of what is carried, column by column. What is not, and why:
//!
//! | | |
//! |---|---|
//! | `worker`, `worker_component`, `gone_worker`; in Postgres `session`, `claim`, `charge` | processes of the old installation, and what they had in hand |
//! | `installation`, `works_with` | the new one's own |
//! | `token`, `audit` | who may ask the new one, and who has asked the old one for what |
//! | `secret` | sealed under a master key of the old one |
//! | `stored`; in Postgres `stored_run` | measured anew |

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use tokio::sync::mpsc::Sender;

use crate::{Error, Result};
use copy::Writer;
use tables::{Column, Kind, Rows, TABLES, Table};

mod copy;
mod derived;
pub(crate) mod tables;

/// What is sent for each of [`TABLES`], in their order: bytes, and then the end.
#[derive(Debug)]
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    End,
}

/// Sends all of it. Waits for whoever takes it.
///
/// # Errors
/// [`Error::Damaged`] if a row is not what this build writes; [`Error::Unavailable`], also if nobody takes it any more.
pub(crate) fn send(conn: &Connection, pieces: &Sender<Piece>) -> Result<()> {
    for table in &TABLES {
        let mut writer = Writer::begin(pieces);
        match table.rows {
            Rows::Of(from) => send_rows(conn, table, from, &mut writer)?,
            Rows::Events => derived::events(conn, &mut writer)?,
            Rows::PipelineSteps => derived::pipeline_steps(conn, &mut writer)?,
        }
        writer.end()?;
    }
    Ok(())
}

fn send_rows(conn: &Connection, table: &Table, from: &str, writer: &mut Writer<'_>) -> Result<()> {
    let read: Vec<&str> = table.columns.iter().map(|column| column.from).collect();
    let mut statement = conn.prepare(&format!("select {} from {from}", read.join(", ")))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        writer.row(table.columns.len())?;
        for (place, column) in table.columns.iter().enumerate() {
            put(writer, column, row.get_ref(place)?)
                .ok_or_else(|| Error::Damaged(format!("{}.{} of the backup", table.name, column.name)))?;
        }
    }
    Ok(())
}

/// Writes a value as a column of Postgres has it; none if it does not fit.
fn put(writer: &mut Writer<'_>, column: &Column, value: ValueRef<'_>) -> Option<()> {
    match (column.kind, value) {
        (_, ValueRef::Null) => writer.null(),
        (Kind::Bytes | Kind::Uuid, ValueRef::Blob(bytes)) => writer.field(bytes),
        (Kind::Text, ValueRef::Text(text)) => writer.text(text),
        (Kind::Texts, ValueRef::Text(text)) => writer.texts(&serde_json::from_slice::<Vec<Option<String>>>(text).ok()?),
        (Kind::Bool, ValueRef::Integer(number)) => writer.field(&[u8::from(number != 0)]),
        (Kind::Small, ValueRef::Integer(number)) => writer.field(&i16::try_from(number).ok()?.to_be_bytes()),
        (Kind::Int, ValueRef::Integer(number)) => writer.field(&i32::try_from(number).ok()?.to_be_bytes()),
        (Kind::Big, ValueRef::Integer(number)) => writer.field(&number.to_be_bytes()),
        (Kind::Real, ValueRef::Real(number)) => writer.field(&(number as f32).to_be_bytes()),
        (Kind::Ms, ValueRef::Integer(ms)) => writer.time_us(ms.checked_mul(1_000)?),
        (Kind::Us, ValueRef::Integer(us)) => writer.time_us(us),
        _ => return None,
    }
    Some(())
}
