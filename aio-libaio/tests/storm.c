/*
 * Uses libaio from several threads, each with a context and a part of a file, while signals arrive,
 * processes fork, contexts come and go, and the C library interrupts all threads. Every block that
 * is read is compared, every event is counted, and every queued signal has to reach its handler.
 *
 *     storm SECONDS [DIRECTORY [SEED]]
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef AIO_FILTER
#include "filter.h"
#endif

#define WORKERS 4
#define DEPTH 8
#define BLOCKS 64
#define BLOCK 4096
#define HANG 20

static int file, never;
static volatile int over;
static atomic_ulong requests, events, cancelled, interrupted, sent, forks, contexts, refused;

static void fail(const char *what, long value)
{
    printf("%s: %ld\n", what, value);
    fflush(stdout);
    _exit(1);
}
#define CHECK(condition, value) \
    do { \
        if (!(condition)) \
            fail(#condition, (long)(value)); \
    } while (0)

static unsigned long long next(unsigned long long *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    return *seed ^= *seed << 17;
}

/* One request of a worker. */
struct request {
    struct iocb iocb;
    enum { IDLE, READ, WRITE, POLL, SYNC } kind;
    int block;
    unsigned version;
    unsigned *buffer;
};

struct worker {
    pthread_t thread;
    unsigned long long seed;
    io_context_t ctx;
    struct request requests[DEPTH];
    unsigned versions[BLOCKS];
    int in_flight, busy[BLOCKS], number;
    /* Signals with a number that were sent to it, and that its handler saw. */
    atomic_ulong sent, seen;
};
static struct worker workers[WORKERS];
static _Thread_local struct worker *me;

static void on_signal(int signal)
{
    if (me != NULL && signal == SIGRTMIN)
        atomic_fetch_add(&me->seen, 1);
}

static unsigned word(struct worker *worker, int block, unsigned version, int n)
{
    return version == 0 ? 0 : (worker->number + 1) * 2654435761u ^ block << 20 ^ version ^ n << 8;
}

static void submit(struct worker *worker, struct request *request)
{
    struct iocb *iocb = &request->iocb;
    int block = next(&worker->seed) % BLOCKS;
    long long offset = ((long long)worker->number * BLOCKS + block) * BLOCK;
    int choice = next(&worker->seed) % 64;
    /* A sync takes as long as hundreds of the others. */
    int kind = choice == 0 ? SYNC : choice < 8 ? POLL : choice < 36 ? READ : WRITE;
    if ((kind == READ || kind == WRITE) && worker->busy[block])
        return;
    request->block = block;
    request->version = 0;
    if (kind == READ) {
        io_prep_pread(iocb, file, request->buffer, BLOCK, offset);
        request->version = worker->versions[block];
    } else if (kind == WRITE) {
        request->version = worker->versions[block] + 1;
        for (int n = 0; n < BLOCK / 4; n++)
            request->buffer[n] = word(worker, block, request->version, n);
        io_prep_pwrite(iocb, file, request->buffer, BLOCK, offset);
    } else if (kind == POLL) {
        io_prep_poll(iocb, never, POLLIN);
    } else {
        io_prep_fdsync(iocb, file);
    }
    iocb->data = request;
    int result = io_submit(worker->ctx, 1, &iocb);
    CHECK(result == 1, result);
    request->kind = kind;
    worker->in_flight++;
    worker->busy[block] += kind == READ || kind == WRITE;
    atomic_fetch_add(&requests, 1);
}

static void complete(struct worker *worker, struct io_event *event)
{
    struct request *request = event->data;
    long result = (long)event->res;
    CHECK(event->obj == &request->iocb, 0);
    if (request->kind == READ) {
        CHECK(result == BLOCK, result);
        for (int n = 0; n < BLOCK / 4; n++)
            CHECK(request->buffer[n] == word(worker, request->block, request->version, n), n);
    } else if (request->kind == WRITE) {
        CHECK(result == BLOCK, result);
        worker->versions[request->block] = request->version;
    } else if (request->kind == POLL) {
        /* Nothing is ever ready: it was cancelled. */
        CHECK(result == 0, result);
    } else {
        CHECK(request->kind == SYNC, request->kind);
        CHECK(result == 0, result);
    }
    if (request->kind == READ || request->kind == WRITE)
        worker->busy[request->block]--;
    request->kind = IDLE;
    worker->in_flight--;
    atomic_fetch_add(&events, 1);
}

