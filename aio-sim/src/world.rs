//! A simulated world: its time, its disks, its kernel.

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    Disk, DiskModel, Fault, Reached, Script, SimKernel,
    agenda::{Agenda, Due},
    choices::{Choices, Plan},
    disk::{
        faults::{Group, Place},
        state::DiskState,
    },
    fault::Faults,
    kernel::state::KernelState,
    open::{OpenFiles, OpenId},
    sleep::Sleepers,
    trace::{Trace, What},
};

/// A simulated machine, or several: a kernel, disks and time, all made from a seed.
///
/// The same seed and the same calls give the same run, with the same versions of this crate and of
/// `fastrand`: see [determinism](crate#determinism). Clones are the same world.
///
/// ```
/// use aio_safe::{Op, Queue};
/// use aio_sim::{DiskModel, OFlags, World};
///
/// let world = World::new(7);
/// let disk = world.disk(DiskModel::ext4());
/// let queue = Queue::with_kernel(32, world.kernel())?;
/// let file = disk.open("greeting", OFlags::RDWR | OFlags::CREATE)?;
///
/// queue.submit(&file, Op::write("hello, disk", 0))?.wait().result?;
/// let read = queue.submit(&file, Op::read(Vec::with_capacity(5), 7))?.wait();
/// assert_eq!(read.buffer, b"disk");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct World(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Something happened that a thread in `io_getevents` may wait for.
    changed: Condvar,
}

/// All of a world, behind its lock.
pub(crate) struct State {
    pub(crate) choices: Choices,
    pub(crate) agenda: Agenda,
    pub(crate) trace: Trace,
    pub(crate) faults: Faults,
    pub(crate) reached: Reached,
    pub(crate) phase: &'static str,
    pub(crate) files: OpenFiles,
    pub(crate) disks: Vec<DiskState>,
    pub(crate) groups: Vec<Group>,
    pub(crate) kernel: KernelState,
    /// `RLIMIT_FSIZE`.
    pub(crate) file_size_limit: u64,
    pub(crate) sleepers: Sleepers,
    /// Memory for the bytes of one transfer.
    pub(crate) scratch: Vec<u8>,
}

/// A world that isn't made yet. Made by [`World::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing is made until it is built"]
pub struct WorldBuilder {
    seed: u64,
    faults: Faults,
    cpus: u32,
    aio_max_nr: u32,
    readable_ring: bool,
    file_size_limit: u64,
    trace: bool,
    plan: Plan,
    built: Option<Arc<Mutex<Option<World>>>>,
}

impl WorldBuilder {
    /// Makes a [fault](Fault) happen once in so many times, on average: whenever it could happen,
    /// it does with a chance of one in `one_in`. 0, which is the default, means never.
    pub fn chance(mut self, fault: Fault, one_in: u32) -> Self {
        self.faults.set_chance(fault, one_in);
        self
    }

    /// How many processors there are. 2 if this isn't called. Each call is made on one of them,
    /// drawn from the seed. A context's slots are counted for each processor, as in the real
    /// kernel, so some may be out of reach.
    ///
    /// # Panics
    ///
    /// When it is 0, or more than 1024.
    pub fn cpus(mut self, cpus: u32) -> Self {
        assert!((1..=1024).contains(&cpus), "{cpus} processors");
        self.cpus = cpus;
        self
    }

    /// `/proc/sys/fs/aio-max-nr`: the sum of the depths of all contexts. 65536 if this isn't
    /// called.
    pub fn aio_max_nr(mut self, requests: u32) -> Self {
        self.aio_max_nr = requests;
        self
    }

    /// Whether queues can read the completion ring without a call. They can if this isn't called,
    /// as on Linux.
    ///
    /// Time passes only in calls. So a program that polls a queue, and never waits, needs a world
    /// without it, or has to [let time pass](World::pass).
    pub fn readable_ring(mut self, readable: bool) -> Self {
        self.readable_ring = readable;
        self
    }

    /// `RLIMIT_FSIZE`: the size in bytes that no write makes a file exceed. There is no limit if
    /// this isn't called. SIGXFSZ isn't sent.
    pub fn file_size_limit(mut self, bytes: u64) -> Self {
        self.file_size_limit = bytes;
        self
    }

    /// Writes down what happens, for [`World::trace`].
    pub fn trace(mut self) -> Self {
        self.trace = true;
        self
    }

