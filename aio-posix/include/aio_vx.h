/* What VxWorks has besides <aio.h>, in libaio_posix. */
#ifndef AIO_VX_H
#define AIO_VX_H

#ifdef __cplusplus
extern "C" {
#endif

/* How many lists may be in flight at a time; 0: 100. Before the first request.
 * 0, or -1 if it is too late or the number is negative. */
int aioPxLibInit(int lioMax);

/* How many worker threads there may be (0: 2), and their priority from 0 to 255
 * (0: 50), which becomes a level of the best-effort I/O class. The stack size
 * means nothing. Before the first request. 0, or -1 as above. */
int aioSysInit(int numTasks, int taskPrio, int taskStackSize);

/* Writes what is in flight, and how many threads wait, to standard output.
 * The driver's number means nothing. 0, or -1 if that fails. */
int aioShow(int drvNum);

#ifdef __cplusplus
}
#endif

#endif
