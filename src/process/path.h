/* Paths that a guest names: where they really are when there is a sysroot. */
#ifndef PROCESS_PATH_H
#define PROCESS_PATH_H

#include "process/process.h"

#define PATH_SIZE 4096

/* With a sysroot, an absolute path that exists inside it (as a file, symbolic links resolved inside it) is taken from
 * there: `path` (PATH_SIZE bytes) is replaced. Otherwise it stays. Not for creation or directories. */
void path_resolve(const struct process *p, char *path);

/* Opens a path with all its symbolic links resolved as if `root_fd` (O_PATH) were the root. A descriptor or -errno. */
int path_open_in_root(int root_fd, const char *path, int flags);

/* What a descriptor is open on, as the kernel names it, which need not be a path. False when it cannot say. */
bool path_of_fd(int fd, char path[PATH_SIZE]);

#endif