    /// Has a campaign make the choices, and gives it the world.
    pub(crate) fn plan(mut self, plan: Plan, built: Arc<Mutex<Option<World>>>) -> Self {
        self.plan = plan;
        self.built = Some(built);
        self
    }

    /// Makes the world.
    pub fn build(self) -> World {
        let mut trace = Trace::default();
        if self.trace {
            trace.turn_on();
        }
        let state = State {
            choices: Choices::new(self.seed, self.plan),
            agenda: Agenda::default(),
            trace,
            faults: self.faults,
            reached: Reached::default(),
            phase: "run",
            files: OpenFiles::default(),
            disks: Vec::new(),
            groups: Vec::new(),
            kernel: KernelState::new(self.cpus, self.aio_max_nr, self.readable_ring),
            file_size_limit: self.file_size_limit,
            sleepers: Sleepers::default(),
            scratch: Vec::new(),
        };
        let world = World(Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }));
        if let Some(built) = self.built {
            *built.lock().unwrap_or_else(PoisonError::into_inner) = Some(world.clone());
        }
        world
    }
}

impl World {
    /// Makes a world in which nothing goes wrong.
    pub fn new(seed: u64) -> Self {
        Self::builder(seed).build()
    }

    /// Says more of a world before it is made.
    pub fn builder(seed: u64) -> WorldBuilder {
        WorldBuilder {
            seed,
            faults: Faults::default(),
            cpus: 2,
            aio_max_nr: 65536,
            readable_ring: true,
            file_size_limit: u64::MAX,
            trace: false,
            plan: Plan::Seed,
            built: None,
        }
    }

    /// Adds an empty disk.
    pub fn disk(&self, model: DiskModel) -> Disk {
        let index = self.enter(|state| {
            state.disks.push(DiskState::new(model));
            state.disks.len() - 1
        });
        Disk::new(self.clone(), index)
    }

    /// Says that these disks have copies of the same data, in files of the same names. Of the
    /// copies of each sector, at most so many are damaged at the same time: by latent errors, bit
    /// rot, misdirected and lost writes that happen by [chance](WorldBuilder::chance). Power cuts
    /// don't count.
    ///
    /// # Panics
    ///
    /// When a disk is another world's.
    pub fn replicas(&self, disks: &[&Disk], most_damaged: usize) {
        let is_of_it = |disk: &&Disk| Arc::ptr_eq(&disk.world().0, &self.0);
        assert!(disks.iter().all(is_of_it), "a disk of another world");
        let disks = disks.iter().map(|disk| disk.index()).collect();
        self.enter(|state| {
            state.groups.push(Group {
                disks,
                most_damaged,
            });
        });
    }

    /// The kernel, for [`Queue::with_kernel`](aio_safe::Queue::with_kernel). All kernels of a world
    /// are the same one.
    pub fn kernel(&self) -> SimKernel {
        SimKernel::new(self.clone())
    }

