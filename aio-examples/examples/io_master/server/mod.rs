//! The loop.

pub(crate) mod limits;

mod bell;
mod closer;
mod connection;
mod disk;
mod files;
mod listener;
mod memory;
mod publisher;
mod session;

use std::{
    collections::{HashMap, VecDeque},
    io::{self, Read, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::{event::epoll::EventFlags, io::Errno};
use signal_hook::consts::SIGXFSZ;

use crate::{
    args::Serve,
    poller::{self, Poller},
};
use bell::Bell;
use closer::Closer;
use connection::{Connection, Shared};
use disk::Disk;
use files::Refusal;
use listener::Listener;

// What epoll calls the files that aren't connections.
const LISTENER: u64 = 0;
const SIGNALS: u64 = 1;
const DISK: u64 = 2;
const FIRST_CONNECTION: u64 = 3;

/// How many clients are accepted before it is others' turn.
const ACCEPTS: usize = 16;
/// When this many things wait to be closed, no client is accepted.
const BACKLOG: usize = 256;
/// How often something is looked at that no event tells of: clients that say nothing, descriptors
/// that ran out, a thread that is stuck.
const SWEEP: Duration = Duration::from_millis(250);
/// After this time something is tried again that the kernel had no room for.
const RETRY: Duration = Duration::from_millis(10);

/// Serves until a signal comes.
pub(crate) fn serve(args: &Serve) -> Result<()> {
    let server = Server::new(args)?;
    let mut out = io::stdout().lock();
    writeln!(out, "listening on {}", args.socket.display())?;
    out.flush()?;
    drop(out);
    server.run()
}

struct Server {
    poller: Poller,
    /// None when the server ends.
    listener: Option<Listener>,
    /// Whether epoll watches the listener.
    accepts: bool,
    /// Whether the process has too many descriptors to accept another client.
    out_of_files: bool,
    signals: UnixStream,
    disk: Disk,
    connections: HashMap<u64, Connection>,
    next_name: u64,
    /// Connections with requests that wait for slots of the queue, each once. They get slots in
    /// turn.
    line: VecDeque<u64>,
    /// Connections to which something has happened.
    touched: Vec<u64>,
    /// Connections whose clients have to be signalled.
    unsignalled: Vec<u64>,
    shared: Shared,
    /// When the server last looked at what no event tells of.
    swept: Instant,
}

impl Server {
    fn new(args: &Serve) -> Result<Self> {
        let limits = args.limits()?;
        limits.raise_descriptors()?;
        let signals = poller::signals().context("can't handle signals")?;
        // A write beyond the process's limit for files would kill the process. With a handler, it
        // fails with EFBIG.
        signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
        let now = Instant::now();
        let shared = Shared {
            limits,
            bell: Bell::new().context("can't set up native AIO")?,
            closer: Closer::new(now)?,
        };
        let disk = Disk::new(args.depth)?;
        let poller = Poller::new()?;
        let listener = Listener::new(&args.socket, &args.allow_uid)
            .with_context(|| format!("can't listen on {}", args.socket.display()))?;
        poller.add(&listener, LISTENER, EventFlags::IN)?;
        poller.add(&signals, SIGNALS, EventFlags::IN)?;
        poller.add(&disk, DISK, EventFlags::IN)?;
        Ok(Self {
            poller,
            listener: Some(listener),
            accepts: true,
            out_of_files: false,
            signals,
            disk,
            connections: HashMap::new(),
            next_name: FIRST_CONNECTION,
            line: VecDeque::new(),
            touched: Vec::new(),
            unsignalled: Vec::new(),
            shared,
            swept: now,
        })
    }

    fn run(mut self) -> Result<()> {
        while !self.is_over() {
            let patience = self.patience();
            let events = self.poller.wait(patience).context("epoll")?;
            for (name, flags) in events {
                match name {
                    LISTENER => self.accept()?,
                    SIGNALS => self.begin_end(),
                    DISK => self.disk.reap()?,
                    _ => self.hear(name, flags),
                }
            }
            self.take_results();
            self.settle()?;
            self.submit()?;
            self.signal();
            self.sweep()?;
        }
        self.shared.closer.close_last(self.connections);
        self.disk.close()
    }

    /// Whether the server has done all that it has to do before it ends. While a request waits in
    /// the line, the slots for it are in use, so the disk isn't idle.
    fn is_over(&self) -> bool {
        self.listener.is_none() && self.unsignalled.is_empty() && self.disk.is_idle()
    }

    /// How long to wait for events.
    fn patience(&mut self) -> Option<Duration> {
        if self.disk.has_results() || !self.touched.is_empty() {
            return Some(Duration::ZERO);
        }
        if self.disk.is_starved() || !self.unsignalled.is_empty() {
            return Some(RETRY);
        }
        let is_silent = |connection: &Connection| !connection.has_session();
        let has_to_sweep = self.out_of_files
            || self.shared.closer.backlog() > 0
            || self.connections.values().any(is_silent);
        has_to_sweep.then_some(SWEEP)
    }

    fn accept(&mut self) -> Result<()> {
        for _ in 0..ACCEPTS {
            let Some(listener) = &self.listener else {
                break;
            };
            match listener.accept() {
                Ok(socket) => self.admit(socket),
                Err(Errno::AGAIN) => break,
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    self.out_of_files = true;
                    break;
                }
                // The client has left.
                Err(_) => {}
            }
        }
        self.watch_listener()
    }

    /// Takes a client in, or tells it why not.
    fn admit(&mut self, socket: OwnedFd) {
        let Some(listener) = &self.listener else {
            return;
        };
        let limit = self.shared.limits.clients;
        let checked = listener.check(&socket).and_then(|()| {
            if self.connections.len() < limit {
                return Ok(());
            }
            let text = format_args!("{limit} clients are connected, and no more are allowed");
            Err(Refusal::new(Errno::USERS, text))
        });
        let mut connection = Connection::new(socket, Instant::now());
        let name = self.next_name;
        let added = checked.and_then(|()| {
            self.poller
                .add(&connection, name, connection.watched)
                .map_err(|error| {
                    let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
                    Refusal::failed("epoll")(errno)
                })
        });
        match added {
            Ok(()) => {
                self.next_name += 1;
                self.connections.insert(name, connection);
            }
            Err(refusal) => {
                connection.refuse(&refusal);
                self.shared.closer.close(connection);
            }
        }
    }

    /// Watches the listener when another client can be accepted.
    fn watch_listener(&mut self) -> Result<()> {
        let can_accept = !self.out_of_files && self.shared.closer.backlog() < BACKLOG;
        if let Some(listener) = &self.listener {
            if can_accept != self.accepts {
                let mut flags = EventFlags::empty();
                flags.set(EventFlags::IN, can_accept);
                self.poller.modify(listener, LISTENER, flags)?;
                self.accepts = can_accept;
            }
        }
        Ok(())
    }

    /// Accepts no more clients and requests. Requests that were received are carried out.
    fn begin_end(&mut self) {
        // Bytes left in it would make epoll report it again and again.
        let mut bytes = [0; 16];
        let _ = self.signals.read(&mut bytes);
        self.listener = None;
        self.touched.extend(self.connections.keys());
    }

    /// Something happened to a socket.
    fn hear(&mut self, name: u64, flags: EventFlags) {
        let ending = self.listener.is_none();
        let Some(connection) = self.connections.get_mut(&name) else {
            return;
        };
        if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
            self.remove(name);
            return;
        }
        if flags.contains(EventFlags::OUT) {
            connection.send();
        }
        if flags.contains(EventFlags::IN) && !ending {
            connection.receive(name, &mut self.shared);
        }
        self.touched.push(name);
    }

    /// Ends a connection. Its requests in flight end by themselves, because the kernel can't cancel
    /// reads, writes and syncs. Their memory stays mapped until then.
    fn remove(&mut self, name: u64) {
        let Some(connection) = self.connections.remove(&name) else {
            return;
        };
        // The socket may stay open for a while. After one more event, epoll is silent about it.
        // Failing would mean that epoll doesn't know the socket.
        let _ = self.poller.modify(&connection, name, EventFlags::ONESHOT);
        self.shared.closer.close(connection);
    }

    /// Publishes what the disk is done with.
    fn take_results(&mut self) {
        while let Some((job, part, result)) = self.disk.take() {
            if let Some(connection) = self.connections.get_mut(&job.client) {
                connection.complete(job.tag, result);
                self.touched.push(job.client);
            }
            // These may be the last references, if the client has left or has unregistered the
            // file.
            self.shared.closer.release(job.file);
            if let Some(part) = part {
                self.shared.closer.release(part.into_memory());
            }
        }
    }

    /// Looks at each connection to which something has happened: whether it is over, whether it has
    /// requests or completions, and what epoll has to watch it for.
    fn settle(&mut self) -> Result<()> {
        let ending = self.listener.is_none();
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        for name in touched {
            let Some(connection) = self.connections.get_mut(&name) else {
                continue;
            };
            if connection.is_over() {
                self.remove(name);
                continue;
            }
            if connection.take_signal() {
                self.unsignalled.push(name);
            }
            if connection.has_waiting() && !connection.in_line {
                connection.in_line = true;
                self.line.push_back(name);
            }
            let interest = connection.interest(&self.shared.limits, ending);
            if interest != connection.watched {
                connection.watched = interest;
                self.poller.modify(&*connection, name, interest)?;
            }
        }
        self.watch_listener()
    }

    /// Gives the queue's free slots to the connections in the line, one in turn to each.
    fn submit(&mut self) -> Result<()> {
        let Self {
            disk,
            line,
            connections,
            ..
        } = self;
        // How many connections were asked in a row that had nothing for the slots that are free.
        let mut in_vain = 0;
        disk.submit(|transfer, sync| {
            while in_vain < line.len() {
                let name = line.pop_front()?;
                // A client that has left is in the line until its turn comes.
                let Some(connection) = connections.get_mut(&name) else {
                    continue;
                };
                let next = connection.next_waiting(transfer, sync);
                connection.in_line = connection.has_waiting();
                if connection.in_line {
                    line.push_back(name);
                }
                if next.is_some() {
                    in_vain = 0;
                    return next;
                }
                in_vain += 1;
            }
            None
        })
    }

    /// Signals the clients that have new completions.
    fn signal(&mut self) {
        while !self.unsignalled.is_empty() {
            let connections = &self.connections;
            // Clients that have left are forgotten.
            self.unsignalled
                .retain(|name| connections.contains_key(name));
            let eventfds: Vec<_> = self
                .unsignalled
                .iter()
                .filter_map(|name| connections.get(name)?.eventfd())
                .collect();
            match self.shared.bell.ring(&eventfds) {
                Ok(rung) => drop(self.unsignalled.drain(..rung)),
                // It is tried again soon.
                Err(_) => break,
            }
        }
    }

    /// Looks at what no event tells of.
    fn sweep(&mut self) -> Result<()> {
        let now = Instant::now();
        if now < self.swept + SWEEP {
            return Ok(());
        }
        self.swept = now;
        self.out_of_files = false;
        self.shared.closer.look(now);
        for (&name, connection) in &mut self.connections {
            if connection.is_overdue(now) {
                let text = "the client said nothing after it had connected";
                connection.refuse(&Refusal::new(Errno::TIMEDOUT, text));
                self.touched.push(name);
            }
        }
        self.watch_listener()
    }
}
