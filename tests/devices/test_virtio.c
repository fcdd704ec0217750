/* The core of virtio and its MMIO transport, driven through the entropy device. */
#include "devices/virtio/entropy.h"
#include "devices/virtio/mmio.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "fixture.h"
#include "state_check.h"
#include "virtio_driver.h"

enum { QUEUE_INTERRUPT = 1, CONFIG_INTERRUPT = 2 };

struct fixture {
    struct driver driver;
    struct virtio_entropy entropy;
    struct virtio_mmio mmio;
    struct test_lines lines;
    struct driver_queue *queue;
};

/* Bytes that a test can tell: 1, 2, 3, ... */
static ssize_t counting(void *to, size_t length, unsigned flags)
{
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)to)[i] = (uint8_t)(i + 1);
    return flags ? -1 : (ssize_t)length;
}

static int start(void **state)
{
    static struct fixture f;
    *state = &f;
    memset(&f.lines, 0, sizeof(f.lines));
    driver_init(&f.driver);
    virtio_entropy_init(&f.entropy, counting, &f.driver.mem, f.driver.runner);
    virtio_mmio_init(&f.mmio, &f.entropy.device, test_line(&f.lines, 0));
    f.driver.transport = &driver_mmio;
    f.driver.object = &f.mmio;
    f.queue = &f.driver.queues[0];
    return 0;
}

static int stop(void **state)
{
    struct fixture *f = *state;
    virtio_entropy_release(&f->entropy);
    driver_release(&f->driver);
    return 0;
}

static void go(struct fixture *f, uint64_t features)
{
    driver_start(&f->driver, features, 1, 8);
}

/* One writable segment of fresh memory. */
static struct driver_segment room(struct fixture *f, uint32_t length)
{
    return (struct driver_segment){driver_alloc(&f->driver, length), length, true};
}

static void assert_used(struct fixture *f, uint32_t head, uint32_t written)
{
    uint32_t got_head = UINT32_MAX, got_written = UINT32_MAX;
    assert_true(driver_used(&f->driver, f->queue, &got_head, &got_written));
    assert_int_equal(got_head, head);
    assert_int_equal(got_written, written);
}

static void assert_nothing_used(struct fixture *f)
{
    assert_int_equal(driver_get16(&f->driver, f->queue->used + 2), f->queue->seen);
}

/* ---- Registers ---- */

static void it_identifies_itself(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mmio_get(&f->driver, 0), 0x74726976);
    assert_int_equal(mmio_get(&f->driver, 4), 2);
    assert_int_equal(mmio_get(&f->driver, 8), VIRTIO_ID_ENTROPY);
    assert_int_equal(mmio_get(&f->driver, 0xb0), UINT32_MAX);
    assert_int_equal(mmio_get(&f->driver, 0xbc), UINT32_MAX);
    assert_int_equal(mmio_get(&f->driver, 0x34), VIRTQ_MAX_SIZE);
    mmio_put(&f->driver, 0x30, 1);
    assert_int_equal(mmio_get(&f->driver, 0x34), 0);
    assert_int_equal(test_read(&f->mmio.region, 0, 1), 0);
    assert_int_equal(test_read(&f->mmio.region, 0x100, 4), 0);
}

static void features_are_negotiated(void **state)
{
    struct fixture *f = *state;
    struct driver *d = &f->driver;
    uint64_t core = VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1;
    assert_int_equal(driver_offered(d), core);
    assert_int_equal(d->transport->offered(d, 2), 0);
    driver_negotiate(d, core | 1);
    assert_false(mmio_get_status(d) & VIRTIO_FEATURES_OK);
    driver_negotiate(d, VIRTIO_F_EVENT_IDX);
    assert_false(mmio_get_status(d) & VIRTIO_FEATURES_OK);
    mmio_set_status(d, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_DRIVER_OK);
    assert_false(mmio_get_status(d) & VIRTIO_DRIVER_OK);
    driver_negotiate(d, VIRTIO_F_VERSION_1);
    assert_true(mmio_get_status(d) & VIRTIO_FEATURES_OK);
    mmio_accept(d, 0, UINT32_MAX);
    assert_int_equal(f->entropy.device.features, VIRTIO_F_VERSION_1);
}

