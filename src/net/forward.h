/* Port forwards: connections to a port of the host's become connections to one of the guest's.
 * Threads: none. Lifetime: values. */
#ifndef NET_FORWARD_H
#define NET_FORWARD_H

#include <guise.h>
#include <netinet/in.h>

struct net_forward {
    bool udp;
    struct in_addr host, guest;
    uint16_t host_port, guest_port; /* in the host's byte order */
};

/* Reads "tcp:[ADDRESS]:PORT-[ADDRESS]:PORT", or the same with "udp". Without an address it is 127.0.0.1 at the host, so
 * that no one else is let in unasked, and 10.0.2.15 at the guest. */
int net_forward_parse(struct net_forward *forward, const char *text, struct guise_error *err);

#endif
