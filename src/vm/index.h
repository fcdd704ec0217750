/* The package index of a root under construction. debootstrap's second stage reads the whole of it many times, in shell and
 * perl; of some 60,000 packages it needs those that it downloaded.
 * Threads: none. Source: debootstrap(8); deb822(5). */
#ifndef VM_INDEX_H
#define VM_INDEX_H

#include <guise.h>

/* Between the stages: reduces every index below `root` to the packages in debootstrap/debpaths. */
int index_reduce(const char *root, struct guise_error *err);

/* In the finished root, as "/" after chroot(): apt must not take the reduced index for the mirror's. */
void index_remove(void);

#endif
