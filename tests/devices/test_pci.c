/* The PCI host bridge with functions of a made-up device: enumeration, BARs, capabilities, pins, MSI-X. */
#include "devices/msix.h"
#include "devices/pci_host.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "fixture.h"
#include "state_check.h"

#define ECAM      0x30000000ull
#define LOW       0x40000000ull
#define HIGH      0x400000000ull
#define WINDOW    0x10000000ull
#define REGISTERS 0x4000ull

enum { COMMAND = 4, STATUS = 6, BAR0 = 0x10, BAR1 = 0x14, BAR4 = 0x20, BAR5 = 0x24, CAPABILITIES = 0x34 };
enum { MEMORY = 2, MASTER = 4, NO_INTX = 0x400 };
enum { VECTORS = 40, MSIX_ENABLE = 0x8000, MSIX_MASK = 0x4000, WINDOW_CAPABILITY = 9 };

struct device {
    struct pci_function function;
    struct msix msix;
    pthread_mutex_t lock;
    struct bus_access last;
    unsigned count;
};

struct fixture {
    struct bus bus;
    struct pci_host host;
    struct device devices[3]; /* numbers 1, 2 and 5 */
    struct test_lines lines;
    struct {
        uint64_t address;
        uint32_t data;
    } last;
    unsigned messages;
};

static const unsigned numbers[] = {1, 2, 5};

static enum bus_result device_access(void *object, struct bus_access *access)
{
    struct device *d = object;
    d->last = *access;
    d->count++;
    access->value = 0x1234;
    return BUS_OK;
}

static const struct bus_ops device_ops = {.access = device_access, .sizes = 1 | 2 | 4 | 8};

/* The last word of the device's own capability is the device's to answer. */
static bool config_access(struct pci_function *f, struct bus_access *access)
{
    if (access->address != 0x48)
        return false;
    access->value = f->device;
    return true;
}

static const struct pci_ops pci_ops = {.config_access = config_access};

static void device_init(struct device *d)
{
    static const struct pci_identity identity = {.vendor = 0x1af4,
                                                 .device = 0x1042,
                                                 .subsystem_vendor = 0x1af5,
                                                 .subsystem = 0x1100,
                                                 .class_code = 0x018000,
                                                 .revision = 1};
    static const uint8_t body[10] = {12, 1, 2, 3, 4, 5}, writable[10] = {[3] = 0x0f};
    struct bus_region registers = {
        .name = "test", .length = REGISTERS, .ops = &device_ops, .device = d, .lock = &d->lock};
    pthread_mutex_init(&d->lock, NULL);
    d->count = 0;
    pci_function_init(&d->function, &identity, &pci_ops, &d->lock);
    assert_int_equal(pci_capability_add(&d->function, WINDOW_CAPABILITY, body, writable, sizeof(body)), 0x40);
    pci_bar_add(&d->function, 4, PCI_BAR_64, &registers);
    msix_init(&d->msix, &d->function, 1, VECTORS);
}

static void on_message(void *object, uint64_t address, uint32_t data)
{
    struct fixture *f = object;
    f->last.address = address;
    f->last.data = data;
    f->messages++;
}

static int start(void **state)
{
    static struct fixture f;
    struct pci_host_config config = {.bus = &f.bus,
                                     .msi = {.send = on_message, .object = &f},
                                     .low = {LOW, WINDOW},
                                     .high = {HIGH, WINDOW}};
    *state = &f;
    f.messages = 0;
    memset(&f.lines, 0, sizeof(f.lines));
    for (unsigned i = 0; i < PCI_PINS; i++)
        config.lines[i] = test_line(&f.lines, i);
    int status = bus_init(&f.bus, NULL) || pci_host_init(&f.host, &config, NULL);
    for (unsigned i = 0; i < 3; i++) {
        device_init(&f.devices[i]);
        status |= pci_host_plug(&f.host, &f.devices[i].function, numbers[i], NULL);
    }
    return status || bus_map(&f.bus, &f.host.ecam, ECAM, NULL);
}

