#include "devices/pci.h"

#include "devices/msix.h"
#include "devices/pci_host.h"

#include <assert.h>
#include <string.h>

/* The type 0 header. */
enum {
    VENDOR = 0x00,
    DEVICE = 0x02,
    COMMAND = 0x04,
    STATUS = 0x06,
    REVISION = 0x08,
    CLASS = 0x09,
    CACHE_LINE = 0x0c,
    BAR = 0x10,
    SUBSYSTEM_VENDOR = 0x2c,
    SUBSYSTEM = 0x2e,
    CAPABILITIES = 0x34,
    INTERRUPT_LINE = 0x3c,
    INTERRUPT_PIN = 0x3d,
    HEADER_LENGTH = 0x40,
};

enum { COMMAND_MEMORY = 2, COMMAND_MASTER = 4, COMMAND_NO_INTX = 0x400 };
enum { STATUS_INTX = 8, STATUS_CAPABILITIES = 0x10 };
enum { BAR_64 = 4, BAR_PREFETCHABLE = 8, BAR_FLAGS = 15 };

/* ---- Bytes ---- */

static void put(uint8_t *bytes, unsigned offset, unsigned size, uint64_t value)
{
    memcpy(bytes + offset, &value, size);
}

uint32_t pci_config_get(const struct pci_function *f, unsigned offset, unsigned size)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++) {
        unsigned at = offset + i;
        value |= (uint32_t)(f->fixed[at] | (f->written[at] & f->writable[at])) << 8 * i;
    }
    return offset <= STATUS && STATUS < offset + size && f->intx
               ? value | (uint32_t)STATUS_INTX << 8 * (STATUS - offset)
               : value;
}

static unsigned command(const struct pci_function *f)
{
    return pci_config_get(f, COMMAND, 2);
}

bool pci_is_master(const struct pci_function *f)
{
    return command(f) & COMMAND_MASTER;
}

/* ---- Description ---- */

void pci_function_init(struct pci_function *f, const struct pci_identity *identity, const struct pci_ops *ops,
                       pthread_mutex_t *lock)
{
    *f = (struct pci_function){.ops = ops, .lock = lock, .room = HEADER_LENGTH, .last_next = CAPABILITIES};
    put(f->fixed, VENDOR, 2, identity->vendor);
    put(f->fixed, DEVICE, 2, identity->device);
    put(f->fixed, REVISION, 1, identity->revision);
    put(f->fixed, CLASS, 3, identity->class_code);
    put(f->fixed, SUBSYSTEM_VENDOR, 2, identity->subsystem_vendor);
    put(f->fixed, SUBSYSTEM, 2, identity->subsystem);
    put(f->fixed, INTERRUPT_PIN, 1, 1);
    put(f->writable, COMMAND, 2, COMMAND_MEMORY | COMMAND_MASTER | COMMAND_NO_INTX);
    put(f->writable, CACHE_LINE, 1, 0xff);
    put(f->writable, INTERRUPT_LINE, 1, 0xff);
}

void pci_bar_add(struct pci_function *f, unsigned index, enum pci_bar_kind kind,
                 const struct bus_region *region)
{
    unsigned size = kind == PCI_BAR_64 ? 8 : 4, offset = BAR + 4 * index;
    uint64_t length = region->length;
    assert(index + size / 4 <= PCI_BARS && f->bars[index].kind == PCI_BAR_NONE);
    assert(length > BAR_FLAGS && !(length & (length - 1)) && (size == 8 || length <= (uint64_t)1 << 31));
    f->bars[index] = (struct pci_bar){.region = *region, .kind = kind};
    put(f->fixed, offset, size, size == 8 ? BAR_64 | BAR_PREFETCHABLE : 0);
    put(f->writable, offset, size, ~(length - 1));
}

