/*
 * Uses every function of libaio, and gives it bad arguments. Each case runs in a process of its own,
 * so that a crash is an answer. Prints a line for each case that answers otherwise than expected, and
 * the number of cases; exits with 1 if there was such a line.
 *
 * Cases that begin with '!' are those in which the original libaio crashes or doesn't notice the
 * error. With the argument "original", they have to answer otherwise than expected. Files are made in
 * /tmp, or in the directory that is the first argument.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdint.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef AIO_FILTER
#include "filter.h"
#endif

/* Where the kernel has the fields: see linux/aio_abi.h. */
_Static_assert(sizeof(struct iocb) == 64, "iocb");
_Static_assert(offsetof(struct iocb, data) == 0, "aio_data");
_Static_assert(offsetof(struct iocb, aio_lio_opcode) == 16, "aio_lio_opcode");
_Static_assert(offsetof(struct iocb, aio_reqprio) == 18, "aio_reqprio");
_Static_assert(offsetof(struct iocb, aio_fildes) == 20, "aio_fildes");
_Static_assert(offsetof(struct iocb, u.c.buf) == 24, "aio_buf");
_Static_assert(offsetof(struct iocb, u.v.vec) == 24, "aio_buf");
_Static_assert(offsetof(struct iocb, u.c.nbytes) == 32, "aio_nbytes");
_Static_assert(offsetof(struct iocb, u.v.nr) == 32, "aio_nbytes");
_Static_assert(offsetof(struct iocb, u.c.offset) == 40, "aio_offset");
_Static_assert(offsetof(struct iocb, u.v.offset) == 40, "aio_offset");
_Static_assert(offsetof(struct iocb, u.c.flags) == 56, "aio_flags");
_Static_assert(offsetof(struct iocb, u.c.resfd) == 60, "aio_resfd");
_Static_assert(sizeof(struct io_event) == 32, "io_event");
_Static_assert(offsetof(struct io_event, obj) == 8, "obj");
_Static_assert(offsetof(struct io_event, res) == 16, "res");
_Static_assert(offsetof(struct io_event, res2) == 24, "res2");
#if BYTE_ORDER == LITTLE_ENDIAN
_Static_assert(offsetof(struct iocb, key) == 8, "aio_key");
_Static_assert(offsetof(struct iocb, aio_rw_flags) == 12, "aio_rw_flags");
_Static_assert(offsetof(struct iocb, u.poll.events) == 24, "aio_buf");
#else
_Static_assert(offsetof(struct iocb, key) == 12, "aio_key");
_Static_assert(offsetof(struct iocb, aio_rw_flags) == 8, "aio_rw_flags");
_Static_assert(offsetof(struct iocb, u.poll.events) == 28, "aio_buf");
#endif

/* An address at which nothing is mapped. The compiler isn't to know it. */
static void *volatile wild = (void *)0x10;
#define WILD ((void *)wild)

static struct timespec now = {0, 0};
static struct timespec soon = {0, 20 * 1000 * 1000};
static io_context_t none, ctx;
static int file;
static char block[512] = "block";

/* A context for 4 requests, or the process ends. */
static io_context_t context(void)
{
    io_context_t made = NULL;
    if (io_setup(4, &made) != 0)
        exit(99);
    return made;
}

/* Submits one request and waits for its event. Returns what it transferred. */
static long result_of(struct iocb *iocb)
{
    struct io_event event;
    int submitted = io_submit(ctx, 1, &iocb);
    if (submitted != 1)
        return submitted;
    int taken = io_getevents(ctx, 1, 1, &event, NULL);
    if (taken != 1)
        return taken;
    return event.obj == iocb ? (long)event.res : -999;
}

static struct iocb read_block(void)
{
    struct iocb iocb;
    io_prep_pread(&iocb, file, block, sizeof block, 0);
    return iocb;
}

static long called;
static void callback(io_context_t of, struct iocb *iocb, long res, long res2)
{
    called += of == ctx && iocb->aio_fildes == file && res2 == 0 ? res : -1000000;
}

static volatile int handled;
static void handler(int signal)
{
    handled += signal == SIGUSR1;
}

/* Blocks SIGUSR1, and gives it a handler. */
static void catch_usr1(void)
{
    struct sigaction action = {.sa_handler = handler};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigaction(SIGUSR1, &action, NULL);
}

static int is_usr1_blocked(void)
{
    sigset_t set;
    sigprocmask(SIG_BLOCK, NULL, &set);
    return sigismember(&set, SIGUSR1);
}

