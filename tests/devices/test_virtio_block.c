#include "devices/virtio/block.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "fixture.h"
#include "state_check.h"
#include "test_disk.h"
#include "virtio_driver.h"

enum { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11, WRITE_ZEROES = 13 };
enum { OK, IOERR, UNSUPP, UNTOUCHED = 0x55 };

#define F_RO    VIRTIO_F(5)
#define F_FLUSH VIRTIO_F(9)

struct fixture {
    struct driver driver;
    struct virtio_block block;
    struct virtio_mmio mmio;
    struct test_lines lines;
    struct test_disk disk;
};

static void plug(struct fixture *f)
{
    virtio_block_init(&f->block, &f->disk.block, "serial-number-of-this-disk", 2, &f->driver.mem,
                      f->driver.runner);
    virtio_mmio_init(&f->mmio, &f->block.device, test_line(&f->lines, 0));
    f->driver.transport = &driver_mmio;
    f->driver.object = &f->mmio;
    driver_start(&f->driver, UINT64_MAX, 2, 128);
}

static int start(void **state)
{
    static struct fixture f;
    *state = &f;
    memset(&f.lines, 0, sizeof(f.lines));
    test_disk_init(&f.disk);
    driver_init(&f.driver);
    plug(&f);
    return 0;
}

static int stop(void **state)
{
    struct fixture *f = *state;
    virtio_block_release(&f->block);
    driver_release(&f->driver);
    return 0;
}

/* ---- Requests ---- */

struct request {
    uint64_t header, data, status; /* gpa */
    uint32_t length;
    uint16_t head;
};

static struct request ask(struct fixture *f, unsigned queue, uint32_t type, uint64_t sector, const void *data,
                          uint32_t length)
{
    struct driver *d = &f->driver;
    uint32_t header[4] = {type, 0, (uint32_t)sector, (uint32_t)(sector >> 32)};
    struct request r = {driver_alloc(d, 16), driver_alloc(d, length), driver_alloc(d, 1), length, 0};
    driver_put(d, r.header, header, sizeof(header));
    driver_put(d, r.status, &(uint8_t){UNTOUCHED}, 1);
    if (data)
        driver_put(d, r.data, data, length);
    struct driver_segment s[] = {{r.header, 16, false}, {r.data, length, !data}, {r.status, 1, true}};
    r.head = driver_add(d, &d->queues[queue], s, 3);
    return r;
}

static uint8_t status_of(struct fixture *f, const struct request *r)
{
    uint8_t status;
    driver_get(&f->driver, r->status, &status, 1);
    return status;
}

/* Asks, kicks, and expects the request back with a status. */
static struct request carry_out(struct fixture *f, uint32_t type, uint64_t sector, const void *data,
                                uint32_t length, uint8_t status)
{
    uint32_t head, written, expected = data || !length ? 1 : status == OK ? length + 1 : 0;
    struct request r = ask(f, 0, type, sector, data, length);
    driver_kick(&f->driver, &f->driver.queues[0]);
    assert_true(driver_used(&f->driver, &f->driver.queues[0], &head, &written));
    assert_int_equal(head, r.head);
    assert_int_equal(status_of(f, &r), status);
    assert_int_equal(written, expected);
    return r;
}

static void assert_data(struct fixture *f, const struct request *r, const void *expected)
{
    assert_memory_equal(gmem_slice(&f->driver.mem, r->data, r->length, GMEM_READ), expected, r->length);
}

/* ---- Tests ---- */

static void configuration_space_says_what_there_is(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mmio_config(&f->driver, 0, 4), TEST_DISK_LENGTH / 512);
    assert_int_equal(mmio_config(&f->driver, 12, 4), VIRTQ_MAX_SEGMENTS - 2);
    assert_int_equal(mmio_config(&f->driver, 20, 4), 512);
    assert_int_equal(mmio_config(&f->driver, 24, 1), 3);
    assert_int_equal(mmio_config(&f->driver, 34, 2), 2);
    assert_int_equal(mmio_config(&f->driver, 40, 4), 1);
    assert_int_equal(mmio_config(&f->driver, 52, 4), 1);
    assert_false(driver_offered(&f->driver) & F_RO);
}

