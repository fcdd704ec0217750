/* A network at the other end of a stream socket: frames, each behind its length in 4 bytes, big-endian. Other monitors
 * and passt speak so, too. When the other end goes, the link stays up and nothing comes any more.
 *
 * Threads: the loop's. Lifetime: net_stream_new() ... net_release(), after its client and before the loop. */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include "host/loop.h"
#include "net/net.h"

/* Takes `fd` in any case. `checked` is what the other end promises of checksums. */
int net_stream_new(struct net **net, struct loop *loop, int fd, bool checked, struct guise_error *err);

#endif
