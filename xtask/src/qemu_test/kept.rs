//! Results of guests that have ended, kept in the build directory: a run that was interrupted can
//! go on, and the next one can say how long it will take.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    env,
    fs::{self, File},
    hash::{DefaultHasher, Hasher},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{Programs, Work, guest::Outcome, matrix::Planned, report::Guest};
use crate::workspace;

/// The directory with what is kept.
#[derive(Debug)]
pub(super) struct Kept {
    dir: PathBuf,
    /// Held by the thread that changes the times.
    changing: Mutex<()>,
}

/// What a result is valid for. Everything that the guest consists of is in `print`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    arch: String,
    series: String,
    /// Of what the guest is told, apart from its kernel and programs.
    words: u64,
    print: u64,
}

/// A guest's result in a file. JSON of a report has no consoles.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    guest: Guest,
    console: String,
}

/// How long guests took, by what they are and what they were told.
type Times = BTreeMap<String, f64>;

impl Kept {
    pub(super) fn open() -> Result<Self> {
        Self::at(workspace::target_dir().join("qemu-test"))
    }

    fn at(dir: PathBuf) -> Result<Self> {
        fs::create_dir_all(&dir).with_context(|| format!("can't make {}", dir.display()))?;
        let changing = Mutex::new(());
        Ok(Self { dir, changing })
    }

    /// The result of this guest, if there is one.
    pub(super) fn take(&self, key: &Key) -> Option<Guest> {
        let text = fs::read(self.file(key)).ok()?;
        let Record { mut guest, console } = serde_json::from_slice(&text).ok()?;
        guest.console = console;
        Some(guest)
    }

    /// Keeps the result of a guest, and how long it took.
    pub(super) fn put(&self, key: &Key, guest: &Guest) -> Result<()> {
        let record = Record {
            guest: guest.clone(),
            console: guest.console.clone(),
        };
        self.write(&self.file(key), &record)?;
        // Other guests ended before their time, or after it.
        if matches!(guest.outcome, Outcome::Passed | Outcome::Failed) {
            let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
            let mut times = self.times();
            times.insert(key.timed(), guest.seconds);
            self.write(&self.times_file(), &times)?;
        }
        Ok(())
    }

    /// Forgets the results of these guests, whatever they consisted of. Their times stay.
    pub(super) fn forget(&self, keys: &[Key]) -> Result<()> {
        let starts: Vec<String> = keys.iter().map(Key::name).collect();
        let entries = fs::read_dir(&self.dir)
            .with_context(|| format!("can't list {}", self.dir.display()))?;
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let is_it = |start: &String| {
                let rest = name.strip_prefix(start.as_str());
                rest.is_some_and(|rest| rest.starts_with('@') && rest.ends_with(".json"))
            };
            if starts.iter().any(is_it) {
                // Another run may have removed it.
                fs::remove_file(self.dir.join(name)).ok();
            }
        }
        Ok(())
    }

    /// How long these guests will take, so many at a time. `None` if no guest like them ever ran.
    pub(super) fn estimate(&self, keys: &[Key], jobs: usize) -> Option<f64> {
        let times = self.times();
        let known: Vec<Option<f64>> = keys.iter().map(|key| time(&times, key)).collect();
        let all: Vec<f64> = known.iter().copied().flatten().collect();
        let usual = mean(&all)?;
        // Each guest is started by the first of the workers that has none.
        let mut workers = vec![0.0_f64; jobs.max(1)];
        for time in known {
            workers.sort_by(f64::total_cmp);
            workers[0] += time.unwrap_or(usual);
        }
        workers.into_iter().reduce(f64::max)
    }

    fn times(&self) -> Times {
        let text = fs::read(self.times_file()).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn times_file(&self) -> PathBuf {
        self.dir.join("times.json")
    }

    fn file(&self, key: &Key) -> PathBuf {
        self.dir
            .join(format!("{}@{:016x}.json", key.name(), key.print))
    }

    /// A rename, so that the file is whole even if this process is killed now.
    fn write(&self, file: &Path, what: &impl Serialize) -> Result<()> {
        let write = || -> Result<()> {
            let mut new = tempfile::NamedTempFile::new_in(&self.dir)?;
            serde_json::to_writer(&mut new, what)?;
            new.persist(file)?;
            Ok(())
        };
        write().with_context(|| format!("can't write {}", file.display()))
    }
}

