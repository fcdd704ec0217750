#include "devices/aclint.h"

#include <assert.h>

enum { MTIME = 0x7ff8 };

/* ---- Timer ---- */

/* With the hart's lock. The line changes when mtime reaches mtimecmp, and back when mtime wraps around. */
static void update_timer(struct aclint_hart *h)
{
    bool reached = clock_ticks_now(h->time) >= h->mtimecmp;
    clock_timer_set(&h->timer, reached ? clock_ticks_wrap(h->time) : clock_ticks_when(h->time, h->mtimecmp));
    irq_set(&h->lines.mtip, reached);
}

static void timer_expire(void *hart)
{
    update_timer(hart);
}

/* Half a register, or all of it. */
static uint64_t read_part(uint64_t value, const struct bus_access *a)
{
    return value >> 8 * (a->address % 8);
}

static uint64_t replace_part(uint64_t old, const struct bus_access *a)
{
    uint64_t mask = (a->size == 8 ? UINT64_MAX : UINT32_MAX) << 8 * (a->address % 8);
    return (old & ~mask) | (a->value << 8 * (a->address % 8) & mask);
}

static void access_mtime(struct aclint *c, struct bus_access *a)
{
    uint64_t now = clock_ticks_now(c->time);
    if (!a->is_write) {
        a->value = read_part(now, a);
        return;
    }
    clock_ticks_set(c->time, replace_part(now, a));
    for (unsigned i = 0; i < c->count; i++) {
        pthread_mutex_lock(&c->harts[i].lock);
        update_timer(&c->harts[i]);
        pthread_mutex_unlock(&c->harts[i].lock);
    }
}

static void access_mtimecmp(struct aclint_hart *h, struct bus_access *a)
{
    pthread_mutex_lock(&h->lock);
    if (a->is_write) {
        h->mtimecmp = replace_part(h->mtimecmp, a);
        update_timer(h);
    } else {
        a->value = read_part(h->mtimecmp, a);
    }
    pthread_mutex_unlock(&h->lock);
}

/* Registers of harts that do not exist are zero. */
static enum bus_result access_mtimer(void *device, struct bus_access *a)
{
    struct aclint *c = device;
    if (a->address >= MTIME)
        access_mtime(c, a);
    else if (a->address / 8 < c->count)
        access_mtimecmp(&c->harts[a->address / 8], a);
    return BUS_OK;
}

/* ---- Software interrupts ---- */

static enum bus_result access_mswi(void *device, struct bus_access *a)
{
    struct aclint *c = device;
    if (a->address / 4 >= c->count)
        return BUS_OK;
    struct aclint_hart *h = &c->harts[a->address / 4];
    pthread_mutex_lock(&h->lock);
    if (a->is_write) {
        h->msip = a->value & 1;
        irq_set(&h->lines.msip, h->msip);
    } else {
        a->value = h->msip;
    }
    pthread_mutex_unlock(&h->lock);
    return BUS_OK;
}

static enum bus_result access_sswi(void *device, struct bus_access *a)
{
    struct aclint *c = device;
    if (a->is_write && a->value & 1 && a->address / 4 < c->count) {
        const struct irq_line *ssip = &c->harts[a->address / 4].lines.ssip;
        irq_set(ssip, true);
        irq_set(ssip, false);
    }
    return BUS_OK;
}

static const struct bus_ops mswi_ops = {.access = access_mswi, .sizes = 4};
static const struct bus_ops mtimer_ops = {.access = access_mtimer, .sizes = 4 | 8};
static const struct bus_ops sswi_ops = {.access = access_sswi, .sizes = 4};

/* ---- Life ---- */

/* The specification leaves mtimecmp open; the greatest value keeps the line quiet. */
static void hart_reset(struct aclint_hart *h)
{
    pthread_mutex_lock(&h->lock);
    h->msip = false;
    h->mtimecmp = UINT64_MAX;
    irq_set(&h->lines.msip, false);
    update_timer(h);
    pthread_mutex_unlock(&h->lock);
}

void aclint_reset(struct aclint *c)
{
    for (unsigned i = 0; i < c->count; i++)
        hart_reset(&c->harts[i]);
}

static void hart_init(struct aclint_hart *h, const struct aclint_lines *lines, struct clock *clock,
                      struct clock_ticks *time)
{
    *h = (struct aclint_hart){.lines = *lines, .time = time};
    pthread_mutex_init(&h->lock, NULL);
    clock_timer_init(&h->timer, clock, &h->lock, timer_expire, h);
}

void aclint_init(struct aclint *c, unsigned count, const struct aclint_lines *lines, struct clock *clock,
                 struct clock_ticks *time)
{
    assert(count <= ACLINT_MAX_HARTS);
    *c = (struct aclint){.time = time, .count = count};
    c->mswi = (struct bus_region){
        .name = "aclint-mswi", .length = ACLINT_MSWI_LENGTH, .ops = &mswi_ops, .device = c};
    c->mtimer = (struct bus_region){
        .name = "aclint-mtimer", .length = ACLINT_MTIMER_LENGTH, .ops = &mtimer_ops, .device = c};
    c->sswi = (struct bus_region){
        .name = "aclint-sswi", .length = ACLINT_SSWI_LENGTH, .ops = &sswi_ops, .device = c};
    for (unsigned i = 0; i < count; i++)
        hart_init(&c->harts[i], &lines[i], clock, time);
    aclint_reset(c);
}

void aclint_release(struct aclint *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        clock_timer_set(&c->harts[i].timer, CLOCK_NEVER);
        pthread_mutex_destroy(&c->harts[i].lock);
    }
}

/* ---- State ---- */

static const struct state_field hart_fields[] = {
    F_TRANSIENT(struct aclint_hart, lock),  F_TRANSIENT(struct aclint_hart, lines),
    F_TRANSIENT(struct aclint_hart, timer), F_TRANSIENT(struct aclint_hart, time),
    F_U64(struct aclint_hart, mtimecmp),    F_BOOL(struct aclint_hart, msip),
};

const struct state_table aclint_hart_state = {
    .name = "aclint-hart", .version = 1, .size = sizeof(struct aclint_hart), STATE_FIELDS(hart_fields)};

static const struct state_field fields[] = {
    F_TRANSIENT(struct aclint, mswi),  F_TRANSIENT(struct aclint, mtimer),
    F_TRANSIENT(struct aclint, sswi),  F_TRANSIENT(struct aclint, time),
    F_TRANSIENT(struct aclint, count), F_STRUCT(struct aclint, harts, struct aclint_hart, aclint_hart_state),
};

static void loaded(void *object)
{
    struct aclint *c = object;
    for (unsigned i = 0; i < c->count; i++) {
        irq_set(&c->harts[i].lines.msip, c->harts[i].msip);
        update_timer(&c->harts[i]);
    }
}

const struct state_table aclint_state = {
    .name = "aclint", .version = 1, .size = sizeof(struct aclint), STATE_FIELDS(fields), .loaded = loaded};
