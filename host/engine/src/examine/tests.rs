//! What a process may do to whoever has started it: here it is any program, as one is whose compiler was taken over. What real
//! components do to the real one is in `tests/tests/api/uploads.rs`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Instant;

use super::*;

fn apart(folder: &Path, script: &str) -> Apart {
    let program = folder.join("program");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    Apart { program, time: Duration::from_secs(20), memory_bytes: 1 << 30 }
}

fn examined(script: &str) -> Result<Manifest, Refusal> {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(apart(folder.path(), script).examine(b"component", &Limits::default()))
}

#[test]
fn whoever_never_answers_is_killed_at_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let mut apart = apart(folder.path(), &format!("echo $$ > {}; exec sleep 600", pid.display()));
    apart.time = Duration::from_millis(500);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let begun = Instant::now();
    let refused = runtime.block_on(apart.examine(b"component", &Limits::default())).unwrap_err();
    assert!(refused.to_string().contains("raise `compile_timeout`"), "{refused}");
    assert!(begun.elapsed() < Duration::from_secs(15));
    let pid = std::fs::read_to_string(pid).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "it has gone when the answer is there");
}

#[test]
fn whoever_floods_is_not_listened_to() {
    for script in ["exec yes", "exec yes >&2"] {
        let refused = examined(script).unwrap_err();
        assert!(matches!(refused, Refusal::Crashed(_)), "{script}: {refused}");
    }
}

#[test]
fn whoever_crashes_or_talks_nonsense_is_refused_with_what_has_happened() {
    for (script, says) in [
        ("kill -SEGV $$", "signal: 11"),
        ("exit 3", "exit status: 3"),
        ("echo '{\"Done\": 1}'", "exit status: 0"),
        ("kill -XCPU $$", "raise `compile_timeout`"),
        ("kill -KILL $$", "for lack of memory"),
        ("echo 'memory allocation of 64 bytes failed' >&2; kill -ABRT $$", "raise `compile_memory`"),
        ("echo '\"NoMemory\"'", "more than 1024 MiB of memory"),
        ("echo '{\"Unfit\": \"it is a picture\"}'", "it is a picture"),
    ] {
        let refused = examined(script).unwrap_err().to_string();
        assert!(refused.contains(says), "{script}: {refused}");
    }
}

#[test]
fn nothing_of_this_process_is_in_the_other_ones_environment() {
    let script = "test -z \"$HOME$USER$PAWL_API_TOKEN\" || exit 4; test \"$1 $2\" = 'examine-component 1073741824' || exit 5; \
                  test \"$(pwd)\" = / || exit 6; test ! -e /proc/self/fd/9 || exit 7; echo '{\"Unfit\": \"empty\"}'";
    assert!(std::env::var_os("HOME").is_some(), "this one has some");
    assert_eq!(examined(script).unwrap_err().to_string(), "empty");
}

#[test]
fn what_can_not_be_started_is_this_machines_doing() {
    let apart = Apart { program: "/nowhere/pawl".into(), ..Apart::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let refused = runtime.block_on(apart.examine(b"component", &Limits::default())).unwrap_err();
    assert!(matches!(refused, Refusal::NotStarted(_)), "{refused}");
}
