#include "devices/virtio/pci.h"

#include <string.h>

/* The BAR with the registers, a page for each part, and the other one. */
enum { BAR = 4, MSIX_BAR = 1, BAR_LENGTH = 0x4000, PART = 0x1000 };
enum { COMMON = 0x0000, ISR = 0x1000, SPACE = 0x2000, NOTIFY = 0x3000 };
enum { NOTIFY_STRIDE = 4 };

/* The common configuration structure. */
enum {
    OFFERED_SELECT = 0,
    OFFERED = 4,
    ACCEPT_SELECT = 8,
    ACCEPT = 12,
    CONFIG_VECTOR = 16,
    QUEUE_COUNT = 18,
    STATUS = 20,
    GENERATION = 21,
    QUEUE_SELECT = 22,
    QUEUE_SIZE = 24,
    QUEUE_VECTOR = 26,
    QUEUE_ENABLE = 28,
    QUEUE_NOTIFY = 30,
    QUEUE_DESC = 32,
    QUEUE_AVAIL = 40,
    QUEUE_USED = 48,
    COMMON_LENGTH = 60,
};

enum { INTERRUPT_QUEUE = 1, INTERRUPT_CONFIG = 2 };
enum { NO_VECTOR = 0xffff };

/* Capabilities. */
enum { VENDOR_CAPABILITY = 9, CAP_COMMON = 1, CAP_NOTIFY = 2, CAP_ISR = 3, CAP_SPACE = 4, CAP_WINDOW = 5 };
enum { VENDOR = 0x1af4, FIRST_DEVICE = 0x1040, REVISION = 1 };

/* What follows id and link. */
struct capability {
    uint8_t length, type, bar, id, padding[2];
    uint8_t offset[4], bytes[4]; /* little-endian, and not aligned here */
    uint8_t more[4];             /* notify: the stride; window: the data */
};

enum { WINDOW_BAR = 4, WINDOW_OFFSET = 8, WINDOW_LENGTH = 12, WINDOW_DATA = 16 }; /* from the capability on */

/* ---- Interrupts ---- */

static void set_interrupts(struct virtio_pci *p, uint16_t interrupts)
{
    p->interrupts = interrupts;
    pci_intx_set(&p->function, interrupts);
}

static void interrupt(struct virtio_pci *p, uint16_t vector, uint16_t reason)
{
    if (msix_enabled(&p->msix))
        msix_notify(&p->msix, vector);
    else
        set_interrupts(p, p->interrupts | reason);
}

static void queue_interrupt(void *transport, unsigned queue)
{
    struct virtio_pci *p = transport;
    interrupt(p, p->vectors[queue], INTERRUPT_QUEUE);
}

static void config_interrupt(void *transport)
{
    struct virtio_pci *p = transport;
    interrupt(p, p->config_vector, INTERRUPT_CONFIG);
}

static bool may_access(void *transport)
{
    struct virtio_pci *p = transport;
    return pci_is_master(&p->function);
}

static void reset(void *transport)
{
    struct virtio_pci *p = transport;
    p->offered_select = p->accept_select = 0;
    p->queue_select = 0;
    p->config_vector = NO_VECTOR;
    for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++)
        p->vectors[i] = NO_VECTOR;
    set_interrupts(p, 0);
}

static const struct virtio_transport_ops transport_ops = {.queue_interrupt = queue_interrupt,
                                                          .config_interrupt = config_interrupt,
                                                          .may_access = may_access,
                                                          .reset = reset};

/* ---- Common configuration ---- */

/* The queue selected, or NULL when there is none. */
static struct virtq *selected(const struct virtio_pci *p)
{
    const struct virtio_config *config = &p->device->config;
    return p->queue_select < config->queue_count ? &config->queues[p->queue_select] : NULL;
}

/* Fields are accessed as wide as they are, 64-bit ones by halves; to other accesses they are nothing. */
static unsigned field_size(unsigned offset)
{
    if (offset == STATUS || offset == GENERATION)
        return 1;
    return offset >= CONFIG_VECTOR && offset < QUEUE_DESC ? 2 : 4;
}

static uint32_t half_of(uint64_t address, unsigned offset)
{
    return (uint32_t)(address >> 32 * (offset / 4 % 2));
}

static uint32_t read_queue(const struct virtio_pci *p, const struct virtq *q, unsigned offset)
{
    switch (offset) {
    case QUEUE_SIZE: return q->size;
    case QUEUE_VECTOR: return p->vectors[p->queue_select];
    case QUEUE_ENABLE: return q->ready;
    case QUEUE_NOTIFY: return p->queue_select;
    case QUEUE_DESC:
    case QUEUE_DESC + 4: return half_of(q->desc, offset);
    case QUEUE_AVAIL:
    case QUEUE_AVAIL + 4: return half_of(q->avail, offset);
    case QUEUE_USED:
    case QUEUE_USED + 4: return half_of(q->used, offset);
    default: return 0;
    }
}