/* io_setup */
static long setup_of(int maxevents)
{
    io_context_t made = NULL;
    return io_setup(maxevents, &made);
}
static long setup(void) { return setup_of(1); }
static long setup_zero(void) { return setup_of(0); }
static long setup_negative(void) { return setup_of(-1); }
static long setup_most_negative(void) { return setup_of(-2147483647 - 1); }
static long setup_too_many(void) { return setup_of(0x10000000); }
static long setup_used(void) { return io_setup(1, &ctx); }
static long setup_null(void) { return io_setup(1, NULL); }
static long setup_wild(void) { return io_setup(1, WILD); }
static long setup_read_only(void)
{
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return io_setup(1, page);
}

/* io_queue_init */
static long init(void)
{
    io_context_t made = (io_context_t)WILD;
    return io_queue_init(1, &made);
}
static long init_wild(void) { return io_queue_init(1, WILD); }
static long init_read_only(void)
{
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return io_queue_init(1, page);
}
/* The first half of the handle's place is there, the second isn't. */
static long init_at_the_end(void)
{
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(pages + 4096, 4096);
    return io_queue_init(1, (io_context_t *)(pages + 4092));
}
static long init_unaligned(void)
{
    static char place[16];
    return io_queue_init(1, (io_context_t *)(place + 1));
}
static long init_zero(void) { return io_queue_init(0, &none); }
static long init_negative(void) { return io_queue_init(-5, &none); }
static long init_null(void) { return io_queue_init(1, NULL); }
static long init_zero_null(void) { return io_queue_init(0, NULL); }

/* io_destroy */
static long destroy(void) { return io_destroy(ctx); }
static long destroy_none(void) { return io_destroy(NULL); }
static long destroy_wild(void) { return io_destroy(WILD); }
static long destroy_other(void) { return io_destroy((io_context_t)block); }
static long destroy_twice(void)
{
    io_destroy(ctx);
    return io_destroy(ctx);
}
static long release(void) { return io_queue_release(ctx); }
static long release_none(void) { return io_queue_release(NULL); }

/* io_submit */
static long submit_nothing(void) { return io_submit(ctx, 0, NULL); }
static long submit_negative(void) { return io_submit(ctx, -1, NULL); }
static long submit_null(void) { return io_submit(ctx, 1, NULL); }
static long submit_wild(void) { return io_submit(ctx, 1, WILD); }
static long submit_null_iocb(void)
{
    struct iocb *iocb = NULL;
    return io_submit(ctx, 1, &iocb);
}
static long submit_wild_iocb(void)
{
    struct iocb *iocb = WILD;
    return io_submit(ctx, 1, &iocb);
}
static long submit_to(io_context_t to)
{
    struct iocb iocb = read_block(), *pointer = &iocb;
    return io_submit(to, 1, &pointer);
}
static long submit_to_none(void) { return submit_to(NULL); }
static long submit_to_wild(void) { return submit_to(WILD); }
static long submit_to_destroyed(void)
{
    io_destroy(ctx);
    return submit_to(ctx);
}
static long submit_closed(void)
{
    struct iocb iocb = read_block();
    close(file);
    return result_of(&iocb);
}
static long submit_negative_fd(void)
{
    struct iocb iocb = read_block();
    iocb.aio_fildes = -1;
    return result_of(&iocb);
}
static long submit_bad_opcode(void)
{
    struct iocb iocb = read_block();
    iocb.aio_lio_opcode = 77;
    return result_of(&iocb);
}
static long submit_noop(void)
{
    struct iocb iocb = read_block();
    iocb.aio_lio_opcode = IO_CMD_NOOP;
    return result_of(&iocb);
}
static long submit_bad_flags(void)
{
    struct iocb iocb = read_block();
    iocb.aio_rw_flags = 0x80000000;
    return result_of(&iocb);
}
static long submit_negative_offset(void)
{
    struct iocb iocb = read_block();
    iocb.u.c.offset = -1;
    return result_of(&iocb);
}
static long submit_huge(void)
{
    struct iocb iocb = read_block();
    iocb.u.c.nbytes = -1;
    return result_of(&iocb);
}
static long submit_wild_buffer(void)
{
    struct iocb iocb = read_block();
    iocb.u.c.buf = WILD;
    return result_of(&iocb);
}
static long submit_not_an_eventfd(void)
{
    struct iocb iocb = read_block();
    io_set_eventfd(&iocb, file);
    return result_of(&iocb);
}
static long submit_closed_eventfd(void)
{
    struct iocb iocb = read_block();
    io_set_eventfd(&iocb, 999);
    return result_of(&iocb);
}
static long submit_second_is_bad(void)
{
    struct iocb good = read_block(), bad = good, *both[] = {&good, &bad};
    bad.aio_lio_opcode = 77;
    return io_submit(ctx, 2, both);
}
static long submit_read_to_write_only(void)
{
    struct iocb iocb = read_block();
    iocb.aio_fildes = open("/dev/null", O_WRONLY);
    return result_of(&iocb);
}
/* A poll that nothing ends keeps its slot. */
static struct iocb polls[4096];
static int poll_for_ever(int n)
{
    int ends[2];
    static int reader = -1;
    if (reader < 0 && pipe(ends) == 0)
        reader = ends[0];
    struct iocb *pointer = &polls[n];
    io_prep_poll(pointer, reader, POLLIN);
    return io_submit(ctx, 1, &pointer);
}
static long submit_full(void)
{
    for (int n = 0; n < 4096; n++) {
        int submitted = poll_for_ever(n);
        if (submitted != 1)
            return submitted;
    }
    return 0;
}

