/* Regions: what reaches a device and in which form, and look-ups while regions come and go. */
#include "bus/bus.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

struct device {
    struct bus_region region;
    struct bus_access last;
    unsigned count;
    uint64_t answer;
    bool refuse;
};

static enum bus_result device_access(void *object, struct bus_access *access)
{
    struct device *d = object;
    d->last = *access;
    d->count++;
    if (!access->is_write)
        access->value = d->answer;
    return d->refuse ? BUS_FAULT : BUS_OK;
}

static const struct bus_ops words = {.access = device_access, .sizes = 4},
                            any = {.access = device_access, .sizes = 15};

static void device_init(struct device *d, const struct bus_ops *ops, uint64_t length)
{
    *d = (struct device){.region = {.name = "test", .length = length, .ops = ops, .device = d}};
}

static int start(void **state)
{
    static struct bus bus;
    *state = &bus;
    return bus_init(&bus, NULL);
}

static int stop(void **state)
{
    bus_release(*state);
    return 0;
}

static void a_device_sees_offset_and_value(void **state)
{
    struct device d;
    uint64_t value;
    device_init(&d, &any, 0x100);
    d.answer = 0x1122334455667788;
    assert_int_equal(bus_map(*state, &d.region, 0x10000000, NULL), 0);
    assert_int_equal(bus_write(*state, 0x10000013, 1, 0xabcd), BUS_OK);
    assert_int_equal(d.last.address, 0x13);
    assert_int_equal(d.last.value, 0xcd);
    assert_int_equal(d.last.size, 1);
    assert_true(d.last.is_write);
    static const uint64_t answers[] = {[1] = 0x88, [2] = 0x7788, [4] = 0x55667788, [8] = 0x1122334455667788};
    for (unsigned size = 1; size <= 8; size *= 2) {
        assert_int_equal(bus_read(*state, 0x100000f8, size, &value), BUS_OK);
        assert_int_equal(value, answers[size]);
        assert_int_equal(d.last.value, 0);
        assert_false(d.last.is_write);
    }
    d.refuse = true;
    assert_int_equal(bus_read(*state, 0x10000000, 4, &value), BUS_FAULT);
    struct bus_access access = {.address = 0x10000008, .size = 8};
    d.refuse = false;
    assert_int_equal(bus_access(*state, &access), BUS_OK);
    assert_int_equal(access.address, 0x10000008);
}

static void a_device_sees_no_other_access(void **state)
{
    struct device d;
    device_init(&d, &words, 0x102);
    assert_int_equal(bus_map(*state, &d.region, 0x2000, NULL), 0);
    static const struct {
        uint64_t address;
        unsigned size;
    } bad[] = {{0x1ffc, 4}, {0x2102, 4}, {0x2100, 4}, {0x2002, 4}, {0x2001, 4}, {0x2000, 1},
               {0x2000, 2}, {0x2000, 8}, {0x2000, 3}, {0x2000, 0}, {0x2000, 12}};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(bus_write(*state, bad[i].address, bad[i].size, 0), BUS_FAULT);
        assert_int_equal(d.count, 0);
    }
    assert_int_equal(bus_write(*state, 0x20fc, 4, 0), BUS_OK);
    assert_int_equal(d.count, 1);
}

static void regions_do_not_meet(void **state)
{
    struct device d[4], more;
    uint64_t base = 1;
    for (int i = 0; i < 4; i++)
        device_init(&d[i], &any, 0x1000);
    device_init(&more, &any, 0x1000);
    assert_int_equal(bus_map(*state, &d[0].region, 0x5000, NULL), 0);
    assert_int_equal(bus_map(*state, &d[1].region, 0x1000, NULL), 0);
    assert_int_equal(bus_map(*state, &d[2].region, 0x3000, NULL), 0);
    assert_int_equal(bus_map(*state, &d[3].region, -0x1000ull, NULL), 0);
    static const uint64_t bad[] = {0x5000, 0x4001, 0x5fff, 0x1800, 0x2fff, -0x800ull, -0x1800ull};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(bus_map(*state, &more.region, bad[i], NULL), GUISE_E_CONFIG);
    assert_int_equal(bus_map(*state, &d[0].region, 0x9000, NULL), GUISE_E_CONFIG);
    assert_ptr_equal(bus_find(*state, 0x3fff, &base), &d[2].region);
    assert_int_equal(base, 0x3000);
    assert_null(bus_find(*state, 0x4000, NULL));
    assert_null(bus_find(*state, 0, NULL));
    assert_ptr_equal(bus_find(*state, UINT64_MAX, NULL), &d[3].region);
    assert_true(bus_unmap(*state, &d[2].region));
    assert_false(bus_unmap(*state, &d[2].region));
    assert_null(bus_find(*state, 0x3fff, NULL));
    assert_ptr_equal(bus_find(*state, 0x1000, NULL), &d[1].region);
    assert_ptr_equal(bus_find(*state, 0x5000, NULL), &d[0].region);
    assert_int_equal(bus_map(*state, &more.region, 0x2000, NULL), 0);
    more.region.length = 0;
    assert_true(bus_unmap(*state, &more.region));
    assert_int_equal(bus_map(*state, &more.region, 0x3000, NULL), GUISE_E_CONFIG);
}