static void status_bits_only_come(void **state)
{
    struct fixture *f = *state;
    go(f, 0);
    mmio_set_status(&f->driver, VIRTIO_ACKNOWLEDGE);
    assert_int_equal(mmio_get_status(&f->driver), 15);
    mmio_set_status(&f->driver, VIRTIO_FAILED | VIRTIO_NEEDS_RESET | 15);
    assert_int_equal(mmio_get_status(&f->driver), 15 | VIRTIO_FAILED);
}

static void a_running_queue_cannot_be_changed(void **state)
{
    struct fixture *f = *state;
    go(f, 0);
    uint64_t desc = f->entropy.queue.desc;
    mmio_put64(&f->driver, 0x80, 0x1234);
    mmio_put(&f->driver, 0x38, 4);
    assert_int_equal(f->entropy.queue.desc, desc);
    assert_int_equal(f->entropy.queue.size, 8);
    mmio_put(&f->driver, 0x44, 0);
    assert_int_equal(mmio_get(&f->driver, 0x44), 0);
    mmio_put(&f->driver, 0x38, 12);
    assert_int_equal(f->entropy.queue.size, 8);
    mmio_put(&f->driver, 0x38, 2 * VIRTQ_MAX_SIZE);
    assert_int_equal(f->entropy.queue.size, 8);
    mmio_put(&f->driver, 0x38, 4);
    assert_int_equal(f->entropy.queue.size, 4);
}

/* ---- Queues ---- */

static void a_chain_is_served(void **state)
{
    struct fixture *f = *state;
    go(f, 0);
    struct driver_segment s[] = {room(f, 3), room(f, 5)};
    uint16_t head = driver_add(&f->driver, f->queue, s, 2);
    driver_kick(&f->driver, f->queue);
    assert_used(f, head, 8);
    assert_int_equal(driver_get16(&f->driver, s[0].gpa), 0x0201);
    assert_int_equal(driver_get16(&f->driver, s[1].gpa + 3), 0x0504);
    assert_true(f->lines.level[0]);
    assert_int_equal(mmio_get(&f->driver, 0x60), QUEUE_INTERRUPT);
    mmio_put(&f->driver, 0x64, QUEUE_INTERRUPT);
    assert_false(f->lines.level[0]);
}

static void what_is_written_is_dirty(void **state)
{
    struct fixture *f = *state;
    uint64_t bits[DRIVER_RAM_LENGTH / GMEM_PAGE / 64] = {0};
    go(f, 0);
    struct driver_segment s = {DRIVER_RAM + 0x100000, 5000, true};
    driver_add(&f->driver, f->queue, &s, 1);
    gmem_take_dirty(&f->driver.mem.blocks[0], GMEM_WATCH_SAVE, bits);
    memset(bits, 0, sizeof(bits));
    driver_kick(&f->driver, f->queue);
    gmem_take_dirty(&f->driver.mem.blocks[0], GMEM_WATCH_SAVE, bits);
    assert_int_equal(bits[256 / 64], 3);
    uint64_t used_page = (f->queue->used - DRIVER_RAM) / GMEM_PAGE;
    assert_true(bits[0] >> used_page & 1);
}

static void nothing_runs_on_the_harts_thread(void **state)
{
    struct fixture *f = *state;
    go(f, 0);
    struct driver_segment s = room(f, 8);
    driver_add(&f->driver, f->queue, &s, 1);
    mmio_notify(&f->driver, 0);
    mmio_notify(&f->driver, 0);
    mmio_notify(&f->driver, 77);
    assert_nothing_used(f);
    test_tasks_run(&f->driver.tasks, 1);
    assert_used(f, 0, 8);
    assert_null(f->driver.tasks.first);
}

static void an_early_kick_is_served_when_the_driver_is_ready(void **state)
{
    struct fixture *f = *state;
    driver_negotiate(&f->driver, VIRTIO_F_VERSION_1);
    driver_queue(&f->driver, 0, 8);
    struct driver_segment s = room(f, 8);
    driver_add(&f->driver, f->queue, &s, 1);
    driver_kick(&f->driver, f->queue);
    assert_nothing_used(f);
    driver_go(&f->driver);
    assert_used(f, 0, 8);
}