/* io_cancel */
static struct io_event event;
static long cancel_none(void) { return io_cancel(NULL, &polls[0], &event); }
static long cancel_wild(void) { return io_cancel(WILD, &polls[0], &event); }
static long cancel_null(void) { return io_cancel(ctx, NULL, &event); }
static long cancel_wild_iocb(void) { return io_cancel(ctx, WILD, &event); }
static long cancel_unknown(void)
{
    polls[0] = read_block();
    return io_cancel(ctx, &polls[0], &event);
}
static long cancel_poll(void)
{
    poll_for_ever(0);
    return io_cancel(ctx, &polls[0], &event);
}
static long cancel_twice(void)
{
    struct io_event taken;
    poll_for_ever(0);
    io_cancel(ctx, &polls[0], &event);
    io_getevents(ctx, 1, 1, &taken, NULL);
    return io_cancel(ctx, &polls[0], &event);
}

/* io_getevents */
static struct io_event events[4];
static long get_none(void) { return io_getevents(NULL, 0, 1, events, &soon); }
static long get_wild(void) { return io_getevents(WILD, 0, 1, events, &soon); }
static long get_none_now(void) { return io_getevents(NULL, 0, 1, events, &now); }
static long get_wild_now(void) { return io_getevents(WILD, 0, 1, events, &now); }
static long get_other_now(void)
{
    return io_getevents((io_context_t)block, 0, 1, events, &now);
}
static long get_destroyed_now(void)
{
    io_destroy(ctx);
    return io_getevents(ctx, 0, 1, events, &now);
}
static long get_negative(void) { return io_getevents(ctx, 0, -1, events, &soon); }
static long get_negative_min(void) { return io_getevents(ctx, -1, 1, events, &soon); }
static long get_more_than_fit(void) { return io_getevents(ctx, 2, 1, events, &soon); }
static long get_wild_timeout(void) { return io_getevents(ctx, 0, 1, events, WILD); }
static long get_nothing(void) { return io_getevents(ctx, 1, 1, events, &now); }
static long get_late(void) { return io_getevents(ctx, 1, 1, events, &soon); }
static long get_to_null(void)
{
    submit_to(ctx);
    return io_getevents(ctx, 1, 1, NULL, NULL);
}
static long get_to_wild(void)
{
    submit_to(ctx);
    return io_getevents(ctx, 1, 1, WILD, NULL);
}
static long get_interrupted(void)
{
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGALRM, &action, NULL);
    ualarm(20000, 0);
    return io_getevents(ctx, 1, 1, events, NULL);
}
/* What a forked child gets that does this. */
static long in_child(long (*call)(void))
{
    pid_t child = fork();
    if (child == 0)
        _exit(-call());
    int status;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -1000 - WTERMSIG(status);
}
static long get_now(void) { return io_getevents(ctx, 0, 1, events, &now); }
static long get_in_child(void) { return in_child(get_now); }
static long submit_here(void) { return submit_to(ctx); }
static long submit_in_child(void) { return in_child(submit_here); }
static long cancel_here(void) { return io_cancel(ctx, &polls[0], &event); }
static long cancel_in_child(void)
{
    poll_for_ever(0);
    return in_child(cancel_here);
}
static long destroy_in_child(void) { return in_child(destroy); }
static long run_here(void) { return io_queue_run(ctx); }
static long run_in_child(void) { return in_child(run_here); }
/* A child can make a context of its own, and the parent's still works. */
static long setup_in_child(void)
{
    long result = in_child(setup);
    return result == 0 ? submit_to(ctx) : result;
}
static void *destroy_soon(void *unused)
{
    usleep(50000);
    io_destroy(ctx);
    return unused;
}
static long get_destroyed_meanwhile(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, destroy_soon, NULL);
    long result = io_getevents(ctx, 1, 1, events, NULL);
    pthread_join(thread, NULL);
    return result;
}
/* A context of another process, whose address nobody else has. */
static long get_of_other_process(void)
{
    int ends[2], done[2];
    io_context_t theirs = NULL;
    if (pipe(ends) != 0 || pipe(done) != 0)
        exit(99);
    if (fork() == 0) {
        io_context_t many[8];
        close(done[1]);
        for (int n = 0; n < 8; n++)
            many[n] = context();
        if (write(ends[1], &many[7], sizeof many[7]) < 0 || read(done[0], &theirs, 1) < 0)
            _exit(1);
        _exit(0);
    }
    close(done[0]);
    close(ends[1]);
    if (read(ends[0], &theirs, sizeof theirs) != sizeof theirs)
        exit(99);
    return io_getevents(theirs, 0, 1, events, &soon);
}

