/* The core of virtio devices: status, features, configuration space, queues and their notification. A device (block.h,
 * net.h and so on) embeds a virtio_device and says by its ops what it does with a queue; a transport (mmio.h, pci.h)
 * makes registers of what is here. Neither knows the other.
 *
 * Threads: one lock, which the transport, the machine's event loop and the backend take around each call, except where
 * it says otherwise. Queues are served by the event loop: a hart that notifies only posts a task.
 * Lifetime: virtio_init(), virtio_attach() by the transport, ... virtio_release(), after the harts and the loop have
 * stopped.
 *
 * A driver that breaks the rules breaks its device: DEVICE_NEEDS_RESET, and no queue is served until it is reset.
 * Source: Virtual I/O Device (VIRTIO) Version 1.2, chapters 2, 3 and 6. */
#ifndef DEVICES_VIRTIO_DEVICE_H
#define DEVICES_VIRTIO_DEVICE_H

#include "base/task.h"
#include "bus/gmem.h"
#include "bus/state.h"
#include "devices/virtio/queue.h"

#include <pthread.h>

enum virtio_id {
    VIRTIO_ID_NET = 1,
    VIRTIO_ID_BLOCK = 2,
    VIRTIO_ID_CONSOLE = 3,
    VIRTIO_ID_ENTROPY = 4,
};

enum virtio_status {
    VIRTIO_ACKNOWLEDGE = 1,
    VIRTIO_DRIVER = 2,
    VIRTIO_DRIVER_OK = 4,
    VIRTIO_FEATURES_OK = 8,
    VIRTIO_NEEDS_RESET = 64,
    VIRTIO_FAILED = 128,
};

#define VIRTIO_F(bit)          ((uint64_t)1 << (bit))
#define VIRTIO_F_INDIRECT_DESC VIRTIO_F(28)
#define VIRTIO_F_EVENT_IDX     VIRTIO_F(29)
#define VIRTIO_F_VERSION_1     VIRTIO_F(32)

#define VIRTIO_MAX_QUEUES      64

struct virtio_device;

struct virtio_ops {
    /* The driver notified of a queue that runs. Serves what there is. */
    void (*kick)(struct virtio_device *device, unsigned queue);

    /* The driver wrote to configuration space; the bytes are within it. NULL: there is nothing to write. */
    void (*config_write)(struct virtio_device *device, unsigned offset, const void *data, unsigned length);

    /* Returns when the backend has completed all that it was given; no lock is held, and no queue is served meanwhile.
     * NULL: there is never anything. */
    void (*drain)(struct virtio_device *device);

    /* As after power-on. NULL: no state of its own. */
    void (*reset)(struct virtio_device *device);
};

/* The driver's side of a device; called with the device's lock held. */
struct virtio_transport_ops {
    void (*queue_interrupt)(void *transport, unsigned queue);
    void (*config_interrupt)(void *transport);
    void (*reset)(void *transport);

    /* May the device use the guest's memory? NULL: always. */
    bool (*may_access)(void *transport);
};

/* What a device says of itself. */
struct virtio_config {
    enum virtio_id id;
    const struct virtio_ops *ops;
    uint64_t features;     /* beyond those of this core */
    const void *space;     /* configuration space, read whenever the driver reads; borrowed */
    unsigned space_length; /* bytes */
    struct virtq *queues;  /* borrowed */
    unsigned queue_count;  /* at most VIRTIO_MAX_QUEUES */
};

struct virtio_device {
    pthread_mutex_t lock;
    struct virtio_config config;
    const struct gmem *mem;
    const struct virtio_transport_ops *transport_ops;
    void *transport;
    struct task_runner runner;
    struct task task;
    _Atomic uint64_t kicked; /* a bit for each queue that the driver notified of */
    unsigned resetting;      /* calls of virtio_reset() under way */

    uint64_t features; /* what the driver accepted */
    uint8_t status;    /* enum virtio_status */
    uint8_t generation;
};

/* Copies the configuration and the runner, which is to be the machine's event loop; borrows the memory. */
void virtio_init(struct virtio_device *device, const struct virtio_config *config, const struct gmem *mem,
                 struct task_runner runner);
void virtio_release(struct virtio_device *device);

/* ---- For transports ---- */

/* Borrows. */
void virtio_attach(struct virtio_device *device, const struct virtio_transport_ops *ops, void *transport);

/* 32 feature bits: 0 has the lower ones, 1 the upper; others are 0. */
uint32_t virtio_offered(const struct virtio_device *device, uint32_t select);
void virtio_accept(struct virtio_device *device, uint32_t select, uint32_t features);

/* Status as the driver writes it; 0 resets. */
void virtio_set_status(struct virtio_device *device, uint8_t status);

/* Resets device and transport. Gives the lock up while it waits for the backend; the status stays until that is
 * done. */
void virtio_reset(struct virtio_device *device);

void virtio_config_read(struct virtio_device *device, unsigned offset, void *to, unsigned length);
void virtio_config_write(struct virtio_device *device, unsigned offset, const void *from, unsigned length);

/* Sizes that are not powers of two up to VIRTQ_MAX_SIZE are ignored, and so is any change of a queue that runs. */
void virtio_set_queue_size(struct virtq *queue, uint32_t size);
void virtio_set_queue_address(struct virtq *queue, uint64_t *address, unsigned half, uint32_t value);
void virtio_set_queue_ready(struct virtio_device *device, unsigned queue, bool ready);

/* The driver notifies. Threads: any, without the lock; does nothing itself. */
void virtio_kick(struct virtio_device *device, uint32_t queue);

/* ---- For devices ---- */

/* Does the driver use the device, and has it not broken it? */
bool virtio_is_live(const struct virtio_device *device);

static inline bool virtio_has(const struct virtio_device *device, uint64_t feature)
{
    return device->features & feature;
}

/* Takes the next chain. False when there is none, and then the driver will notify of the next, or when the queue does
 * not run; a malformed queue breaks the device. */
bool virtio_pop(struct virtio_device *device, unsigned queue, struct virtq_chain *chain);

/* Hands a chain back; without effect if the queue runs no longer. */
void virtio_push(struct virtio_device *device, unsigned queue, const struct virtq_chain *chain,
                 uint32_t written);

/* Interrupts the driver, after pushes, if it wants that. */
void virtio_interrupt(struct virtio_device *device, unsigned queue);

/* The driver broke the rules. */
void virtio_break(struct virtio_device *device);

/* Configuration space has changed. */
void virtio_config_changed(struct virtio_device *device);

/* For `loaded` of the device's table: takes queues up again and looks at each. */
void virtio_loaded(struct virtio_device *device);

extern const struct state_table virtio_device_state;

#endif
