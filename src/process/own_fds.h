/* Descriptors of the monitor's own in a process that is the guest's: the monitor's file, the sysroot, and where --strace and
 * --stats write. They are at high numbers; the guest gets EBADF for them, cannot close them and does not see them listed.
 * Threads: any. */
#ifndef PROCESS_OWN_FDS_H
#define PROCESS_OWN_FDS_H

#include "process/process.h"

bool own_fd(const struct process *p, int fd);

/* The lowest one in [first, last], or -1. */
int64_t own_fd_between(const struct process *p, uint64_t first, uint64_t last);

/* Writes to where --strace and --stats go. If nobody reads there any more, the guest does not hear of it: no SIGPIPE. */
struct iovec;
void own_fds_report(const struct process *p, const struct iovec *parts, int count);

/* Around execve() of another monitor: it shall go on with those that it is told of (true), or that has failed (false).
 * The process's lock must be held: a child made meanwhile would have them too. */
void own_fds_inherit(const struct process *p, bool inherit);

#endif
