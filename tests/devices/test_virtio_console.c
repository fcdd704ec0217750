#include "devices/virtio/console.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "fixture.h"
#include "state_check.h"
#include "virtio_driver.h"

enum { RECEIVE, TRANSMIT };

#define F_SIZE VIRTIO_F(0)

struct fixture {
    struct driver driver;
    struct virtio_console vc;
    struct virtio_mmio mmio;
    struct test_lines lines;
    struct test_console console;
};

static int start(void **state)
{
    static struct fixture f;
    *state = &f;
    memset(&f.lines, 0, sizeof(f.lines));
    driver_init(&f.driver);
    test_console_init(&f.console, 4096);
    virtio_console_init(&f.vc, &f.console.console, &f.driver.mem, f.driver.runner);
    virtio_mmio_init(&f.mmio, &f.vc.device, test_line(&f.lines, 0));
    f.driver.transport = &driver_mmio;
    f.driver.object = &f.mmio;
    driver_start(&f.driver, UINT64_MAX, 2, 16);
    return 0;
}

static int stop(void **state)
{
    struct fixture *f = *state;
    virtio_console_release(&f->vc);
    driver_release(&f->driver);
    return 0;
}

static struct driver_segment text(struct fixture *f, const char *s)
{
    struct driver_segment segment = {driver_alloc(&f->driver, strlen(s)), (uint32_t)strlen(s), false};
    driver_put(&f->driver, segment.gpa, s, strlen(s));
    return segment;
}

static bool used(struct fixture *f, unsigned queue, uint32_t *written)
{
    uint32_t head;
    return driver_used(&f->driver, &f->driver.queues[queue], &head, written);
}

static void text_is_transmitted(void **state)
{
    struct fixture *f = *state;
    uint32_t written;
    struct driver_segment s[] = {text(f, "Hello, "), text(f, "world\n")};
    driver_add(&f->driver, &f->driver.queues[TRANSMIT], s, 2);
    driver_kick(&f->driver, &f->driver.queues[TRANSMIT]);
    assert_true(used(f, TRANSMIT, &written));
    assert_int_equal(written, 0);
    assert_memory_equal(f->console.output, "Hello, world\n", 13);
    assert_int_equal(f->console.length, 13);
    assert_true(f->lines.level[0]);
}

/* Nothing is lost, nothing is sent twice, and the buffer comes back when it is empty. */
static void a_slow_console_gets_it_in_pieces(void **state)
{
    struct fixture *f = *state;
    uint32_t written;
    struct driver_segment s[] = {text(f, "abc"), text(f, "defgh"), text(f, "ij")}, t = text(f, "klm");
    f->console.room = 2;
    driver_add(&f->driver, &f->driver.queues[TRANSMIT], s, 3);
    driver_add(&f->driver, &f->driver.queues[TRANSMIT], &t, 1);
    driver_kick(&f->driver, &f->driver.queues[TRANSMIT]);
    assert_false(used(f, TRANSMIT, &written));
    test_console_make_room(&f->console, 4);
    driver_kick(&f->driver, &f->driver.queues[TRANSMIT]);
    assert_false(used(f, TRANSMIT, &written));
    test_console_make_room(&f->console, 5);
    assert_true(used(f, TRANSMIT, &written));
    assert_false(used(f, TRANSMIT, &written));
    test_console_make_room(&f->console, 100);
    assert_true(used(f, TRANSMIT, &written));
    assert_int_equal(f->console.length, 13);
    assert_memory_equal(f->console.output, "abcdefghijklm", 13);
}