static void indices_wrap_around(void **state)
{
    struct fixture *f = *state;
    go(f, VIRTIO_F_EVENT_IDX);
    struct driver_segment s = room(f, 1);
    f->queue->added = f->queue->seen = 65533;
    f->entropy.queue.next_avail = f->entropy.queue.next_used = 65533;
    driver_put16(&f->driver, f->queue->avail + 2, 65533);
    driver_put16(&f->driver, f->queue->used + 2, 65533);
    for (unsigned i = 0; i < 20; i++) {
        uint16_t head = driver_add(&f->driver, f->queue, &s, 1);
        driver_kick(&f->driver, f->queue);
        assert_used(f, head, 1);
    }
    assert_false(driver_needs_reset(&f->driver));
}

static void indirect_tables_are_followed(void **state)
{
    struct fixture *f = *state;
    go(f, VIRTIO_F_INDIRECT_DESC);
    struct driver_segment s[20];
    for (unsigned i = 0; i < 20; i++)
        s[i] = room(f, 2);
    uint16_t head = driver_add_indirect(&f->driver, f->queue, s, 20);
    driver_kick(&f->driver, f->queue);
    assert_used(f, head, 40);
    assert_int_equal(driver_get16(&f->driver, s[19].gpa), 0x0201);
}

/* As long as a chain may be; the descriptor that names the table is one more. Linux fills a disk's seg_max like that. */
static void the_longest_table_is_followed(void **state)
{
    struct fixture *f = *state;
    struct driver_segment s[VIRTQ_MAX_SEGMENTS];
    go(f, VIRTIO_F_INDIRECT_DESC);
    for (unsigned i = 0; i < VIRTQ_MAX_SEGMENTS; i++)
        s[i] = room(f, 2);
    uint16_t head = driver_add_indirect(&f->driver, f->queue, s, VIRTQ_MAX_SEGMENTS);
    driver_kick(&f->driver, f->queue);
    assert_used(f, head, 2 * VIRTQ_MAX_SEGMENTS);
}

/* Zero or more descriptors, then a table. */
static void a_table_may_end_a_chain(void **state)
{
    struct fixture *f = *state;
    go(f, VIRTIO_F_INDIRECT_DESC);
    struct driver_segment first = room(f, 2), rest = room(f, 3);
    uint64_t table = driver_alloc(&f->driver, 16);
    driver_lay(&f->driver, table, 0, &rest, 1);
    driver_desc(&f->driver, f->queue->desc, 4,
                (struct virtq_desc){first.gpa, first.length, DESC_WRITE | DESC_NEXT, 5});
    driver_desc(&f->driver, f->queue->desc, 5, (struct virtq_desc){table, 16, DESC_INDIRECT | DESC_WRITE, 0});
    driver_avail(&f->driver, f->queue, 4);
    driver_kick(&f->driver, f->queue);
    assert_used(f, 4, 5);
}

static void segments_without_bytes_are_none(void **state)
{
    struct fixture *f = *state;
    go(f, 0);
    struct driver_segment s[] = {{0xdead, 0, false}, {0xdead, 0, true}, room(f, 4)};
    uint16_t head = driver_add(&f->driver, f->queue, s, 3);
    driver_kick(&f->driver, f->queue);
    assert_used(f, head, 4);
}

static void a_ring_can_be_taken_back_and_handed_over_again(void **state)
{
    struct fixture *f = *state;
    go(f, 0);
    struct driver_segment s = room(f, 8);
    mmio_put(&f->driver, 0x44, 0);
    driver_add(&f->driver, f->queue, &s, 1);
    driver_kick(&f->driver, f->queue);
    assert_nothing_used(f);
    driver_queue(&f->driver, 0, 4);
    driver_add(&f->driver, f->queue, &s, 1);
    driver_kick(&f->driver, f->queue);
    assert_used(f, 0, 8);
}

/* ---- Notification ---- */

static void interrupts_can_be_suppressed(void **state)
{
    struct fixture *f = *state;
    go(f, 0);
    struct driver_segment s = room(f, 1);
    driver_put16(&f->driver, f->queue->avail, 1);
    driver_add(&f->driver, f->queue, &s, 1);
    driver_kick(&f->driver, f->queue);
    assert_used(f, 0, 1);
    assert_false(f->lines.level[0]);
    assert_int_equal(driver_get16(&f->driver, f->queue->used), 0);
}

