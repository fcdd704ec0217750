/* Virtio as a machine runs it: a driver on one thread, the event loop on another, a disk with threads of its own. What
 * a driver wrote and flushed is what it reads, whatever the order of completion, and each chain comes back once.
 *
 * test_virtio_threads BENCH prints how many requests a second there are, for different depths of the queue. */
#include "block/raw.h"
#include "devices/virtio/block.h"
#include "devices/virtio/mmio.h"
#include "host/tasks.h"

#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "virtio_driver.h"

enum { QUEUES = 2, QUEUE_SIZE = 64, SLOTS = QUEUE_SIZE / 4, LENGTH = 4096, SECTORS = 8, BLOCKS = 256 };
enum { IN = 0, OUT = 1, FLUSH = 4, UNTOUCHED = 0x55 };

struct slot {
    uint64_t header, data, status; /* gpa */
    unsigned block, queue;
    uint32_t type;
    uint16_t head;
    bool busy;
};

struct machine {
    struct driver driver;
    struct loop loop;
    struct tasks tasks;
    struct block *disk;
    struct virtio_block vb;
    struct virtio_mmio mmio;
    pthread_t thread;
    sem_t interrupts;
    struct slot slots[QUEUES][SLOTS];
    unsigned busy;
    uint64_t random;
    bool writing[BLOCKS];      /* a request of the block is under way */
    uint32_t contents[BLOCKS]; /* what was written last */
};

static void *run_loop(void *object)
{
    loop_run(object);
    return NULL;
}

static void on_interrupt(void *object, unsigned number, bool level)
{
    struct machine *m = object;
    (void)number;
    if (level)
        sem_post(&m->interrupts);
}

static void machine_start(struct machine *m)
{
    char path[] = "/tmp/guise-threads-XXXXXX";
    int fd = mkstemp(path);
    memset(m, 0, sizeof(*m));
    m->random = 1;
    assert_true(fd >= 0 && ftruncate(fd, BLOCKS * LENGTH) == 0);
    assert_int_equal(block_raw_open(&m->disk, path, false, NULL), 0);
    unlink(path);
    close(fd);
    driver_init(&m->driver);
    assert_int_equal(loop_init(&m->loop, NULL), 0);
    assert_int_equal(tasks_init(&m->tasks, &m->loop, NULL), 0);
    sem_init(&m->interrupts, 0, 0);
    virtio_block_init(&m->vb, m->disk, "disk", QUEUES, &m->driver.mem, tasks_runner(&m->tasks));
    virtio_mmio_init(&m->mmio, &m->vb.device, (struct irq_line){.set = on_interrupt, .controller = m});
    m->driver.transport = &driver_mmio;
    m->driver.object = &m->mmio;
    assert_int_equal(pthread_create(&m->thread, NULL, run_loop, &m->loop), 0);
}

static void machine_stop(struct machine *m)
{
    loop_stop(&m->loop);
    pthread_join(m->thread, NULL);
    virtio_block_release(&m->vb);
    block_release(m->disk);
    tasks_release(&m->tasks);
    loop_release(&m->loop);
    sem_destroy(&m->interrupts);
    driver_release(&m->driver);
}

/* ---- The driver ---- */

static void driver_begin(struct machine *m)
{
    driver_start(&m->driver, UINT64_MAX, QUEUES, QUEUE_SIZE);
    for (unsigned i = 0; i < QUEUES * SLOTS; i++) {
        struct slot *s = &m->slots[i / SLOTS][i % SLOTS];
        *s = (struct slot){.header = driver_alloc(&m->driver, 16),
                           .data = driver_alloc(&m->driver, LENGTH),
                           .status = driver_alloc(&m->driver, 1)};
    }
}

static uint64_t next_random(struct machine *m)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return m->random;
}

static void fill(struct machine *m, const struct slot *s, uint32_t value)
{
    uint32_t *data = gmem_slice(&m->driver.mem, s->data, LENGTH, GMEM_WRITE);
    for (unsigned i = 0; i < LENGTH / 4; i++)
        data[i] = value;
}

/* Each slot has descriptors of its own, so chains may come back in any order. */
static void submit(struct machine *m, unsigned queue, unsigned slot, uint32_t type, unsigned block)
{
    struct slot *s = &m->slots[queue][slot];
    struct driver_queue *q = &m->driver.queues[queue];
    uint32_t header[4] = {type, 0, block * SECTORS, 0};
    s->block = block;
    s->queue = queue;
    s->type = type;
    s->busy = true;
    m->busy++;
    driver_put(&m->driver, s->header, header, sizeof(header));
    driver_put(&m->driver, s->status, &(uint8_t){UNTOUCHED}, 1);
    struct driver_segment segments[] = {
        {s->header, 16, false}, {s->data, LENGTH, type == IN}, {s->status, 1, true}};
    if (type == FLUSH)
        segments[1] = segments[2];
    driver_lay(&m->driver, q->desc, 4 * slot, segments, type == FLUSH ? 2 : 3);
    driver_avail(&m->driver, q, (uint16_t)(4 * slot));
}

