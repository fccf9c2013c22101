//! `serve`: the store behind a Unix socket.

use std::{fs, io, path::Path, process::ExitCode, sync::Arc, time::Duration};

use aio_safe::Queue;
use anyhow::{Context, Result};
use tokio::{
    io::{AsyncWriteExt, BufReader, BufWriter},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    signal::unix::{SignalKind, signal},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    protocol::{self, Request},
    store::{Store, dir::Dir},
};

/// The name of the socket in the store's directory.
pub(crate) const SOCKET: &str = "socket";

/// How many clients are served at a time. Others wait.
const CLIENTS: usize = 256;

/// How long clients may take to read their answers when the server ends.
const GRACE: Duration = Duration::from_secs(5);

pub(crate) async fn run(path: &Path, queue: &Queue) -> Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    fs::create_dir_all(path).with_context(|| format!("can't make {}", path.display()))?;
    let store = Store::open(Dir::open(queue, path)?).await?;
    let socket = path.join(SOCKET);
    // The directory is locked, so nobody listens to a socket that is there.
    remove(&socket)?;
    let listener = UnixListener::bind(&socket);
    let listener = listener.with_context(|| format!("can't listen on {}", socket.display()))?;
    println!("tokio_kv: listening on {}", socket.display());

    let (stop, stopped) = watch::channel(());
    let mut clients = JoinSet::new();
    tokio::select! {
        () = accept(&listener, &store, &stopped, &mut clients) => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    remove(&socket)?;
    // Each client gets the answer to the request that is under way.
    drop(stop);
    let all = async { while clients.join_next().await.is_some() {} };
    let _ = timeout(GRACE, all).await;
    clients.shutdown().await;
    store.close().await?;
    Ok(ExitCode::SUCCESS)
}

fn remove(socket: &Path) -> Result<()> {
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("can't remove {}", socket.display()))
        }
        _ => Ok(()),
    }
}

/// Accepts clients until it is dropped.
async fn accept(
    listener: &UnixListener,
    store: &Store,
    stopped: &watch::Receiver<()>,
    clients: &mut JoinSet<()>,
) {
    let room = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let room = Arc::clone(&room).acquire_owned().await;
        let room = room.expect("the semaphore is never closed");
        while clients.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((client, _)) => {
                let (store, mut stopped) = (store.clone(), stopped.clone());
                clients.spawn(async move {
                    // An error here is a client that went away, and concerns nobody else.
                    let _ = serve(client, &store, &mut stopped).await;
                    drop(room);
                });
            }
            Err(error) => {
                // For example, too many files are open.
                eprintln!("tokio_kv: can't accept a client: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Answers a client's requests, one after the other.
async fn serve(
    client: UnixStream,
    store: &Store,
    stopped: &mut watch::Receiver<()>,
) -> io::Result<()> {
    let (from, to) = client.into_split();
    let (mut from, mut to) = (BufReader::new(from), BufWriter::new(to));
    loop {
        let request = tokio::select! {
            biased;
            // `stop` was dropped. A request that wasn't read as a whole isn't under way.
            _ = stopped.changed() => None,
            request = protocol::read(&mut from) => request?,
        };
        let Some(request) = request else {
            // Answers to earlier requests may wait for this one's.
            return to.flush().await;
        };
        let bad = matches!(request, Request::Bad(_));
        if let Err(error) = answer(request, store, &mut to).await? {
            let line = format!("error {error:#}").replace('\n', " ");
            to.write_all(line.as_bytes()).await?;
            to.write_all(b"\n").await?;
        }
        // A client that has sent more gets several answers in one piece.
        if from.buffer().is_empty() || bad {
            to.flush().await?;
        }
        if bad {
            return Ok(());
        }
    }
}

/// The outer error is the client's connection, the inner one is to be told to the client.
async fn answer(
    request: Request,
    store: &Store,
    to: &mut BufWriter<OwnedWriteHalf>,
) -> io::Result<Result<()>> {
    let done = match request {
        Request::Put(key, value) => store.put(key, value).await.map(|()| true),
        Request::Delete(key) => store.delete(key).await,
        Request::Compact => store.compact().await.map(|()| true),
        Request::Bad(error) => Err(anyhow::anyhow!(error)),
        Request::Get(key) => match store.get(&key).await {
            Ok(Some(value)) => {
                piece("value", &value, to).await?;
                return Ok(Ok(()));
            }
            Ok(None) => Ok(false),
            Err(error) => Err(error),
        },
        Request::List => {
            for key in store.keys() {
                piece("key", &key, to).await?;
            }
            to.write_all(b"end\n").await?;
            return Ok(Ok(()));
        }
    };
    Ok(match done {
        Ok(done) => {
            let line: &[u8] = if done { b"ok\n" } else { b"none\n" };
            to.write_all(line).await?;
            Ok(())
        }
        Err(error) => Err(error),
    })
}

/// A line, and the bytes behind it.
async fn piece(word: &str, bytes: &[u8], to: &mut BufWriter<OwnedWriteHalf>) -> io::Result<()> {
    let line = format!("{word} {}\n", bytes.len());
    to.write_all(line.as_bytes()).await?;
    to.write_all(bytes).await
}
