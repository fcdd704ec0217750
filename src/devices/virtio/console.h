/* Virtio console: one port, window size, emergency write.
 *
 * Threads: as device.h; the lock is that of the console's client, too. Lifetime: virtio_console_init() ...
 * virtio_console_release(). The console outlives the device.
 * Source: Virtual I/O Device (VIRTIO) Version 1.2, section 5.3. */
#ifndef DEVICES_VIRTIO_CONSOLE_H
#define DEVICES_VIRTIO_CONSOLE_H

#include "console/console.h"
#include "devices/virtio/device.h"

struct virtio_console_space {
    uint16_t columns, rows; /* characters */
    uint32_t max_ports;
    uint32_t emergency;
};

struct virtio_console {
    struct virtio_device device;
    struct console *console;
    struct virtio_console_space space;
    uint32_t sent;          /* bytes of the next chain to transmit that the console has taken already */
    struct virtq queues[2]; /* receive, transmit */
    struct virtq_chain chain;
};

/* Borrows the console and attaches to it. */
void virtio_console_init(struct virtio_console *vc, struct console *console, const struct gmem *mem,
                         struct task_runner runner);
void virtio_console_release(struct virtio_console *vc);

extern const struct state_table virtio_console_state;

#endif