static void the_table_has_an_end(void **state)
{
    static struct device d[BUS_MAX_REGIONS + 1];
    for (unsigned i = 0; i <= BUS_MAX_REGIONS; i++) {
        device_init(&d[i], &any, 8);
        int expected = i < BUS_MAX_REGIONS ? 0 : GUISE_E_NOMEM;
        assert_int_equal(bus_map(*state, &d[i].region, (i * 7919 % 4096) * 8, NULL), expected);
    }
    for (unsigned i = 0; i < BUS_MAX_REGIONS; i++)
        assert_ptr_equal(bus_find(*state, (i * 7919 % 4096) * 8 + 7, NULL), &d[i].region);
}

static enum bus_result add_slowly(void *object, struct bus_access *access)
{
    struct device *d = object;
    unsigned count = *(volatile unsigned *)&d->count;
    (void)access;
    for (volatile int i = 0; i < 20; i++)
        ;
    d->count = count + 1;
    return BUS_OK;
}

enum { LOCKED_ACCESSES = 20000 };

static void *access_much(void *bus)
{
    for (int i = 0; i < LOCKED_ACCESSES; i++)
        bus_write(bus, 0x1000, 4, 0);
    return NULL;
}

static void the_lock_is_held_around_an_op(void **state)
{
    static const struct bus_ops ops = {.access = add_slowly, .sizes = 4};
    struct device d;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_t threads[2];
    device_init(&d, &ops, 4);
    d.region.lock = &lock;
    assert_int_equal(bus_map(*state, &d.region, 0x1000, NULL), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, access_much, *state), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(d.count, 2 * LOCKED_ACCESSES);
}

struct moving {
    struct bus *bus;
    struct device fixed[3], moved;
    _Atomic bool done;
};

/* Fixed regions are found always, the moving one at one of its places, and nothing else anywhere. */
static void *look_up(void *object)
{
    struct moving *m = object;
    while (!m->done) {
        for (unsigned i = 0; i < 3; i++) {
            uint64_t base = 0;
            assert_ptr_equal(bus_find(m->bus, 0x2800 + 0x2000 * i, &base), &m->fixed[i].region);
            assert_int_equal(base, 0x2000 + 0x2000 * i);
        }
        for (uint64_t address = 0x1800; address < 0x9000; address += 0x2000) {
            uint64_t base = 0;
            struct bus_region *found = bus_find(m->bus, address, &base);
            assert_true(!found || found == &m->moved.region);
            assert_true(!found || base == address - 0x800);
        }
    }
    return NULL;
}

static void look_ups_need_no_lock(void **state)
{
    struct moving m = {.bus = *state};
    pthread_t thread;
    for (unsigned i = 0; i < 3; i++) {
        device_init(&m.fixed[i], &any, 0x1000);
        assert_int_equal(bus_map(*state, &m.fixed[i].region, 0x2000 + 0x2000 * i, NULL), 0);
    }
    device_init(&m.moved, &any, 0x1000);
    assert_int_equal(pthread_create(&thread, NULL, look_up, &m), 0);
    for (unsigned i = 0; i < 100000; i++) {
        assert_int_equal(bus_map(*state, &m.moved.region, 0x1000 + 0x2000 * (i % 4), NULL), 0);
        assert_true(bus_unmap(*state, &m.moved.region));
    }
    m.done = true;
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_device_sees_offset_and_value, start, stop),
        cmocka_unit_test_setup_teardown(a_device_sees_no_other_access, start, stop),
        cmocka_unit_test_setup_teardown(regions_do_not_meet, start, stop),
        cmocka_unit_test_setup_teardown(the_table_has_an_end, start, stop),
        cmocka_unit_test_setup_teardown(the_lock_is_held_around_an_op, start, stop),
        cmocka_unit_test_setup_teardown(look_ups_need_no_lock, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
