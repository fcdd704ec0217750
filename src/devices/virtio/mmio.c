#include "devices/virtio/mmio.h"

enum {
    MAGIC = 0x000,
    VERSION = 0x004,
    DEVICE_ID = 0x008,
    VENDOR_ID = 0x00c,
    OFFERED = 0x010,
    OFFERED_SELECT = 0x014,
    ACCEPT = 0x020,
    ACCEPT_SELECT = 0x024,
    QUEUE_SELECT = 0x030,
    QUEUE_SIZE_MAX = 0x034,
    QUEUE_SIZE = 0x038,
    QUEUE_READY = 0x044,
    QUEUE_NOTIFY = 0x050,
    INTERRUPT_STATUS = 0x060,
    INTERRUPT_ACK = 0x064,
    STATUS = 0x070,
    QUEUE_DESC = 0x080,
    QUEUE_AVAIL = 0x090,
    QUEUE_USED = 0x0a0,
    SHARED_MEMORY = 0x0b0, /* length and base of a region that is not there: all ones */
    SHARED_MEMORY_END = 0x0c0,
    GENERATION = 0x0fc,
    SPACE = 0x100,
};

enum { MAGIC_VALUE = 0x74726976, VERSION_VALUE = 2, VENDOR_VALUE = 0x65737547 /* "Guse" */ };
enum { INTERRUPT_QUEUE = 1, INTERRUPT_CONFIG = 2 };

/* ---- Interrupts ---- */

static void set_interrupts(struct virtio_mmio *m, uint8_t interrupts)
{
    m->interrupts = interrupts;
    irq_set(&m->irq, interrupts);
}

static void queue_interrupt(void *transport, unsigned queue)
{
    struct virtio_mmio *m = transport;
    (void)queue;
    set_interrupts(m, m->interrupts | INTERRUPT_QUEUE);
}

static void config_interrupt(void *transport)
{
    struct virtio_mmio *m = transport;
    set_interrupts(m, m->interrupts | INTERRUPT_CONFIG);
}

static void reset(void *transport)
{
    struct virtio_mmio *m = transport;
    m->offered_select = m->accept_select = m->queue_select = 0;
    set_interrupts(m, 0);
}

static const struct virtio_transport_ops transport_ops = {
    .queue_interrupt = queue_interrupt, .config_interrupt = config_interrupt, .reset = reset};

/* ---- Registers ---- */

/* The queue selected, or NULL when there is none. */
static struct virtq *selected(const struct virtio_mmio *m)
{
    const struct virtio_config *config = &m->device->config;
    return m->queue_select < config->queue_count ? &config->queues[m->queue_select] : NULL;
}

static uint32_t read_register(const struct virtio_mmio *m, uint64_t offset)
{
    const struct virtio_device *d = m->device;
    const struct virtq *q = selected(m);
    switch (offset) {
    case MAGIC: return MAGIC_VALUE;
    case VERSION: return VERSION_VALUE;
    case DEVICE_ID: return d->config.id;
    case VENDOR_ID: return VENDOR_VALUE;
    case OFFERED: return virtio_offered(d, m->offered_select);
    case QUEUE_SIZE_MAX: return q ? VIRTQ_MAX_SIZE : 0;
    case QUEUE_READY: return q && q->ready;
    case INTERRUPT_STATUS: return m->interrupts;
    case STATUS: return d->status;
    case GENERATION: return d->generation;
    default: return offset >= SHARED_MEMORY && offset < SHARED_MEMORY_END ? UINT32_MAX : 0;
    }
}