    /// The time since the world was made.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.enter(|state| state.agenda.now()))
    }

    /// Lets time pass. What is due meanwhile happens. It wakes the tasks that [slept](Self::sleep)
    /// until then.
    ///
    /// Time ends 584 years after the world was made. From then on everything happens at that time.
    pub fn pass(&self, time: Duration) {
        self.enter(|state| {
            state.run_until(state.agenda.after_duration(time));
            state.look_at_polls();
        });
        self.wake();
    }

    /// A number below `n`, drawn from the seed, for what a test decides at random. 0 if `n` is 0.
    pub fn draw(&self, n: u64) -> u64 {
        self.enter(|state| state.choices.draw(n))
    }

    /// Makes a fault happen: the next time that it can happen, or as a [`Script`] says.
    ///
    /// ```
    /// use aio_safe::{Errno, Op, Queue};
    /// use aio_sim::{DiskModel, Fault, OFlags, World};
    ///
    /// let world = World::new(1);
    /// let disk = world.disk(DiskModel::ext4());
    /// let queue = Queue::with_kernel(4, world.kernel())?;
    /// let file = disk.open("a", OFlags::RDWR | OFlags::CREATE)?;
    /// world.provoke(Fault::SyncError);
    /// let synced = queue.submit(&file, Op::fsync())?.wait();
    /// assert_eq!(synced.unwrap_err().errno(), Errno::EIO);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn provoke(&self, script: impl Into<Script>) {
        let script = script.into();
        self.enter(|state| state.faults.provoke(script));
    }

    /// Changes how often a fault happens: see [`WorldBuilder::chance`].
    pub fn set_chance(&self, fault: Fault, one_in: u32) {
        self.enter(|state| state.faults.set_chance(fault, one_in));
    }

    /// How often a fault happened.
    pub fn fired(&self, fault: Fault) -> u64 {
        self.enter(|state| state.reached.fired(fault))
    }

    /// What happened so far, and how often.
    pub fn reached(&self) -> Reached {
        self.enter(|state| state.reached.clone())
    }

    /// Names what the test does from now on, for [`Reached`]: for example `"recovery"`.
    pub fn phase(&self, name: &'static str) {
        self.enter(|state| state.phase = name);
    }

    /// The choices that were written down.
    pub(crate) fn recorded(&self) -> Vec<u64> {
        self.enter(|state| state.choices.recorded().to_vec())
    }

    /// What happened so far, one thing in each line, if [`WorldBuilder::trace`] was called.
    /// Otherwise it is empty.
    pub fn trace(&self) -> String {
        self.enter(|state| state.trace.to_string())
    }

    /// Does something with the state, and tells threads that wait.
    pub(crate) fn enter<T>(&self, body: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = body(&mut state);
        self.leave(state);
        result
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the lock back. Tells threads that wait, if there are any.
    pub(crate) fn leave(&self, state: MutexGuard<'_, State>) {
        let waiting = state.kernel.waiting > 0;
        drop(state);
        if waiting {
            self.0.changed.notify_all();
        }
    }

    /// Waits until another thread does something, or a file that isn't of the world may be ready.
    /// Real time passes.
    pub(crate) fn wait<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let real = state.kernel.polls.real();
        if !real.is_empty() {
            drop(state);
            real.wait();
            return self.lock();
        }
        state.kernel.waiting += 1;
        let waited = self.0.changed.wait(state);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.kernel.waiting -= 1;
        state
    }
}

impl State {
    /// Whether a fault happens now that has no file.
    pub(crate) fn fires(&mut self, fault: Fault) -> bool {
        self.fires_on(fault, None)
    }

    /// Whether a fault happens now, to this file.
    pub(crate) fn fires_at(&mut self, fault: Fault, file: OpenId) -> bool {
        let is_scripted = self.faults.is_scripted(fault);
        let place = is_scripted.then(|| self.place(file, 0));
        self.fires_on(fault, place)
    }

    /// Whether a fault happens now, to the file of this place.
    pub(crate) fn fires_on(&mut self, fault: Fault, place: Option<Place>) -> bool {
        let plays = self.faults.is_scripted(fault) && self.plays(fault, place);
        let fires = plays || self.choices.one_in(self.faults.chance(fault));
        if fires {
            self.trace.add(self.agenda.now(), || What::Fault(fault));
            self.reached.add(self.phase, fault.name());
        }
        fires
    }

    #[cold]
    fn plays(&mut self, fault: Fault, place: Option<Place>) -> bool {
        let disks = &self.disks;
        self.faults.plays(fault, |script| {
            let is_disk = |disk| place.is_some_and(|place| place.disk == disk);
            let is_file = |name: &str| {
                place.is_some_and(|place| disks[place.disk].find(name) == Ok(place.inode))
            };
            script.disk.is_none_or(is_disk) && script.file.as_deref().is_none_or(is_file)
        })
    }

    /// A holder of an open file doesn't use it any more.
    pub(crate) fn release(&mut self, file: OpenId) {
        let (disk, inode) = (self.files.get(file).disk, self.files.get(file).inode);
        if self.files.release(file) {
            let disk = &mut self.disks[disk];
            disk.inodes[inode].opens -= 1;
            disk.free(inode);
        }
    }

    /// Goes to a time. What is due until then happens.
    pub(crate) fn run_until(&mut self, until: u64) {
        while let Some(due) = self.agenda.advance(until) {
            self.happen(due);
        }
    }

    /// Lets some time pass, as for a system call.
    pub(crate) fn spend(&mut self, nanos: u64) {
        self.run_until(self.agenda.after(nanos));
    }

    pub(crate) fn happen(&mut self, due: Due) {
        match due {
            Due::Request(key, number) => self.device_is_done(key, number),
            Due::Alarm(key) => self.sleepers.ring(key),
        }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}
