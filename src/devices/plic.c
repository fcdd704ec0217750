#include "devices/plic.h"

#include <assert.h>
#include <string.h>

/* The memory map: arrays of 32-bit registers, a row a context. */
enum {
    PRIORITY = 0,
    PENDING = 0x1000,
    ENABLE = 0x2000,
    ENABLE_ROW = 0x80,
    CONTEXT = 0x200000,
    CONTEXT_ROW = 0x1000,
    CONTEXT_THRESHOLD = 0,
    CONTEXT_CLAIM = 4,
};

static bool bit_get(const uint32_t *words, unsigned i)
{
    return words[i / 32] >> i % 32 & 1;
}

static void bit_put(uint32_t *words, unsigned i, bool value)
{
    uint32_t bit = (uint32_t)1 << i % 32;
    words[i / 32] = value ? words[i / 32] | bit : words[i / 32] & ~bit;
}

/* ---- Notification ---- */

/* The pending source of the highest priority that the context enables, the lowest of several; 0 when there is none. A
 * priority of 0 means never. */
static unsigned best_source(const struct plic *p, const struct plic_context *c)
{
    unsigned best = 0;
    for (unsigned word = 0; word < PLIC_WORDS; word++)
        for (uint32_t bits = p->pending[word] & c->enabled[word]; bits; bits &= bits - 1) {
            unsigned source = 32 * word + (unsigned)__builtin_ctz(bits);
            if (p->priority[source] > p->priority[best])
                best = source;
        }
    return best;
}

static void update_context(const struct plic *p, const struct plic_context *c)
{
    irq_set(&c->line, p->priority[best_source(p, c)] > c->threshold);
}

static void update_all(const struct plic *p)
{
    for (unsigned i = 0; i < p->count; i++)
        update_context(p, &p->contexts[i]);
}

static void update_source(const struct plic *p, unsigned source)
{
    for (unsigned i = 0; i < p->count; i++)
        if (bit_get(p->contexts[i].enabled, source))
            update_context(p, &p->contexts[i]);
}

/* ---- Gateways ---- */

/* A request that went through stays, even if the device takes it back. */
static void gateway_open(struct plic *p, unsigned source)
{
    if (bit_get(p->level, source) && !bit_get(p->claimed, source) && !bit_get(p->pending, source)) {
        bit_put(p->pending, source, true);
        update_source(p, source);
    }
}

static void set_level(void *controller, unsigned source, bool level)
{
    struct plic *p = controller;
    pthread_mutex_lock(&p->lock);
    bit_put(p->level, source, level);
    gateway_open(p, source);
    pthread_mutex_unlock(&p->lock);
}

/* The threshold has no say in what can be claimed. */
static uint32_t claim(struct plic *p, struct plic_context *c)
{
    unsigned source = best_source(p, c);
    if (source) {
        bit_put(p->pending, source, false);
        bit_put(p->claimed, source, true);
        update_source(p, source);
    }
    return source;
}

static void complete(struct plic *p, struct plic_context *c, uint64_t source)
{
    if (source >= PLIC_SOURCES || !bit_get(c->enabled, (unsigned)source))
        return;
    bit_put(p->claimed, (unsigned)source, false);
    gateway_open(p, (unsigned)source);
}

/* ---- Registers ---- */

static void access_priority(struct plic *p, uint64_t source, struct bus_access *a)
{
    if (source == 0 || source >= PLIC_SOURCES)
        return;
    if (a->is_write) {
        p->priority[source] = a->value & PLIC_MAX_PRIORITY;
        update_source(p, (unsigned)source);
    } else {
        a->value = p->priority[source];
    }
}

static void access_pending(struct plic *p, uint64_t word, struct bus_access *a)
{
    if (!a->is_write && word < PLIC_WORDS)
        a->value = p->pending[word];
}

static void access_enable(struct plic *p, uint64_t offset, struct bus_access *a)
{
    uint64_t context = offset / ENABLE_ROW, word = offset % ENABLE_ROW / 4;
    if (context >= p->count || word >= PLIC_WORDS)
        return;
    struct plic_context *c = &p->contexts[context];
    if (a->is_write) {
        c->enabled[word] = (uint32_t)(word ? a->value : a->value & ~(uint64_t)1);
        update_context(p, c);
    } else {
        a->value = c->enabled[word];
    }
}

