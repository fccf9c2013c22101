//! `MariaDB`: a database is loaded, its server is killed while clients write, and is recovered. Then
//! all that the server had acknowledged has to be there.

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use super::{Lab, at_least};
use crate::{
    c_faces::group::{End, Group},
    interrupt,
    packages::Tool,
};

pub(super) const TOOLS: [Tool; 3] = [
    // Without the package that starts a server when it is installed.
    Tool {
        program: "mariadbd",
        packages: &["mariadb-server-core"],
    },
    Tool {
        program: "mariadb",
        packages: &["mariadb-client-core"],
    },
    Tool {
        program: "sysbench",
        packages: &["sysbench"],
    },
];

/// How long one step may take.
const LIMIT: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(50);

/// Tables of sysbench, and rows in each. They take more room than the server has in memory.
const TABLES: u32 = 2;
const ROWS: u32 = 40_000;
/// The server is killed when this many rows of the ledger were acknowledged.
const ACKNOWLEDGED: u32 = 300;

/// The user that the server changes to if it was started by root, and the user's number.
const NOBODY: (&str, u32) = ("nobody", 65534);

pub(super) fn run(lab: &mut Lab<'_>) -> Result<()> {
    lab.check("MariaDB", |lab| {
        let database = Database::make(lab)?;
        let server = database.start(true)?;
        database.load()?;
        let loaded = server.end()?;
        let server = database.start(true)?;
        let acknowledged = database.write_until_killed(server)?;
        let server = database.start(true)?;
        let rows = database.check(acknowledged)?;
        let sums = database.sums()?;
        let recovered = server.end()?;
        // What ours wrote, the original has to read.
        let server = database.start(false)?;
        ensure!(
            database.sums()? == sums,
            "the original reads other contents"
        );
        server.end()?;
        let loaded = at_least(100, &loaded).context("the server that was loaded")?;
        let recovered = at_least(1, &recovered).context("the server that recovered")?;
        Ok(format!(
            "loaded: {loaded}; recovered: {recovered}; {rows} rows of {acknowledged} acknowledged"
        ))
    })
}

/// The files of a server.
struct Database<'a> {
    lab: &'a Lab<'a>,
    /// The socket and the servers' output. The path of a socket has to be short.
    place: TempDir,
    data: PathBuf,
    user: Option<&'static str>,
}

/// A running server. It is killed when this is dropped.
struct Server {
    group: Group,
    output: PathBuf,
}