static uint32_t read_common(const struct virtio_pci *p, unsigned offset)
{
    const struct virtio_device *d = p->device;
    const struct virtq *q = selected(p);
    switch (offset) {
    case OFFERED_SELECT: return p->offered_select;
    case OFFERED: return virtio_offered(d, p->offered_select);
    case ACCEPT_SELECT: return p->accept_select;
    case ACCEPT: return p->accept_select < 2 ? (uint32_t)(d->features >> 32 * p->accept_select) : 0;
    case CONFIG_VECTOR: return p->config_vector;
    case QUEUE_COUNT: return d->config.queue_count;
    case STATUS: return d->status;
    case GENERATION: return d->generation;
    case QUEUE_SELECT: return p->queue_select;
    default: return q ? read_queue(p, q, offset) : 0;
    }
}

static uint16_t vector_of(const struct virtio_pci *p, uint32_t value)
{
    return value < p->msix.count ? (uint16_t)value : NO_VECTOR;
}

static void write_queue(struct virtio_pci *p, struct virtq *q, unsigned offset, uint32_t value)
{
    unsigned half = offset / 4 % 2;
    switch (offset) {
    case QUEUE_SIZE: virtio_set_queue_size(q, value); break;
    case QUEUE_VECTOR: p->vectors[p->queue_select] = vector_of(p, value); break;
    case QUEUE_ENABLE:
        if (value == 1)
            virtio_set_queue_ready(p->device, p->queue_select, true);
        break;
    case QUEUE_DESC:
    case QUEUE_DESC + 4: virtio_set_queue_address(q, &q->desc, half, value); break;
    case QUEUE_AVAIL:
    case QUEUE_AVAIL + 4: virtio_set_queue_address(q, &q->avail, half, value); break;
    case QUEUE_USED:
    case QUEUE_USED + 4: virtio_set_queue_address(q, &q->used, half, value); break;
    default: break;
    }
}

static void write_common(struct virtio_pci *p, unsigned offset, uint32_t value)
{
    struct virtq *q = selected(p);
    switch (offset) {
    case OFFERED_SELECT: p->offered_select = value; break;
    case ACCEPT_SELECT: p->accept_select = value; break;
    case ACCEPT: virtio_accept(p->device, p->accept_select, value); break;
    case CONFIG_VECTOR: p->config_vector = vector_of(p, value); break;
    case STATUS: virtio_set_status(p->device, (uint8_t)value); break;
    case QUEUE_SELECT: p->queue_select = (uint16_t)value; break;
    default:
        if (q)
            write_queue(p, q, offset, value);
        break;
    }
}

static void access_common(struct virtio_pci *p, struct bus_access *a)
{
    unsigned offset = (unsigned)a->address;
    bool whole = offset < COMMON_LENGTH && a->size == field_size(offset);
    if (a->is_write && whole)
        write_common(p, offset, (uint32_t)a->value);
    else if (!a->is_write)
        a->value = whole ? read_common(p, offset) : 0;
}

/* ---- Registers ---- */

/* Reading acknowledges. */
static uint16_t take_interrupts(struct virtio_pci *p)
{
    uint16_t interrupts = p->interrupts;
    set_interrupts(p, 0);
    return interrupts;
}

static void access_space(struct virtio_pci *p, struct bus_access *a)
{
    unsigned offset = (unsigned)a->address - SPACE;
    if (a->is_write)
        virtio_config_write(p->device, offset, &a->value, a->size);
    else
        virtio_config_read(p->device, offset, &a->value, a->size);
}

static void access_locked(struct virtio_pci *p, struct bus_access *a)
{
    switch (a->address / PART * PART) {
    case COMMON: access_common(p, a); break;
    case ISR:
        if (!a->is_write)
            a->value = a->address == ISR ? take_interrupts(p) : 0;
        break;
    case SPACE: access_space(p, a); break;
    default: a->value = 0; break;
    }
}

static bool is_notification(const struct bus_access *a)
{
    return a->is_write && a->address >= NOTIFY;
}

static void notify(const struct virtio_pci *p, const struct bus_access *a)
{
    virtio_kick(p->device, (uint32_t)(a->address - NOTIFY) / NOTIFY_STRIDE);
}

static enum bus_result access(void *transport, struct bus_access *a)
{
    struct virtio_pci *p = transport;
    if (is_notification(a)) {
        notify(p, a);
        return BUS_OK;
    }
    pthread_mutex_lock(&p->device->lock);
    access_locked(p, a);
    pthread_mutex_unlock(&p->device->lock);
    return BUS_OK;
}

static const struct bus_ops bus_ops = {.access = access, .sizes = 1 | 2 | 4};

/* ---- The window in configuration space ---- */