impl Key {
    /// The beginning of its file's name.
    fn name(&self) -> String {
        format!("{}-{}", self.arch, self.series).replace('/', "-")
    }

    /// Its name among the times.
    fn timed(&self) -> String {
        format!("{}@{:016x}", self.name(), self.words)
    }
}

/// The time of a guest; else the mean of those on other kernels that were told the same.
fn time(times: &Times, key: &Key) -> Option<f64> {
    if let Some(time) = times.get(&key.timed()) {
        return Some(*time);
    }
    let (start, end) = (format!("{}-", key.arch), format!("@{:016x}", key.words));
    let like = times
        .iter()
        .filter(|(name, _)| name.starts_with(&start) && name.ends_with(&end));
    let like: Vec<f64> = like.map(|(_, time)| *time).collect();
    mean(&like)
}

fn mean(times: &[f64]) -> Option<f64> {
    // Never so many that a float couldn't hold their number.
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    let count = times.len() as f64;
    (!times.is_empty()).then(|| times.iter().sum::<f64>() / count)
}

/// Makes keys. Files that several guests share are read once.
pub(super) struct Prints<'a> {
    work: &'a Work,
    programs: &'a Programs,
    files: RefCell<BTreeMap<PathBuf, u64>>,
}

impl<'a> Prints<'a> {
    pub(super) fn new(work: &'a Work, programs: &'a Programs) -> Self {
        Self {
            work,
            programs,
            files: RefCell::default(),
        }
    }

    pub(super) fn key(&self, guest: &Planned) -> Result<Key> {
        let Planned { arch, kernel } = guest;
        let mut words = DefaultHasher::new();
        for word in &self.work.words {
            words.write(word.as_bytes());
            words.write_u8(b' ');
        }
        let words = words.finish();
        let mut print = DefaultHasher::new();
        print.write_u64(words);
        print.write(kernel.release.as_bytes());
        // This program makes the guest's disks and its machine.
        let own = env::current_exe().context("can't find myself")?;
        let parts = [&own, &kernel.image].into_iter().chain(&kernel.modules);
        for file in parts {
            print.write_u64(self.of_file(file)?);
        }
        for (path, file) in &self.programs[arch.name] {
            print.write(path.as_bytes());
            print.write_u64(self.of_file(file)?);
        }
        Ok(Key {
            arch: arch.name.to_owned(),
            series: kernel.series.clone(),
            words,
            print: print.finish(),
        })
    }

    fn of_file(&self, file: &Path) -> Result<u64> {
        if let Some(print) = self.files.borrow().get(file) {
            return Ok(*print);
        }
        let print = print_of(file).with_context(|| format!("can't read {}", file.display()))?;
        self.files.borrow_mut().insert(file.to_owned(), print);
        Ok(print)
    }
}

