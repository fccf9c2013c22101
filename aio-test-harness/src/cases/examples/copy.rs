//! `aio-examples/examples/copy`.

use std::{
    fs::{self, File, FileTimes, Permissions},
    io::ErrorKind,
    os::unix::{
        fs::{FileExt, MetadataExt, PermissionsExt, chown},
        process::ExitStatusExt,
    },
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant, SystemTime},
};

use super::process::{example, printed};
use crate::{
    case::{CaseResult, Stop},
    cases::support::{pattern, same_bytes},
    check, check_eq,
    env::Env,
};

/// The length of a part of the file with holes.
const PART: usize = 128 << 10;

pub(super) fn copies(env: &Env) -> CaseResult {
    let dir = tempfile::tempdir_in(env.directory()?)?;
    let (source, target) = (dir.path().join("source"), dir.path().join("target"));
    // Every other part is a hole. The last one is short, and no multiple of any block.
    let mut content = pattern(40, 8 * PART + 77);
    let file = File::create(&source)?;
    for (n, part) in content.chunks_mut(PART).enumerate() {
        if n % 2 == 0 {
            file.write_all_at(part, (n * PART) as u64)?;
        } else {
            part.fill(0);
        }
    }
    chown(&source, Some(1234), Some(4321))?;
    fs::set_permissions(&source, Permissions::from_mode(0o6751))?;
    let second = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let accessed = second + Duration::from_nanos(1_234_567);
    let modified = second + Duration::from_nanos(7_654_321);
    let times = FileTimes::new().set_accessed(accessed);
    file.set_times(times.set_modified(modified))?;
    file.sync_all()?;

    let mut command = example("copy");
    command.arg(&source).arg(&target);
    printed(command.args(["--block", "64K"]))?;
    // Before anything reads the copy.
    let copy = fs::metadata(&target)?;
    check_eq!(copy.mode() & 0o7777, 0o6751);
    check_eq!((copy.uid(), copy.gid()), (1234, 4321));
    check_eq!(copy.accessed()?, accessed);
    check_eq!(copy.modified()?, modified);
    same_bytes(&fs::read(&target)?, &content)?;
    // The file system may need blocks of its own, but they aren't as long as a hole.
    let data = 4 * PART + 77;
    let takes = copy.blocks() * 512;
    let range = data as u64..(data + PART) as u64;
    check!(range.contains(&takes), "{data} bytes of data take {takes}");
    Ok(())
}

const KILLS: u32 = 4;
/// How many there are at most, if they come too late.
const MOST_KILLS: u32 = 30;
const OLD: &[u8] = b"what was there before";

pub(super) fn is_killed(env: &Env) -> CaseResult {
    let dir = tempfile::tempdir_in(env.directory()?)?;
    let (source, target) = (dir.path().join("source"), dir.path().join("target"));
    let content = pattern(41, (512 << 10) + 77);
    fs::write(&source, &content)?;
    let start = || {
        let mut command = example("copy");
        command.arg(&source).arg(&target);
        command.args(["--depth", "2", "--block", "8K"]);
        command.stderr(Stdio::null()).spawn()
    };
    let begun = Instant::now();
    check!(start()?.wait()?.success());
    let mut takes = begun.elapsed();
    same_bytes(&fs::read(&target)?, &content)?;

    let mut cut_short = 0;
    for round in 0..MOST_KILLS {
        if round >= KILLS && cut_short > 0 {
            break;
        }
        let old = (round % 2 == 1).then_some(OLD);
        if target.exists() {
            fs::remove_file(&target)?;
        }
        if let Some(old) = old {
            fs::write(&target, old)?;
        }
        let mut child = start()?;
        // The moments are random, and spread over the whole copy.
        let part = (f64::from(round % KILLS) + fastrand::f64()) / f64::from(KILLS);
        thread::sleep(takes.mul_f64(part));
        child.kill()?;
        let status = child.wait()?;
        let is_whole = is_whole(&target, old, &content)?;
        check!(
            status.signal() == Some(libc::SIGKILL) || status.success() && is_whole,
            "{status}, and the copy is there: {is_whole}"
        );
        cut_short += u32::from(!is_whole);
        // The first copy may have taken longer than others do.
        if is_whole {
            takes /= 2;
        }
        remove_leftovers(dir.path(), old.is_some(), &content)?;
    }
    // Otherwise the kills came too late to show anything.
    check!(cut_short > 0, "none of {MOST_KILLS} copies was cut short");
    Ok(())
}

/// Whether the target is the whole copy. Otherwise nothing has changed.
fn is_whole(target: &Path, old: Option<&[u8]>, content: &[u8]) -> CaseResult<bool> {
    match fs::read(target) {
        Ok(bytes) if bytes == content => Ok(true),
        Ok(bytes) if Some(&*bytes) == old => Ok(false),
        Ok(bytes) => Err(Stop::fail(format_args!(
            "{} bytes are neither the copy nor what was there before",
            bytes.len()
        ))),
        Err(error) if error.kind() == ErrorKind::NotFound && old.is_none() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Removes what a kill left behind between the two system calls that replace a file: the whole copy
/// with a temporary name.
fn remove_leftovers(dir: &Path, replaces: bool, content: &[u8]) -> CaseResult {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.ends_with("source") || path.ends_with("target") {
            continue;
        }
        check!(replaces, "{} is left behind", path.display());
        same_bytes(&fs::read(&path)?, content)?;
        fs::remove_file(path)?;
    }
    Ok(())
}
