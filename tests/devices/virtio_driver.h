/* The driver's side of virtio: guest memory, queues laid out in it, a transport's registers. Include after cmocka.h (or
 * what stands for its assertions) and fixture.h. */
#ifndef TESTS_VIRTIO_DRIVER_H
#define TESTS_VIRTIO_DRIVER_H

#include "base/task.h"
#include "base/util.h"
#include "bus/gmem.h"
#include "devices/virtio/device.h"
#include "devices/virtio/mmio.h"

#define DRIVER_RAM        ((uint64_t)0x80000000)
#define DRIVER_RAM_LENGTH ((uint64_t)0x200000)

enum { DRIVER_QUEUES = 8 };
enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4 };

/* ---- The event loop, played by the test ---- */

struct test_tasks {
    pthread_mutex_t lock;
    struct task *first;
};

static inline void test_tasks_post(void *object, struct task *task)
{
    struct test_tasks *t = object;
    pthread_mutex_lock(&t->lock);
    task->next = t->first;
    t->first = task;
    pthread_mutex_unlock(&t->lock);
}

static inline struct task_runner test_tasks_init(struct test_tasks *t)
{
    *t = (struct test_tasks){.first = NULL};
    pthread_mutex_init(&t->lock, NULL);
    return (struct task_runner){.post = test_tasks_post, .object = t};
}

/* Runs what is posted, and what is posted meanwhile, in `rounds` at most. */
static inline void test_tasks_run(struct test_tasks *t, unsigned rounds)
{
    while (rounds--) {
        pthread_mutex_lock(&t->lock);
        struct task *task = t->first, *next;
        t->first = NULL;
        pthread_mutex_unlock(&t->lock);
        for (; task; task = next) {
            next = task->next;
            task_run(task);
        }
    }
}

/* ---- Transports ---- */

struct driver;

struct driver_transport {
    uint8_t (*get_status)(struct driver *driver);
    void (*set_status)(struct driver *driver, uint8_t status);
    uint32_t (*offered)(struct driver *driver, uint32_t select);
    void (*accept)(struct driver *driver, uint32_t select, uint32_t features);
    void (*setup)(struct driver *driver, unsigned queue, unsigned size, uint64_t desc, uint64_t avail,
                  uint64_t used);
    void (*notify)(struct driver *driver, unsigned queue);
    uint64_t (*config)(struct driver *driver, unsigned offset, unsigned size);
};

struct driver_queue {
    unsigned index, size;
    uint64_t desc, avail, used; /* gpa */
    uint16_t next_desc, added, seen;
};

struct driver {
    struct gmem mem;
    struct test_tasks tasks;
    struct task_runner runner;
    const struct driver_transport *transport;
    void *object;  /* the transport's */
    uint64_t free; /* gpa */
    struct driver_queue queues[DRIVER_QUEUES];
};

static inline void driver_init(struct driver *d)
{
    *d = (struct driver){.free = DRIVER_RAM};
    gmem_init(&d->mem);
    assert_int_equal(gmem_add(&d->mem, GMEM_RAM, DRIVER_RAM, DRIVER_RAM_LENGTH, NULL), 0);
    d->runner = test_tasks_init(&d->tasks);
}

static inline void driver_release(struct driver *d)
{
    gmem_release(&d->mem);
}

static inline uint64_t driver_alloc(struct driver *d, uint64_t length)
{
    uint64_t at = d->free;
    d->free = ALIGN_UP(at + length, 64);
    assert_true(d->free <= DRIVER_RAM + DRIVER_RAM_LENGTH);
    return at;
}

static inline void driver_put(struct driver *d, uint64_t gpa, const void *data, size_t length)
{
    assert_true(gmem_write(&d->mem, gpa, data, length));
}

static inline void driver_put16(struct driver *d, uint64_t gpa, uint16_t value)
{
    driver_put(d, gpa, &value, sizeof(value));
}

