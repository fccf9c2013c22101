/*
 * What a program that was compiled with a header of libaio expects: sizes, offsets and numbers, in
 * the order of their names. Compiled with this crate's header and with the original's, and compared.
 * Nothing is linked or run.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stddef.h>
#include <sys/uio.h>
#include <time.h>
#include <libaio.h>

#define SAME(function, ...) \
    __builtin_types_compatible_p(__typeof__(function), int(__VA_ARGS__))
#define FIELD(type, field) \
    FACT(offsetof(type, field)) \
    FACT(sizeof(((type *)0)->field)) \
    /* Whether it has a sign. */ \
    FACT(((__typeof__(((type *)0)->field))-1) < (__typeof__(((type *)0)->field))0)
#define AGGREGATE(type, field) \
    FACT(offsetof(type, field)) \
    FACT(sizeof(((type *)0)->field))
#define TYPE(type) \
    FACT(sizeof(type)) \
    FACT(_Alignof(type))

#define FACTS \
    TYPE(io_context_t) \
    TYPE(io_iocb_cmd_t) \
    TYPE(io_callback_t) \
    TYPE(struct iocb) \
    FIELD(struct iocb, data) \
    FIELD(struct iocb, key) \
    FIELD(struct iocb, aio_rw_flags) \
    FIELD(struct iocb, aio_lio_opcode) \
    FIELD(struct iocb, aio_reqprio) \
    FIELD(struct iocb, aio_fildes) \
    AGGREGATE(struct iocb, u) \
    AGGREGATE(struct iocb, u.c) \
    AGGREGATE(struct iocb, u.v) \
    AGGREGATE(struct iocb, u.poll) \
    AGGREGATE(struct iocb, u.saddr) \
    TYPE(struct io_iocb_common) \
    FIELD(struct io_iocb_common, buf) \
    FIELD(struct io_iocb_common, nbytes) \
    FIELD(struct io_iocb_common, offset) \
    FIELD(struct io_iocb_common, __pad3) \
    FIELD(struct io_iocb_common, flags) \
    FIELD(struct io_iocb_common, resfd) \
    TYPE(struct io_iocb_vector) \
    FIELD(struct io_iocb_vector, vec) \
    FIELD(struct io_iocb_vector, nr) \
    FIELD(struct io_iocb_vector, offset) \
    TYPE(struct io_iocb_poll) \
    FIELD(struct io_iocb_poll, events) \
    FIELD(struct io_iocb_poll, __pad1) \
    TYPE(struct io_iocb_sockaddr) \
    FIELD(struct io_iocb_sockaddr, addr) \
    FIELD(struct io_iocb_sockaddr, len) \
    TYPE(struct io_event) \
    FIELD(struct io_event, data) \
    FIELD(struct io_event, obj) \
    FIELD(struct io_event, res) \
    FIELD(struct io_event, res2) \
    TYPE(struct timespec) \
    TYPE(sigset_t) \
    FACT(IO_CMD_PREAD) \
    FACT(IO_CMD_PWRITE) \
    FACT(IO_CMD_FSYNC) \
    FACT(IO_CMD_FDSYNC) \
    FACT(IO_CMD_POLL) \
    FACT(IO_CMD_NOOP) \
    FACT(IO_CMD_PREADV) \
    FACT(IO_CMD_PWRITEV) \
    FACT(SAME(io_setup, int, io_context_t *)) \
    FACT(SAME(io_destroy, io_context_t)) \
    FACT(SAME(io_submit, io_context_t, long, struct iocb *[])) \
    FACT(SAME(io_cancel, io_context_t, struct iocb *, struct io_event *)) \
    FACT(SAME(io_getevents, io_context_t, long, long, struct io_event *, struct timespec *)) \
    FACT(SAME(io_pgetevents, io_context_t, long, long, struct io_event *, struct timespec *, \
              sigset_t *)) \
    FACT(SAME(io_queue_init, int, io_context_t *)) \
    FACT(SAME(io_queue_release, io_context_t)) \
    FACT(SAME(io_queue_run, io_context_t)) \
    FACT(SAME(io_poll, io_context_t, struct iocb *, io_callback_t, int, int)) \
    FACT(SAME(io_fsync, io_context_t, struct iocb *, io_callback_t, int)) \
    FACT(SAME(io_fdsync, io_context_t, struct iocb *, io_callback_t, int)) \
    FACT(__builtin_types_compatible_p(io_callback_t, void (*)(io_context_t, struct iocb *, long, \
                                                              long)))

/* Numbers of 64 bits, in the target's order of bytes. */
#define FACT(expression) (unsigned long long)(expression),
__attribute__((section(".aio_values"), used)) const unsigned long long values[] = {FACTS};
#undef FACT

/* Their names, each ends with a zero. */
#define FACT(expression) #expression "\0"
__attribute__((section(".aio_names"), used)) const char names[] = FACTS;
