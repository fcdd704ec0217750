/* The MMIO transport of virtio, version 2.
 *
 * Threads: as the device, whose lock it takes; a notification takes none. Lifetime: virtio_mmio_init(); nothing is to
 * be released. The device outlives it.
 * Source: Virtual I/O Device (VIRTIO) Version 1.2, section 4.2. */
#ifndef DEVICES_VIRTIO_MMIO_H
#define DEVICES_VIRTIO_MMIO_H

#include "bus/bus.h"
#include "bus/irq.h"
#include "devices/virtio/device.h"

#define VIRTIO_MMIO_LENGTH 0x1000

struct virtio_mmio {
    struct bus_region region; /* for the board to map */
    struct virtio_device *device;
    struct irq_line irq;

    uint32_t offered_select, accept_select, queue_select;
    uint8_t interrupts; /* InterruptStatus */
};

/* Copies `irq`; borrows the device and attaches to it. */
void virtio_mmio_init(struct virtio_mmio *mmio, struct virtio_device *device, struct irq_line irq);

/* As after power-on. Takes the device's lock, and waits for the backend. */
void virtio_mmio_reset(struct virtio_mmio *mmio);

extern const struct state_table virtio_mmio_state;

#endif