static void sectors_are_read(void **state)
{
    struct fixture *f = *state;
    struct request r = carry_out(f, IN, 3, NULL, 2048, OK);
    assert_data(f, &r, f->disk.data + 3 * 512);
}

static void sectors_are_written(void **state)
{
    struct fixture *f = *state;
    uint8_t data[1024];
    memset(data, 0xa7, sizeof(data));
    carry_out(f, OUT, 126, data, sizeof(data), OK);
    assert_memory_equal(f->disk.data + TEST_DISK_LENGTH - 1024, data, sizeof(data));
    assert_int_equal(f->disk.durable, 0);
}

static void no_flush_means_that_writes_are_durable(void **state)
{
    struct fixture *f = *state;
    uint8_t data[512] = {1};
    driver_start(&f->driver, ~F_FLUSH, 2, 128);
    carry_out(f, OUT, 0, data, sizeof(data), OK);
    assert_int_equal(f->disk.durable, 1);
    carry_out(f, IN, 0, NULL, 512, OK);
    assert_int_equal(f->disk.durable, 1);
}

static void the_serial_number_is_told(void **state)
{
    struct fixture *f = *state;
    struct request r = carry_out(f, GET_ID, 0, NULL, 20, OK);
    assert_data(f, &r, "serial-number-of-thi");
    carry_out(f, GET_ID, 0, NULL, 10, IOERR);
}

static void flush_discard_and_zero_reach_the_disk(void **state)
{
    struct fixture *f = *state;
    uint32_t range[4] = {2, 0, 3, 0}, unmap[4] = {2, 0, 3, 1}, strange[4] = {2, 0, 3, 2};
    static const uint8_t zeroes[3 * 512];
    carry_out(f, FLUSH, 0, NULL, 0, OK);
    assert_int_equal(f->disk.flushes, 1);
    carry_out(f, DISCARD, 0, range, 16, OK);
    assert_int_equal(f->disk.discards, 1);
    carry_out(f, WRITE_ZEROES, 0, unmap, 16, OK);
    assert_int_equal(f->disk.zeroes, 1);
    assert_memory_equal(f->disk.data + 1024, zeroes, sizeof(zeroes));
    assert_int_not_equal(f->disk.data[1023], 0);
    assert_int_not_equal(f->disk.data[5 * 512], 0);
    carry_out(f, DISCARD, 0, unmap, 16, UNSUPP);
    carry_out(f, WRITE_ZEROES, 0, strange, 16, UNSUPP);
}

static void what_is_not_on_the_disk_is_an_error(void **state)
{
    struct fixture *f = *state;
    uint8_t data[1024] = {0};
    uint32_t range[4] = {127, 0, 2, 0}, far[4] = {0, 1, 1, 0};
    carry_out(f, IN, 127, NULL, 1024, IOERR);
    carry_out(f, IN, UINT64_MAX, NULL, 512, IOERR);
    carry_out(f, IN, 128, NULL, 512, IOERR);
    carry_out(f, IN, 0, NULL, 100, IOERR);
    carry_out(f, OUT, 127, data, 1024, IOERR);
    carry_out(f, OUT, UINT64_MAX / 512, data, 512, IOERR);
    carry_out(f, DISCARD, 0, range, 16, IOERR);
    carry_out(f, WRITE_ZEROES, 0, far, 16, IOERR);
    carry_out(f, WRITE_ZEROES, 0, far, 15, IOERR);
    carry_out(f, 99, 0, data, 512, UNSUPP);
    assert_false(driver_needs_reset(&f->driver));
}

static void errors_of_the_host_reach_the_guest(void **state)
{
    struct fixture *f = *state;
    uint8_t data[512] = {0};
    f->disk.result = -EIO;
    carry_out(f, IN, 0, NULL, 512, IOERR);
    carry_out(f, OUT, 0, data, 512, IOERR);
    f->disk.result = -ENOSPC;
    carry_out(f, FLUSH, 0, NULL, 0, IOERR);
}