static void access_threshold(struct plic *p, struct plic_context *c, struct bus_access *a)
{
    if (a->is_write) {
        c->threshold = a->value & PLIC_MAX_PRIORITY;
        update_context(p, c);
    } else {
        a->value = c->threshold;
    }
}

static void access_context(struct plic *p, uint64_t offset, struct bus_access *a)
{
    uint64_t context = offset / CONTEXT_ROW, reg = offset % CONTEXT_ROW;
    if (context >= p->count)
        return;
    struct plic_context *c = &p->contexts[context];
    if (reg == CONTEXT_THRESHOLD)
        access_threshold(p, c, a);
    else if (reg == CONTEXT_CLAIM && a->is_write)
        complete(p, c, a->value);
    else if (reg == CONTEXT_CLAIM)
        a->value = claim(p, c);
}

/* What does not exist reads as zero. */
static enum bus_result access(void *device, struct bus_access *a)
{
    struct plic *p = device;
    uint64_t address = a->address;
    if (address >= CONTEXT)
        access_context(p, address - CONTEXT, a);
    else if (address >= ENABLE)
        access_enable(p, address - ENABLE, a);
    else if (address >= PENDING)
        access_pending(p, (address - PENDING) / 4, a);
    else
        access_priority(p, (address - PRIORITY) / 4, a);
    return BUS_OK;
}

static const struct bus_ops ops = {.access = access, .sizes = 4};

/* ---- Life ---- */

void plic_reset(struct plic *p)
{
    pthread_mutex_lock(&p->lock);
    memset(p->priority, 0, sizeof(p->priority));
    memset(p->claimed, 0, sizeof(p->claimed));
    memcpy(p->pending, p->level, sizeof(p->pending));
    for (unsigned i = 0; i < p->count; i++)
        p->contexts[i] = (struct plic_context){.line = p->contexts[i].line};
    update_all(p);
    pthread_mutex_unlock(&p->lock);
}

void plic_init(struct plic *p, unsigned count, const struct irq_line *lines)
{
    assert(count <= PLIC_MAX_CONTEXTS);
    *p = (struct plic){.count = count};
    p->region = (struct bus_region){
        .name = "plic", .length = PLIC_LENGTH(count), .ops = &ops, .device = p, .lock = &p->lock};
    pthread_mutex_init(&p->lock, NULL);
    for (unsigned i = 0; i < count; i++)
        p->contexts[i].line = lines[i];
    plic_reset(p);
}

void plic_release(struct plic *p)
{
    pthread_mutex_destroy(&p->lock);
}

struct irq_line plic_line(struct plic *p, unsigned source)
{
    assert(source > 0 && source < PLIC_SOURCES);
    return (struct irq_line){.set = set_level, .controller = p, .number = source};
}

/* ---- State ---- */

static const struct state_field context_fields[] = {
    F_TRANSIENT(struct plic_context, line),
    F_U32(struct plic_context, enabled),
    F_U32(struct plic_context, threshold, .max = PLIC_MAX_PRIORITY),
};

/* There is no source 0. */
static bool context_check(const void *object)
{
    return !bit_get(((const struct plic_context *)object)->enabled, 0);
}

const struct state_table plic_context_state = {.name = "plic-context",
                                               .version = 1,
                                               .size = sizeof(struct plic_context),
                                               STATE_FIELDS(context_fields),
                                               .check = context_check};

static const struct state_field fields[] = {
    F_TRANSIENT(struct plic, region),
    F_TRANSIENT(struct plic, lock),
    F_TRANSIENT(struct plic, count),
    F_U32(struct plic, priority, .max = PLIC_MAX_PRIORITY),
    F_U32(struct plic, level),
    F_U32(struct plic, pending),
    F_U32(struct plic, claimed),
    F_STRUCT(struct plic, contexts, struct plic_context, plic_context_state),
};

static bool check(const void *object)
{
    const struct plic *p = object;
    bool ok = !p->priority[0] && !bit_get(p->level, 0) && !bit_get(p->pending, 0) && !bit_get(p->claimed, 0);
    for (unsigned i = 0; i < PLIC_WORDS; i++)
        ok &= !(p->pending[i] & p->claimed[i]) && !(p->level[i] & ~p->pending[i] & ~p->claimed[i]);
    return ok;
}

static void loaded(void *object)
{
    update_all(object);
}

const struct state_table plic_state = {.name = "plic",
                                       .version = 1,
                                       .size = sizeof(struct plic),
                                       STATE_FIELDS(fields),
                                       .check = check,
                                       .loaded = loaded};
