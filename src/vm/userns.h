/* Leaves the host's namespaces for ones of our own, in which this process may mount and change its root directory.
 *
 * Threads: the calling process must have one thread. Lifetime: there is no way back; fork first.
 * Source: user_namespaces(7), mount_namespaces(7), newuidmap(1). */
#ifndef VM_USERNS_H
#define VM_USERNS_H

#include <guise.h>
#include <stdbool.h>

/* Real root gets a mount namespace. Anyone else gets a user namespace too, in which the caller is root: with the range of
 * ids that /etc/subuid and /etc/subgid give, or with one id alone, and then *single_id is true: every chown() to another
 * id fails. Mounts made afterwards do not show outside. */
int userns_enter(bool *single_id, struct guise_error *err);

#endif