impl<'a> Database<'a> {
    fn make(lab: &'a Lab<'a>) -> Result<Self> {
        let place = tempfile::Builder::new().prefix("aio-mariadb-").tempdir()?;
        let data = lab.path("mariadb");
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            fs::create_dir(&data)?;
            for dir in [place.path(), &data] {
                chown(dir, Some(NOBODY.1), None)?;
            }
            // The directory around it is private.
            let public = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(lab.work.path(), public)?;
        }
        let this = Self {
            lab,
            place,
            data,
            user: is_root.then_some(NOBODY.0),
        };
        let mut install = Command::new("mariadb-install-db");
        install
            .args(["--no-defaults", "--skip-test-db"])
            .arg("--auth-root-authentication-method=normal")
            .args(this.options());
        lab.said(&install, LIMIT)?;
        Ok(this)
    }

    /// The options of the server and of what installs it.
    fn options(&self) -> Vec<String> {
        let mut options = vec![format!("--datadir={}", self.data.display())];
        options.extend(self.user.map(|user| format!("--user={user}")));
        options
    }

    fn socket(&self) -> PathBuf {
        self.place.path().join("s")
    }

    /// Starts a server, with our library or with the original, and waits until it answers.
    fn start(&self, ours: bool) -> Result<Server> {
        let mut server = Command::new("mariadbd");
        server
            .arg("--no-defaults")
            .args(self.options())
            .arg(format!("--socket={}", self.socket().display()))
            .args(["--skip-networking", "--innodb-use-native-aio=1"])
            // Where it has the choice, it prefers io_uring.
            .args([
                "--loose-innodb-linux-aio=aio",
                "--innodb-flush-method=O_DIRECT",
            ])
            .args(["--innodb-buffer-pool-size=8M", "--innodb-log-file-size=16M"])
            .args([
                "--innodb-flush-log-at-trx-commit=1",
                "--innodb-doublewrite=1",
            ]);
        if ours {
            self.lab.through(&mut server);
        }
        let output = self.place.path().join("server");
        let group = Group::start(&server, &output)?;
        let server = Server { group, output };
        let start = Instant::now();
        while self.query("SELECT 1").is_err() {
            interrupt::check()?;
            if !server.group.is_running()? || start.elapsed() > LIMIT {
                bail!("the server doesn't answer:\n{}", server.said()?);
            }
            thread::sleep(LOOK);
        }
        Ok(server)
    }

    fn client(&self) -> Command {
        let mut client = Command::new("mariadb");
        client
            .args([
                "--no-defaults",
                "--user=root",
                "--batch",
                "--skip-column-names",
            ])
            .arg(format!("--socket={}", self.socket().display()));
        client
    }

    /// What the server answers.
    fn query(&self, text: &str) -> Result<String> {
        let mut client = self.client();
        client.args(["--execute", text]);
        self.lab.said(&client, LIMIT)
    }

    fn sysbench(&self, step: &str) -> Command {
        let mut sysbench = Command::new("sysbench");
        sysbench
            .args(["oltp_read_write", "--db-driver=mysql", "--mysql-user=root"])
            .arg(format!("--mysql-socket={}", self.socket().display()))
            .arg(format!("--tables={TABLES}"))
            .arg(format!("--table-size={ROWS}"))
            .args(["--mysql-db=sb", "--threads=4", "--time=0", "--events=0"])
            .arg(step);
        sysbench
    }

    /// Fills the tables of sysbench, and makes the ledger.
    fn load(&self) -> Result<()> {
        self.query("CREATE DATABASE sb")?;
        self.lab.said(&self.sysbench("prepare"), LIMIT)?;
        self.query(
            "CREATE TABLE sb.ledger (n INT PRIMARY KEY, text BINARY(32) NOT NULL) ENGINE=InnoDB",
        )?;
        Ok(())
    }

    /// Writes with sysbench and to the ledger, and kills the server meanwhile. Returns how many rows
    /// of the ledger the server had acknowledged.
    fn write_until_killed(&self, server: Server) -> Result<u32> {
        let place = self.place.path();
        let sysbench = Group::start(&self.sysbench("run"), &place.join("sysbench"))?;
        let statements = place.join("statements");
        let text: String = (1..100_000)
            .map(|n| format!("INSERT INTO sb.ledger VALUES ({n}, MD5({n})); SELECT {n};\n"))
            .collect();
        fs::write(&statements, text)?;
        let mut client = Command::new("sh");
        client
            .args(["-c", "exec \"$@\" --unbuffered <\"$0\""])
            .arg(&statements)
            .arg("mariadb")
            .args(self.client().get_args());
        let output = place.join("acknowledged");
        let ledger = Group::start(&client, &output)?;
        let acknowledged = || -> Result<u32> {
            let said = fs::read_to_string(&output)?;
            // The last line may not be whole.
            let whole = said.rsplit_once('\n').map_or("", |(whole, _)| whole);
            Ok(whole
                .lines()
                .filter_map(|line| line.parse().ok())
                .max()
                .unwrap_or(0))
        };
        let start = Instant::now();
        while acknowledged()? < ACKNOWLEDGED {
            interrupt::check()?;
            let both_run = ledger.is_running()? && sysbench.is_running()?;
            if !both_run || start.elapsed() > LIMIT {
                bail!(
                    "a client stopped:\n{}{}",
                    fs::read_to_string(&output)?,
                    fs::read_to_string(place.join("sysbench"))?
                );
            }
            thread::sleep(LOOK);
        }
        server.group.kill();
        drop(server);
        // They notice that the server is gone, and have read all answers then.
        ledger.wait(LIMIT)?;
        drop(sysbench);
        acknowledged()
    }

    /// Checks the tables after the recovery. Returns the rows of the ledger.
    fn check(&self, acknowledged: u32) -> Result<u32> {
        for n in 1..=TABLES {
            let rows = self.query(&format!("SELECT COUNT(*) FROM sb.sbtest{n}"))?;
            // Each transaction deletes a row and inserts it again.
            ensure!(rows.trim() == ROWS.to_string(), "sbtest{n} has {rows} rows");
        }
        let checked = self.query(&format!("CHECK TABLE {} EXTENDED", self.tables()))?;
        let is_good = |line: &str| line.ends_with("status\tOK");
        ensure!(
            checked.lines().count() == 1 + TABLES as usize && checked.lines().all(is_good),
            "CHECK TABLE says:\n{checked}"
        );
        let ledger =
            self.query("SELECT COUNT(*), MIN(n), MAX(n), SUM(text = MD5(n)) FROM sb.ledger")?;
        let numbers: Vec<u32> = ledger
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let [rows, first, last, right] = numbers[..] else {
            bail!("the ledger says {ledger}");
        };
        ensure!(
            (first, last, right) == (1, rows, rows),
            "the ledger has {rows} rows from {first} to {last}, of which {right} are right"
        );
        ensure!(
            rows >= acknowledged,
            "{acknowledged} rows were acknowledged, and {rows} are there"
        );
        Ok(rows)
    }

    /// The sums of all tables.
    fn sums(&self) -> Result<String> {
        self.query(&format!("CHECKSUM TABLE {} EXTENDED", self.tables()))
    }

    fn tables(&self) -> String {
        let tables = (1..=TABLES).map(|n| format!("sb.sbtest{n}, "));
        tables.collect::<String>() + "sb.ledger"
    }
}

impl Server {
    /// Ends it in order. Returns what it printed.
    fn end(self) -> Result<String> {
        self.group.ask_to_end();
        let end = self.group.wait(LIMIT)?;
        let said = read(&self.output)?;
        ensure!(
            end == End::Exit(0),
            "the server ended with {end:?}:\n{said}"
        );
        Ok(said)
    }

    fn said(&self) -> Result<String> {
        read(&self.output)
    }
}

fn read(file: &Path) -> Result<String> {
    Ok(String::from_utf8_lossy(&fs::read(file)?).into_owned())
}
