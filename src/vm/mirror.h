/* Debian's mirror as the host's own apt knows it.
 * Threads: the calling process must not reap children elsewhere meanwhile. Source: apt-get(8) indextargets. */
#ifndef VM_MIRROR_H
#define VM_MIRROR_H

#include <guise.h>

/* Stores an owned URL without a slash at its end. */
int mirror_find(char **url, struct guise_error *err);

#endif
