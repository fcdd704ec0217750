/* Virtio network device: mergeable receive buffers, several pairs of queues, control queue. Of the offloads it has
 * checksums: it completes those that the driver left open, and tells the driver which it need not look at. There is no
 * segmentation.
 *
 * Threads: as device.h; the lock is that of the network's client, too. Lifetime: virtio_net_init() ...
 * virtio_net_release(). The network outlives the device.
 * Source: Virtual I/O Device (VIRTIO) Version 1.2, section 5.1. */
#ifndef DEVICES_VIRTIO_NET_H
#define DEVICES_VIRTIO_NET_H

#include "devices/virtio/device.h"
#include "net/net.h"

enum { VIRTIO_NET_MAX_PAIRS = 8, VIRTIO_NET_MAC = 6 };

struct virtio_net_space {
    uint8_t mac[VIRTIO_NET_MAC];
    uint16_t status;
    uint16_t max_pairs;
};

struct virtio_net {
    struct virtio_device device;
    struct net *net;
    struct virtio_net_space space;
    uint8_t first_mac[VIRTIO_NET_MAC]; /* the one before the driver set another */
    uint8_t mac[VIRTIO_NET_MAC];
    uint16_t pairs; /* in use */
    struct virtq queues[2 * VIRTIO_NET_MAX_PAIRS + 1];
    struct virtq_chain first, chain;
    uint8_t frame[NET_MAX_FRAME];
};

/* Borrows the network and attaches to it. `pairs` is at most VIRTIO_NET_MAX_PAIRS. */
void virtio_net_init(struct virtio_net *vn, struct net *net, const uint8_t mac[VIRTIO_NET_MAC],
                     unsigned pairs, const struct gmem *mem, struct task_runner runner);
void virtio_net_release(struct virtio_net *vn);

extern const struct state_table virtio_net_state;

#endif