fn print_of(file: &Path) -> io::Result<u64> {
    let mut file = File::open(file)?;
    let mut print = DefaultHasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(print.finish()),
            n => print.write(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use aio_test_harness::report::Outcome as CaseOutcome;

    use super::*;
    use crate::{
        arch,
        qemu_test::{kernel::Kernel, report},
    };

    fn key(arch: &str, series: &str, words: u64, print: u64) -> Key {
        Key {
            arch: arch.into(),
            series: series.into(),
            words,
            print,
        }
    }

    fn guest(seconds: f64) -> Guest {
        let mut guest = report::tests::guest(Outcome::Failed, &[("a::b", CaseOutcome::Failed)]);
        guest.seconds = seconds;
        guest
    }

    fn kept(dir: &tempfile::TempDir) -> Kept {
        Kept::at(dir.path().join("kept")).unwrap()
    }

    #[test]
    fn a_result_comes_back_whole_for_the_same_guest_only() {
        let dir = tempfile::tempdir().unwrap();
        let kept = kept(&dir);
        let (mine, mut put) = (key("x86_64", "6.12", 1, 2), guest(3.5));
        put.storage = "nvme".into();
        kept.put(&mine, &put).unwrap();
        let back = kept.take(&mine).unwrap();
        assert_eq!(back.console, put.console);
        assert_eq!(back.storage, "nvme");
        assert_eq!(
            serde_json::to_value(&back).unwrap(),
            serde_json::to_value(&put).unwrap()
        );
        for other in [
            key("x86_64", "6.12", 1, 3),
            key("x86_64", "6.1", 1, 2),
            key("aarch64", "6.12", 1, 2),
        ] {
            assert!(kept.take(&other).is_none(), "{other:?}");
        }
    }

    #[test]
    fn a_run_from_the_start_forgets_results_and_remembers_times() {
        let dir = tempfile::tempdir().unwrap();
        let kept = kept(&dir);
        let keys = [
            key("x86_64", "6.12", 1, 2),
            key("x86_64", "6.12-16k", 1, 2),
            key("x86_64", "6.1", 1, 2),
        ];
        for key in &keys {
            kept.put(key, &guest(10.0)).unwrap();
        }
        kept.forget(&[key("x86_64", "6.12", 7, 7)]).unwrap();
        let left: Vec<bool> = keys.iter().map(|key| kept.take(key).is_some()).collect();
        assert_eq!(left, [false, true, true]);
        assert_eq!(kept.estimate(&keys, 1), Some(30.0));
    }

    #[test]
    fn the_estimate_is_of_workers_that_share_the_guests() {
        let dir = tempfile::tempdir().unwrap();
        let kept = kept(&dir);
        let keys = ["a", "b", "c", "d"].map(|series| key("x86_64", series, 1, 0));
        assert_eq!(kept.estimate(&keys, 2), None);
        for (key, seconds) in keys.iter().zip([10.0, 30.0, 30.0]) {
            kept.put(key, &guest(seconds)).unwrap();
        }
        assert_eq!(kept.estimate(&keys[..3], 2), Some(40.0));
        assert_eq!(kept.estimate(&keys[..3], 1), Some(70.0));
        // The fourth has never run. It takes as long as the others do on average.
        let estimate = kept.estimate(&keys, 2).unwrap();
        assert!((estimate - (30.0 + 70.0 / 3.0)).abs() < 0.01, "{estimate}");
        // Other cases take another time.
        assert_eq!(kept.estimate(&[key("x86_64", "a", 2, 0)], 1), None);
    }

    #[test]
    fn a_guest_that_broke_off_says_nothing_about_times() {
        let dir = tempfile::tempdir().unwrap();
        let kept = kept(&dir);
        let mine = key("x86_64", "6.12", 1, 2);
        let mut lost = guest(600.0);
        lost.outcome = Outcome::Timeout;
        kept.put(&mine, &lost).unwrap();
        assert_eq!(kept.take(&mine).unwrap().outcome, Outcome::Timeout);
        assert_eq!(kept.estimate(&[mine], 1), None);
    }

    #[test]
    fn everything_that_a_guest_consists_of_is_in_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        for name in ["image", "module", "init"] {
            fs::write(file(name), name).unwrap();
        }
        let arch = arch::main().next().unwrap();
        let key = |word: &str, release: &str| {
            let kernel = Kernel {
                release: release.into(),
                series: "6.12".into(),
                image: file("image"),
                modules: vec![file("module")],
                unpacked: None,
            };
            let work = Work {
                native: None,
                words: vec![word.into()],
                limit: Duration::ZERO,
                slow_iops: None,
                timed: false,
                examples: false,
                programs: Programs::new(),
            };
            let programs = BTreeMap::from([(arch.name, vec![("init", file("init"))])]);
            let kernel = Arc::new(kernel);
            Prints::new(&work, &programs)
                .key(&Planned { arch, kernel })
                .unwrap()
        };
        let first = key("a", "6.12.1");
        assert_eq!(key("a", "6.12.1"), first);
        assert_ne!(key("b", "6.12.1").print, first.print);
        assert_ne!(key("b", "6.12.1").words, first.words);
        assert_ne!(key("a", "6.12.2").print, first.print);
        for name in ["image", "module", "init"] {
            fs::write(file(name), "changed").unwrap();
            assert_ne!(key("a", "6.12.1").print, first.print, "{name}");
            fs::write(file(name), name).unwrap();
        }
    }
}
