#include "devices/msix.h"

#include "devices/pci_host.h"

#include <assert.h>

enum { CAPABILITY_ID = 0x11, CONTROL = 2, CONTROL_MASK = 0x4000, CONTROL_ENABLE = 0x8000 };
enum { BAR_LENGTH = 4096, PENDING = 0x800 }; /* the table is at 0 */

/* A table entry, 32 bits each. */
enum { ENTRY_LENGTH = 16, ADDRESS_LOW = 0, ADDRESS_HIGH = 4, DATA = 8, VECTOR_CONTROL = 12 };

/* ---- Messages ---- */

static unsigned control(const struct msix *m)
{
    return pci_config_get(m->function, m->capability + CONTROL, 2);
}

bool msix_enabled(const struct msix *m)
{
    return control(m) & CONTROL_ENABLE;
}

static bool can_send(const struct msix *m)
{
    return (control(m) & (CONTROL_ENABLE | CONTROL_MASK)) == CONTROL_ENABLE && pci_is_master(m->function);
}

static void send_if_unmasked(struct msix *m, struct msix_vector *v)
{
    if (!v->pending || v->masked || !can_send(m))
        return;
    v->pending = false;
    msi_send(&m->function->host->config.msi, v->address, v->data);
}

void msix_notify(struct msix *m, unsigned vector)
{
    if (vector >= m->count || !msix_enabled(m))
        return;
    m->vectors[vector].pending = true;
    send_if_unmasked(m, &m->vectors[vector]);
}

void msix_update(struct msix *m)
{
    for (unsigned i = 0; i < m->count && can_send(m); i++)
        send_if_unmasked(m, &m->vectors[i]);
}

/* ---- Table and pending bits ---- */

static uint32_t entry_read(const struct msix_vector *v, unsigned offset)
{
    switch (offset) {
    case ADDRESS_LOW: return (uint32_t)v->address;
    case ADDRESS_HIGH: return (uint32_t)(v->address >> 32);
    case DATA: return v->data;
    default: return v->masked;
    }
}

/* The address is one of 32-bit words. */
static void entry_write(struct msix_vector *v, unsigned offset, uint32_t value)
{
    switch (offset) {
    case ADDRESS_LOW: v->address = (v->address & ~(uint64_t)UINT32_MAX) | (value & ~3u); break;
    case ADDRESS_HIGH: v->address = (uint64_t)value << 32 | (uint32_t)v->address; break;
    case DATA: v->data = value; break;
    default: v->masked = value & 1; break;
    }
}

static uint32_t pending_read(const struct msix *m, unsigned offset)
{
    uint32_t bits = 0;
    for (unsigned i = 0; i < 32 && 8 * offset + i < m->count; i++)
        bits |= (uint32_t)m->vectors[8 * offset + i].pending << i;
    return bits;
}

static uint32_t word_read(const struct msix *m, unsigned offset)
{
    if (offset >= PENDING)
        return pending_read(m, offset - PENDING);
    return offset / ENTRY_LENGTH < m->count
               ? entry_read(&m->vectors[offset / ENTRY_LENGTH], offset % ENTRY_LENGTH)
               : 0;
}

static void word_write(struct msix *m, unsigned offset, uint32_t value)
{
    if (offset / ENTRY_LENGTH >= m->count)
        return;
    struct msix_vector *v = &m->vectors[offset / ENTRY_LENGTH];
    entry_write(v, offset % ENTRY_LENGTH, value);
    send_if_unmasked(m, v);
}

static enum bus_result access(void *device, struct bus_access *a)
{
    struct msix *m = device;
    uint64_t value = 0;
    for (unsigned i = 0; i < a->size; i += 4)
        if (a->is_write)
            word_write(m, (unsigned)a->address + i, (uint32_t)(a->value >> 8 * i));
        else
            value |= (uint64_t)word_read(m, (unsigned)a->address + i) << 8 * i;
    if (!a->is_write)
        a->value = value;
    return BUS_OK;
}

static const struct bus_ops ops = {.access = access, .sizes = 4 | 8};

/* ---- Life ---- */

void msix_reset(struct msix *m)
{
    for (unsigned i = 0; i < MSIX_MAX_VECTORS; i++)
        m->vectors[i] = (struct msix_vector){.masked = true};
}

void msix_init(struct msix *m, struct pci_function *f, unsigned bar, unsigned count)
{
    struct bus_region region = {
        .name = "msix", .length = BAR_LENGTH, .ops = &ops, .device = m, .lock = f->lock};
    uint8_t body[10] = {
        [0] = (uint8_t)(count - 1), [2] = (uint8_t)bar, [6] = (uint8_t)bar, [7] = PENDING >> 8};
    static const uint8_t writable[10] = {[1] = (CONTROL_ENABLE | CONTROL_MASK) >> 8};
    assert(count && count <= MSIX_MAX_VECTORS);
    *m = (struct msix){.function = f, .count = count};
    m->capability = pci_capability_add(f, CAPABILITY_ID, body, writable, sizeof(body));
    pci_bar_add(f, bar, PCI_BAR_32, &region);
    f->msix = m;
    msix_reset(m);
}

/* ---- State ---- */

static const struct state_field vector_fields[] = {
    F_U64(struct msix_vector, address),
    F_U32(struct msix_vector, data),
    F_BOOL(struct msix_vector, masked),
    F_BOOL(struct msix_vector, pending),
};

const struct state_table msix_vector_state = {
    .name = "msix-vector", .version = 1, .size = sizeof(struct msix_vector), STATE_FIELDS(vector_fields)};

static const struct state_field fields[] = {
    F_TRANSIENT(struct msix, function),
    F_TRANSIENT(struct msix, count),
    F_TRANSIENT(struct msix, capability),
    F_STRUCT(struct msix, vectors, struct msix_vector, msix_vector_state),
};

const struct state_table msix_state = {
    .name = "msix", .version = 1, .size = sizeof(struct msix), STATE_FIELDS(fields)};
