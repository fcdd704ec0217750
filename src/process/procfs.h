/* The few files of /proc that would show the monitor instead of the guest: /proc/{self,PID,thread-self}/{exe,maps,smaps,
 * cmdline,auxv,environ,stat,comm...} of this process, and /proc/cpuinfo. */
#ifndef PROCESS_PROCFS_H
#define PROCESS_PROCFS_H

#include "process/process.h"

/* If `path` (relative to dirfd, as openat takes it) names such a file: opens what the guest must see, stores the
 * descriptor or -errno, and returns true. */
bool procfs_open(struct process *p, int dirfd, const char *path, int flags, int64_t *result);

/* If `path` names the link /proc/self/exe (any spelling of this process): copies its target for the guest (no NUL),
 * stores the length or -errno, and returns true. */
bool procfs_readlink(struct process *p, int dirfd, const char *path, char *target, size_t size, int64_t *result);

/* If `path` is such a link, the path to use instead when a file is opened, executed or looked at through it; else NULL. */
const char *procfs_follow(struct process *p, int dirfd, const char *path);

#endif
