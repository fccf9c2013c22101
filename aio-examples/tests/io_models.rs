//! Runs the example `io_models`, and checks what it prints and draws.

mod common;

use std::{
    fs,
    path::Path,
    process::Output,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use common::{example, texts};

const BLOCKS: u64 = 96;
/// Through all four pipes.
const MESSAGES: u64 = 40;

const ON_FILE: [&str; 9] = [
    "pread",
    "pread, O_NONBLOCK",
    "preadv2, RWF_NOWAIT",
    "select, pread",
    "poll, pread",
    "epoll, pread",
    "threads, pread",
    "POSIX AIO",
    "native AIO",
];
const ON_PIPES: [&str; 8] = [
    "read",
    "read, O_NONBLOCK",
    "select, read",
    "poll, read",
    "epoll, read",
    "threads, read",
    "POSIX AIO",
    "native AIO, poll",
];

/// Runs the program with few blocks and messages. One runs at a time, as they would take each
/// other's CPU time.
fn run(dir: &Path, more: &[&str]) -> Output {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    example("io_models")
        .arg("--dir")
        .arg(dir)
        .args(["--blocks", &BLOCKS.to_string()])
        .args(["--messages", &(MESSAGES / 4).to_string()])
        .args(more)
        .output()
        .expect("the example runs")
}

/// A row of a table.
#[derive(Debug)]
struct Row {
    name: String,
    time: f64,
    cpu: f64,
    switches: u64,
    latency: f64,
    work: u64,
    rounds: u64,
    calls: String,
}

impl Row {
    /// Reads a row; figures are 0 if the model was refused.
    fn new(line: &str) -> Self {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, _, time, cpu, switches, latency, work, rounds, calls] = cells[..] else {
            panic!("{line}");
        };
        let number = |cell: &str| match cell {
            "" => 0.0,
            cell => cell.trim_end_matches(" %").parse().expect(line),
        };
        Self {
            name: name.into(),
            time: number(time),
            cpu: number(cpu),
            switches: number(switches) as u64,
            latency: number(latency),
            work: number(work) as u64,
            rounds: number(rounds) as u64,
            calls: calls.into(),
        }
    }

    /// How often a call was made.
    fn count(&self, call: &str) -> u64 {
        let words: Vec<&str> = self.calls.split(' ').collect();
        let at = words.iter().position(|word| *word == call);
        at.map_or(0, |at| {
            words[at - 1]
                .parse()
                .expect("a count stands before its call")
        })
    }
}

/// The rows of the two tables.
fn tables(text: &str) -> (Vec<Row>, Vec<Row>) {
    let mut rows: Vec<Row> = text
        .lines()
        .filter(|line| {
            line.starts_with('|') && !line.starts_with("|-") && !line.starts_with("| model")
        })
        .map(Row::new)
        .collect();
    let on_pipes = rows.split_off(ON_FILE.len());
    let names = |rows: &[Row]| rows.iter().map(|row| row.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&rows), ON_FILE, "{text}");
    assert_eq!(names(&on_pipes), ON_PIPES, "{text}");
    (rows, on_pipes)
}

fn row<'a>(rows: &'a [Row], name: &str) -> &'a Row {
    let row = rows.iter().find(|row| row.name == name);
    row.expect("`tables` has looked for all")
}

/// The program prints each model once, with figures that show what the model is.
#[test]
fn each_model_shows_what_it_is() {
    // In the build directory, which is on a disk.
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let plot = dir.join("io_models.svg");
    // The program has to shorten what is there.
    fs::write(&plot, "x".repeat(1 << 20)).unwrap();
    let plot_argument = ["--plot", plot.to_str().expect("a path of UTF-8")];
    let output = run(dir, &plot_argument);
    let (text, errors) = texts(&output);
    assert!(output.status.success(), "{errors}");
    assert_eq!(errors, "", "progress is drawn on terminals only");
    let (on_file, on_pipes) = tables(&text);
    check_file(&on_file);
    check_pipes(&on_pipes);
    check_plot(&fs::read_to_string(&plot).unwrap());
    fs::remove_file(&plot).unwrap();
}

