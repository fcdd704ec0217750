#include "devices/virtio/console.h"

#include <stddef.h>
#include <string.h>

#define F_SIZE        VIRTIO_F(0)
#define F_EMERG_WRITE VIRTIO_F(2)

enum { RECEIVE, TRANSMIT };

/* ---- Transmission ---- */

/* Returns how much of a chain, from `offset` on, the console takes. */
static uint32_t send_chain(const struct virtio_console *vc, const struct virtq_chain *c, size_t offset)
{
    uint32_t sent = 0;
    for (unsigned i = 0; i < c->readable; i++) {
        size_t length = c->iov[i].iov_len, skip = MIN(offset, length);
        size_t n = console_write(vc->console, (const uint8_t *)c->iov[i].iov_base + skip, length - skip);
        offset -= skip;
        sent += (uint32_t)n;
        if (n < length - skip)
            break;
    }
    return sent;
}

/* A chain that the console does not take whole goes back to the queue, and is sent on from where it was when there is
 * room: so there is none under way when state is saved. Returns false then. */
static bool transmit_chain(struct virtio_console *vc)
{
    struct virtq_chain *c = &vc->chain;
    vc->sent += send_chain(vc, c, vc->sent);
    if (vc->sent < c->readable_length) {
        virtq_unpop(&vc->queues[TRANSMIT], 1);
        return false;
    }
    vc->sent = 0;
    virtio_push(&vc->device, TRANSMIT, c, 0);
    return true;
}

static void transmit(struct virtio_console *vc)
{
    unsigned count = 0;
    while (count < VIRTQ_MAX_SIZE && virtio_pop(&vc->device, TRANSMIT, &vc->chain) && transmit_chain(vc))
        count++;
    if (count == VIRTQ_MAX_SIZE)
        virtio_kick(&vc->device, TRANSMIT);
    if (count)
        virtio_interrupt(&vc->device, TRANSMIT);
}

static void on_writable(void *client)
{
    transmit(client);
}

/* ---- Reception ---- */

/* What there is no room for is offered again when the driver has notified of more buffers. */
static size_t on_receive(void *client, const uint8_t *data, size_t length)
{
    struct virtio_console *vc = client;
    size_t taken = 0;
    unsigned count = 0;
    while (taken < length && count < VIRTQ_MAX_SIZE && virtio_pop(&vc->device, RECEIVE, &vc->chain)) {
        size_t n = virtq_write(&vc->chain, 0, data + taken, length - taken);
        virtio_push(&vc->device, RECEIVE, &vc->chain, (uint32_t)n);
        taken += n;
        count++;
    }
    if (count == VIRTQ_MAX_SIZE)
        virtio_kick(&vc->device, RECEIVE);
    if (count)
        virtio_interrupt(&vc->device, RECEIVE);
    return taken;
}

static void on_resized(void *client, unsigned columns, unsigned rows)
{
    struct virtio_console *vc = client;
    vc->space.columns = (uint16_t)MIN(columns, (unsigned)UINT16_MAX);
    vc->space.rows = (uint16_t)MIN(rows, (unsigned)UINT16_MAX);
    if (virtio_has(&vc->device, F_SIZE))
        virtio_config_changed(&vc->device);
}

static const struct console_client_ops client_ops = {
    .receive = on_receive, .writable = on_writable, .resized = on_resized};

/* ---- Device ---- */

static void kick(struct virtio_device *device, unsigned queue)
{
    struct virtio_console *vc = (struct virtio_console *)device;
    if (queue == TRANSMIT)
        transmit(vc);
    else
        console_resume(vc->console);
}

/* A character from a guest in need, without queues; if there is no room for it, it is lost. */
static void config_write(struct virtio_device *device, unsigned offset, const void *data, unsigned length)
{
    const struct virtio_console *vc = (const struct virtio_console *)device;
    if (offset == offsetof(struct virtio_console_space, emergency) && length == sizeof(uint32_t))
        console_write(vc->console, data, 1);
}

static void reset(struct virtio_device *device)
{
    ((struct virtio_console *)device)->sent = 0;
}

static const struct virtio_ops ops = {.kick = kick, .config_write = config_write, .reset = reset};

/* ---- Life ---- */

void virtio_console_init(struct virtio_console *vc, struct console *console, const struct gmem *mem,
                         struct task_runner runner)
{
    *vc = (struct virtio_console){.console = console, .space.max_ports = 1};
    struct virtio_config config = {
        .id = VIRTIO_ID_CONSOLE,
        .ops = &ops,
        .features = F_SIZE | F_EMERG_WRITE,
        .space = &vc->space,
        .space_length = sizeof(vc->space),
        .queues = vc->queues,
        .queue_count = ARRAY_SIZE(vc->queues),
    };
    virtio_init(&vc->device, &config, mem, runner);
    console_attach(console, &client_ops, vc, &vc->device.lock);
}

void virtio_console_release(struct virtio_console *vc)
{
    console_attach(vc->console, NULL, NULL, NULL);
    virtio_release(&vc->device);
}

/* ---- State ---- */

static const struct state_field fields[] = {
    F_STRUCT(struct virtio_console, device, struct virtio_device, virtio_device_state),
    F_TRANSIENT(struct virtio_console, console),
    F_TRANSIENT(struct virtio_console, space),
    F_U32(struct virtio_console, sent),
    F_STRUCT(struct virtio_console, queues, struct virtq, virtq_state),
    F_TRANSIENT(struct virtio_console, chain),
};

static void loaded(void *object)
{
    struct virtio_console *vc = object;
    virtio_loaded(&vc->device);
}

const struct state_table virtio_console_state = {.name = "virtio-console",
                                                 .version = 1,
                                                 .size = sizeof(struct virtio_console),
                                                 STATE_FIELDS(fields),
                                                 .loaded = loaded};