static int stop(void **state)
{
    struct fixture *f = *state;
    pci_host_release(&f->host);
    bus_release(&f->bus);
    return 0;
}

/* ---- Accesses ---- */

static uint64_t config(struct fixture *f, unsigned device, unsigned offset, unsigned size)
{
    uint64_t value;
    assert_int_equal(bus_read(&f->bus, ECAM + (numbers[device] << 15) + offset, size, &value), BUS_OK);
    return value;
}

static void set_config(struct fixture *f, unsigned device, unsigned offset, unsigned size, uint64_t value)
{
    assert_int_equal(bus_write(&f->bus, ECAM + (numbers[device] << 15) + offset, size, value), BUS_OK);
}

static uint64_t get(struct fixture *f, uint64_t address, unsigned size)
{
    uint64_t value;
    assert_int_equal(bus_read(&f->bus, address, size, &value), BUS_OK);
    return value;
}

static void set(struct fixture *f, uint64_t address, unsigned size, uint64_t value)
{
    assert_int_equal(bus_write(&f->bus, address, size, value), BUS_OK);
}

static void place(struct fixture *f, unsigned device, uint64_t registers, uint64_t table, unsigned command)
{
    set_config(f, device, BAR4, 4, (uint32_t)registers);
    set_config(f, device, BAR5, 4, registers >> 32);
    set_config(f, device, BAR1, 4, table);
    set_config(f, device, COMMAND, 2, command);
}

static bool sees_device(struct fixture *f, unsigned device, uint64_t address)
{
    unsigned before = f->devices[device].count;
    uint64_t value = get(f, address, 4);
    bool seen = f->devices[device].count != before;
    if (!seen)
        assert_int_equal(value, UINT32_MAX);
    return seen;
}

/* ---- Configuration ---- */

static void functions_identify_themselves(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(config(f, 0, 0, 4), 0x10421af4);
    assert_int_equal(config(f, 0, 2, 2), 0x1042);
    assert_int_equal(config(f, 0, 8, 4), 0x01800001);
    assert_int_equal(config(f, 0, 11, 1), 0x01);
    assert_int_equal(config(f, 0, 0x2c, 4), 0x11001af5);
    assert_int_equal(config(f, 0, 0x3d, 1), 1);
    assert_int_equal(config(f, 0, 0x0e, 1), 0);
    assert_int_equal(config(f, 0, STATUS, 2), 0x10);
    assert_int_equal(config(f, 0, 0x100, 4), 0);
    assert_int_equal(config(f, 0, 0xffc, 4), 0);
    assert_int_equal(config(f, 0, 0x1000, 4), UINT32_MAX);
    assert_int_equal(get(f, ECAM, 4), UINT32_MAX);
    assert_int_equal(get(f, ECAM + (31 << 15), 2), UINT16_MAX);
    set(f, ECAM, 4, 0);
    uint64_t value;
    assert_int_equal(bus_read(&f->bus, ECAM + PCI_ECAM_LENGTH, 4, &value), BUS_FAULT);
    assert_int_equal(bus_read(&f->bus, ECAM, 8, &value), BUS_FAULT);
}