/* io_pgetevents */
static long pget(sigset_t *mask) { return io_pgetevents(ctx, 1, 1, events, &soon, mask); }
static long pget_no_mask(void) { return pget(NULL); }
static long pget_wild_mask(void) { return pget(WILD); }
static long pget_none(void) { return io_pgetevents(NULL, 0, 1, events, &soon, NULL); }
static long pget_wild_timeout(void) { return io_pgetevents(ctx, 0, 1, events, WILD, NULL); }
static long pget_event(void)
{
    sigset_t mask;
    sigemptyset(&mask);
    submit_to(ctx);
    return io_pgetevents(ctx, 1, 4, events, NULL, &mask);
}
static long pget_late(void)
{
    sigset_t mask;
    sigemptyset(&mask);
    return pget(&mask);
}
static long pget_pending(void)
{
    sigset_t mask;
    catch_usr1();
    raise(SIGUSR1);
    sigemptyset(&mask);
    long result = io_pgetevents(ctx, 1, 1, events, NULL, &mask);
    return handled == 1 && is_usr1_blocked() ? result : -999;
}
static long pget_interrupted(void)
{
    sigset_t mask;
    catch_usr1();
    sigemptyset(&mask);
    if (fork() == 0) {
        usleep(50000);
        kill(getppid(), SIGUSR1);
        _exit(0);
    }
    long result = io_pgetevents(ctx, 1, 1, events, NULL, &mask);
    return handled == 1 && is_usr1_blocked() ? result : -999;
}
static long pget_still_blocked(void)
{
    sigset_t mask;
    catch_usr1();
    raise(SIGUSR1);
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    long result = pget(&mask);
    return handled == 0 ? result : -999;
}
/* SIGCHLD has no handler here, and is ignored then. */
static long pget_ignored(void)
{
    sigset_t mask;
    sigemptyset(&mask);
    if (fork() == 0)
        _exit(0);
    return pget(&mask);
}

