//! What is no backup, has no room, or would be written over: refused with the reason, and nothing is left of it.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Result, ensure};
use pawl_tests::{Cluster, Embedded, binary, bounds};
use serde_json::json;

use super::scene::{backed_up, data, prepared, restored};

/// A `pawl dev` with one run, started.
fn with_a_run(name: &str) -> Result<Embedded> {
    let mut pawl = prepared(name)?;
    pawl.start_process(&[])?;
    let run = pawl.submit("echo", &json!(1))?;
    pawl.succeeds(run, bounds::RUN)?;
    Ok(pawl)
}

fn is_refused(output: &Output, code: i32, says: &str) -> Result<()> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(code) && said.contains(says), "{says:?}: {:?}: {said}", output.status);
    Ok(())
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = entries.collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

#[test]
fn nothing_is_written_over_that_was_not_named_for_it() -> Result<()> {
    let mut pawl = with_a_run("backup_over-old")?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("backup");
    let name = file.display().to_string();
    std::fs::write(&file, "precious")?;
    is_refused(&backed_up(&pawl, &name, &[])?, 2, "is there already")?;
    ensure!(std::fs::read(&file)? == b"precious");
    let told = binary::succeeded(&["backup"], backed_up(&pawl, &name, &["--force", "-o", "ids"])?)?;
    ensure!(told.trim() == name && names(folder.path())? == ["backup"], "{told}");
    is_refused(&backed_up(&pawl, "/nowhere/backup", &[])?, 2, "can't write /nowhere/backup")?;

    // A folder that a process has, one with runs, and a database with runs.
    is_refused(&restored(&name, &data(&pawl))?, 2, "another pawl uses")?;
    pawl.process()?.terminate(bounds::PROCESS)?;
    is_refused(&restored(&name, &data(&pawl))?, 1, "holds runs already, and nothing is written over")?;
    let cluster = Cluster::start("backup_over")?;
    cluster.pawl(&["restore", &name])?;
    is_refused(&cluster.try_pawl(&["restore", &name])?, 1, "already, and nothing is written over")?;
    ensure!(names(folder.path())? == ["backup"], "{:?}", names(folder.path())?);
    cluster.finish()?;

    // Which of the two is meant is not guessed.
    let nowhere = tempfile::tempdir()?;
    let without =
        |words: &[&str]| Ok::<_, anyhow::Error>(binary::pawl()?.args(words).current_dir(nowhere.path()).output()?);
    is_refused(&without(&["backup", "b"])?, 2, "name its folder with --data")?;
    is_refused(&without(&["backup", "b", "--data", "here"])?, 2, "has left nothing in here")?;
    let mut named = binary::pawl()?;
    named.args(["backup", "b"]).current_dir(nowhere.path()).env("PAWL_DATABASE_URL", "postgres://db/pawl");
    is_refused(&named.output()?, 2, "`pg_dump` backs that up")?;
    ensure!(names(nowhere.path())?.is_empty(), "{:?}", names(nowhere.path())?);

    // The file is enough: where nothing is, it is all that is needed.
    binary::succeeded(&["restore"], without(&["restore", &name])?)?;
    ensure!(nowhere.path().join(".pawl/pawl.sqlite").exists());
    pawl.start_process(&[])?;
    pawl.finish_with(&[])
}

#[test]
fn what_is_no_whole_backup_is_refused_with_the_reason() -> Result<()> {
    let pawl = with_a_run("backup_wrong")?;
    let folder = tempfile::tempdir()?;
    let good = folder.path().join("good");
    binary::succeeded(&["backup"], backed_up(&pawl, &good.display().to_string(), &[])?)?;
    let good = std::fs::read(good)?;
    let changed = |place: usize, bytes: &[u8]| {
        let mut changed = good.clone();
        changed[place..place + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let others = {
        let mut others = changed(60, &[0; 4]);
        others[68..72].copy_from_slice(&[0; 4]);
        others
    };
    let data = folder.path().join("data");
    for (bytes, says) in [
        (Vec::new(), "it is empty"),
        (b"{\"runs\": []}".repeat(100), "no database of SQLite"),
        (others, "a database of something else"),
        (changed(68, &[1; 4]), "of something else, or of a pawl"),
        (changed(60, &99_u32.to_be_bytes()), "version 99, this build knows those up to"),
        (good[..good.len() / 2].to_vec(), "it is cut off"),
        (changed(3 * 4_096, &[7; 4 * 4_096]), "it is damaged"),
        // In the middle of what a page holds, which is all the same to SQLite.
        (changed(good.len() / 2, &[good[good.len() / 2] ^ 1]), "it is damaged"),
        (good[..good.len() - 1].to_vec(), "its end is missing"),
    ] {
        let wrong = folder.path().join("wrong");
        std::fs::write(&wrong, bytes)?;
        let wrong = wrong.display().to_string();
        is_refused(&restored(&wrong, &data)?, 2, says)?;
        ensure!(!data.join("pawl.sqlite").exists() && !data.join("pawl.sqlite.restoring").exists(), "{says}");
    }
    // Before any server is asked.
    let wrong = folder.path().join("wrong.toml").display().to_string();
    std::fs::write(&wrong, "name = 'p'")?;
    let nobody = ["restore", &wrong, "--database-url", "postgres://127.0.0.1:1/pawl"];
    is_refused(&binary::pawl()?.args(nobody).output()?, 2, "no database of SQLite")?;
    is_refused(&restored("/nowhere/backup", &data)?, 2, "can't read /nowhere/backup")?;
    pawl.finish_with(&[])
}

/// No file may grow beyond some KiB, as on a disk that is full.
#[test]
fn without_room_nothing_is_left_of_a_backup_or_a_restore() -> Result<()> {
    let pawl = with_a_run("backup_no_room")?;
    let folder = tempfile::tempdir()?;
    let (file, data_there) = (folder.path().join("backup"), folder.path().join("data"));
    let cramped = |words: &[&str], data: &Path| -> Result<Output> {
        let mut command = Command::new("bash");
        let script = "trap '' XFSZ; ulimit -f 48; exec \"$0\" \"$@\"";
        command.args(["-c", script]).arg(binary::programs()?.join("pawl")).args(words).arg("--data").arg(data);
        Ok(command.output()?)
    };
    let name = file.display().to_string();
    is_refused(&cramped(&["backup", &name], &data(&pawl))?, 1, "error: ")?;
    ensure!(names(folder.path())?.is_empty(), "{:?}", names(folder.path())?);
    binary::succeeded(&["backup"], backed_up(&pawl, &name, &[])?)?;
    is_refused(&cramped(&["restore", &name], &data_there)?, 1, "the disk of the backup")?;
    ensure!(names(&data_there)? == ["lock"], "{:?}", names(&data_there)?);
    binary::succeeded(&["restore"], restored(&name, &data_there)?)?;
    pawl.finish_with(&[])
}
