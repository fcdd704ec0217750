/* The user-mode network as the monitor sees it: a stream to a process `guise-net` (slirp.h says what the guest finds
 * there).
 *
 * Threads: the loop's. Lifetime: net_user_start() ... net_user_stop(), which ends the process, after the network's
 * client. */
#ifndef NET_USER_H
#define NET_USER_H

#include "host/loop.h"
#include "net/net.h"

#include <sys/types.h>

enum { NET_USER_MAX_FORWARDS = 64 };

struct net_user_config {
    const char *const *forwards; /* as in forward.h */
    unsigned count;              /* at most NET_USER_MAX_FORWARDS */
    const char *helper;          /* path of guise-net; NULL: beside this program, or where it is installed */
};

struct net_user {
    struct net *net; /* for a device */
    pid_t pid;
};

/* GUISE_E_USAGE: a forward is not written right; GUISE_E_CONFIG: its port cannot be had; GUISE_E_SYSTEM: no process. */
int net_user_start(struct net_user *user, struct loop *loop, const struct net_user_config *config,
                   struct guise_error *err);
void net_user_stop(struct net_user *user);

#endif