static long pget_destroyed_meanwhile(void)
{
    pthread_t thread;
    sigset_t mask;
    sigemptyset(&mask);
    pthread_create(&thread, NULL, destroy_soon, NULL);
    long result = io_pgetevents(ctx, 1, 1, events, NULL, &mask);
    pthread_join(thread, NULL);
    return result;
}
static long pget_here(void)
{
    sigset_t mask;
    sigemptyset(&mask);
    return io_pgetevents(ctx, 1, 1, events, &now, &mask);
}
static long pget_in_child(void) { return in_child(pget_here); }
/* Neither the time nor the mask is where their types have to be. */
static long pget_unaligned(void)
{
    static char places[2][256];
    struct timespec *timeout = (struct timespec *)(places[0] + 1);
    sigset_t *mask = (sigset_t *)(places[1] + 3);
    memcpy(timeout, &soon, sizeof soon);
    return io_pgetevents(ctx, 1, 1, events, timeout, mask);
}
/* These times never come. */
static long pget_with(time_t sec, long nsec)
{
    struct timespec time = {sec, nsec};
    sigset_t mask;
    sigemptyset(&mask);
    submit_to(ctx);
    return io_pgetevents(ctx, 1, 1, events, &time, &mask);
}
static long pget_negative_time(void) { return pget_with(-1, 0); }
static long pget_most_negative_time(void) { return pget_with(INT64_MIN, INT64_MIN); }
static long pget_huge_time(void) { return pget_with(INT64_MAX, INT64_MAX); }
static long pget_more_than_fit(void)
{
    sigset_t mask;
    sigemptyset(&mask);
    return io_pgetevents(ctx, 2, 1, events, NULL, &mask);
}
static long pget_negative(void)
{
    sigset_t mask;
    sigemptyset(&mask);
    return io_pgetevents(ctx, 0, -1, events, NULL, &mask);
}
static long pget_to_wild(void)
{
    sigset_t mask;
    sigemptyset(&mask);
    submit_to(ctx);
    return io_pgetevents(ctx, 1, 1, WILD, NULL, &mask);
}
/* An event is there, but not as many as asked for, when the signal comes. */
static long pget_some_and_a_signal(void)
{
    sigset_t mask;
    catch_usr1();
    sigemptyset(&mask);
    submit_to(ctx);
    if (fork() == 0) {
        usleep(50000);
        kill(getppid(), SIGUSR1);
        _exit(0);
    }
    long result = io_pgetevents(ctx, 2, 4, events, NULL, &mask);
    return handled == 1 && is_usr1_blocked() ? result : -999;
}
/* Each call runs the handler once, however many signals of a kind are queued. */
static void count(int signal) { handled += signal == SIGRTMIN; }
static long pget_queued(void)
{
    struct sigaction action = {.sa_handler = count};
    sigset_t set, mask;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigaction(SIGRTMIN, &action, NULL);
    for (int n = 0; n < 3; n++)
        sigqueue(getpid(), SIGRTMIN, (union sigval){n});
    sigemptyset(&mask);
    for (int n = 1; n <= 3; n++) {
        long result = io_pgetevents(ctx, 1, 1, events, NULL, &mask);
        if (result != -EINTR || handled != n)
            return -900 - handled;
    }
    return io_pgetevents(ctx, 1, 1, events, &soon, &mask);
}
/* A handler runs with the mask of the call, and its own signal. */
static sigset_t in_handler;
static void look(int signal)
{
    handled += signal == SIGUSR1;
    sigprocmask(SIG_BLOCK, NULL, &in_handler);
}
static long pget_mask_in_handler(void)
{
    struct sigaction action = {.sa_handler = look};
    sigset_t mask;
    catch_usr1();
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    long result = io_pgetevents(ctx, 1, 1, events, NULL, &mask);
    int is_right = sigismember(&in_handler, SIGUSR1) && sigismember(&in_handler, SIGUSR2) &&
                   !sigismember(&in_handler, SIGALRM) && !sigismember(&in_handler, SIGTERM);
    return handled == 1 && is_right ? result : -999;
}
static sigjmp_buf before;
static void jump(int signal) { siglongjmp(before, signal); }
static long pget_jump_out(void)
{
    struct sigaction action = {.sa_handler = jump};
    sigset_t mask, after;
    catch_usr1();
    sigaction(SIGUSR1, &action, NULL);
    sigemptyset(&mask);
    if (sigsetjmp(before, 1) == 0) {
        raise(SIGUSR1);
        return io_pgetevents(ctx, 1, 1, events, NULL, &mask);
    }
    sigprocmask(SIG_BLOCK, NULL, &after);
    return sigismember(&after, SIGUSR1) && !sigismember(&after, SIGUSR2) ? submit_to(ctx) : -999;
}
/* A handler may wait itself. */
static void wait_inside(int signal)
{
    sigset_t mask;
    sigemptyset(&mask);
    handled += signal == SIGUSR1 && io_pgetevents(ctx, 1, 1, events, &soon, &mask) == 0;
}
static long pget_in_handler(void)
{
    struct sigaction action = {.sa_handler = wait_inside};
    sigset_t mask;
    catch_usr1();
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    sigemptyset(&mask);
    long result = io_pgetevents(ctx, 1, 1, events, NULL, &mask);
    return handled == 1 && is_usr1_blocked() ? result : -999;
}
/* A signal without a handler ends the process, though it is blocked outside of the call. */
static long pget_killed(void)
{
    pid_t child = fork();
    if (child == 0) {
        sigset_t set, mask;
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigprocmask(SIG_BLOCK, &set, NULL);
        sigemptyset(&mask);
        raise(SIGTERM);
        io_context_t own = context();
        _exit(-io_pgetevents(own, 1, 1, events, NULL, &mask));
    }
    int status;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -999;
}
/*
 * The C library has two signals of its own, which it sends to all threads when one changes the
 * user. Whoever changes it must not wait for the end of this call.
 */
static void *change_user(void *unused)
{
    for (int n = 0; n < 5; n++) {
        usleep(20000);
        if (setreuid(-1, -1) != 0)
            handled = -1;
    }
    handled++;
    return unused;
}
static long pget_change_of_user(void)
{
    pthread_t thread;
    sigset_t mask;
    long result;
    sigfillset(&mask);
    pthread_create(&thread, NULL, change_user, NULL);
    errno = 77;
    do {
        result = io_pgetevents(ctx, 1, 1, events, &(struct timespec){0, 300000000}, &mask);
    } while (result == -EINTR);
    if (errno != 77)
        return -998;
    int has_changed = handled;
    pthread_join(thread, NULL);
    return has_changed == 1 ? result : -999;
}