static void input_is_received(void **state)
{
    struct fixture *f = *state;
    uint32_t written;
    struct driver_segment s = {driver_alloc(&f->driver, 8), 8, true};
    unsigned resumed = f->console.resumed;
    assert_int_equal(test_console_type(&f->console, "early"), 0);
    driver_add(&f->driver, &f->driver.queues[RECEIVE], &s, 1);
    driver_add(&f->driver, &f->driver.queues[RECEIVE], &s, 1);
    driver_kick(&f->driver, &f->driver.queues[RECEIVE]);
    assert_int_equal(f->console.resumed, resumed + 1);
    assert_int_equal(test_console_type(&f->console, "ls\n"), 3);
    assert_true(used(f, RECEIVE, &written));
    assert_int_equal(written, 3);
    assert_memory_equal(gmem_slice(&f->driver.mem, s.gpa, 3, GMEM_READ), "ls\n", 3);
    assert_true(f->lines.level[0]);
    assert_int_equal(test_console_type(&f->console, "0123456789"), 8);
    assert_true(used(f, RECEIVE, &written));
    assert_int_equal(written, 8);
    assert_int_equal(test_console_type(&f->console, "x"), 0);
}

static void a_driver_that_is_not_there_gets_nothing(void **state)
{
    struct fixture *f = *state;
    f->driver.transport->set_status(&f->driver, 0);
    assert_int_equal(test_console_type(&f->console, "x"), 0);
    test_console_make_room(&f->console, 1);
    assert_int_equal(f->console.length, 0);
}

static void resize(struct fixture *f, unsigned columns, unsigned rows)
{
    pthread_mutex_lock(f->console.console.client_lock);
    f->console.console.client_ops->resized(f->console.console.client, columns, rows);
    pthread_mutex_unlock(f->console.console.client_lock);
}

static void the_windows_size_is_told(void **state)
{
    struct fixture *f = *state;
    uint32_t generation = mmio_get(&f->driver, 0xfc);
    resize(f, 132, 43);
    assert_int_equal(mmio_get(&f->driver, 0x60), 2);
    assert_int_not_equal(mmio_get(&f->driver, 0xfc), generation);
    assert_int_equal(mmio_config(&f->driver, 0, 2), 132);
    assert_int_equal(mmio_config(&f->driver, 2, 2), 43);
    assert_int_equal(mmio_config(&f->driver, 4, 4), 1);
    driver_start(&f->driver, ~F_SIZE, 2, 16);
    resize(f, 80, 25);
    assert_int_equal(mmio_get(&f->driver, 0x60), 0);
    assert_int_equal(mmio_config(&f->driver, 0, 4), 25 << 16 | 80);
}

static void a_guest_in_need_writes_without_queues(void **state)
{
    struct fixture *f = *state;
    f->driver.transport->set_status(&f->driver, 0);
    mmio_put(&f->driver, 0x108, '!');
    test_write(&f->mmio.region, 0x108, 1, '?');
    mmio_put(&f->driver, 0x100, 'x');
    assert_int_equal(f->console.length, 1);
    assert_int_equal(f->console.output[0], '!');
}

/* Half a line is out when the state is saved; the rest follows when it has been loaded. */
static void a_line_goes_on_from_saved_state(void **state)
{
    struct fixture *f = *state;
    struct buf record = {0};
    uint32_t written;
    assert_state_covers(struct virtio_console, &virtio_console_state);
    struct driver_segment s = text(f, "abcdef");
    f->console.room = 2;
    driver_add(&f->driver, &f->driver.queues[TRANSMIT], &s, 1);
    driver_kick(&f->driver, &f->driver.queues[TRANSMIT]);
    state_save(&virtio_console_state, &f->vc, &record);
    f->driver.transport->set_status(&f->driver, 0);
    f->console.room = 100;
    assert_int_equal(state_load(&virtio_console_state, &f->vc, record.data, record.length, NULL, NULL), 0);
    test_tasks_run(&f->driver.tasks, 1);
    assert_true(used(f, TRANSMIT, &written));
    assert_memory_equal(f->console.output, "abcdef", 6);
    assert_int_equal(f->console.length, 6);
    buf_release(&record);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(text_is_transmitted),
        TEST(a_slow_console_gets_it_in_pieces),
        TEST(input_is_received),
        TEST(a_driver_that_is_not_there_gets_nothing),
        TEST(the_windows_size_is_told),
        TEST(a_guest_in_need_writes_without_queues),
        TEST(a_line_goes_on_from_saved_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
