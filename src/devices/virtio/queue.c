#include "devices/virtio/queue.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4 };
enum { AVAIL_NO_INTERRUPT = 1, USED_NO_NOTIFY = 1 };

/* The driver's area ends with used_event, the device's with avail_event, where event indices are negotiated. Guest and
 * device share the atomic members; the rest is ordered by the two indices. */
struct virtq_avail {
    _Atomic uint16_t flags, index;
    _Atomic uint16_t ring[];
};

struct virtq_used_entry {
    uint32_t head, length;
};

struct virtq_used {
    _Atomic uint16_t flags, index;
    struct virtq_used_entry ring[];
};

static uint64_t desc_bytes(const struct virtq *q)
{
    return sizeof(struct virtq_desc) * q->size;
}

static uint64_t avail_bytes(const struct virtq *q)
{
    return sizeof(struct virtq_avail) + sizeof(uint16_t) * (q->size + 1u);
}

static uint64_t used_bytes(const struct virtq *q)
{
    return sizeof(struct virtq_used) + sizeof(struct virtq_used_entry) * q->size + sizeof(uint16_t);
}

static _Atomic uint16_t *used_event(const struct virtq *q)
{
    return &q->avails->ring[q->size];
}

static _Atomic uint16_t *avail_event(const struct virtq *q)
{
    return (_Atomic uint16_t *)&q->useds->ring[q->size];
}

/* ---- Set-up ---- */

void virtq_reset(struct virtq *q, const struct gmem *mem, uint16_t size)
{
    *q = (struct virtq){.mem = mem, .size = size};
}

static bool valid_size(uint16_t size)
{
    return size && size <= VIRTQ_MAX_SIZE && !(size & (size - 1));
}

bool virtq_enable(struct virtq *q, bool event_index, bool indirect)
{
    q->event_index = event_index;
    q->indirect = indirect;
    q->kicks_off = false;
    q->descs = gmem_slice(q->mem, q->desc, desc_bytes(q), GMEM_READ);
    q->avails = gmem_slice(q->mem, q->avail, avail_bytes(q), GMEM_READ);
    q->useds = gmem_slice(q->mem, q->used, used_bytes(q), GMEM_WRITE);
    q->ready = valid_size(q->size) && q->desc % 16 == 0 && q->avail % 2 == 0 && q->used % 4 == 0 &&
               q->descs && q->avails && q->useds;
    return q->ready;
}

/* ---- Chains ---- */

/* A chain as it is walked: of which table, and how many descriptors were seen. */
struct walk {
    struct virtq *q;
    struct virtq_chain *chain;
    uint64_t table; /* gpa; the queue's own where `indirect` is false */
    uint32_t entries, seen;
    bool indirect;
};

static bool read_desc(const struct walk *w, uint32_t index, struct virtq_desc *d)
{
    if (index >= w->entries)
        return false;
    if (w->indirect)
        return gmem_read(w->q->mem, w->table + index * sizeof(*d), d, sizeof(*d));
    memcpy(d, &w->q->descs[index], sizeof(*d));
    return true;
}

/* The table must be all there, and the descriptor that names it the last of its kind. */
static bool enter_table(struct walk *w, const struct virtq_desc *d)
{
    if (!w->q->indirect || w->indirect || d->flags & DESC_NEXT || !d->length || d->length % sizeof(*d) ||
        !gmem_slice(w->q->mem, d->address, d->length, GMEM_READ))
        return false;
    w->indirect = true;
    w->seen = 0; /* a table may be as long as a chain, and the descriptor that names it is beside it */
    w->table = d->address;
    w->entries = d->length / (uint32_t)sizeof(*d);
    return true;
}

/* Adds what a descriptor names. One without bytes is no segment. */
static bool add_segment(const struct walk *w, const struct virtq_desc *d)
{
    struct virtq_chain *c = w->chain;
    bool write = d->flags & DESC_WRITE;
    uint32_t *total = write ? &c->writable_length : &c->readable_length;
    if ((!write && c->writable) || __builtin_add_overflow(*total, d->length, total))
        return false;
    if (!d->length)
        return true;
    unsigned at = c->readable + c->writable;
    void *host = gmem_slice(w->q->mem, d->address, d->length, write ? GMEM_WRITE : GMEM_READ);
    if (!host || at == VIRTQ_MAX_SEGMENTS)
        return false;
    c->iov[at] = (struct iovec){.iov_base = host, .iov_len = d->length};
    c->gpa[at] = d->address;
    *(write ? &c->writable : &c->readable) += 1;
    return true;
}

/* A loop is a chain that is too long. */
static bool walk(struct walk *w, uint32_t index)
{
    struct virtq_desc d;
    do {
        if (w->seen++ == VIRTQ_MAX_SEGMENTS || !read_desc(w, index, &d))
            return false;
        index = d.next;
        if (d.flags & DESC_INDIRECT) {
            if (!enter_table(w, &d))
                return false;
            index = 0;
            d.flags = DESC_NEXT;
        } else if (!add_segment(w, &d)) {
            return false;
        }
    } while (d.flags & DESC_NEXT);
    return true;
}

enum virtq_result virtq_pop(struct virtq *q, struct virtq_chain *c)
{
    struct walk w = {.q = q, .chain = c, .entries = q->size};
    uint16_t waiting =
        (uint16_t)(atomic_load_explicit(&q->avails->index, memory_order_acquire) - q->next_avail);
    if (!waiting)
        return VIRTQ_EMPTY;
    c->head = atomic_load_explicit(&q->avails->ring[q->next_avail % q->size], memory_order_relaxed);
    c->readable = c->writable = 0;
    c->readable_length = c->writable_length = 0;
    if (waiting > q->size || !walk(&w, c->head))
        return VIRTQ_MALFORMED;
    q->next_avail++;
    return VIRTQ_CHAIN;
}