/* io_queue_wait, io_queue_run */
int io_queue_wait(io_context_t ctx, struct timespec *timeout);
static long wait_none(void) { return io_queue_wait(NULL, &soon); }
static long wait_for_nothing(void)
{
    submit_to(ctx);
    return io_queue_wait(ctx, NULL);
}
static long run_empty(void) { return io_queue_run(ctx); }
static long run_none(void) { return io_queue_run(NULL); }
static long run_wild(void) { return io_queue_run(WILD); }
static long run(void)
{
    struct iocb iocb = read_block(), *pointer = &iocb;
    io_set_callback(&iocb, callback);
    io_submit(ctx, 1, &pointer);
    io_submit(ctx, 1, &pointer);
    long result = io_queue_run(ctx);
    return result == 0 ? called : result;
}
static long run_without_callback(void)
{
    submit_to(ctx);
    return io_queue_run(ctx);
}

/* The functions of version 0.1, which the archive doesn't have. */
#ifndef AIO_STATIC
__asm__(".symver old_cancel, io_cancel@LIBAIO_0.1");
__asm__(".symver old_getevents, io_getevents@LIBAIO_0.1");
__asm__(".symver old_wait, io_queue_wait@LIBAIO_0.1");
int old_cancel(io_context_t ctx, struct iocb *iocb);
int old_getevents(io_context_t ctx, long nr, struct io_event *events, const struct timespec *timeout);
int old_wait(io_context_t ctx, struct timespec *timeout);

static long old_cancels(void)
{
    poll_for_ever(0);
    return old_cancel(ctx, &polls[0]);
}
static long old_gets(void)
{
    submit_to(ctx);
    return old_getevents(ctx, 4, events, NULL);
}
/* It waits for one event at least, so it doesn't return before the handler has run. */
static long old_waits_for_one(void)
{
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGALRM, &action, NULL);
    ualarm(20000, 0);
    return old_getevents(ctx, 4, events, NULL);
}
static long old_gets_from_none(void) { return old_getevents(NULL, 4, events, NULL); }
static long old_waits(void) { return old_wait(ctx, NULL); }
#endif

/* What the header prepares. */
static long read_it(void)
{
    struct iocb iocb = read_block();
    return result_of(&iocb);
}
static long write_it(void)
{
    struct iocb iocb;
    io_prep_pwrite(&iocb, file, block, 100, 1000);
    long result = result_of(&iocb);
    return result == 100 && lseek(file, 0, SEEK_END) == 1100 ? result : -999;
}
static struct iovec parts[2] = {{block, 100}, {block + 100, 28}};
static long read_parts(void)
{
    struct iocb iocb;
    io_prep_preadv(&iocb, file, parts, 2, 0);
    return result_of(&iocb);
}
static long write_parts(void)
{
    struct iocb iocb;
    io_prep_pwritev(&iocb, file, parts, 2, 0);
    return result_of(&iocb);
}
static long read_parts_with_flags(void)
{
    struct iocb iocb;
    io_prep_preadv2(&iocb, file, parts, 2, 0, RWF_HIPRI);
    return result_of(&iocb);
}
static long write_parts_with_flags(void)
{
    struct iocb iocb;
    io_prep_pwritev2(&iocb, file, parts, 2, 0, RWF_DSYNC);
    return result_of(&iocb);
}
static long too_many_parts(void)
{
    struct iocb iocb;
    io_prep_preadv(&iocb, file, parts, 1025, 0);
    return result_of(&iocb);
}
static long negative_parts(void)
{
    struct iocb iocb;
    io_prep_preadv(&iocb, file, parts, -1, 0);
    return result_of(&iocb);
}
static long sync_it(void)
{
    struct iocb iocb;
    io_prep_fsync(&iocb, file);
    return result_of(&iocb);
}
static long sync_data(void)
{
    struct iocb iocb;
    io_prep_fdsync(&iocb, file);
    return result_of(&iocb);
}
static long sync_a_pipe(void)
{
    struct iocb iocb;
    int ends[2];
    if (pipe(ends) != 0)
        exit(99);
    io_prep_fsync(&iocb, ends[0]);
    return result_of(&iocb);
}
static long poll_it(void)
{
    struct iocb iocb;
    io_prep_poll(&iocb, eventfd(1, 0), POLLIN);
    return result_of(&iocb);
}
static long tell_an_eventfd(void)
{
    struct iocb iocb = read_block();
    int told = eventfd(0, 0);
    uint64_t count;
    io_set_eventfd(&iocb, told);
    result_of(&iocb);
    return read(told, &count, sizeof count) == sizeof count ? (long)count : -999;
}
static long submit_a_sync(void)
{
    struct iocb iocb;
    return io_fsync(ctx, &iocb, callback, file);
}
static long submit_a_data_sync(void)
{
    struct iocb iocb;
    return io_fdsync(ctx, &iocb, callback, file);
}
static long submit_a_poll(void)
{
    static struct iocb iocb;
    return io_poll(ctx, &iocb, callback, eventfd(0, 0), POLLIN);
}

