//! `check`: reads a whole store, and changes nothing.

use std::{path::Path, process::ExitCode};

use aio_safe::Queue;
use anyhow::{Result, ensure};

use crate::store::{
    dir::Dir,
    index::Index,
    recover::{load, segments},
};

pub(crate) async fn run(path: &Path, queue: &Queue) -> Result<ExitCode> {
    let dir = Dir::open(queue, path)?;
    let segments = segments(&dir).await?;
    let mut index = Index::default();
    let mut damaged = 0;
    for (n, segment) in segments.iter().enumerate() {
        let last = n + 1 == segments.len();
        match load(segment, last, &mut index).await {
            Ok(summary) => println!("{summary}"),
            Err(error) => {
                println!("{error:#}");
                damaged += 1;
            }
        }
    }
    ensure!(
        damaged == 0,
        "{damaged} of {} segments are damaged",
        segments.len()
    );
    println!("{} keys", index.keys.len());
    Ok(ExitCode::SUCCESS)
}
