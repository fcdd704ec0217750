#include "devices/virtio/device.h"

#include <assert.h>
#include <string.h>

#define CORE_FEATURES (VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1)

enum {
    WRITABLE_STATUS =
        VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_DRIVER_OK | VIRTIO_FEATURES_OK | VIRTIO_FAILED
};

/* ---- Notification by the driver ---- */

static void kick_all(struct virtio_device *d)
{
    for (unsigned i = 0; i < d->config.queue_count; i++)
        virtio_kick(d, i);
}

void virtio_kick(struct virtio_device *d, uint32_t queue)
{
    if (queue >= d->config.queue_count)
        return;
    atomic_fetch_or(&d->kicked, (uint64_t)1 << queue);
    task_post(&d->runner, &d->task);
}

/* On the event loop's thread. */
static void serve_kicks(void *object)
{
    struct virtio_device *d = object;
    pthread_mutex_lock(&d->lock);
    uint64_t kicked = atomic_exchange(&d->kicked, 0);
    for (unsigned i = 0; i < d->config.queue_count; i++)
        if (kicked >> i & 1 && virtio_is_live(d) && d->config.queues[i].ready)
            d->config.ops->kick(d, i);
    pthread_mutex_unlock(&d->lock);
}

/* ---- Features and status ---- */

static uint64_t offered(const struct virtio_device *d)
{
    return d->config.features | CORE_FEATURES;
}

uint32_t virtio_offered(const struct virtio_device *d, uint32_t select)
{
    return select < 2 ? (uint32_t)(offered(d) >> 32 * select) : 0;
}

void virtio_accept(struct virtio_device *d, uint32_t select, uint32_t features)
{
    if (select >= 2 || d->status & VIRTIO_FEATURES_OK)
        return;
    uint64_t mask = (uint64_t)UINT32_MAX << 32 * select;
    d->features = (d->features & ~mask) | (uint64_t)features << 32 * select;
}

static bool acceptable(const struct virtio_device *d)
{
    return !(d->features & ~offered(d)) && virtio_has(d, VIRTIO_F_VERSION_1);
}

/* FEATURES_OK stays off when the device cannot work so, and without it there is no DRIVER_OK. */
void virtio_set_status(struct virtio_device *d, uint8_t value)
{
    if (!value) {
        virtio_reset(d);
        return;
    }
    uint8_t added = value & ~d->status & WRITABLE_STATUS;
    if (d->resetting)
        return;
    if (added & VIRTIO_FEATURES_OK && !acceptable(d))
        added &= (uint8_t)~VIRTIO_FEATURES_OK;
    if (added & VIRTIO_DRIVER_OK && !((d->status | added) & VIRTIO_FEATURES_OK))
        added &= (uint8_t)~VIRTIO_DRIVER_OK;
    d->status |= added;
    if (added & VIRTIO_DRIVER_OK)
        kick_all(d);
}

bool virtio_is_live(const struct virtio_device *d)
{
    const struct virtio_transport_ops *ops = d->transport_ops;
    return (d->status & (VIRTIO_DRIVER_OK | VIRTIO_NEEDS_RESET)) == VIRTIO_DRIVER_OK && !d->resetting &&
           (!ops->may_access || ops->may_access(d->transport));
}

void virtio_break(struct virtio_device *d)
{
    bool told = d->status & VIRTIO_DRIVER_OK;
    d->status |= VIRTIO_NEEDS_RESET;
    if (told)
        d->transport_ops->config_interrupt(d->transport);
}

static void clear(struct virtio_device *d)
{
    d->features = 0;
    d->status = 0;
    atomic_store(&d->kicked, 0);
    for (unsigned i = 0; i < d->config.queue_count; i++)
        virtq_reset(&d->config.queues[i], d->mem, VIRTQ_MAX_SIZE);
    if (d->config.ops->reset)
        d->config.ops->reset(d);
}

void virtio_reset(struct virtio_device *d)
{
    d->resetting++;
    if (d->config.ops->drain) {
        pthread_mutex_unlock(&d->lock);
        d->config.ops->drain(d);
        pthread_mutex_lock(&d->lock);
    }
    d->resetting--;
    clear(d);
    d->transport_ops->reset(d->transport);
}

/* ---- Configuration space ---- */

static bool in_space(const struct virtio_device *d, unsigned offset, unsigned length)
{
    return offset <= d->config.space_length && length <= d->config.space_length - offset;
}

void virtio_config_read(struct virtio_device *d, unsigned offset, void *to, unsigned length)
{
    if (in_space(d, offset, length))
        memcpy(to, (const uint8_t *)d->config.space + offset, length);
    else
        memset(to, 0, length);
}

void virtio_config_write(struct virtio_device *d, unsigned offset, const void *from, unsigned length)
{
    if (in_space(d, offset, length) && d->config.ops->config_write)
        d->config.ops->config_write(d, offset, from, length);
}