static void a_read_only_disk_is_not_written(void **state)
{
    struct fixture *f = *state;
    uint8_t data[512] = {0};
    uint32_t range[4] = {0, 0, 1, 0};
    virtio_block_release(&f->block);
    f->disk.block.read_only = true;
    plug(f);
    assert_true(driver_offered(&f->driver) & F_RO);
    carry_out(f, OUT, 0, data, 512, IOERR);
    carry_out(f, DISCARD, 0, range, 16, IOERR);
    carry_out(f, WRITE_ZEROES, 0, range, 16, IOERR);
    carry_out(f, IN, 0, NULL, 512, OK);
    carry_out(f, FLUSH, 0, NULL, 0, OK);
}

/* Header and status may share segments with the data, and be split. */
static void segments_may_lie_anyhow(void **state)
{
    struct fixture *f = *state;
    struct driver *d = &f->driver;
    uint32_t header[4] = {OUT, 0, 4, 0}, head, written;
    uint64_t at = driver_alloc(d, 4096);
    driver_put(d, at, header, sizeof(header));
    for (unsigned i = 0; i < 512; i++)
        driver_put(d, at + 16 + i, &(uint8_t){(uint8_t)(i * 3)}, 1);
    struct driver_segment out[] = {
        {at, 7, false}, {at + 7, 20, false}, {at + 27, 501, false}, {at + 1000, 1, true}};
    driver_add(d, &d->queues[0], out, 4);
    driver_kick(d, &d->queues[0]);
    assert_true(driver_used(d, &d->queues[0], &head, &written));
    for (unsigned i = 0; i < 512; i++)
        assert_int_equal(f->disk.data[4 * 512 + i], (uint8_t)(i * 3));
    driver_put(d, at, &(uint32_t){IN}, 4);
    struct driver_segment in[] = {{at, 16, false}, {at + 1024, 200, true}, {at + 1224, 313, true}};
    driver_add(d, &d->queues[0], in, 3);
    driver_kick(d, &d->queues[0]);
    assert_true(driver_used(d, &d->queues[0], &head, &written));
    assert_int_equal(written, 513);
    assert_memory_equal(gmem_slice(&d->mem, at + 1024, 512, GMEM_READ), f->disk.data + 4 * 512, 512);
    assert_int_equal(*(uint8_t *)gmem_slice(&d->mem, at + 1536, 1, GMEM_READ), OK);
}

static void a_request_without_header_or_status_breaks_the_device(void **state)
{
    struct fixture *f = *state;
    struct driver_segment bad[][2] = {{{DRIVER_RAM, 15, false}, {DRIVER_RAM, 1, true}},
                                      {{DRIVER_RAM, 16, false}, {DRIVER_RAM, 512, false}}};
    for (unsigned i = 0; i < 2; i++) {
        driver_start(&f->driver, UINT64_MAX, 1, 128);
        driver_add(&f->driver, &f->driver.queues[0], bad[i], 2);
        driver_kick(&f->driver, &f->driver.queues[0]);
        assert_true(driver_needs_reset(&f->driver));
    }
    driver_start(&f->driver, UINT64_MAX, 1, 128);
    carry_out(f, IN, 0, NULL, 512, OK);
}

/* ---- Several at a time ---- */

static void nothing_is_acknowledged_before_it_is_done(void **state)
{
    struct fixture *f = *state;
    struct driver *d = &f->driver;
    uint32_t head, written;
    f->disk.keeps = true;
    struct request flush = ask(f, 0, FLUSH, 0, NULL, 0), read = ask(f, 1, IN, 0, NULL, 512);
    driver_kick(d, &d->queues[0]);
    driver_kick(d, &d->queues[1]);
    assert_false(driver_used(d, &d->queues[0], &head, &written));
    assert_int_equal(status_of(f, &flush), UNTOUCHED);
    assert_false(f->lines.level[0]);
    test_disk_finish(&f->disk, 1, -EIO);
    assert_true(driver_used(d, &d->queues[1], &head, &written));
    assert_int_equal(status_of(f, &read), IOERR);
    assert_false(driver_used(d, &d->queues[0], &head, &written));
    test_disk_finish(&f->disk, 0, 0);
    assert_true(driver_used(d, &d->queues[0], &head, &written));
    assert_int_equal(status_of(f, &flush), OK);
    assert_true(f->lines.level[0]);
}

