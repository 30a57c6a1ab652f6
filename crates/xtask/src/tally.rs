//! Counts the results that libtest prints.
//!
//! The runs are made with `--show-output`, because a test that cannot run here passes after it printed `SKIPPED` and
//! why: it is counted apart. What other passing tests print is left out of the log.

use std::fmt;
use std::ops::AddAssign;

/// How many checks passed, failed and could not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Reads the output of `cargo test -- --show-output`, line by line.
#[derive(Default)]
pub struct Reader {
    counted: Tally,
    /// Tests of the present binary that passed by saying that they cannot run.
    skipped: usize,
    /// Fences of the book that only include source, which is tested where it lives: no tests at all.
    included: usize,
    place: Place,
    /// A test that prints `SKIPPED` twice is one test.
    said_so: bool,
}

/// Where in one binary's output we are.
#[derive(Clone, Copy, Default)]
enum Place {
    #[default]
    Running,
    /// What the passing tests printed.
    Printed,
    /// The names of the passing tests.
    Names,
    Failures,
}

impl Reader {
    /// Takes the next line; says whether it is worth showing.
    pub fn line(&mut self, line: &str) -> bool {
        match (self.place, line) {
            // Only the last of the lists before it can be left: a test may print these words too.
            (Place::Running | Place::Names | Place::Failures, _) if self.result(line) => {
                self.place = Place::Running;
                true
            }
            (Place::Running, _) if is_include(line) => {
                self.included += 1;
                false
            }
            (Place::Running, "successes:") => {
                self.place = Place::Printed;
                false
            }
            (Place::Printed, "successes:") => {
                self.place = Place::Names;
                false
            }
            (Place::Running | Place::Names, "failures:") => {
                self.place = Place::Failures;
                true
            }
            (Place::Printed, _) if line.starts_with("---- ") && line.ends_with(" ----") => {
                self.said_so = false;
                false
            }
            (Place::Printed, _) if line.starts_with("SKIPPED") => {
                self.skipped += usize::from(!self.said_so);
                self.said_so = true;
                true
            }
            (Place::Printed | Place::Names, _) => false,
            (Place::Running | Place::Failures, _) => true,
        }
    }

    /// The counts so far.
    pub fn tally(&self) -> Tally {
        self.counted
    }

    /// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s`
    fn result(&mut self, line: &str) -> bool {
        let Some(result) = line.strip_prefix("test result: ") else { return false };
        let Some((_, counts)) = result.split_once(". ") else { return false };
        let count = |what: &str| {
            let words = counts.split("; ").find_map(|part| part.strip_suffix(what));
            words.and_then(|number| number.trim().parse::<usize>().ok())
        };
        let (Some(passed), Some(failed), Some(ignored)) =
            (count("passed"), count("failed"), count("ignored"))
        else {
            return false;
        };
        let skipped = std::mem::take(&mut self.skipped).min(passed);
        let ignored = ignored.saturating_sub(std::mem::take(&mut self.included));
        self.counted += Tally { passed: passed - skipped, failed, skipped: skipped + ignored };
        true
    }
}

/// `fences.rs` sees to it that an ignored fence of the book holds nothing but includes.
fn is_include(line: &str) -> bool {
    line.starts_with("test book/src/") && line.ends_with("... ignored")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tally, and the lines that were shown.
    fn read(output: &str) -> (Tally, Vec<&str>) {
        let mut reader = Reader::default();
        let shown = output.lines().filter(|line| reader.line(line)).collect();
        (reader.tally(), shown)
    }

    const PASSING: &str = "
running 4 tests
test tests::gpu ... ok
test tests::slow ... ignored
test tests::sum ... ok
test tests::zero ... ok

successes:

---- tests::gpu stdout ----
SKIPPED no GPU here
SKIPPED really

---- tests::sum stdout ----
test result: ok. 90 passed; 0 failed; 0 ignored
a line SKIPPED in the middle


successes:
    tests::gpu
    tests::sum
    tests::zero

test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s
";

    const FAILING: &str = "
running 2 tests
test bad ... FAILED
test good ... ok

successes:

successes:
    good

failures:

---- bad stdout ----
SKIPPED is what it said before it failed
thread 'bad' panicked

failures:
    bad

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    #[test]
    fn an_include_in_the_book_is_no_test() {
        let output = "
test book/src/svd.md - Svd (line 26) ... ignored
test book/src/svd.md - Svd (line 35) ... ok
test tests::slow ... ignored

test result: ok. 1 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.03s
";
        let (tally, shown) = read(output);
        assert_eq!(tally, Tally { passed: 1, failed: 0, skipped: 1 });
        assert!(!shown.iter().any(|line| line.contains("line 26")));
    }

    #[test]
    fn a_test_that_says_skipped_is_counted_once_and_apart() {
        let (tally, shown) = read(PASSING);
        assert_eq!(tally, Tally { passed: 2, failed: 0, skipped: 2 });
        assert!(shown.contains(&"SKIPPED no GPU here"));
        assert!(!shown.contains(&"a line SKIPPED in the middle"));
    }

    #[test]
    fn a_failure_is_shown_whole_and_is_no_skip() {
        let (tally, shown) = read(FAILING);
        assert_eq!(tally, Tally { passed: 1, failed: 1, skipped: 0 });
        assert!(shown.contains(&"thread 'bad' panicked"));
    }

    #[test]
    fn binaries_add_up() {
        let (tally, _) = read(&[PASSING, FAILING, PASSING].concat());
        assert_eq!(tally, Tally { passed: 5, failed: 1, skipped: 4 });
        assert_eq!(tally.to_string(), "5 passed, 1 failed, 4 skipped");
    }

    #[test]
    fn other_lines_that_begin_alike_are_not_counted() {
        assert_eq!(
            read("test result: pending\ntest result: ok. many passed; 0 failed; 0 ignored").0,
            Tally::default()
        );
    }
}
