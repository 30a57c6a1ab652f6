//! Processor time of child processes: on a machine that others use too, the honest measure of what a step costs.

/// Seconds that all children so far have spent, theirs included; `None` where there is no `/proc`.
pub fn seconds() -> Option<f64> {
    of_stat(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// Fields 16 and 17 of proc_pid_stat(5): user and system time of children that were waited for.
fn of_stat(stat: &str) -> Option<f64> {
    // Linux counts them in hundredths of a second on every architecture that Rust's std supports.
    const TICKS: f64 = 100.0;
    // The second field, the program's name in brackets, may hold spaces.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(13);
    let (user, system) = (times.next()?.parse::<f64>().ok()?, times.next()?.parse::<f64>().ok()?);
    Some((user + system) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_children_are_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 99 88 0 0 11 22 300 45 20 0 1 0 5";
        assert_eq!(of_stat(stat), Some(3.45));
        assert_eq!(of_stat("7 (short) S 1"), None);
    }
}
