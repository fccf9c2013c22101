//! The loop.

use std::{
    collections::{HashMap, VecDeque},
    io::{self, Write},
    net::TcpListener,
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::{event::epoll::EventFlags, io::Errno};

use crate::{
    args::Serve,
    connection::{Connection, Data},
    disk::{Disk, Job},
    file::{self, BlockFile},
    limits::{LINGER, Limits},
    poller::{self, Poller},
    protocol::{BLOCK, Opcode, Size},
};

// What epoll calls the files that aren't connections.
const LISTENER: u64 = 0;
const SIGNALS: u64 = 1;
const DISK: u64 = 2;
const FIRST_CONNECTION: u64 = 3;

/// How many clients are accepted before it is others' turn.
const ACCEPTS: usize = 64;
/// After this time something is tried again that no event tells of: there was no room in the kernel
/// for requests, though none was in flight.
const RETRY: Duration = Duration::from_millis(10);

/// Serves until a signal comes.
pub(crate) fn serve(args: &Serve) -> Result<()> {
    let limits = args.limits()?;
    let size = args.size.map(|size| size.as_u64());
    let name = args.file.display();
    let file = BlockFile::open(&args.file, size).with_context(|| name.to_string())?;
    let how = match file.is_direct() {
        true => "direct I/O",
        false => {
            "buffered, as direct I/O isn't possible there: the loop waits for the disk in io_submit"
        }
    };
    let server = Server::new(args, limits, file)?;
    let (len, address) = (server.size.bytes, server.address()?);
    let mut out = io::stdout().lock();
    writeln!(out, "{name}: {len} bytes, {how}")?;
    writeln!(out, "listening on {address}")?;
    out.flush()?;
    drop(out);
    server.run()
}

struct Server {
    poller: Poller,
    /// None when the server ends.
    listener: Option<TcpListener>,
    /// Whether epoll watches the listener.
    accepts: bool,
    /// Whether the process has too many files open to accept another client.
    out_of_files: bool,
    signals: UnixStream,
    disk: Disk,
    connections: HashMap<u64, Connection>,
    next_name: u64,
    /// Connections whose reads or writes wait for slots, each once. They get slots in turn.
    line: VecDeque<u64>,
    /// Connections to which something has happened.
    touched: Vec<u64>,
    size: Size,
    limits: Limits,
    /// When clients were last looked at that take too long.
    swept: Instant,
    /// When the server is over, once a signal has come.
    end: Option<Instant>,
}

impl Server {
    fn new(args: &Serve, limits: Limits, file: BlockFile) -> Result<Self> {
        let listener = TcpListener::bind(args.listen)
            .with_context(|| format!("can't listen on {}", args.listen))?;
        listener.set_nonblocking(true)?;
        let signals = poller::signals().context("can't handle signals")?;
        let disk = Disk::new(file, args.depth)?;
        let poller = Poller::new()?;
        poller.add(&listener, LISTENER, EventFlags::IN)?;
        poller.add(&signals, SIGNALS, EventFlags::IN)?;
        poller.add(&disk, DISK, EventFlags::IN)?;
        let size = Size {
            bytes: disk.file().len(),
            request: limits.request - limits.request % BLOCK,
            block: BLOCK,
        };
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
            size,
            limits,
            swept: Instant::now(),
            end: None,
        })
    }

    fn address(&self) -> io::Result<std::net::SocketAddr> {
        let listener = self.listener.as_ref().ok_or(Errno::BADF)?;
        listener.local_addr()
    }

    fn run(mut self) -> Result<()> {
        let mut now = Instant::now();
        while !self.is_over(now) {
            let patience = self.patience(now);
            let events = self.poller.wait(patience).context("epoll")?;
            now = Instant::now();
            for (name, flags) in events {
                match name {
                    LISTENER => self.accept(now)?,
                    SIGNALS => self.begin_end(now),
                    DISK => self.disk.reap()?,
                    _ => self.hear(name, flags, now),
                }
            }
            self.take_results(now);
            self.settle(now)?;
            self.submit(now)?;
            if now.duration_since(self.swept) >= self.sweep_interval() {
                self.sweep(now)?;
            }
        }
        self.connections.values().for_each(Connection::give_up);
        self.connections.clear();
        self.disk.close()
    }

    fn is_over(&self, now: Instant) -> bool {
        self.end
            .is_some_and(|end| self.connections.is_empty() || now >= end)
    }

    /// How long to wait for events.
    fn patience(&mut self, now: Instant) -> Option<Duration> {
        if self.disk.has_results() || !self.touched.is_empty() {
            return Some(Duration::ZERO);
        }
        let mut limits = Vec::new();
        if self.disk.is_starved() {
            limits.push(RETRY);
        }
        if self.out_of_files || !self.connections.is_empty() {
            let next = self.swept + self.sweep_interval();
            limits.push(next.saturating_duration_since(now));
        }
        limits.extend(self.end.map(|end| end.saturating_duration_since(now)));
        limits.into_iter().min()
    }

    /// A client has a quarter more than its time at most.
    fn sweep_interval(&self) -> Duration {
        self.limits.timeout.min(LINGER) / 4
    }

    fn accept(&mut self, now: Instant) -> Result<()> {
        for _ in 0..ACCEPTS {
            let Some(listener) = &self.listener else {
                break;
            };
            if self.connections.len() >= self.limits.connections {
                break;
            }
            match listener.accept() {
                // If the socket can't be used, the client sees that it is closed.
                Ok((stream, _)) => {
                    if let Ok(connection) = Connection::new(stream, now) {
                        self.add(connection);
                    }
                }
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::AGAIN) => break,
                    Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                        self.out_of_files = true;
                        break;
                    }
                    // The client has left, or its network is gone.
                    _ => {}
                },
            }
        }
        self.watch_listener()
    }

    fn add(&mut self, mut connection: Connection) {
        let name = self.next_name;
        connection.watched = connection.interest(&self.limits);
        if self
            .poller
            .add(&connection, name, connection.watched)
            .is_ok()
        {
            self.next_name += 1;
            self.connections.insert(name, connection);
        }
    }

    /// Watches the listener when another client can be accepted.
    fn watch_listener(&mut self) -> Result<()> {
        let has_room = self.connections.len() < self.limits.connections && !self.out_of_files;
        if let Some(listener) = &self.listener {
            if has_room != self.accepts {
                let mut flags = EventFlags::empty();
                flags.set(EventFlags::IN, has_room);
                self.poller.modify(listener, LISTENER, flags)?;
                self.accepts = has_room;
            }
        }
        Ok(())
    }

    /// Accepts no more clients and requests. Requests that are here are answered.
    fn begin_end(&mut self, now: Instant) {
        // Bytes left in it would make epoll report it again and again.
        let mut bytes = [0; 16];
        let _ = io::Read::read(&mut self.signals, &mut bytes);
        if self.end.is_some() {
            return;
        }
        self.end = Some(now + self.limits.grace);
        self.listener = None;
        for (&name, connection) in &mut self.connections {
            connection.end();
            self.touched.push(name);
        }
    }

    /// Something happened to a socket.
    fn hear(&mut self, name: u64, flags: EventFlags, now: Instant) {
        let Some(connection) = self.connections.get_mut(&name) else {
            return;
        };
        // The client has reset the connection, or both ends are closed.
        let mut is_gone = flags.intersects(EventFlags::ERR | EventFlags::HUP);
        if !is_gone && flags.contains(EventFlags::IN) {
            is_gone = connection.receive(self.size, &self.limits, now).is_err();
        }
        if is_gone {
            self.connections.remove(&name);
        }
        self.touched.push(name);
    }

    /// Answers the requests that the disk is done with. The buffers of clients that have left are
    /// dropped here.
    fn take_results(&mut self, now: Instant) {
        while let Some((job, result)) = self.disk.take() {
            if let Some(connection) = self.connections.get_mut(&job.connection) {
                let data = result.map(|buffer| match job.request.opcode {
                    Opcode::Read => Data::Blocks(buffer),
                    _ => Data::None,
                });
                connection.answer(&job.request, data, now);
                self.touched.push(job.connection);
            }
        }
        while let Some((syncs, result)) = self.disk.take_synced() {
            for (name, request) in syncs {
                if let Some(connection) = self.connections.get_mut(&name) {
                    connection.answer(&request, result.map(|()| Data::None), now);
                    self.touched.push(name);
                }
            }
        }
    }

    /// Sends to the clients to which something has happened, passes on their requests, and closes
    /// the connections that are over.
    fn settle(&mut self, now: Instant) -> Result<()> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        for name in touched {
            let Some(connection) = self.connections.get_mut(&name) else {
                continue;
            };
            let done = connection.go_on(self.size, &self.limits, now);
            if done.is_err() || connection.is_over() {
                self.connections.remove(&name);
                continue;
            }
            for request in connection.take_syncs() {
                self.disk.sync(name, request);
            }
            if connection.has_waiting() && !connection.in_line {
                connection.in_line = true;
                self.line.push_back(name);
            }
            let interest = connection.interest(&self.limits);
            if interest != connection.watched {
                connection.watched = interest;
                if self.poller.modify(&*connection, name, interest).is_err() {
                    self.connections.remove(&name);
                }
            }
        }
        self.watch_listener()
    }

    /// Gives the queue's free slots to the connections in the line, one read or write each in turn.
    fn submit(&mut self, now: Instant) -> Result<()> {
        let Self {
            disk,
            line,
            connections,
            touched,
            ..
        } = self;
        disk.submit(|| {
            while let Some(name) = line.pop_front() {
                // A client that has left is in the line until its turn comes.
                let Some(connection) = connections.get_mut(&name) else {
                    continue;
                };
                let next = connection.next_waiting();
                connection.in_line = connection.has_waiting();
                if connection.in_line {
                    line.push_back(name);
                }
                let Some((request, data)) = next else {
                    continue;
                };
                // A read gets its memory only now.
                match data.map_or_else(|| file::buffer(request.length), Ok) {
                    Ok(buffer) => {
                        let job = Job {
                            connection: name,
                            request,
                            done: 0,
                        };
                        return Some((job, buffer));
                    }
                    Err(_) => {
                        connection.answer(&request, Err(Errno::NOMEM.into()), now);
                        touched.push(name);
                    }
                }
            }
            None
        })
    }

    /// Closes the connections of clients that take too long.
    fn sweep(&mut self, now: Instant) -> Result<()> {
        self.swept = now;
        self.out_of_files = false;
        let limits = self.limits;
        self.connections.retain(|_, connection| {
            let is_overdue = connection.is_overdue(&limits, now);
            if is_overdue {
                connection.give_up();
            }
            !is_overdue
        });
        self.watch_listener()
    }
}