unsigned pci_capability_add(struct pci_function *f, uint8_t id, const void *body, const void *writable,
                            unsigned length)
{
    unsigned offset = f->room, end = ALIGN_UP(offset + 2 + length, 4);
    assert(end < PCI_CONFIG_LENGTH);
    put(f->fixed, STATUS, 2, STATUS_CAPABILITIES);
    put(f->fixed, f->last_next, 1, offset);
    put(f->fixed, offset, 1, id);
    memcpy(f->fixed + offset + 2, body, length);
    if (writable)
        memcpy(f->writable + offset + 2, writable, length);
    for (unsigned i = offset + 2; i < end; i++)
        f->fixed[i] &= (uint8_t)~f->writable[i];
    f->last_next = (uint8_t)(offset + 1);
    f->room = (uint8_t)end;
    return offset;
}

/* ---- Interrupts ---- */

void pci_interrupts_update(struct pci_function *f)
{
    bool asserts = f->intx && !(command(f) & COMMAND_NO_INTX) && !(f->msix && msix_enabled(f->msix));
    if (asserts != f->asserts) {
        f->asserts = asserts;
        pci_host_assert(f->host, f->device, asserts);
    }
    if (f->msix)
        msix_update(f->msix);
}

void pci_intx_set(struct pci_function *f, bool level)
{
    f->intx = level;
    pci_interrupts_update(f);
}

/* ---- Access ---- */

bool pci_bar_decodes(const struct pci_function *f, unsigned index, uint64_t *base)
{
    unsigned offset = BAR + 4 * index;
    if (f->bars[index].kind == PCI_BAR_NONE || !(command(f) & COMMAND_MEMORY))
        return false;
    *base = pci_config_get(f, offset, 4) & ~(uint32_t)BAR_FLAGS;
    if (f->bars[index].kind == PCI_BAR_64)
        *base |= (uint64_t)pci_config_get(f, offset + 4, 4) << 32;
    return true;
}

static bool access_is_devices(struct pci_function *f, struct bus_access *a)
{
    return a->address >= HEADER_LENGTH && f->ops && f->ops->config_access && f->ops->config_access(f, a);
}

bool pci_config_access(struct pci_function *f, struct bus_access *a)
{
    unsigned offset = (unsigned)a->address;
    if (access_is_devices(f, a))
        return false;
    if (!a->is_write) {
        a->value = pci_config_get(f, offset, a->size);
        return false;
    }
    put(f->written, offset, a->size, a->value);
    pci_interrupts_update(f);
    return offset < HEADER_LENGTH;
}

/* ---- Life ---- */

void pci_function_reset(struct pci_function *f)
{
    pthread_mutex_lock(&f->host->lock);
    pthread_mutex_lock(f->lock);
    memset(f->written, 0, sizeof(f->written));
    f->intx = false;
    if (f->msix)
        msix_reset(f->msix);
    pci_interrupts_update(f);
    pthread_mutex_unlock(f->lock);
    pci_host_map_bars(f->host);
    pthread_mutex_unlock(&f->host->lock);
}

void pci_function_loaded(struct pci_function *f)
{
    pci_interrupts_update(f);
    pci_host_map_bars(f->host);
}

static const struct state_field fields[] = {
    F_TRANSIENT(struct pci_function, ops),      F_TRANSIENT(struct pci_function, lock),
    F_TRANSIENT(struct pci_function, host),     F_TRANSIENT(struct pci_function, msix),
    F_TRANSIENT(struct pci_function, bars),     F_TRANSIENT(struct pci_function, device),
    F_TRANSIENT(struct pci_function, room),     F_TRANSIENT(struct pci_function, last_next),
    F_TRANSIENT(struct pci_function, asserts),  F_TRANSIENT(struct pci_function, fixed),
    F_TRANSIENT(struct pci_function, writable), F_U8(struct pci_function, written),
    F_BOOL(struct pci_function, intx),
};

const struct state_table pci_function_state = {
    .name = "pci-function", .version = 1, .size = sizeof(struct pci_function), STATE_FIELDS(fields)};
