/* What the interpreter routines of system calls (sys_*.c) share.
 * Threads: all of it works for the calling thread. */
#ifndef PROCESS_SERVE_H
#define PROCESS_SERVE_H

#include "base/util.h"
#include "host/syscall.h"
#include "process/path.h"
#include "process/systable.h"
#include "process/uaccess.h"

#include <sys/syscall.h>
#include <sys/uio.h>

/* Numbers that are younger than the host's headers may be; the same on every architecture. */
#define HOST_CACHESTAT         451
#define HOST_FCHMODAT2         452
#define HOST_FUTEX_WAKE        454
#define HOST_FUTEX_WAIT        455
#define HOST_FUTEX_REQUEUE     456
#define HOST_STATMOUNT         457
#define HOST_LISTMOUNT         458
#define HOST_LSM_GET_SELF_ATTR 459
#define HOST_LSM_SET_SELF_ATTR 460
#define HOST_LSM_LIST_MODULES  461
#define HOST_MSEAL             462

/* host_call(t, number, up to six arguments): a call of the host's that a signal for the guest can stop. */
#define host_call(t, ...) HOST_CALL_(t, __VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define HOST_CALL_(t, number, a, b, c, d, e, f, ...)                                                   \
    host_syscall_interruptible(&(t)->hart.pending, number, (long)(a), (long)(b), (long)(c), (long)(d), \
                               (long)(e), (long)(f))

/* The same for a call that does not sleep, or must not be left undone. */
#define host_call_now(...) HOST_CALL_NOW_(__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define HOST_CALL_NOW_(number, a, b, c, d, e, f, ...) \
    host_syscall(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* Linux's UIO_MAXIOV: the most elements of an iovec array. */
#define VECTOR_MAX 1024

/* Copies an array of iovecs (room for VECTOR_MAX) with its pointers translated. Returns 0, -EINVAL, -EFAULT. */
int vector_from_guest(const struct thread *t, uint64_t gva, uint64_t count, struct iovec *vector);

/* Copies a path (PATH_SIZE bytes). Returns 0, -EFAULT, -ENAMETOOLONG. */
int path_from_guest(const struct thread *t, char *path, uint64_t gva);

/* As path_from_guest(), for a call that looks at an existing file: links of /proc that lead to the program lead to the
 * guest's, and with a sysroot the file is taken from there when it has it. */
int existing_path_from_guest(const struct thread *t, int dirfd, char *path, uint64_t gva);

#endif
