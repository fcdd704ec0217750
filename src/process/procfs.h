/* The few files of /proc that would show the monitor instead of the guest: /proc/{self,PID,thread-self}/{exe,maps,smaps,
 * cmdline,auxv,environ,stat,status} of this process, /proc/cpuinfo, and /proc/PID/exe of other guests. */
#ifndef PROCESS_PROCFS_H
#define PROCESS_PROCFS_H

#include "process/path.h"
#include "process/process.h"

/* If `path` (relative to dirfd, as openat takes it) names such a file: opens what the guest must see, stores the
 * descriptor or -errno, and returns true. */
bool procfs_open(struct process *p, int dirfd, const char *path, int flags, int64_t *result);

/* If `path` names the link /proc/PID/exe of a guest, this one or another (any spelling): copies its target for the guest
 * (no NUL), stores the length or -errno, and returns true. */
bool procfs_readlink(struct process *p, int dirfd, const char *path, char *target, size_t size,
                     int64_t *result);

/* What of this process a directory of /proc lists. */
enum procfs_list { PROCFS_LISTS_NOTHING, PROCFS_LISTS_FDS, PROCFS_LISTS_THREADS };
enum procfs_list procfs_lists(int fd);

/* If `path` is such a link: stores the path to use instead when a file is opened, executed or looked at through it. */
bool procfs_follow(struct process *p, int dirfd, const char *path, char target[PATH_SIZE]);

#endif
