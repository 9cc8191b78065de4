//! Ends this process's children when it is told to end itself (Ctrl-C, or a test runner whose patience is
//! over): `Drop` doesn't run then, and the children have process groups of their own.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::signal::unix::{SignalKind, signal};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Waits for this process's end if it was told to end; else returns. For whoever is about to report an
/// error that is only a consequence of that.
pub fn stay_silent_if_interrupted() {
    while INTERRUPTED.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_secs(1));
    }
}

/// Makes sure, from now on, that nothing this process started outlives a polite end of it.
pub fn stop_children_when_interrupted() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        crate::runtime::handle().spawn(async {
            let streams = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
            let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = streams else { return };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            INTERRUPTED.store(true, Ordering::Relaxed);
            stop_children().await;
            std::process::exit(130);
        });
    });
}

/// All children at once, and until none is left: another thread may be starting one.
async fn stop_children() {
    for _ in 0..500 {
        let children = children();
        if children.is_empty() {
            return;
        }
        for child in children {
            // SIGQUIT is Postgres's immediate stop, which ends its own children as well; the same signal
            // ends all others. One that is stopped must go on to notice.
            let _ = kill_process(child, Signal::QUIT);
            let _ = kill_process_group(child, Signal::CONT);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for child in children() {
        let _ = kill_process(child, Signal::KILL);
    }
}

/// The children that have not ended, of all threads.
/// <https://man7.org/linux/man-pages/man5/proc_pid_task.5.html>
fn children() -> Vec<Pid> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().filter_map(Result::ok);
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>())
        .filter(|pid| !has_ended(*pid))
        .filter_map(Pid::from_raw)
        .collect()
}

/// Whether only its exit status is left of a process: what follows its name in `stat` begins with its state.
fn has_ended(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}