static void cancel(struct worker *worker, struct request *request)
{
    struct io_event event;
    if (request->kind != POLL || request->version == ~0u)
        return;
    int result = io_cancel(worker->ctx, &request->iocb, &event);
    CHECK(result == -EINPROGRESS, result);
    request->version = ~0u;
    atomic_fetch_add(&cancelled, 1);
}

static void reap(struct worker *worker)
{
    struct io_event taken[DEPTH];
    struct timespec time = {0, (long)(next(&worker->seed) % 3000000)};
    long min = (long)(next(&worker->seed) % 3), result;
    sigset_t mask;
    int is_masked = next(&worker->seed) % 2;
    if (is_masked) {
        sigemptyset(&mask);
        if (next(&worker->seed) % 4 == 0)
            sigaddset(&mask, SIGRTMIN);
        result = io_pgetevents(worker->ctx, min, DEPTH, taken, &time, &mask);
    } else {
        result = io_getevents(worker->ctx, min, DEPTH, taken, &time);
    }
    if (result == -EINTR) {
        atomic_fetch_add(&interrupted, 1);
        return;
    }
    CHECK(result >= 0 && result <= DEPTH, result);
    for (long n = 0; n < result; n++)
        complete(worker, &taken[n]);
    sigset_t now;
    pthread_sigmask(SIG_BLOCK, NULL, &now);
    CHECK(sigismember(&now, SIGRTMIN) && !sigismember(&now, SIGUSR1), is_masked);
}

/* Bad arguments of all kinds, which are refused and break nothing. */
static void misuse(struct worker *worker)
{
    struct io_event taken[2];
    struct iocb iocb, *pointer = &iocb;
    void *wild = (void *)(next(&worker->seed) % 4096);
    struct timespec now = {0, 0};
    int result = 0;
    io_prep_pread(&iocb, file, taken, 16, 0);
    switch (next(&worker->seed) % 8) {
    case 0: result = io_submit(wild, 1, &pointer); break;
    case 1: result = io_submit(worker->ctx, 1, wild); break;
    case 2: result = io_getevents(wild, 0, 2, taken, &now); break;
    case 3: result = io_getevents(worker->ctx, 2, 1, taken, &now); break;
    case 4: result = io_cancel(worker->ctx, &iocb, taken); break;
    case 5: result = io_pgetevents(worker->ctx, 0, 1, taken, &now, (sigset_t *)1); break;
    case 6: result = io_destroy(wild); break;
    default: result = io_queue_init(1, wild); break;
    }
    CHECK(result == -EINVAL || result == -EFAULT, result);
    atomic_fetch_add(&refused, 1);
}

static void *work(void *argument)
{
    struct worker *worker = me = argument;
    char *buffers = mmap(NULL, DEPTH * BLOCK, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int n = 0; n < DEPTH; n++)
        worker->requests[n].buffer = (unsigned *)(buffers + n * BLOCK);
    int result = io_setup(DEPTH, &worker->ctx);
    CHECK(result == 0, result);
    while (!over || worker->in_flight > 0) {
        struct request *request = &worker->requests[next(&worker->seed) % DEPTH];
        if (request->kind == IDLE && !over)
            submit(worker, request);
        for (int n = 0; n < DEPTH; n++)
            if (over || next(&worker->seed) % 8 == 0)
                cancel(worker, &worker->requests[n]);
        if (next(&worker->seed) % 4 == 0)
            misuse(worker);
        reap(worker);
    }
    result = io_destroy(worker->ctx);
    CHECK(result == 0, result);
    return NULL;
}

/* Sends signals that are counted, and not more than are queued safely. */
static void *send(void *argument)
{
    unsigned long long seed = (uintptr_t)argument;
    while (!over) {
        struct worker *worker = &workers[next(&seed) % WORKERS];
        if (atomic_load(&worker->sent) - atomic_load(&worker->seen) < 100) {
            /* First, so that it isn't seen before it is sent. */
            atomic_fetch_add(&worker->sent, 1);
            int result = pthread_sigqueue(worker->thread, SIGRTMIN, (union sigval){0});
            CHECK(result == 0, result);
            atomic_fetch_add(&sent, 1);
        }
        pthread_kill(worker->thread, SIGUSR1);
        usleep(next(&seed) % 400);
    }
    return NULL;
}

