/* System calls of riscv64 Linux, served on an x86-64 host.
 * syscalls.def has a row for every number, in the words of systable.h; syscall.c makes the table of it and goes through it.
 * A handler takes the thread and the six argument registers and returns a result or -errno; -HOST_ERESTART means that
 * nothing was done because a signal waits: the call is made anew after the signal's delivery.
 * Source: linux/include/uapi/asm-generic/unistd.h; syscalls(2). */
#ifndef PROCESS_SYSCALL_H
#define PROCESS_SYSCALL_H

#include "process/process.h"

struct sysargs {
    uint64_t a[6];
};

typedef int64_t syscall_fn(struct thread *t, const struct sysargs *args);

/* Serves the system call whose number and arguments are in the hart's registers. Returns the value for a0 (or a negative
 * errno, -HOST_ERESTART included) and stores in *restartable whether Linux restarts this call after a handler that has
 * SA_RESTART when it was interrupted (-EINTR). */
int64_t syscall_serve(struct thread *t, bool *restartable);

#endif