static inline void driver_get(struct driver *d, uint64_t gpa, void *data, size_t length)
{
    assert_true(gmem_read(&d->mem, gpa, data, length));
}

/* The indices of rings, which driver and device share: what was written before one is seen by who reads it. */
static inline uint16_t *driver_index(struct driver *d, uint64_t ring)
{
    uint16_t *index = gmem_slice(&d->mem, ring + 2, sizeof(uint16_t), GMEM_READ);
    assert_true(index != NULL);
    return index;
}

static inline uint16_t driver_get16(struct driver *d, uint64_t gpa)
{
    uint16_t value;
    driver_get(d, gpa, &value, sizeof(value));
    return value;
}

/* ---- MMIO ---- */

static inline uint32_t mmio_get(struct driver *d, unsigned offset)
{
    return (uint32_t)test_read(&((struct virtio_mmio *)d->object)->region, offset, 4);
}

static inline void mmio_put(struct driver *d, unsigned offset, uint32_t value)
{
    test_write(&((struct virtio_mmio *)d->object)->region, offset, 4, value);
}

static inline uint8_t mmio_get_status(struct driver *d)
{
    return (uint8_t)mmio_get(d, 0x70);
}

static inline void mmio_set_status(struct driver *d, uint8_t status)
{
    mmio_put(d, 0x70, status);
}

static inline uint32_t mmio_offered(struct driver *d, uint32_t select)
{
    mmio_put(d, 0x14, select);
    return mmio_get(d, 0x10);
}

static inline void mmio_accept(struct driver *d, uint32_t select, uint32_t features)
{
    mmio_put(d, 0x24, select);
    mmio_put(d, 0x20, features);
}

static inline void mmio_put64(struct driver *d, unsigned offset, uint64_t value)
{
    mmio_put(d, offset, (uint32_t)value);
    mmio_put(d, offset + 4, (uint32_t)(value >> 32));
}

static inline void mmio_setup(struct driver *d, unsigned queue, unsigned size, uint64_t desc, uint64_t avail,
                              uint64_t used)
{
    mmio_put(d, 0x30, queue);
    mmio_put(d, 0x38, size);
    mmio_put64(d, 0x80, desc);
    mmio_put64(d, 0x90, avail);
    mmio_put64(d, 0xa0, used);
    mmio_put(d, 0x44, 1);
}

static inline void mmio_notify(struct driver *d, unsigned queue)
{
    mmio_put(d, 0x50, queue);
}

static inline uint64_t mmio_config(struct driver *d, unsigned offset, unsigned size)
{
    return test_read(&((struct virtio_mmio *)d->object)->region, 0x100 + offset, size);
}

static const struct driver_transport driver_mmio = {
    mmio_get_status, mmio_set_status, mmio_offered, mmio_accept, mmio_setup, mmio_notify, mmio_config};

/* ---- Set-up ---- */

static inline uint64_t driver_offered(struct driver *d)
{
    return d->transport->offered(d, 0) | (uint64_t)d->transport->offered(d, 1) << 32;
}

