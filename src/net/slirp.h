/* The user-mode network: a NAT without privileges by libslirp, at the other end of a stream socket (stream.h). The
 * guest is 10.0.2.15, the host 10.0.2.2, a name server 10.0.2.3; DHCP and IPv6 (fec0::/64) are there. It runs in a
 * process of its own: what an attack on libslirp reaches is not the monitor.
 *
 * Threads: one. Source: libslirp 4.7, libslirp.h. */
#ifndef NET_SLIRP_H
#define NET_SLIRP_H

#include "net/forward.h"

struct net_slirp;

/* Sets the network up; *slirp gets an owned object. Borrows `fd`. GUISE_E_CONFIG when a port cannot be forwarded. */
int net_slirp_new(struct net_slirp **slirp, int fd, const struct net_forward *forwards, unsigned count,
                  struct guise_error *err);

/* Serves until the other end of the socket goes. */
void net_slirp_run(struct net_slirp *slirp);

void net_slirp_free(struct net_slirp *slirp);

#endif
