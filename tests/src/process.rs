//! What a process takes of the machine, as the system counts it. <https://man7.org/linux/man-pages/man5/proc.5.html>

use std::time::Duration;

use anyhow::Context as _;

/// Ticks that processor time is told in, a second; the same on all Linux machines.
const TICKS: u64 = 100;

/// Processor time that a process has used, of all its threads, its own and the system's for it.
///
/// # Errors
/// If there is no such process.
pub fn processor_time(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, may have anything in it. What follows begins with the third field; wanted are 14 and 15.
    let (_, rest) = stat.rsplit_once(')').context("a name in brackets")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok()).context("a time");
    Ok(Duration::from_millis((ticks(14)? + ticks(15)?) * 1_000 / TICKS))
}

/// The memory that a process has, bytes.
///
/// # Errors
/// If there is no such process.
pub fn resident_bytes(pid: u32) -> anyhow::Result<usize> {
    told_bytes(pid, "VmRSS:")
}

/// The most memory that a process had at a time, bytes.
///
/// # Errors
/// If there is no such process.
pub fn peak_bytes(pid: u32) -> anyhow::Result<usize> {
    told_bytes(pid, "VmHWM:")
}

fn told_bytes(pid: u32, name: &str) -> anyhow::Result<usize> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let told = status.lines().find_map(|line| line.strip_prefix(name)).context("a process tells its memory")?;
    let kib: usize = told.trim().strip_suffix("kB").context("in kB")?.trim().parse()?;
    Ok(kib << 10)
}
