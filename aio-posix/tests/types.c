/* The types of <aio.h> as C programs see them. src/c/block.rs has the same
 * numbers. Compiled by `cargo xtask c-faces`, as C and as C++. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <aio.h>
#include <aio_vx.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>

#ifdef __cplusplus
#define SAME(a, b) static_assert((a) == (b), #a)
#else
#define SAME(a, b) _Static_assert((a) == (b), #a)
#endif
#define AT(type, field, place) SAME(offsetof(struct type, field), place)

SAME(sizeof(struct aiocb), 168);
SAME(sizeof(struct aiocb64), 168);
AT(aiocb, aio_fildes, 0);
AT(aiocb, aio_lio_opcode, 4);
AT(aiocb, aio_reqprio, 8);
AT(aiocb, aio_buf, 16);
AT(aiocb, aio_nbytes, 24);
AT(aiocb, aio_sigevent, 32);
AT(aiocb, __error_code, 112);
AT(aiocb, __return_value, 120);
AT(aiocb, aio_offset, 128);
AT(aiocb64, __error_code, 112);
AT(aiocb64, __return_value, 120);
AT(aiocb64, aio_offset, 128);

SAME(sizeof(struct sigevent), 64);
AT(sigevent, sigev_value, 0);
AT(sigevent, sigev_signo, 8);
AT(sigevent, sigev_notify, 12);
AT(sigevent, sigev_notify_function, 16);
AT(sigevent, sigev_notify_attributes, 24);

SAME(sizeof(struct aioinit), 32);
AT(aioinit, aio_threads, 0);
AT(aioinit, aio_num, 4);

SAME(AIO_CANCELED, 0);
SAME(AIO_NOTCANCELED, 1);
SAME(AIO_ALLDONE, 2);
SAME(LIO_READ, 0);
SAME(LIO_WRITE, 1);
SAME(LIO_NOP, 2);
SAME(LIO_WAIT, 0);
SAME(LIO_NOWAIT, 1);
SAME(SIGEV_SIGNAL, 0);
SAME(SIGEV_NONE, 1);
SAME(SIGEV_THREAD, 2);
SAME(SIGEV_THREAD_ID, 4);