/* Up to FEATURES_OK. */
static inline void driver_negotiate(struct driver *d, uint64_t features)
{
    d->transport->set_status(d, 0);
    assert_int_equal(d->transport->get_status(d), 0);
    d->transport->set_status(d, VIRTIO_ACKNOWLEDGE);
    d->transport->set_status(d, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
    d->transport->accept(d, 0, (uint32_t)features);
    d->transport->accept(d, 1, (uint32_t)(features >> 32));
    d->transport->set_status(d, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
}

static inline struct driver_queue *driver_queue(struct driver *d, unsigned index, unsigned size)
{
    struct driver_queue *q = &d->queues[index];
    *q = (struct driver_queue){.index = index, .size = size};
    q->desc = driver_alloc(d, 16 * size);
    q->avail = driver_alloc(d, 6 + 2 * size);
    q->used = driver_alloc(d, 6 + 8 * size);
    memset(gmem_slice(&d->mem, q->avail, 6 + 2 * size, GMEM_WRITE), 0, 6 + 2 * size);
    memset(gmem_slice(&d->mem, q->used, 6 + 8 * size, GMEM_WRITE), 0, 6 + 8 * size);
    d->transport->setup(d, index, size, q->desc, q->avail, q->used);
    return q;
}

static inline void driver_go(struct driver *d)
{
    uint8_t all = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK;
    d->transport->set_status(d, all);
    assert_int_equal(d->transport->get_status(d), all);
    test_tasks_run(&d->tasks, 1);
}

/* Resets, accepts what is offered of `features`, and hands `count` queues of `size` over. */
static inline void driver_start(struct driver *d, uint64_t features, unsigned count, unsigned size)
{
    d->free = DRIVER_RAM;
    driver_negotiate(d, driver_offered(d) & (features | VIRTIO_F_VERSION_1));
    for (unsigned i = 0; i < count; i++)
        driver_queue(d, i, size);
    driver_go(d);
}

/* ---- Queues ---- */

struct driver_segment {
    uint64_t gpa;
    uint32_t length;
    bool writable;
};

static inline void driver_desc(struct driver *d, uint64_t table, unsigned index, struct virtq_desc desc)
{
    driver_put(d, table + 16 * index, &desc, sizeof(desc));
}

static inline void driver_avail(struct driver *d, struct driver_queue *q, uint16_t head)
{
    driver_put16(d, q->avail + 4 + 2 * (q->added % q->size), head);
    __atomic_store_n(driver_index(d, q->avail), ++q->added, __ATOMIC_SEQ_CST);
}

/* Lays a chain out in a table from `first` on. */
static inline void driver_lay(struct driver *d, uint64_t table, unsigned first,
                              const struct driver_segment *segments, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint16_t flags =
            (uint16_t)((i + 1 < count ? DESC_NEXT : 0) | (segments[i].writable ? DESC_WRITE : 0));
        driver_desc(
            d, table, first + i,
            (struct virtq_desc){segments[i].gpa, segments[i].length, flags, (uint16_t)(first + i + 1)});
    }
}

/* Makes a chain available and returns its head. */
static inline uint16_t driver_add(struct driver *d, struct driver_queue *q,
                                  const struct driver_segment *segments, unsigned count)
{
    if (q->next_desc + count > q->size)
        q->next_desc = 0;
    uint16_t head = q->next_desc;
    driver_lay(d, q->desc, head, segments, count);
    q->next_desc = (uint16_t)(head + count);
    driver_avail(d, q, head);
    return head;
}

static inline uint16_t driver_add_indirect(struct driver *d, struct driver_queue *q,
                                           const struct driver_segment *segments, unsigned count)
{
    uint64_t table = driver_alloc(d, 16 * count);
    if (q->next_desc == q->size)
        q->next_desc = 0;
    uint16_t head = q->next_desc++;
    driver_lay(d, table, 0, segments, count);
    driver_desc(d, q->desc, head, (struct virtq_desc){table, 16 * count, DESC_INDIRECT, 0});
    driver_avail(d, q, head);
    return head;
}

static inline void driver_kick(struct driver *d, struct driver_queue *q)
{
    d->transport->notify(d, q->index);
    test_tasks_run(&d->tasks, 1);
}

/* Takes a chain that the device handed back; false when there is none. */
static inline bool driver_used(struct driver *d, struct driver_queue *q, uint32_t *head, uint32_t *written)
{
    uint32_t entry[2];
    if (__atomic_load_n(driver_index(d, q->used), __ATOMIC_SEQ_CST) == q->seen)
        return false;
    driver_get(d, q->used + 4 + 8 * (q->seen++ % q->size), entry, sizeof(entry));
    *head = entry[0];
    *written = entry[1];
    return true;
}

static inline bool driver_needs_reset(struct driver *d)
{
    return d->transport->get_status(d) & VIRTIO_NEEDS_RESET;
}

#endif