/// While the disk reads, the program retries, or does other work. A virtual machine's disk may now
/// and then be done before the call returns that starts a read. So one run of five is enough.
#[test]
fn the_program_goes_on_while_the_disk_reads() {
    let mut seen = Vec::new();
    for _ in 0..5 {
        let output = run(Path::new(env!("CARGO_TARGET_TMPDIR")), &[]);
        let (text, errors) = texts(&output);
        assert!(output.status.success(), "{errors}");
        if text.contains("native AIO is not asynchronous here") && text.contains("doesn't allow") {
            return eprintln!("skipped: the build directory's file system has no O_DIRECT");
        }
        let (rows, _) = tables(&text);
        let goes_on = ["threads, pread", "native AIO"].map(|name| row(&rows, name).rounds > 0);
        let nowait = row(&rows, "preadv2, RWF_NOWAIT");
        let retries = nowait.count("preadv2") > BLOCKS && nowait.rounds > 0;
        if retries && goes_on == [true; 2] {
            return;
        }
        seen.push(text);
    }
    panic!("{}", seen.join("\n"));
}

fn check_file(rows: &[Row]) {
    for row in rows.iter().filter(|row| row.name != "epoll, pread") {
        assert!(row.time > 0.0 && row.latency > 0.0, "{row:?}");
        assert!(row.work <= 100, "{row:?}");
        assert_eq!(
            row.calls.ends_with('+'),
            ["threads, pread", "POSIX AIO"].contains(&&*row.name)
        );
    }
    for name in ["pread", "pread, O_NONBLOCK", "select, pread", "poll, pread"] {
        let row = row(rows, name);
        assert_eq!((row.work, row.rounds), (0, 0), "{row:?}");
        assert_eq!(row.count("pread64"), BLOCKS, "{row:?}");
    }
    assert_eq!(row(rows, "select, pread").count("pselect6"), BLOCKS);
    assert_eq!(row(rows, "poll, pread").count("ppoll"), BLOCKS);
    assert_eq!(row(rows, "epoll, pread").calls, "refused");
    let threads = row(rows, "threads, pread");
    assert_eq!(threads.count("pread64"), BLOCKS, "{threads:?}");
    let posix = row(rows, "POSIX AIO");
    assert!(posix.rounds > 0 && posix.switches > 0, "{posix:?}");
    let nowait = row(rows, "preadv2, RWF_NOWAIT");
    assert!(nowait.count("fadvise64") == BLOCKS, "{nowait:?}");
    let native = row(rows, "native AIO");
    assert_eq!(native.count("io_submit"), BLOCKS, "{native:?}");
    assert!(native.count("io_getevents") <= BLOCKS, "{native:?}");
}

fn check_pipes(rows: &[Row]) {
    let sending = MESSAGES as f64 * 2.0;
    for row in rows {
        assert!(
            row.time >= sending,
            "the messages take longer to be sent: {row:?}"
        );
        // `read` counts system calls, and library calls aren't among them.
        let reads = row.count("read");
        match row.name.as_str() {
            "POSIX AIO" => assert_eq!(row.calls, "+"),
            "read, O_NONBLOCK" => assert!(reads > 10 * MESSAGES, "{row:?}"),
            _ => assert_eq!(reads, MESSAGES, "{row:?}"),
        }
        let blocks = ["read", "select, read", "poll, read", "epoll, read"].contains(&&*row.name);
        if blocks {
            assert_eq!((row.work, row.rounds), (0, 0), "{row:?}");
        } else {
            assert!(row.work > 0 && row.rounds > 0, "{row:?}");
        }
    }
    for (name, call) in [
        ("select, read", "pselect6"),
        ("poll, read", "ppoll"),
        ("epoll, read", "epoll_pwait"),
    ] {
        let row = row(rows, name);
        // One wait may find more than one message.
        assert!((1..=MESSAGES).contains(&row.count(call)), "{row:?}");
    }
    // The thread that feeds the pipes sleeps before each message, and isn't counted.
    let blocking = row(rows, "read");
    assert!(blocking.switches <= MESSAGES, "{blocking:?}");
    // A retry burns the time in which the others sleep.
    let retries = row(rows, "read, O_NONBLOCK");
    assert!(retries.cpu > 4.0 * blocking.cpu, "{retries:?} {blocking:?}");
    // Messages wait in the other pipes.
    let select = row(rows, "select, read");
    assert!(blocking.latency > select.latency, "{blocking:?} {select:?}");
}

