/*
 * The C library for Linux native AIO.
 *
 * This is the interface of libaio 0.3.113, in the words of the crate aio-libaio. A program that was
 * written for libaio's own header compiles with this one, and runs with either library.
 *
 * Every function returns a negative errno when it fails, and leaves `errno` alone. The manual pages
 * io_setup(2), io_submit(2), io_getevents(2), io_cancel(2) and io_destroy(2) describe the calls.
 */
#ifndef AIO_LIBAIO_H
#define AIO_LIBAIO_H
/* The guard of the original, for programs that look whether it was included. */
#define __LIBAIO_H

#include <endian.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The kernel's handle of a context: the address of its completion ring. */
struct io_context;
typedef struct io_context *io_context_t;

/* The values of `aio_lio_opcode`. */
typedef enum io_iocb_cmd {
    IO_CMD_PREAD = 0,
    IO_CMD_PWRITE = 1,
    IO_CMD_FSYNC = 2,
    IO_CMD_FDSYNC = 3,
    IO_CMD_POLL = 5,
    IO_CMD_NOOP = 6,
    IO_CMD_PREADV = 7,
    IO_CMD_PWRITEV = 8,
} io_iocb_cmd_t;

/* A field of 32 bits that has 64 in the kernel. */
#if BYTE_ORDER == LITTLE_ENDIAN
#define AIO_LIBAIO_HALF(type, name, pad) \
    type name; \
    type pad
#else
#define AIO_LIBAIO_HALF(type, name, pad) \
    unsigned pad; \
    type name
#endif

/* A pointer or long, which has 64 bits in the kernel. */
#if UINTPTR_MAX > UINT32_MAX
#define AIO_LIBAIO_WIDE(type, name, pad) type name
#else
#define AIO_LIBAIO_WIDE(type, name, pad) AIO_LIBAIO_HALF(type, name, pad)
#endif

/* A transfer from or to one buffer. */
struct io_iocb_common {
    AIO_LIBAIO_WIDE(void *, buf, __pad1);
    AIO_LIBAIO_WIDE(unsigned long, nbytes, __pad2);
    long long offset;
    long long __pad3;
    /* Bit 0: `resfd` is an eventfd, to which 1 is added for each event. */
    unsigned flags;
    unsigned resfd;
};

/* A transfer from or to several buffers. */
struct io_iocb_vector {
    AIO_LIBAIO_WIDE(const struct iovec *, vec, __pad1);
    AIO_LIBAIO_WIDE(unsigned long, nr, __pad2);
    long long offset;
};

/* A poll, which completes when one of `events` is there. */
struct io_iocb_poll {
    AIO_LIBAIO_HALF(int, events, __pad1);
};

/* An address of a socket. No kernel takes such requests. */
struct sockaddr;
struct io_iocb_sockaddr {
    AIO_LIBAIO_WIDE(struct sockaddr *, addr, __pad1);
    AIO_LIBAIO_WIDE(unsigned long, len, __pad2);
};

/* A request. The memory layout is that of `struct iocb` in linux/aio_abi.h. */
struct iocb {
    /* Comes back in the event. */
    AIO_LIBAIO_WIDE(void *, data, __pad1);
    /* The kernel writes `key`. */
    AIO_LIBAIO_HALF(unsigned, key, aio_rw_flags);
    short aio_lio_opcode;
    short aio_reqprio;
    int aio_fildes;
    union {
        struct io_iocb_common c;
        struct io_iocb_vector v;
        struct io_iocb_poll poll;
        struct io_iocb_sockaddr saddr;
    } u;
};

/* A completion: `res` is the result, a count of bytes or a negative errno. */
struct io_event {
    AIO_LIBAIO_WIDE(void *, data, __pad1);
    AIO_LIBAIO_WIDE(struct iocb *, obj, __pad2);
    AIO_LIBAIO_WIDE(unsigned long, res, __pad3);
    AIO_LIBAIO_WIDE(unsigned long, res2, __pad4);
};

#undef AIO_LIBAIO_WIDE
#undef AIO_LIBAIO_HALF

/* What io_queue_run() calls for an event whose request was given it by io_set_callback(). */
typedef void (*io_callback_t)(io_context_t ctx, struct iocb *iocb, long res, long res2);

/* The kernel's calls. */
int io_setup(int maxevents, io_context_t *ctxp);
int io_destroy(io_context_t ctx);
int io_submit(io_context_t ctx, long nr, struct iocb *iocbs[]);
int io_cancel(io_context_t ctx, struct iocb *iocb, struct io_event *event);
int io_getevents(io_context_t ctx, long min_nr, long nr, struct io_event *events,
                 struct timespec *timeout);
int io_pgetevents(io_context_t ctx, long min_nr, long nr, struct io_event *events,
                  struct timespec *timeout, sigset_t *sigmask);

