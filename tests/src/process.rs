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
    Ok(Duration::from_millis(told(pid, &[14, 15])?.iter().sum::<u64>() * 1_000 / TICKS))
}

/// The same of a process and of its children, those that have ended too.
///
/// # Errors
/// If there is no such process.
pub fn processor_time_of_family(pid: u32) -> anyhow::Result<Duration> {
    let own = told(pid, &[14, 15, 16, 17])?;
    let others = std::fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |other: &u32| parent(*other).is_ok_and(|parent| parent == pid);
    let children = others.filter(is_child).filter_map(|child| processor_time(child).ok());
    Ok(Duration::from_millis(own.iter().sum::<u64>() * 1_000 / TICKS) + children.sum())
}

/// The process that has started this one.
///
/// # Errors
/// If there is no such process.
pub fn parent(pid: u32) -> anyhow::Result<u32> {
    Ok(u32::try_from(told(pid, &[4])?[0])?)
}

/// Some of the numbers that the system tells of a process, as `proc(5)` counts its fields.
fn told(pid: u32, fields: &[usize]) -> anyhow::Result<Vec<u64>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, may have anything in it. What follows begins with the third field.
    let (_, rest) = stat.rsplit_once(')').context("a name in brackets")?;
    let all: Vec<&str> = rest.split_whitespace().collect();
    let number = |field: &usize| all.get(field - 3).and_then(|text| text.parse().ok()).context("a number");
    fields.iter().map(number).collect()
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
