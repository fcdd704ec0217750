/* Virtio entropy device: random bytes of the host's.
 *
 * Threads: as device.h. Lifetime: virtio_entropy_init() ... virtio_entropy_release().
 * Source: Virtual I/O Device (VIRTIO) Version 1.2, section 5.4. */
#ifndef DEVICES_VIRTIO_ENTROPY_H
#define DEVICES_VIRTIO_ENTROPY_H

#include "devices/virtio/device.h"

struct virtio_entropy {
    struct virtio_device device;
    ssize_t (*random)(void *to, size_t length, unsigned flags); /* as getrandom(2) */
    struct virtq queue;
    struct virtq_chain chain;
};

/* `random` is getrandom, or what a test puts in its place. */
void virtio_entropy_init(struct virtio_entropy *ve,
                         ssize_t (*random)(void *to, size_t length, unsigned flags), const struct gmem *mem,
                         struct task_runner runner);
void virtio_entropy_release(struct virtio_entropy *ve);

extern const struct state_table virtio_entropy_state;

#endif