#define CASE(name, expected) {#name, name, expected}
#define BETTER(name, expected) {"!" #name, name, expected}

static const struct {
    const char *name;
    long (*run)(void);
    long expected;
} cases[] = {
    CASE(setup, 0),
    CASE(setup_zero, -EINVAL),
    CASE(setup_negative, -EINVAL),
    /* The kernel doubles the number, which makes it 0. */
    CASE(setup_most_negative, -EAGAIN),
    CASE(setup_too_many, -EINVAL),
    CASE(setup_used, -EINVAL),
    CASE(setup_null, -EFAULT),
    CASE(setup_wild, -EFAULT),
    CASE(setup_read_only, -EFAULT),
    CASE(init, 0),
    BETTER(init_wild, -EFAULT),
    BETTER(init_read_only, -EFAULT),
    BETTER(init_at_the_end, -EFAULT),
    CASE(init_unaligned, 0),
    CASE(init_zero, -EINVAL),
    CASE(init_negative, -EINVAL),
    BETTER(init_null, -EFAULT),
    CASE(init_zero_null, -EINVAL),
    CASE(destroy, 0),
    CASE(destroy_none, -EINVAL),
    CASE(destroy_wild, -EINVAL),
    CASE(destroy_other, -EINVAL),
    CASE(destroy_twice, -EINVAL),
    CASE(release, 0),
    CASE(release_none, -EINVAL),
    CASE(submit_nothing, 0),
    CASE(submit_negative, -EINVAL),
    CASE(submit_null, -EFAULT),
    CASE(submit_wild, -EFAULT),
    CASE(submit_null_iocb, -EFAULT),
    CASE(submit_wild_iocb, -EFAULT),
    CASE(submit_to_none, -EINVAL),
    CASE(submit_to_wild, -EINVAL),
    CASE(submit_to_destroyed, -EINVAL),
    CASE(submit_closed, -EBADF),
    CASE(submit_negative_fd, -EBADF),
    CASE(submit_bad_opcode, -EINVAL),
    CASE(submit_noop, -EINVAL),
    CASE(submit_bad_flags, -EOPNOTSUPP),
    CASE(submit_negative_offset, -EINVAL),
    CASE(submit_huge, -EINVAL),
    CASE(submit_wild_buffer, -EFAULT),
    CASE(submit_not_an_eventfd, -EINVAL),
    CASE(submit_closed_eventfd, -EBADF),
    CASE(submit_second_is_bad, 1),
    CASE(submit_read_to_write_only, -EBADF),
    CASE(submit_full, -EAGAIN),
    CASE(cancel_none, -EINVAL),
    CASE(cancel_wild, -EINVAL),
    CASE(cancel_null, -EFAULT),
    CASE(cancel_wild_iocb, -EFAULT),
    CASE(cancel_unknown, -EINVAL),
    CASE(cancel_poll, -EINPROGRESS),
    CASE(cancel_twice, -EINVAL),
    CASE(get_none, -EINVAL),
    BETTER(get_wild, -EINVAL),
    CASE(get_none_now, -EINVAL),
    BETTER(get_wild_now, -EINVAL),
    CASE(get_other_now, -EINVAL),
    BETTER(get_destroyed_now, -EINVAL),
    CASE(get_negative, -EINVAL),
    CASE(get_negative_min, -EINVAL),
    CASE(get_more_than_fit, -EINVAL),
    BETTER(get_wild_timeout, -EFAULT),
    CASE(get_nothing, 0),
    CASE(get_late, 0),
    CASE(get_to_null, -EFAULT),
    CASE(get_to_wild, -EFAULT),
    CASE(get_interrupted, -EINTR),
    BETTER(get_in_child, -EINVAL),
    CASE(submit_in_child, -EINVAL),
    CASE(cancel_in_child, -EINVAL),
    CASE(destroy_in_child, -EINVAL),
    BETTER(run_in_child, -EINVAL),
    CASE(setup_in_child, 1),
    CASE(get_destroyed_meanwhile, -EINVAL),
    BETTER(get_of_other_process, -EINVAL),
    CASE(pget_no_mask, 0),
    CASE(pget_wild_mask, -EFAULT),
    CASE(pget_none, -EINVAL),
    BETTER(pget_wild_timeout, -EFAULT),
    CASE(pget_event, 1),
    CASE(pget_late, 0),
    CASE(pget_pending, -EINTR),
    CASE(pget_interrupted, -EINTR),
    CASE(pget_still_blocked, 0),
    CASE(pget_ignored, 0),
    CASE(pget_destroyed_meanwhile, -EINVAL),
    BETTER(pget_in_child, -EINVAL),
    CASE(pget_unaligned, 0),
    CASE(pget_negative_time, 1),
    CASE(pget_most_negative_time, 1),
    CASE(pget_huge_time, 1),
    CASE(pget_more_than_fit, -EINVAL),
    CASE(pget_negative, -EINVAL),
    CASE(pget_to_wild, -EFAULT),
    CASE(pget_some_and_a_signal, 1),
    CASE(pget_queued, 0),
    CASE(pget_mask_in_handler, -EINTR),
    CASE(pget_jump_out, 1),
    CASE(pget_in_handler, -EINTR),
    CASE(pget_killed, SIGTERM),
    CASE(pget_change_of_user, 0),
    CASE(wait_none, -EINVAL),
    CASE(wait_for_nothing, 0),
    CASE(run_empty, 0),
    CASE(run_none, -EINVAL),
    BETTER(run_wild, -EINVAL),
    CASE(run, 1024),
    BETTER(run_without_callback, 0),
#ifndef AIO_STATIC
    CASE(old_cancels, -EINPROGRESS),
    CASE(old_gets, 1),
    CASE(old_waits_for_one, -EINTR),
    CASE(old_gets_from_none, -EINVAL),
    CASE(old_waits, 0),
#endif
    CASE(read_it, 512),
    CASE(write_it, 100),
    CASE(read_parts, 128),
    CASE(write_parts, 128),
    CASE(read_parts_with_flags, 128),
    CASE(write_parts_with_flags, 128),
    CASE(too_many_parts, -EINVAL),
    CASE(negative_parts, -EINVAL),
    CASE(sync_it, 0),
    CASE(sync_data, 0),
    CASE(sync_a_pipe, -EINVAL),
    CASE(poll_it, POLLIN),
    CASE(tell_an_eventfd, 1),
    CASE(submit_a_sync, 1),
    CASE(submit_a_data_sync, 1),
    CASE(submit_a_poll, 1),
};