static void check(struct machine *m, struct slot *s)
{
    uint8_t status;
    driver_get(&m->driver, s->status, &status, 1);
    assert_int_equal(status, 0);
    assert_true(s->busy);
    const uint32_t *data = gmem_slice(&m->driver.mem, s->data, LENGTH, GMEM_READ);
    for (unsigned i = 0; s->type == IN && i < LENGTH / 4; i++)
        assert_int_equal(data[i], m->contents[s->block]);
    if (s->type != FLUSH)
        m->writing[s->block] = false;
    s->busy = false;
    m->busy--;
}

/* Takes what has come back, and asks for an interrupt at the next that does. Returns true when there is one already. */
static bool take(struct machine *m, struct driver_queue *q)
{
    uint32_t head, written;
    while (driver_used(&m->driver, q, &head, &written))
        check(m, &m->slots[q->index][head / 4]);
    uint16_t *event = gmem_slice(&m->driver.mem, q->avail + 4 + 2 * QUEUE_SIZE, 2, GMEM_WRITE);
    __atomic_store_n(event, q->seen, __ATOMIC_SEQ_CST);
    return __atomic_load_n(driver_index(&m->driver, q->used), __ATOMIC_SEQ_CST) != q->seen;
}

/* Waits for an interrupt. */
static void reap(struct machine *m)
{
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 60;
    assert_int_equal(sem_timedwait(&m->interrupts, &limit), 0);
    mmio_put(&m->driver, 0x64, mmio_get(&m->driver, 0x60));
    for (unsigned queue = 0; queue < QUEUES; queue++)
        while (take(m, &m->driver.queues[queue]))
            ;
}

/* ---- Tests ---- */

static void submit_something(struct machine *m, unsigned queue, unsigned slot)
{
    uint64_t random = next_random(m);
    unsigned block = random % BLOCKS;
    if (random >> 32 & 15) {
        if (m->writing[block])
            return;
        m->writing[block] = true;
        bool write = random >> 40 & 1;
        if (write)
            fill(m, &m->slots[queue][slot], m->contents[block] = (uint32_t)random);
        submit(m, queue, slot, write ? OUT : IN, block);
    } else {
        submit(m, queue, slot, FLUSH, 0);
    }
}

static void disks_keep_what_is_written(void **state)
{
    static struct machine m;
    (void)state;
    machine_start(&m);
    driver_begin(&m);
    for (unsigned round = 0; round < 1500; round++) {
        unsigned queue = round % QUEUES;
        for (unsigned slot = 0; slot < SLOTS; slot++)
            if (!m.slots[queue][slot].busy && next_random(&m) % 2)
                submit_something(&m, queue, slot);
        mmio_notify(&m.driver, queue);
        if (m.busy)
            reap(&m);
    }
    while (m.busy)
        reap(&m);
    machine_stop(&m);
}

/* Resets come while requests are under way; after each the disk does what a new driver asks for. */
static void resets_may_come_at_any_time(void **state)
{
    static struct machine m;
    (void)state;
    machine_start(&m);
    for (unsigned round = 0; round < 100; round++) {
        driver_begin(&m);
        for (unsigned slot = 0; slot < SLOTS; slot++)
            submit(&m, 0, slot, slot % 4 ? IN : FLUSH, slot);
        mmio_notify(&m.driver, 0);
        if (round % 2)
            reap(&m);
        m.driver.transport->set_status(&m.driver, 0);
        for (unsigned slot = 0; slot < SLOTS;
             slot++) { /* all is still: the guest may use its memory for something else */
            uint8_t status[2];
            driver_get(&m.driver, m.slots[0][slot].status, &status[0], 1);
            fill(&m, &m.slots[0][slot], round);
            driver_get(&m.driver, m.slots[0][slot].status, &status[1], 1);
            assert_int_equal(status[0], status[1]);
        }
        m.busy = 0;
        while (sem_trywait(&m.interrupts) == 0)
            ;
    }
    machine_stop(&m);
}

/* ---- Speed ---- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double rate(uint32_t type, unsigned depth)
{
    static struct machine m;
    unsigned done = 0, count = 40000;
    machine_start(&m);
    driver_begin(&m);
    double begin = seconds();
    while (done < count) {
        bool added = false;
        for (unsigned slot = 0; slot < depth; slot++)
            if (!m.slots[0][slot].busy) {
                submit(&m, 0, slot, type, (unsigned)(next_random(&m) % BLOCKS));
                added = true;
                done++;
            }
        if (added)
            mmio_notify(&m.driver, 0);
        reap(&m);
    }
    while (m.busy)
        reap(&m);
    double time = seconds() - begin;
    machine_stop(&m);
    return done / time;
}

static int bench(void)
{
    for (unsigned depth = 1; depth <= SLOTS; depth *= 4)
        printf("4 KiB in flight %2u: %8.0f reads/s  %8.0f writes/s\n", depth, rate(IN, depth),
               rate(OUT, depth));
    return 0;
}

int main(int argc, char **argv)
{
    (void)argv;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disks_keep_what_is_written),
        cmocka_unit_test(resets_may_come_at_any_time),
    };
    return argc > 1 ? bench() : cmocka_run_group_tests(tests, NULL, NULL);
}