static void interrupts_come_at_the_event_index(void **state)
{
    struct fixture *f = *state;
    struct driver *d = &f->driver;
    go(f, VIRTIO_F_EVENT_IDX);
    struct driver_segment s = room(f, 1);
    driver_put16(d, f->queue->avail + 4 + 2 * f->queue->size, 2);
    static const bool expected[] = {true, false, true, false, false}; /* the first is always told */
    for (unsigned i = 0; i < 5; i++) {
        driver_add(d, f->queue, &s, 1);
        driver_kick(d, f->queue);
        assert_int_equal(mmio_get(d, 0x60), expected[i]);
        mmio_put(d, 0x64, 1);
        assert_int_equal(driver_get16(d, f->queue->used + 4 + 8 * f->queue->size), i + 1); /* avail_event */
    }
}

static void a_batch_is_one_interrupt(void **state)
{
    struct fixture *f = *state;
    go(f, 0);
    struct driver_segment s = room(f, 1);
    for (unsigned i = 0; i < 8; i++)
        driver_add(&f->driver, f->queue, &s, 1);
    driver_kick(&f->driver, f->queue);
    for (unsigned i = 0; i < 8; i++)
        assert_used(f, i, 1);
    assert_int_equal(f->lines.raised[0], 1);
}

/* ---- Hostile drivers ---- */

/* The device is broken, says so, and touches no queue until it is reset; then it works again. */
static void assert_broken(struct fixture *f)
{
    driver_kick(&f->driver, f->queue);
    assert_true(driver_needs_reset(&f->driver));
    assert_true(mmio_get(&f->driver, 0x60) & CONFIG_INTERRUPT);
    assert_nothing_used(f);
    driver_kick(&f->driver, f->queue);
    assert_nothing_used(f);
    go(f, UINT64_MAX);
    struct driver_segment s = room(f, 8);
    driver_add(&f->driver, f->queue, &s, 1);
    driver_kick(&f->driver, f->queue);
    assert_used(f, 0, 8);
}

static void offer(struct fixture *f, struct virtq_desc desc)
{
    driver_desc(&f->driver, f->queue->desc, 0, desc);
    driver_avail(&f->driver, f->queue, 0);
}

static void bad_descriptors_break_the_device(void **state)
{
    struct fixture *f = *state;
    uint64_t ram_end = DRIVER_RAM + DRIVER_RAM_LENGTH;
    const struct virtq_desc bad[] = {
        {DRIVER_RAM - 1, 2, DESC_WRITE, 0},      /* outside */
        {ram_end - 4, 8, DESC_WRITE, 0},         /* half outside */
        {UINT64_MAX - 3, 8, DESC_WRITE, 0},      /* wraps around */
        {DRIVER_RAM, UINT32_MAX, DESC_WRITE, 0}, /* too long */
        {DRIVER_RAM, 8, DESC_NEXT, 8},           /* next beyond the table */
        {DRIVER_RAM, 8, DESC_NEXT, 0},           /* a loop */
        {DRIVER_RAM, 0, DESC_NEXT, 0},           /* a loop without bytes */
        {DRIVER_RAM, 24, DESC_INDIRECT, 0},      /* half an entry */
        {DRIVER_RAM, 0, DESC_INDIRECT, 0},
        {ram_end - 16, 32, DESC_INDIRECT, 0},
        {DRIVER_RAM, 16, DESC_INDIRECT | DESC_NEXT, 1},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        go(f, VIRTIO_F_INDIRECT_DESC);
        offer(f, bad[i]);
        assert_broken(f);
    }
}

static void bad_chains_break_the_device(void **state)
{
    struct fixture *f = *state;
    go(f, VIRTIO_F_INDIRECT_DESC);
    struct driver_segment order[] = {room(f, 4), {DRIVER_RAM, 4, false}};
    driver_add(&f->driver, f->queue, order, 2); /* readable behind writable */
    assert_broken(f);
    go(f, VIRTIO_F_INDIRECT_DESC);
    struct driver_segment huge[] = {{DRIVER_RAM, 0x200000, true}};
    uint64_t table = driver_alloc(&f->driver, 16 * VIRTQ_MAX_SEGMENTS + 16);
    for (unsigned i = 0; i <= VIRTQ_MAX_SEGMENTS; i++)
        driver_desc(&f->driver, table, i,
                    (struct virtq_desc){huge[0].gpa, 1, DESC_WRITE | DESC_NEXT, (uint16_t)(i + 1)});
    offer(f, (struct virtq_desc){table, 16 * VIRTQ_MAX_SEGMENTS + 16, DESC_INDIRECT, 0});
    assert_broken(f); /* too many */
}