static const char *directory = "/tmp";

/* Runs a case in this process, which is its own. */
static void child(int n, int pipe)
{
    char path[256];
    snprintf(path, sizeof path, "%s/aio-libaio-XXXXXX", directory);
    file = mkstemp(path);
    unlink(path);
    if (file < 0 || write(file, block, sizeof block) != sizeof block)
        exit(99);
    ctx = context();
#ifdef AIO_FILTER
    filter();
#endif
    alarm(20);
    errno = 77;
    long answer = cases[n].run();
    /* libaio leaves errno alone. Functions of the C library that a case calls may not. */
    if (errno != 77 && strncmp(cases[n].name, "setup", 5) == 0)
        answer = -998;
    if (write(pipe, &answer, sizeof answer) != sizeof answer)
        exit(99);
    _exit(0);
}

int main(int argc, char **argv)
{
    int is_original = argc > 1 && strcmp(argv[1], "original") == 0;
    if (argc > 1 && argv[1][0] == '/')
        directory = argv[1];
    int count = sizeof cases / sizeof cases[0], wrong = 0;
    for (int n = 0; n < count; n++) {
        int ends[2], status;
        long answer;
        if (pipe(ends) != 0)
            return 99;
        pid_t pid = fork();
        if (pid == 0)
            child(n, ends[1]);
        close(ends[1]);
        int has_answer = read(ends[0], &answer, sizeof answer) == sizeof answer;
        close(ends[0]);
        waitpid(pid, &status, 0);
        int differs = is_original && cases[n].name[0] == '!';
        if (!has_answer)
            answer = WIFSIGNALED(status) ? -1000 - WTERMSIG(status) : -2000 - WEXITSTATUS(status);
        if ((has_answer && answer == cases[n].expected) != differs)
            continue;
        printf("%s: answered %ld, expected %s%ld\n", cases[n].name, answer,
               differs ? "another answer than " : "", cases[n].expected);
        wrong++;
    }
    printf("%d cases, %d wrong\n", count, wrong);
    return wrong != 0;
}
