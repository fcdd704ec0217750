/* System calls of the host, made for a guest: results are -errno as the kernel gives them, errno is not touched.
 * Threads: any. Source: syscall(2); x86-64 psABI appendix A.2.1. */
#ifndef HOST_SYSCALL_H
#define HOST_SYSCALL_H

#include "host/entry.h" /* HOST_ERESTART */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A plain system call. */
long host_syscall(long number, long a, long b, long c, long d, long e, long f);

/* A system call that a signal can always stop. If *pending is nonzero before the kernel is entered, nothing is done and
 * -HOST_ERESTART is returned; there is no window between the look at *pending and the entry (host_syscall_rewind). */
long host_syscall_interruptible(const _Atomic uint32_t *pending, long number, long a, long b, long c, long d,
                                long e, long f);

/* For a signal handler that has set *pending: when the interrupted pc lies between the look at *pending and the entry,
 * changes the ucontext's pc so that the call returns -HOST_ERESTART instead of sleeping. */
void host_syscall_rewind(void *ucontext);

#endif