void virtio_config_changed(struct virtio_device *d)
{
    d->generation++;
    if (d->status & VIRTIO_DRIVER_OK)
        d->transport_ops->config_interrupt(d->transport);
}

/* ---- Queues ---- */

void virtio_set_queue_size(struct virtq *q, uint32_t size)
{
    if (!q->ready && size && size <= VIRTQ_MAX_SIZE && !(size & (size - 1)))
        q->size = (uint16_t)size;
}

void virtio_set_queue_address(struct virtq *q, uint64_t *address, unsigned half, uint32_t value)
{
    uint64_t mask = (uint64_t)UINT32_MAX << 32 * half;
    if (!q->ready)
        *address = (*address & ~mask) | (uint64_t)value << 32 * half;
}

static bool enable(struct virtio_device *d, struct virtq *q)
{
    return virtq_enable(q, virtio_has(d, VIRTIO_F_EVENT_IDX), virtio_has(d, VIRTIO_F_INDIRECT_DESC));
}

void virtio_set_queue_ready(struct virtio_device *d, unsigned queue, bool ready)
{
    struct virtq *q = &d->config.queues[queue];
    if (!ready) {
        q->ready = false;
    } else if (!q->ready && d->status & VIRTIO_FEATURES_OK && !d->resetting) {
        q->next_avail = q->next_used = 0;
        q->signalled_valid = false;
        if (!enable(d, q))
            virtio_break(d);
    }
}

bool virtio_pop(struct virtio_device *d, unsigned queue, struct virtq_chain *chain)
{
    struct virtq *q = &d->config.queues[queue];
    if (!virtio_is_live(d) || !q->ready)
        return false;
    if (!q->kicks_off)
        virtq_want_kicks(q, false);
    enum virtq_result result = virtq_pop(q, chain);
    if (result == VIRTQ_EMPTY && virtq_want_kicks(q, true))
        result = virtq_pop(q, chain);
    if (result == VIRTQ_MALFORMED)
        virtio_break(d);
    return result == VIRTQ_CHAIN;
}

void virtio_push(struct virtio_device *d, unsigned queue, const struct virtq_chain *chain, uint32_t written)
{
    struct virtq *q = &d->config.queues[queue];
    if (q->ready)
        virtq_push(q, chain, written);
}

void virtio_interrupt(struct virtio_device *d, unsigned queue)
{
    struct virtq *q = &d->config.queues[queue];
    if (q->ready && virtq_should_interrupt(q))
        d->transport_ops->queue_interrupt(d->transport, queue);
}

/* ---- Life ---- */

void virtio_init(struct virtio_device *d, const struct virtio_config *config, const struct gmem *mem,
                 struct task_runner runner)
{
    assert(config->queue_count <= VIRTIO_MAX_QUEUES);
    *d = (struct virtio_device){.config = *config, .mem = mem, .runner = runner};
    d->task = (struct task){.run = serve_kicks, .object = d};
    pthread_mutex_init(&d->lock, NULL);
    clear(d);
}

void virtio_release(struct virtio_device *d)
{
    pthread_mutex_destroy(&d->lock);
}

void virtio_attach(struct virtio_device *d, const struct virtio_transport_ops *ops, void *transport)
{
    d->transport_ops = ops;
    d->transport = transport;
}

/* ---- State ---- */

static const struct state_field fields[] = {
    F_TRANSIENT(struct virtio_device, lock),
    F_TRANSIENT(struct virtio_device, config),
    F_TRANSIENT(struct virtio_device, mem),
    F_TRANSIENT(struct virtio_device, transport_ops),
    F_TRANSIENT(struct virtio_device, transport),
    F_TRANSIENT(struct virtio_device, runner),
    F_TRANSIENT(struct virtio_device, task),
    F_TRANSIENT(struct virtio_device, kicked),
    F_TRANSIENT(struct virtio_device, resetting),
    F_U64(struct virtio_device, features),
    F_U8(struct virtio_device, status, .max = WRITABLE_STATUS | VIRTIO_NEEDS_RESET),
    F_U8(struct virtio_device, generation),
};

static bool check(const void *object)
{
    const struct virtio_device *d = object;
    return d->status & VIRTIO_FEATURES_OK || !(d->status & VIRTIO_DRIVER_OK);
}

const struct state_table virtio_device_state = {.name = "virtio-device",
                                                .version = 1,
                                                .size = sizeof(struct virtio_device),
                                                STATE_FIELDS(fields),
                                                .check = check};

/* What was saved by a device that offered more, or lies where this machine has no memory, cannot go on. */
void virtio_loaded(struct virtio_device *d)
{
    bool good = !(d->status & VIRTIO_FEATURES_OK) || acceptable(d);
    for (unsigned i = 0; i < d->config.queue_count; i++) {
        struct virtq *q = &d->config.queues[i];
        bool ready = q->ready;
        good &= !ready || enable(d, q);
    }
    if (!good)
        d->status |= VIRTIO_NEEDS_RESET;
    kick_all(d);
}