fn check_plot(svg: &str) {
    let svg = roxmltree::Document::parse(svg).expect("the plot is well-formed");
    let root = svg.root_element();
    assert_eq!(root.tag_name().name(), "svg");
    assert_eq!(
        root.tag_name().namespace(),
        Some("http://www.w3.org/2000/svg")
    );
    let size = |name| -> f64 { root.attribute(name).unwrap().parse().unwrap() };
    let (width, height) = (size("width"), size("height"));
    let of = |name: &'static str| {
        root.descendants()
            .filter(move |it| it.has_tag_name(("http://www.w3.org/2000/svg", name)))
    };
    let texts: Vec<&str> = of("text")
        .filter_map(|text| text.text())
        .map(str::trim)
        .collect();
    for name in ON_FILE.iter().chain(&ON_PIPES) {
        assert!(texts.contains(name), "{name} isn't in {texts:?}");
    }
    assert_eq!(
        texts.iter().filter(|text| **text == "refused").count(),
        5,
        "a row of epoll"
    );
    assert!(
        texts.contains(&"0 +"),
        "POSIX AIO makes no system call itself: {texts:?}"
    );
    // Some bars are too short to be drawn.
    assert!(of("rect").count() > 40);
    for rect in of("rect") {
        let number = |name| -> f64 { rect.attribute(name).unwrap().parse().unwrap() };
        let (right, bottom) = (
            number("x") + number("width"),
            number("y") + number("height"),
        );
        assert!(number("x") >= 0.0 && number("y") >= 0.0, "{rect:?}");
        assert!(right <= width && bottom <= height, "{rect:?}");
    }
}

/// In memory nothing is asynchronous, and the program says so, whether the file system allows
/// `O_DIRECT` or not.
#[test]
fn it_says_where_native_aio_is_not_asynchronous() {
    let dir = Path::new("/dev/shm");
    if !dir.is_dir() {
        return eprintln!("skipped: there is no /dev/shm");
    }
    let output = run(dir, &[]);
    let (text, errors) = texts(&output);
    assert!(output.status.success(), "{errors}");
    let (on_file, _) = tables(&text);
    assert_eq!(row(&on_file, "native AIO").rounds, 0);
    assert_eq!(row(&on_file, "native AIO").count("io_submit"), BLOCKS);
    let text = text.replace('\n', " ");
    assert!(
        text.contains("native AIO is not asynchronous here"),
        "{text}"
    );
}

/// Whatever `--explain` prints, it has each quadrant and model, and fits a terminal.
#[test]
fn it_explains_each_model() {
    let output = example("io_models").arg("--explain").output().unwrap();
    let (text, errors) = texts(&output);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    for quadrant in [
        "SYNC, BLOCKING",
        "SYNC, NON-BLOCKING",
        "ASYNC, BLOCKING",
        "ASYNC, NON-BLOCKING",
        "SYNC, IN THREADS",
    ] {
        assert!(text.lines().any(|line| line == quadrant), "{quadrant}");
    }
    let titles = |names: &[&str], on| {
        names
            .iter()
            .map(|name| format!("  {name} on {on}:"))
            .collect()
    };
    let on_file: Vec<String> = titles(&ON_FILE, "the file");
    let on_pipes: Vec<String> = titles(&ON_PIPES, "the pipes");
    for title in on_file.into_iter().chain(on_pipes) {
        assert!(text.lines().any(|line| line == title), "{title}");
    }
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

/// Arguments that don't fit are named, with what does.
#[test]
fn bad_arguments_are_clear_errors() {
    for (arguments, code, error) in [
        (
            vec!["--dir", "/does/not/exist"],
            1,
            "io_models: can't make a file in /does/not/exist: No such file or directory",
        ),
        (
            vec!["--plot", "/does/not/exist/plot.svg"],
            1,
            "io_models: can't write a plot to /does/not/exist/plot.svg: No such file or directory",
        ),
        (vec!["--blocks", "0"], 2, "0 is not in 1..=16384"),
        (
            vec!["--messages", "many"],
            2,
            "invalid value 'many' for '--messages <N>'",
        ),
        (vec!["--interval", "1001"], 2, "1001 is not in 1..=1000"),
        (
            vec!["--depth", "3"],
            2,
            "unexpected argument '--depth' found",
        ),
    ] {
        let start = Instant::now();
        let output = example("io_models").args(&arguments).output().unwrap();
        // The pipes alone would take more than three seconds.
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "models have run before the error"
        );
        let (text, errors) = texts(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert_eq!(text, "", "nothing was measured");
        assert!(errors.contains(error), "{arguments:?}: {errors}");
    }
}