static void nested_tables_break_the_device(void **state)
{
    struct fixture *f = *state;
    go(f, VIRTIO_F_INDIRECT_DESC);
    uint64_t table = driver_alloc(&f->driver, 16);
    driver_desc(&f->driver, table, 0, (struct virtq_desc){table, 16, DESC_INDIRECT, 0});
    offer(f, (struct virtq_desc){table, 16, DESC_INDIRECT, 0});
    assert_broken(f);
    go(f, 0); /* not negotiated */
    driver_lay(&f->driver, table, 0, &(struct driver_segment){DRIVER_RAM, 4, true}, 1);
    offer(f, (struct virtq_desc){table, 16, DESC_INDIRECT, 0});
    assert_broken(f);
}

/* The lengths add up to 2^32. */
static void chains_of_4_gib_break_the_device(void **state)
{
    struct fixture *f = *state;
    struct driver_segment s[VIRTQ_MAX_SEGMENTS];
    uint64_t base = DRIVER_RAM + DRIVER_RAM_LENGTH;
    uint32_t length = (uint32_t)(((uint64_t)1 << 32) / VIRTQ_MAX_SEGMENTS);
    assert_int_equal(gmem_add(&f->driver.mem, GMEM_RAM, base, length, NULL), 0);
    go(f, VIRTIO_F_INDIRECT_DESC);
    for (unsigned i = 0; i < VIRTQ_MAX_SEGMENTS; i++)
        s[i] = (struct driver_segment){base, length, true};
    driver_add_indirect(&f->driver, f->queue, s, VIRTQ_MAX_SEGMENTS);
    assert_broken(f);
}

static void bad_rings_break_the_device(void **state)
{
    struct fixture *f = *state;
    go(f, 0);
    driver_put16(&f->driver, f->queue->avail + 2, 9); /* more than there is room for */
    assert_broken(f);
    go(f, 0);
    driver_avail(&f->driver, f->queue, 8);
    assert_broken(f);
}

static void queues_outside_memory_break_the_device(void **state)
{
    struct fixture *f = *state;
    const uint64_t good = DRIVER_RAM, end = DRIVER_RAM + DRIVER_RAM_LENGTH;
    const uint64_t bad[][3] = {
        {good + 8, good, good}, {good, good + 1, good},       {good, good, good + 2},
        {end - 16, good, good}, {good, end - 16, good},       {good, good, end - 16},
        {0, good, good},        {good, UINT64_MAX - 1, good}, {good, good, 0x7ffffffc},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        driver_negotiate(&f->driver, VIRTIO_F_VERSION_1);
        mmio_setup(&f->driver, 0, 8, bad[i][0], bad[i][1], bad[i][2]);
        assert_int_equal(mmio_get(&f->driver, 0x44), 0);
        assert_true(driver_needs_reset(&f->driver));
    }
    mmio_set_status(&f->driver, 0);
    mmio_setup(&f->driver, 0, 8, good, good, good); /* before FEATURES_OK */
    assert_int_equal(mmio_get(&f->driver, 0x44), 0);
}

/* ---- Reset and state ---- */

static void a_reset_of_the_machine_clears_all(void **state)
{
    struct fixture *f = *state;
    go(f, UINT64_MAX);
    struct driver_segment s = room(f, 8);
    driver_add(&f->driver, f->queue, &s, 1);
    driver_kick(&f->driver, f->queue);
    mmio_put(&f->driver, 0x24, 1);
    assert_true(f->lines.level[0]);
    virtio_mmio_reset(&f->mmio);
    assert_false(f->lines.level[0]);
    assert_int_equal(mmio_get_status(&f->driver), 0);
    assert_int_equal(f->mmio.accept_select, 0);
    assert_int_equal(f->entropy.device.features, 0);
    assert_false(f->entropy.queue.ready);
    assert_int_equal(f->entropy.queue.size, VIRTQ_MAX_SIZE);
}

static void state_is_described(void **state)
{
    (void)state;
    assert_state_covers(struct virtio_entropy, &virtio_entropy_state);
    assert_state_covers(struct virtio_device, &virtio_device_state);
    assert_state_covers(struct virtio_mmio, &virtio_mmio_state);
    assert_state_covers(struct virtq, &virtq_state);
}