/* As io_setup(), but `*ctxp` need not be 0 before. */
int io_queue_init(int maxevents, io_context_t *ctxp);
/* As io_destroy(). */
int io_queue_release(io_context_t ctx);
/* Never waits: it asks for 0 events. */
int io_queue_wait(io_context_t ctx, struct timespec *timeout);
/* Takes the events that are there, and calls the callback of each. */
int io_queue_run(io_context_t ctx);

/* Fills an iocb. All of it that isn't named is 0 afterwards. */
static inline void aio_libaio_prepare(struct iocb *iocb, int fd, int opcode)
{
    memset(iocb, 0, sizeof(*iocb));
    iocb->aio_fildes = fd;
    iocb->aio_lio_opcode = (short)opcode;
}

static inline void aio_libaio_transfer(struct iocb *iocb, int fd, int opcode, void *buf,
                                       size_t count, long long offset)
{
    aio_libaio_prepare(iocb, fd, opcode);
    iocb->u.c.buf = buf;
    iocb->u.c.nbytes = count;
    iocb->u.c.offset = offset;
}

static inline void io_prep_pread(struct iocb *iocb, int fd, void *buf, size_t count,
                                 long long offset)
{
    aio_libaio_transfer(iocb, fd, IO_CMD_PREAD, buf, count, offset);
}

static inline void io_prep_pwrite(struct iocb *iocb, int fd, void *buf, size_t count,
                                  long long offset)
{
    aio_libaio_transfer(iocb, fd, IO_CMD_PWRITE, buf, count, offset);
}

static inline void io_prep_preadv(struct iocb *iocb, int fd, const struct iovec *iov, int iovcnt,
                                  long long offset)
{
    aio_libaio_transfer(iocb, fd, IO_CMD_PREADV, (void *)iov, (size_t)iovcnt, offset);
}

static inline void io_prep_pwritev(struct iocb *iocb, int fd, const struct iovec *iov, int iovcnt,
                                   long long offset)
{
    aio_libaio_transfer(iocb, fd, IO_CMD_PWRITEV, (void *)iov, (size_t)iovcnt, offset);
}

/* With the flags of preadv2(2), RWF_NOWAIT for one. */
static inline void io_prep_preadv2(struct iocb *iocb, int fd, const struct iovec *iov, int iovcnt,
                                   long long offset, int flags)
{
    io_prep_preadv(iocb, fd, iov, iovcnt, offset);
    iocb->aio_rw_flags = (unsigned)flags;
}

/* With the flags of pwritev2(2), RWF_DSYNC for one. */
static inline void io_prep_pwritev2(struct iocb *iocb, int fd, const struct iovec *iov, int iovcnt,
                                    long long offset, int flags)
{
    io_prep_pwritev(iocb, fd, iov, iovcnt, offset);
    iocb->aio_rw_flags = (unsigned)flags;
}

static inline void io_prep_poll(struct iocb *iocb, int fd, int events)
{
    aio_libaio_prepare(iocb, fd, IO_CMD_POLL);
    iocb->u.poll.events = events;
}

static inline void io_prep_fsync(struct iocb *iocb, int fd)
{
    aio_libaio_prepare(iocb, fd, IO_CMD_FSYNC);
}

static inline void io_prep_fdsync(struct iocb *iocb, int fd)
{
    aio_libaio_prepare(iocb, fd, IO_CMD_FDSYNC);
}

static inline void io_set_callback(struct iocb *iocb, io_callback_t callback)
{
    iocb->data = (void *)callback;
}

/* Adds 1 to this eventfd for the request's event. Call it after io_prep_...(). */
static inline void io_set_eventfd(struct iocb *iocb, int eventfd)
{
    iocb->u.c.flags |= 1u << 0;
    iocb->u.c.resfd = (unsigned)eventfd;
}

/* Prepares a request and submits it: one of each, with this callback. */
static inline int aio_libaio_submit(io_context_t ctx, struct iocb *iocb, io_callback_t callback)
{
    io_set_callback(iocb, callback);
    return io_submit(ctx, 1, &iocb);
}

static inline int io_poll(io_context_t ctx, struct iocb *iocb, io_callback_t callback, int fd,
                          int events)
{
    io_prep_poll(iocb, fd, events);
    return aio_libaio_submit(ctx, iocb, callback);
}

static inline int io_fsync(io_context_t ctx, struct iocb *iocb, io_callback_t callback, int fd)
{
    io_prep_fsync(iocb, fd);
    return aio_libaio_submit(ctx, iocb, callback);
}

static inline int io_fdsync(io_context_t ctx, struct iocb *iocb, io_callback_t callback, int fd)
{
    io_prep_fdsync(iocb, fd);
    return aio_libaio_submit(ctx, iocb, callback);
}

#ifdef __cplusplus
}
#endif

#endif
