/* The root directory of a process VM: what the guest sees instead of the host's files.
 *
 *   the host:  /  /proc  /sys  /dev  SRC ...
 *                   |      |     |     |      the same mounts, shown again
 *   the guest: DIR: /proc  /sys  /dev  DST
 *
 * Threads: the calling process must have one thread. Lifetime: there is no way back; fork first.
 * Source: pivot_root(2), open_tree(2), move_mount(2). */
#ifndef VM_ROOT_H
#define VM_ROOT_H

#include <guise.h>
#include <stdbool.h>

struct root_spec {
    const char *directory;
    char *const *binds; /* "SRC[:DST]", NULL-terminated, or NULL */
};

/* Makes the directory the root of this process and of all that it starts; the working directory becomes "/".
 * *single_id is as from userns_enter(). */
int root_enter(const struct root_spec *spec, bool *single_id, struct guise_error *err);

/* Keeps the mounts of /proc, /sys and /dev busy while this process lives, so that no umount in the guest removes what
 * it cannot mount again. */
void root_hold_mounts(void);

#endif
