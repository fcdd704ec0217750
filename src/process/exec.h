/* execve() of the guest. riscv64 programs and scripts for them run under a re-executed monitor, so that the host's
 * kernel does all that execve means (threads end, descriptors close, timers go); programs of the host run as they
 * are. */
#ifndef PROCESS_EXEC_H
#define PROCESS_EXEC_H

#include "process/process.h"

int64_t sys_execve(struct thread *t, uint64_t path, uint64_t argv, uint64_t envp);
int64_t sys_execveat(struct thread *t, int64_t dirfd, uint64_t path, uint64_t argv, uint64_t envp,
                     uint64_t flags);

#endif