/* An access to the window's data is one of the BAR, where and as wide as the other fields say. */
static bool config_access(struct pci_function *function, struct bus_access *a)
{
    struct virtio_pci *p = (struct virtio_pci *)function;
    if (a->address != p->window + (unsigned)WINDOW_DATA)
        return false;
    uint32_t bar = pci_config_get(function, p->window + WINDOW_BAR, 1),
             offset = pci_config_get(function, p->window + WINDOW_OFFSET, 4),
             length = pci_config_get(function, p->window + WINDOW_LENGTH, 4);
    if (bar != BAR || (length != 1 && length != 2 && length != 4) || offset % length || offset >= BAR_LENGTH)
        return false;
    struct bus_access own = {
        .address = offset, .value = a->value, .size = (uint8_t)length, .is_write = a->is_write};
    if (length < 4)
        own.value &= ((uint64_t)1 << 8 * length) - 1;
    if (is_notification(&own))
        notify(p, &own);
    else
        access_locked(p, &own);
    a->value = own.value;
    return true;
}

static const struct pci_ops pci_ops = {.config_access = config_access};

/* ---- Life ---- */

static void add_part(struct virtio_pci *p, uint8_t type, uint32_t offset, uint32_t length)
{
    struct capability c = {.type = type, .bar = BAR};
    unsigned bytes = sizeof(c) - (type == CAP_NOTIFY ? 0 : sizeof(c.more));
    uint32_t stride = NOTIFY_STRIDE;
    c.length = (uint8_t)(2 + bytes);
    memcpy(c.offset, &offset, sizeof(offset));
    memcpy(c.bytes, &length, sizeof(length));
    memcpy(c.more, &stride, sizeof(stride));
    pci_capability_add(&p->function, VENDOR_CAPABILITY, &c, NULL, bytes);
}

static void add_window(struct virtio_pci *p)
{
    struct capability c = {.length = 2 + sizeof(c), .type = CAP_WINDOW}, writable = {.bar = 0xff};
    memset(writable.offset, 0xff, sizeof(writable.offset));
    memset(writable.bytes, 0xff, sizeof(writable.bytes));
    memset(writable.more, 0xff, sizeof(writable.more));
    p->window = (uint16_t)pci_capability_add(&p->function, VENDOR_CAPABILITY, &c, &writable, sizeof(c));
}

static uint32_t class_of(enum virtio_id id)
{
    switch (id) {
    case VIRTIO_ID_BLOCK: return 0x018000;
    case VIRTIO_ID_NET: return 0x020000;
    case VIRTIO_ID_CONSOLE: return 0x078000;
    default: return 0xff0000;
    }
}

void virtio_pci_init(struct virtio_pci *p, struct virtio_device *device)
{
    const struct virtio_config *config = &device->config;
    struct pci_identity identity = {.vendor = VENDOR,
                                    .device = (uint16_t)(FIRST_DEVICE + config->id),
                                    .subsystem_vendor = VENDOR,
                                    .subsystem = (uint16_t)(FIRST_DEVICE + config->id),
                                    .class_code = class_of(config->id),
                                    .revision = REVISION};
    *p = (struct virtio_pci){.device = device};
    struct bus_region region = {.name = "virtio-pci", .length = BAR_LENGTH, .ops = &bus_ops, .device = p};
    pci_function_init(&p->function, &identity, &pci_ops, &device->lock);
    pci_bar_add(&p->function, BAR, PCI_BAR_64, &region);
    msix_init(&p->msix, &p->function, MSIX_BAR, config->queue_count + 1);
    add_part(p, CAP_COMMON, COMMON, COMMON_LENGTH);
    add_part(p, CAP_ISR, ISR, 1);
    add_part(p, CAP_SPACE, SPACE, MAX(config->space_length, 1u));
    add_part(p, CAP_NOTIFY, NOTIFY, NOTIFY_STRIDE * config->queue_count);
    add_window(p);
    virtio_attach(device, &transport_ops, p);
    reset(p);
}

void virtio_pci_reset(struct virtio_pci *p)
{
    pthread_mutex_lock(&p->device->lock);
    virtio_reset(p->device);
    pthread_mutex_unlock(&p->device->lock);
    pci_function_reset(&p->function);
}

/* ---- State ---- */

static const struct state_field fields[] = {
    F_STRUCT(struct virtio_pci, function, struct pci_function, pci_function_state),
    F_TRANSIENT(struct virtio_pci, device),
    F_TRANSIENT(struct virtio_pci, window),
    F_U32(struct virtio_pci, offered_select),
    F_U32(struct virtio_pci, accept_select),
    F_U16(struct virtio_pci, queue_select),
    F_U16(struct virtio_pci, config_vector),
    F_U16(struct virtio_pci, vectors),
    F_U16(struct virtio_pci, interrupts, .max = INTERRUPT_QUEUE | INTERRUPT_CONFIG),
    F_STRUCT(struct virtio_pci, msix, struct msix, msix_state),
};

static void loaded(void *object)
{
    struct virtio_pci *p = object;
    pci_function_loaded(&p->function);
}

const struct state_table virtio_pci_state = {.name = "virtio-pci",
                                             .version = 1,
                                             .size = sizeof(struct virtio_pci),
                                             STATE_FIELDS(fields),
                                             .loaded = loaded};