/* More requests than the device carries out at a time; what was left is taken up when others are done. */
static void all_requests_have_their_turn(void **state)
{
    struct fixture *f = *state;
    struct driver *d = &f->driver;
    uint32_t head, written;
    unsigned done[2] = {0};
    f->disk.keeps = true;
    for (unsigned i = 0; i < 42; i++)
        for (unsigned queue = 0; queue < 2; queue++)
            ask(f, queue, IN, i, NULL, 512);
    driver_kick(d, &d->queues[0]);
    driver_kick(d, &d->queues[1]);
    assert_int_equal(f->disk.count, VIRTIO_BLOCK_REQUESTS);
    while (f->disk.count) {
        test_disk_finish(&f->disk, f->disk.count / 2, 0);
        test_tasks_run(&d->tasks, 1);
        for (unsigned queue = 0; queue < 2; queue++)
            while (driver_used(d, &d->queues[queue], &head, &written))
                done[queue]++;
    }
    assert_int_equal(done[0], 42);
    assert_int_equal(done[1], 42);
}

static void a_reset_waits_for_what_is_under_way(void **state)
{
    struct fixture *f = *state;
    f->disk.keeps = true;
    struct request r = ask(f, 0, IN, 0, NULL, 512);
    driver_kick(&f->driver, &f->driver.queues[0]);
    assert_int_equal(f->disk.count, 1);
    f->driver.transport->set_status(&f->driver, 0);
    assert_int_equal(f->disk.count, 0);
    assert_int_equal(status_of(f, &r), OK);
    assert_int_equal(f->driver.transport->get_status(&f->driver), 0);
    assert_false(f->lines.level[0]);
    f->disk.keeps = false;
    driver_start(&f->driver, UINT64_MAX, 1, 128);
    carry_out(f, IN, 0, NULL, 512, OK);
}

/* In the same memory. */
static void plug_other(struct fixture *f, struct fixture *other)
{
    virtio_block_init(&other->block, &other->disk.block, "", 2, &f->driver.mem, f->driver.runner);
    virtio_mmio_init(&other->mmio, &other->block.device, test_line(&other->lines, 0));
}

static void state_is_described(void **state)
{
    struct fixture *f = *state;
    static struct fixture other;
    assert_state_covers(struct virtio_block, &virtio_block_state);
    carry_out(f, IN, 0, NULL, 512, OK);
    test_disk_init(&other.disk);
    plug_other(f, &other);
    assert_true(state_check_round_trip(&virtio_block_state, &f->block, &other.block));
    assert_true(other.block.queues[0].ready);
    assert_int_equal(other.block.queues[0].next_used, 1);
    test_tasks_run(&f->driver.tasks, 1);
    virtio_block_release(&other.block);
}

/* A machine with a read-only disk cannot go on where discard was negotiated. */
static void state_of_a_disk_that_could_more_needs_a_reset(void **state)
{
    struct fixture *f = *state;
    static struct fixture other;
    test_disk_init(&other.disk);
    other.disk.block.read_only = true;
    plug_other(f, &other);
    struct buf record = {0};
    state_save(&virtio_block_state, &f->block, &record);
    assert_int_equal(state_load(&virtio_block_state, &other.block, record.data, record.length, NULL, NULL),
                     0);
    assert_true(other.block.device.status & VIRTIO_NEEDS_RESET);
    test_tasks_run(&f->driver.tasks, 1);
    buf_release(&record);
    virtio_block_release(&other.block);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(configuration_space_says_what_there_is),
        TEST(sectors_are_read),
        TEST(sectors_are_written),
        TEST(no_flush_means_that_writes_are_durable),
        TEST(the_serial_number_is_told),
        TEST(flush_discard_and_zero_reach_the_disk),
        TEST(what_is_not_on_the_disk_is_an_error),
        TEST(errors_of_the_host_reach_the_guest),
        TEST(a_read_only_disk_is_not_written),
        TEST(segments_may_lie_anyhow),
        TEST(a_request_without_header_or_status_breaks_the_device),
        TEST(nothing_is_acknowledged_before_it_is_done),
        TEST(all_requests_have_their_turn),
        TEST(a_reset_waits_for_what_is_under_way),
        TEST(state_is_described),
        TEST(state_of_a_disk_that_could_more_needs_a_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
