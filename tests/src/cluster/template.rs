//! The data of a server that was migrated and has stopped. Tests begin with a copy of it: to make it anew takes several times as long,
//! and there are hundreds of them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use pawl_rehearsal::private::{PrivatePostgres, copy};

use crate::{Database, binary};

/// Tests look as another user, so that what Pawl asks can be told from what they ask.
const OBSERVER: &str = "create role observer superuser login";

/// A server, with what the usual build migrates to or with nothing.
pub(super) fn start(folder: &Path, is_migrated: bool) -> anyhow::Result<PrivatePostgres> {
    if is_migrated {
        return PrivatePostgres::start_with(folder, &data()?);
    }
    let server = PrivatePostgres::start(folder)?;
    Database::new(&server.url())?.execute(OBSERVER)?;
    Ok(server)
}

/// Where the data lies. Whoever comes first with a build makes it.
fn data() -> anyhow::Result<PathBuf> {
    let folder = binary::programs()?.join("tests/template");
    fs::create_dir_all(&folder)?;
    let lock = File::create(folder.join("lock"))?;
    lock.lock()?;
    let program = binary::pawl_file()?.metadata()?;
    let build = format!("{} {:?}", program.len(), program.modified()?);
    let (made_by, data) = (folder.join("made-by"), folder.join("data"));
    if fs::read_to_string(&made_by).is_ok_and(|made_by| made_by == build) {
        return Ok(data);
    }
    for old in [&data, &folder.join("postgres")] {
        if old.exists() {
            fs::remove_dir_all(old)?;
        }
    }
    let mut server = PrivatePostgres::start(&folder.join("postgres"))?;
    let database = Database::new(&server.url())?;
    database.execute(OBSERVER)?;
    let migrated = binary::pawl()?.arg("migrate").env("PAWL_DATABASE_URL", server.url()).output()?;
    binary::succeeded(&["migrate"], migrated)?;
    database.execute("select pawl_assert_states_v1()")?;
    drop(database);
    server.stop()?;
    copy(&server.data(), &data)?;
    fs::write(made_by, build)?;
    Ok(data)
}