/* Contexts that come and go, with requests in flight. */
static void *churn(void *argument)
{
    (void)argument;
    while (!over) {
        io_context_t ctx = NULL;
        struct iocb poll, *pointer = &poll;
        int result = io_queue_init(4, &ctx);
        CHECK(result == 0, result);
        io_prep_poll(&poll, never, POLLIN);
        result = io_submit(ctx, 1, &pointer);
        CHECK(result == 1, result);
        result = io_queue_release(ctx);
        CHECK(result == 0, result);
        result = setreuid(-1, -1);
        CHECK(result == 0, result);
        atomic_fetch_add(&contexts, 1);
        usleep(2000);
    }
    return NULL;
}

/* Children, for whom the parent's contexts don't exist. */
static void *fork_often(void *argument)
{
    (void)argument;
    while (!over) {
        pid_t child = fork();
        if (child == 0) {
            struct timespec now = {0, 0};
            struct io_event event;
            io_context_t own = NULL;
            sigset_t mask;
            sigemptyset(&mask);
            int good = 1;
            for (int n = 0; n < WORKERS; n++) {
                io_context_t theirs = workers[n].ctx;
                good &= io_getevents(theirs, 0, 1, &event, &now) == -EINVAL;
                good &= io_pgetevents(theirs, 0, 1, &event, &now, &mask) == -EINVAL;
                good &= io_destroy(theirs) == -EINVAL;
            }
            good &= io_setup(1, &own) == 0;
            good &= io_pgetevents(own, 1, 1, &event, &now, &mask) == 0;
            _exit(!good);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child, errno);
        CHECK(status == 0, status);
        atomic_fetch_add(&forks, 1);
        usleep(5000);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    int seconds = argc > 1 ? atoi(argv[1]) : 5;
    unsigned long long seed = argc > 3 ? strtoull(argv[3], NULL, 10) : (unsigned)time(NULL);
    char path[256];
    int ends[2];
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t set;
    printf("seed %llu\n", seed);
    fflush(stdout);
    snprintf(path, sizeof path, "%s/aio-storm-XXXXXX", argc > 2 ? argv[2] : "/tmp");
    file = mkstemp(path);
    unlink(path);
    CHECK(ftruncate(file, (off_t)WORKERS * BLOCKS * BLOCK) == 0, errno);
    CHECK(pipe(ends) == 0, errno);
    never = ends[0];
    sigaction(SIGRTMIN, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    /* The counted signals only arrive in io_pgetevents. */
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
#ifdef AIO_FILTER
    filter();
#endif
    pthread_t others[3];
    for (int n = 0; n < WORKERS; n++) {
        workers[n].number = n;
        workers[n].seed = (seed + n) * 0x9e3779b97f4a7c15 | 1;
        CHECK(pthread_create(&workers[n].thread, NULL, work, &workers[n]) == 0, n);
    }
    pthread_create(&others[0], NULL, send, (void *)(uintptr_t)(seed | 1));
    pthread_create(&others[1], NULL, churn, NULL);
    pthread_create(&others[2], NULL, fork_often, NULL);
    /* The C library's signals end a sleep. */
    for (time_t end = time(NULL) + seconds; time(NULL) < end;)
        usleep(100000);
    over = 1;
    /* Whoever hangs is ended. */
    alarm(HANG);
    unsigned long pending = 0;
    for (int n = 0; n < 3; n++)
        pthread_join(others[n], NULL);
    for (int n = 0; n < WORKERS; n++) {
        pthread_join(workers[n].thread, NULL);
        CHECK(workers[n].seen <= workers[n].sent, workers[n].seen);
        pending += workers[n].sent - workers[n].seen;
    }
    CHECK(requests == events && requests > 0, requests - events);
    CHECK(sent > 0 && forks > 0 && contexts > 0 && refused > 0 && cancelled > 0, sent);
    CHECK(interrupted > 0, interrupted);
    /* Of each worker, at most as many as may be queued are pending still. */
    CHECK(pending <= WORKERS * 100ul, pending);
    printf("%lu requests and events, %lu cancelled, %lu interrupted, %lu signals, %lu pending, "
           "%lu forks, %lu contexts, %lu refused\n",
           requests, cancelled, interrupted, sent, pending, forks, contexts, refused);
    return 0;
}