static void a_machine_goes_on_from_saved_state(void **state)
{
    struct fixture *f = *state;
    struct buf device = {0}, mmio = {0};
    go(f, VIRTIO_F_EVENT_IDX);
    struct driver_segment s = room(f, 8);
    driver_add(&f->driver, f->queue, &s, 1);
    driver_kick(&f->driver, f->queue);
    driver_add(&f->driver, f->queue, &s, 1);
    state_save(&virtio_entropy_state, &f->entropy, &device);
    state_save(&virtio_mmio_state, &f->mmio, &mmio);
    mmio_set_status(&f->driver, 0);
    assert_false(f->lines.level[0]);
    assert_int_equal(state_load(&virtio_entropy_state, &f->entropy, device.data, device.length, NULL, NULL),
                     0);
    assert_int_equal(state_load(&virtio_mmio_state, &f->mmio, mmio.data, mmio.length, NULL, NULL), 0);
    assert_true(f->lines.level[0]);
    assert_used(f, 0, 8);
    test_tasks_run(&f->driver.tasks, 1); /* what the loop had yet to do when the state was saved */
    assert_used(f, 1, 8);
    buf_release(&device);
    buf_release(&mmio);
}

static void kick_it(void *object)
{
    struct virtio_entropy *ve = object;
    virtio_kick(&ve->device, 0);
    test_tasks_run(ve->device.runner.object, 2);
}

static void hostile_state_is_refused_or_harmless(void **state)
{
    struct fixture *f = *state;
    go(f, VIRTIO_F_EVENT_IDX);
    struct driver_segment s = room(f, 8);
    driver_add(&f->driver, f->queue, &s, 1);
    state_check_hostile(&virtio_entropy_state, &f->entropy, kick_it);
    state_check_hostile(&virtio_mmio_state, &f->mmio, NULL);
}

static void random_states_survive_a_round_trip(void **state)
{
    struct fixture *f = *state;
    uint64_t seed = 7;
    unsigned loaded = 0;
    static struct virtio_entropy other;
    struct test_lines lines;
    for (unsigned i = 0; i < 300; i++) {
        virtio_entropy_init(&other, counting, &f->driver.mem, f->driver.runner);
        struct virtio_mmio mmio;
        virtio_mmio_init(&mmio, &other.device, test_line(&lines, 0));
        state_randomize(&virtio_mmio_state, &f->mmio, &seed);
        state_check_round_trip(&virtio_mmio_state, &f->mmio, &mmio);
        state_randomize(&virtio_entropy_state, &f->entropy, &seed);
        f->entropy.queue.ready = false;
        f->entropy.device.status |= VIRTIO_NEEDS_RESET;
        loaded += state_check_round_trip(&virtio_entropy_state, &f->entropy, &other);
        test_tasks_run(&f->driver.tasks, 1);
        virtio_entropy_release(&other);
    }
    assert_true(loaded > 50);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(it_identifies_itself),
        TEST(features_are_negotiated),
        TEST(status_bits_only_come),
        TEST(a_running_queue_cannot_be_changed),
        TEST(a_chain_is_served),
        TEST(what_is_written_is_dirty),
        TEST(nothing_runs_on_the_harts_thread),
        TEST(an_early_kick_is_served_when_the_driver_is_ready),
        TEST(indices_wrap_around),
        TEST(indirect_tables_are_followed),
        TEST(the_longest_table_is_followed),
        TEST(a_table_may_end_a_chain),
        TEST(segments_without_bytes_are_none),
        TEST(a_ring_can_be_taken_back_and_handed_over_again),
        TEST(interrupts_can_be_suppressed),
        TEST(interrupts_come_at_the_event_index),
        TEST(a_batch_is_one_interrupt),
        TEST(bad_descriptors_break_the_device),
        TEST(bad_chains_break_the_device),
        TEST(nested_tables_break_the_device),
        TEST(chains_of_4_gib_break_the_device),
        TEST(bad_rings_break_the_device),
        TEST(queues_outside_memory_break_the_device),
        TEST(a_reset_of_the_machine_clears_all),
        TEST(state_is_described),
        TEST(a_machine_goes_on_from_saved_state),
        TEST(hostile_state_is_refused_or_harmless),
        TEST(random_states_survive_a_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