void virtq_unpop(struct virtq *q, uint16_t count)
{
    q->next_avail = (uint16_t)(q->next_avail - count);
}

/* ---- Notification ---- */

static void mark_used(const struct virtq *q, const volatile void *at, size_t length)
{
    gmem_mark(q->mem, q->used + (uint64_t)((const volatile uint8_t *)at - (const volatile uint8_t *)q->useds),
              length);
}

/* With event indices there is nothing to switch off: the driver notifies when it passes the index, which then stays
 * behind. */
bool virtq_want_kicks(struct virtq *q, bool want)
{
    q->kicks_off = !want;
    if (q->event_index && want) {
        atomic_store(avail_event(q), q->next_avail);
        mark_used(q, avail_event(q), sizeof(uint16_t));
    } else if (!q->event_index) {
        atomic_store(&q->useds->flags, want ? 0 : USED_NO_NOTIFY);
        mark_used(q, &q->useds->flags, sizeof(uint16_t));
    }
    return atomic_load(&q->avails->index) != q->next_avail;
}

/* Has `index` been passed on the way from `old` to `new`? */
static bool passed(uint16_t index, uint16_t new, uint16_t old)
{
    return (uint16_t)(new - index - 1) < (uint16_t)(new - old);
}

/* The fence orders the used index before what the driver asks for; the driver's own is between those two as well, so
 * one of both sees the other. */
bool virtq_should_interrupt(struct virtq *q)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (!q->event_index)
        return !(atomic_load_explicit(&q->avails->flags, memory_order_relaxed) & AVAIL_NO_INTERRUPT);
    uint16_t event = atomic_load_explicit(used_event(q), memory_order_relaxed);
    bool wanted = !q->signalled_valid || passed(event, q->next_used, q->signalled);
    q->signalled = q->next_used;
    q->signalled_valid = true;
    return wanted;
}

/* ---- Completion ---- */

void virtq_fill(struct virtq *q, uint16_t index, uint16_t head, uint32_t written)
{
    struct virtq_used_entry *entry = &q->useds->ring[(uint16_t)(q->next_used + index) % q->size];
    *entry = (struct virtq_used_entry){.head = head, .length = written};
    mark_used(q, entry, sizeof(*entry));
}

void virtq_publish(struct virtq *q, uint16_t count)
{
    q->next_used = (uint16_t)(q->next_used + count);
    atomic_store_explicit(&q->useds->index, q->next_used, memory_order_release);
    mark_used(q, &q->useds->index, sizeof(uint16_t));
}

void virtq_push(struct virtq *q, const struct virtq_chain *chain, uint32_t written)
{
    virtq_mark(q, chain, written);
    virtq_fill(q, 0, chain->head, written);
    virtq_publish(q, 1);
}

void virtq_mark(const struct virtq *q, const struct virtq_chain *c, uint32_t length)
{
    for (unsigned i = c->readable; length && i < c->readable + c->writable; i++) {
        uint32_t part = MIN(length, (uint32_t)c->iov[i].iov_len);
        gmem_mark(q->mem, c->gpa[i], part);
        length -= part;
    }
}

/* ---- Copies ---- */

enum direction { OUT_OF_IOV, INTO_IOV };

static size_t copy(const struct iovec *iov, unsigned count, size_t offset, void *buffer, size_t length,
                   enum direction direction)
{
    size_t done = 0;
    for (unsigned i = 0; i < count && done < length; i++) {
        if (offset >= iov[i].iov_len) {
            offset -= iov[i].iov_len;
            continue;
        }
        size_t part = MIN(iov[i].iov_len - offset, length - done);
        uint8_t *at = (uint8_t *)iov[i].iov_base + offset;
        if (direction == INTO_IOV)
            memcpy(at, (uint8_t *)buffer + done, part);
        else
            memcpy((uint8_t *)buffer + done, at, part);
        done += part;
        offset = 0;
    }
    return done;
}

size_t virtq_read(const struct virtq_chain *c, size_t offset, void *to, size_t length)
{
    return copy(c->iov, c->readable, offset, to, length, OUT_OF_IOV);
}

size_t virtq_write(const struct virtq_chain *c, size_t offset, const void *from, size_t length)
{
    return copy(c->iov + c->readable, c->writable, offset, (void *)(uintptr_t)from, length, INTO_IOV);
}

/* ---- State ---- */

static const struct state_field fields[] = {
    F_TRANSIENT(struct virtq, mem),
    F_TRANSIENT(struct virtq, descs),
    F_TRANSIENT(struct virtq, avails),
    F_TRANSIENT(struct virtq, useds),
    F_TRANSIENT(struct virtq, event_index),
    F_TRANSIENT(struct virtq, indirect),
    F_TRANSIENT(struct virtq, kicks_off),
    F_U64(struct virtq, desc),
    F_U64(struct virtq, avail),
    F_U64(struct virtq, used),
    F_U16(struct virtq, size),
    F_BOOL(struct virtq, ready),
    F_U16(struct virtq, next_avail),
    F_U16(struct virtq, next_used),
    F_U16(struct virtq, signalled),
    F_BOOL(struct virtq, signalled_valid),
};

static bool check(const void *object)
{
    const struct virtq *q = object;
    return valid_size(q->size) || !q->ready;
}

const struct state_table virtq_state = {
    .name = "virtq", .version = 1, .size = sizeof(struct virtq), STATE_FIELDS(fields), .check = check};
