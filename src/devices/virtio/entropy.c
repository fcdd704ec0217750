#include "devices/virtio/entropy.h"

enum { MOST = 65536 }; /* bytes for one request: the loop has others to serve */

/* Fills what is writable; a chain may get less than it has room for, but not nothing. */
static uint32_t fill(const struct virtio_entropy *ve, const struct virtq_chain *c)
{
    uint32_t done = 0;
    for (unsigned i = c->readable; i < c->readable + c->writable && done < MOST; i++) {
        size_t part = MIN(c->iov[i].iov_len, MOST - done);
        ssize_t n = ve->random(c->iov[i].iov_base, part, 0);
        if (n < 0)
            break;
        done += (uint32_t)n;
        if ((size_t)n < part)
            break;
    }
    return done;
}

static void kick(struct virtio_device *device, unsigned queue)
{
    struct virtio_entropy *ve = (struct virtio_entropy *)device;
    unsigned count = 0;
    for (; count < VIRTQ_MAX_SIZE && virtio_pop(device, queue, &ve->chain); count++)
        virtio_push(device, queue, &ve->chain, fill(ve, &ve->chain));
    if (count == VIRTQ_MAX_SIZE)
        virtio_kick(device, queue);
    if (count)
        virtio_interrupt(device, queue);
}

static const struct virtio_ops ops = {.kick = kick};

void virtio_entropy_init(struct virtio_entropy *ve,
                         ssize_t (*random)(void *to, size_t length, unsigned flags), const struct gmem *mem,
                         struct task_runner runner)
{
    *ve = (struct virtio_entropy){.random = random};
    struct virtio_config config = {
        .id = VIRTIO_ID_ENTROPY, .ops = &ops, .queues = &ve->queue, .queue_count = 1};
    virtio_init(&ve->device, &config, mem, runner);
}

void virtio_entropy_release(struct virtio_entropy *ve)
{
    virtio_release(&ve->device);
}

static const struct state_field fields[] = {
    F_STRUCT(struct virtio_entropy, device, struct virtio_device, virtio_device_state),
    F_TRANSIENT(struct virtio_entropy, random),
    F_STRUCT(struct virtio_entropy, queue, struct virtq, virtq_state),
    F_TRANSIENT(struct virtio_entropy, chain),
};

static void loaded(void *object)
{
    struct virtio_entropy *ve = object;
    virtio_loaded(&ve->device);
}

const struct state_table virtio_entropy_state = {.name = "virtio-entropy",
                                                 .version = 1,
                                                 .size = sizeof(struct virtio_entropy),
                                                 STATE_FIELDS(fields),
                                                 .loaded = loaded};