static void what_is_fixed_stays(void **state)
{
    struct fixture *f = *state;
    static const struct {
        unsigned offset;
        uint32_t bits;
    } expected[] = {{0x00, 0x10421af4}, {0x04, 0x00100406}, {0x08, 0x01800001}, {0x0c, 0x000000ff},
                    {0x10, 0},          {0x14, 0xfffff000}, {0x18, 0},          {0x20, 0xffffc00c},
                    {0x24, 0xffffffff}, {0x2c, 0x11001af5}, {0x30, 0},          {0x34, 0x40},
                    {0x3c, 0x000001ff}, {0x40, 0x010c4c09}, {0x44, 0x05040f02}};
    for (unsigned i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        set_config(f, 1, expected[i].offset, 4, UINT32_MAX);
    for (unsigned i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        assert_int_equal(config(f, 1, expected[i].offset, 4), expected[i].bits);
    set_config(f, 1, BAR4 + 1, 1, 0x40);
    assert_int_equal(config(f, 1, BAR4, 4), 0xffff400c);
}

static void capabilities_are_linked(void **state)
{
    struct fixture *f = *state;
    unsigned first = (unsigned)config(f, 0, CAPABILITIES, 1), second = (unsigned)config(f, 0, first + 1, 1);
    assert_int_equal(config(f, 0, first, 1), WINDOW_CAPABILITY);
    assert_int_equal(config(f, 0, first + 2, 2), 0x010c);
    assert_int_equal(config(f, 0, first + 4, 4), 0x05040002);
    assert_int_equal(config(f, 0, second, 4), (VECTORS - 1) << 16 | 0x11);
    assert_int_equal(config(f, 0, second + 4, 4), 1);
    assert_int_equal(config(f, 0, second + 8, 4), 0x801);
    assert_int_equal(config(f, 2, 0x48, 4), numbers[2]);
}

static void a_place_is_taken_once(void **state)
{
    struct fixture *f = *state;
    static struct device more;
    struct guise_error err;
    device_init(&more);
    assert_int_equal(pci_host_plug(&f->host, &more.function, 5, &err), GUISE_E_CONFIG);
    assert_int_equal(pci_host_plug(&f->host, &more.function, PCI_DEVICES, &err), GUISE_E_CONFIG);
    assert_int_equal(pci_host_plug(&f->host, &more.function, 0, &err), 0);
    assert_int_equal(get(f, ECAM, 4), 0x10421af4);
}

/* ---- BARs ---- */

static void bars_decode_where_they_are_put(void **state)
{
    struct fixture *f = *state;
    place(f, 0, HIGH + 0x10000, LOW, 0);
    assert_false(sees_device(f, 0, HIGH + 0x10000));
    set_config(f, 0, COMMAND, 2, MEMORY);
    assert_int_equal(get(f, HIGH + 0x10008, 8), 0x1234);
    assert_int_equal(f->devices[0].last.address, 8);
    assert_true(sees_device(f, 0, HIGH + 0x13ffc));
    assert_false(sees_device(f, 0, HIGH + 0x14000));
    assert_int_equal(get(f, LOW + 12, 4), 1); /* a vector is masked after reset */
    set_config(f, 0, BAR4, 4, LOW + 0x8000);
    assert_false(sees_device(f, 0, HIGH + 0x10000));
    set_config(f, 0, BAR5, 4, 0);
    assert_true(sees_device(f, 0, LOW + 0x8000));
    set_config(f, 0, COMMAND, 2, 0);
    assert_false(sees_device(f, 0, LOW + 0x8000));
    assert_int_equal(get(f, LOW + 12, 4), UINT32_MAX);
}

static void bars_decode_in_windows_alone(void **state)
{
    struct fixture *f = *state;
    static const uint64_t outside[] = {0,          0x80000000, LOW - REGISTERS, LOW + WINDOW, HIGH + WINDOW,
                                       UINT64_MAX, ECAM};
    for (unsigned i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
        place(f, 0, outside[i], outside[i], MEMORY);
        assert_false(f->devices[0].function.bars[4].mapped);
        assert_false(f->devices[0].function.bars[1].mapped);
    }
    place(f, 0, HIGH + WINDOW - REGISTERS, LOW + WINDOW - 0x1000, MEMORY);
    assert_true(sees_device(f, 0, HIGH + WINDOW - 4));
    assert_true(f->devices[0].function.bars[1].mapped);
}

static void a_covered_bar_comes_back(void **state)
{
    struct fixture *f = *state;
    place(f, 0, HIGH, LOW, MEMORY);
    place(f, 1, HIGH, LOW + 0x1000, MEMORY);
    assert_true(sees_device(f, 0, HIGH));
    place(f, 0, HIGH + REGISTERS, LOW, MEMORY);
    assert_true(sees_device(f, 1, HIGH));
    assert_true(sees_device(f, 0, HIGH + REGISTERS));
    place(f, 1, HIGH + REGISTERS, LOW, 0);
    assert_false(sees_device(f, 1, HIGH));
}

/* ---- Interrupts ---- */

static void set_pin(struct device *d, bool level)
{
    pthread_mutex_lock(&d->lock);
    pci_intx_set(&d->function, level);
    pthread_mutex_unlock(&d->lock);
}

static void pins_share_lines(void **state)
{
    struct fixture *f = *state;
    set_pin(&f->devices[0], true);
    assert_true(f->lines.level[1]);
    assert_int_equal(config(f, 0, STATUS, 2), 0x18);
    set_pin(&f->devices[2], true);
    set_pin(&f->devices[0], false);
    set_pin(&f->devices[0], false);
    assert_true(f->lines.level[1]);
    set_pin(&f->devices[1], true);
    assert_true(f->lines.level[2]);
    set_pin(&f->devices[2], false);
    assert_false(f->lines.level[1]);
    set_config(f, 1, COMMAND, 2, NO_INTX);
    assert_false(f->lines.level[2]);
    assert_int_equal(config(f, 1, COMMAND, 4), 0x180400);
    set_config(f, 1, COMMAND, 2, 0);
    assert_true(f->lines.level[2]);
    set_config(f, 1, 0x40 + 12 + 2, 2, MSIX_ENABLE);
    assert_false(f->lines.level[2]);
}

static void notify(struct device *d, unsigned vector)
{
    pthread_mutex_lock(&d->lock);
    msix_notify(&d->msix, vector);
    pthread_mutex_unlock(&d->lock);
}

static void set_control(struct fixture *f, unsigned bits)
{
    set_config(f, 0, f->devices[0].msix.capability + 2, 2, bits);
    assert_int_equal(config(f, 0, f->devices[0].msix.capability + 2, 2), bits | (VECTORS - 1));
}

static void messages_are_sent(void **state)
{
    struct fixture *f = *state;
    struct device *d = &f->devices[0];
    place(f, 0, HIGH, LOW, MEMORY | MASTER);
    set(f, LOW + 16 * 39, 8, 0x1122334428000003);
    set(f, LOW + 16 * 39 + 8, 8, 77);
    assert_int_equal(get(f, LOW + 16 * 39, 8), 0x1122334428000000);
    assert_int_equal(get(f, LOW + 16 * 39 + 4, 4), 0x11223344);
    assert_int_equal(get(f, LOW + 16 * 39 + 8, 8), 77);
    notify(d, 39);
    assert_int_equal(f->messages, 0);
    assert_false(msix_enabled(&d->msix));
    set_control(f, MSIX_ENABLE);
    assert_int_equal(f->messages, 0);
    notify(d, 39);
    assert_int_equal(f->messages, 1);
    assert_int_equal(f->last.address, 0x1122334428000000);
    assert_int_equal(f->last.data, 77);
    notify(d, 40);
    notify(d, UINT32_MAX);
    assert_int_equal(f->messages, 1);
    set(f, LOW + 16 * 40, 8, UINT64_MAX);
    assert_int_equal(get(f, LOW + 16 * 40, 8), 0);
}

static void masked_messages_wait(void **state)
{
    struct fixture *f = *state;
    struct device *d = &f->devices[0];
    place(f, 0, HIGH, LOW, MEMORY | MASTER);
    set_control(f, MSIX_ENABLE);
    notify(d, 3);
    notify(d, 33);
    notify(d, 33);
    assert_int_equal(get(f, LOW + 0x800, 8), 1ull << 33 | 1 << 3);
    assert_int_equal(get(f, LOW + 0x804, 4), 2);
    set(f, LOW + 0x800, 8, 0);
    assert_int_equal(get(f, LOW + 0x800, 4), 8);
    assert_int_equal(get(f, LOW + 0x808, 8), 0);
    set(f, LOW + 16 * 33 + 8, 4, 5);
    set(f, LOW + 16 * 33 + 12, 4, 0xfffffffe);
    assert_int_equal(f->messages, 1);
    assert_int_equal(f->last.data, 5);
    assert_int_equal(get(f, LOW + 16 * 33 + 12, 4), 0);
    assert_int_equal(get(f, LOW + 0x800, 8), 8);
    set_control(f, MSIX_ENABLE | MSIX_MASK);
    notify(d, 33);
    set(f, LOW + 16 * 3 + 12, 4, 0);
    assert_int_equal(f->messages, 1);
    set_config(f, 0, COMMAND, 2, MEMORY);
    set_control(f, MSIX_ENABLE);
    assert_int_equal(f->messages, 1);
    set_config(f, 0, COMMAND, 2, MEMORY | MASTER);
    assert_int_equal(f->messages, 3);
    assert_int_equal(get(f, LOW + 0x800, 8), 0);
}

static void reset_forgets(void **state)
{
    struct fixture *f = *state;
    place(f, 0, HIGH, LOW, MEMORY | MASTER);
    set(f, LOW, 8, 0x1000);
    set(f, LOW + 8, 8, 1);
    set_pin(&f->devices[0], true);
    pci_function_reset(&f->devices[0].function);
    assert_false(f->lines.level[1]);
    assert_false(sees_device(f, 0, HIGH));
    assert_int_equal(config(f, 0, BAR1, 4), 0);
    place(f, 0, HIGH, LOW, MEMORY | MASTER);
    assert_int_equal(get(f, LOW, 8), 0);
    assert_int_equal(get(f, LOW + 8, 8), 1ull << 32);
}

/* ---- State ---- */

static void the_state_is_described(void **state)
{
    (void)state;
    assert_state_covers(struct pci_function, &pci_function_state);
    assert_state_covers(struct msix, &msix_state);
    assert_state_covers(struct msix_vector, &msix_vector_state);
}

/* Whatever was written, what is fixed stays, and what follows from it does. */
static void random_states_are_harmless(void **state)
{
    struct fixture *f = *state;
    struct device *d = &f->devices[0];
    uint64_t seed = 1;
    for (int i = 0; i < 1000; i++) {
        struct pci_function function = d->function;
        struct msix msix = d->msix;
        state_randomize(&pci_function_state, &function, &seed);
        state_randomize(&msix_state, &msix, &seed);
        assert_true(state_check_round_trip(&pci_function_state, &function, &d->function));
        assert_true(state_check_round_trip(&msix_state, &msix, &d->msix));
        pci_function_loaded(&d->function);
        assert_int_equal(config(f, 0, 0, 4), 0x10421af4);
        assert_int_equal(config(f, 0, 0x34, 1), 0x40);
        assert_int_equal(config(f, 0, 0x40, 2), 0x4c09);
        bool disabled = config(f, 0, COMMAND, 2) & NO_INTX || msix_enabled(&d->msix);
        assert_int_equal(f->lines.level[1], d->function.intx && !disabled);
    }
    state_check_hostile(&pci_function_state, &d->function, NULL);
    state_check_hostile(&msix_state, &d->msix, NULL);
}

static void a_restored_function_is_where_it_was(void **state)
{
    struct fixture *f = *state;
    struct buf out = {0};
    struct pci_function *function = &f->devices[0].function;
    place(f, 0, HIGH + 0x40000, LOW, MEMORY | MASTER);
    set_pin(&f->devices[0], true);
    state_save(&pci_function_state, function, &out);
    pci_function_reset(function);
    assert_int_equal(state_load(&pci_function_state, function, out.data, out.length, NULL, NULL), 0);
    pci_function_loaded(function);
    buf_release(&out);
    assert_true(sees_device(f, 0, HIGH + 0x40000));
    assert_true(f->lines.level[1]);
    assert_int_equal(f->host.asserting[1], 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(functions_identify_themselves),
        TEST(what_is_fixed_stays),
        TEST(capabilities_are_linked),
        TEST(a_place_is_taken_once),
        TEST(bars_decode_where_they_are_put),
        TEST(bars_decode_in_windows_alone),
        TEST(a_covered_bar_comes_back),
        TEST(pins_share_lines),
        TEST(messages_are_sent),
        TEST(masked_messages_wait),
        TEST(reset_forgets),
        TEST(the_state_is_described),
        TEST(random_states_are_harmless),
        TEST(a_restored_function_is_where_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
