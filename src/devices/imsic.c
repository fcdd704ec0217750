#include "devices/imsic.h"

#include <assert.h>

/* The one register of a page that does something: seteipnum_le. There is no other byte order. */
enum { SET_NUMBER = 0 };

static void deliver(struct imsic *s, uint64_t offset, uint32_t identity)
{
    uint64_t hart = offset / IMSIC_PAGE;
    if (hart < s->count && offset % IMSIC_PAGE == SET_NUMBER)
        interrupt_file_send(&s->files[hart], identity);
}

static enum bus_result access(void *device, struct bus_access *a)
{
    if (a->is_write)
        deliver(device, a->address, (uint32_t)a->value);
    else
        a->value = 0;
    return BUS_OK;
}

static const struct bus_ops ops = {.access = access, .sizes = 4};

bool imsic_send(struct imsic *s, uint64_t address, uint32_t data)
{
    uint64_t offset = address - s->base;
    if (offset >= s->region.length)
        return false;
    deliver(s, offset, data);
    return true;
}

/* ---- Life ---- */

void imsic_init(struct imsic *s, uint64_t base, unsigned count, const struct irq_line *lines)
{
    assert(count <= IMSIC_MAX_HARTS);
    *s = (struct imsic){.base = base, .count = count};
    s->region = (struct bus_region){
        .name = "imsic", .length = (uint64_t)count * IMSIC_PAGE, .ops = &ops, .device = s};
    for (unsigned i = 0; i < count; i++)
        interrupt_file_init(&s->files[i], lines[i]);
}

void imsic_release(struct imsic *s)
{
    for (unsigned i = 0; i < s->count; i++)
        interrupt_file_release(&s->files[i]);
}

/* ---- State ---- */

static const struct state_field fields[] = {
    F_TRANSIENT(struct imsic, region),
    F_TRANSIENT(struct imsic, base),
    F_TRANSIENT(struct imsic, count),
    F_STRUCT(struct imsic, files, struct interrupt_file, interrupt_file_state),
};

static void loaded(void *object)
{
    struct imsic *s = object;
    for (unsigned i = 0; i < s->count; i++)
        interrupt_file_loaded(&s->files[i]);
}

const struct state_table imsic_state = {
    .name = "imsic", .version = 1, .size = sizeof(struct imsic), STATE_FIELDS(fields), .loaded = loaded};