static void write_queue(struct virtio_mmio *m, struct virtq *q, uint64_t offset, uint32_t value)
{
    unsigned half = offset / 4 % 2;
    switch (offset) {
    case QUEUE_SIZE: virtio_set_queue_size(q, value); break;
    case QUEUE_READY: virtio_set_queue_ready(m->device, m->queue_select, value & 1); break;
    case QUEUE_DESC:
    case QUEUE_DESC + 4: virtio_set_queue_address(q, &q->desc, half, value); break;
    case QUEUE_AVAIL:
    case QUEUE_AVAIL + 4: virtio_set_queue_address(q, &q->avail, half, value); break;
    case QUEUE_USED:
    case QUEUE_USED + 4: virtio_set_queue_address(q, &q->used, half, value); break;
    default: break;
    }
}

static void write_register(struct virtio_mmio *m, uint64_t offset, uint32_t value)
{
    struct virtq *q = selected(m);
    switch (offset) {
    case OFFERED_SELECT: m->offered_select = value; break;
    case ACCEPT: virtio_accept(m->device, m->accept_select, value); break;
    case ACCEPT_SELECT: m->accept_select = value; break;
    case QUEUE_SELECT: m->queue_select = value; break;
    case INTERRUPT_ACK: set_interrupts(m, m->interrupts & (uint8_t)~value); break;
    case STATUS: virtio_set_status(m->device, (uint8_t)value); break;
    default:
        if (q)
            write_queue(m, q, offset, value);
        break;
    }
}

static void access_space(struct virtio_mmio *m, struct bus_access *a)
{
    unsigned offset = (unsigned)a->address - SPACE;
    if (a->is_write)
        virtio_config_write(m->device, offset, &a->value, a->size);
    else
        virtio_config_read(m->device, offset, &a->value, a->size);
}

/* Registers are 32 bits wide, and are nothing to an access of another width. */
static void access_locked(struct virtio_mmio *m, struct bus_access *a)
{
    if (a->address >= SPACE)
        access_space(m, a);
    else if (a->is_write && a->size == 4)
        write_register(m, a->address, (uint32_t)a->value);
    else if (!a->is_write)
        a->value = a->size == 4 ? read_register(m, a->address) : 0;
}

static enum bus_result access(void *transport, struct bus_access *a)
{
    struct virtio_mmio *m = transport;
    if (a->address == QUEUE_NOTIFY && a->is_write) {
        virtio_kick(m->device, (uint32_t)a->value);
        return BUS_OK;
    }
    pthread_mutex_lock(&m->device->lock);
    access_locked(m, a);
    pthread_mutex_unlock(&m->device->lock);
    return BUS_OK;
}

static const struct bus_ops ops = {.access = access, .sizes = 1 | 2 | 4};

/* ---- Life ---- */

void virtio_mmio_init(struct virtio_mmio *m, struct virtio_device *device, struct irq_line irq)
{
    *m = (struct virtio_mmio){.device = device, .irq = irq};
    m->region =
        (struct bus_region){.name = "virtio-mmio", .length = VIRTIO_MMIO_LENGTH, .ops = &ops, .device = m};
    virtio_attach(device, &transport_ops, m);
}

void virtio_mmio_reset(struct virtio_mmio *m)
{
    pthread_mutex_lock(&m->device->lock);
    virtio_reset(m->device);
    pthread_mutex_unlock(&m->device->lock);
}

/* ---- State ---- */

static const struct state_field fields[] = {
    F_TRANSIENT(struct virtio_mmio, region),
    F_TRANSIENT(struct virtio_mmio, device),
    F_TRANSIENT(struct virtio_mmio, irq),
    F_U32(struct virtio_mmio, offered_select),
    F_U32(struct virtio_mmio, accept_select),
    F_U32(struct virtio_mmio, queue_select),
    F_U8(struct virtio_mmio, interrupts, .max = INTERRUPT_QUEUE | INTERRUPT_CONFIG),
};

static void loaded(void *object)
{
    struct virtio_mmio *m = object;
    irq_set(&m->irq, m->interrupts);
}

const struct state_table virtio_mmio_state = {.name = "virtio-mmio",
                                              .version = 1,
                                              .size = sizeof(struct virtio_mmio),
                                              STATE_FIELDS(fields),
                                              .loaded = loaded};
