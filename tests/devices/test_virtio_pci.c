/* Virtio's PCI transport, driven through a block device. */
#include "devices/virtio/block.h"
#include "devices/virtio/pci.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "fixture.h"
#include "state_check.h"
#include "test_disk.h"
#include "virtio_driver.h"
#include "virtio_pci_driver.h"

enum { QUEUES = 2, LINE = PCI_SLOT % PCI_PINS };

struct fixture {
    struct driver driver;
    struct pci_board board;
    struct virtio_block block;
    struct virtio_pci pci;
    struct test_disk disk;
    struct test_lines lines;
};

static int start(void **state)
{
    static struct fixture f;
    *state = &f;
    memset(&f.lines, 0, sizeof(f.lines));
    test_disk_init(&f.disk);
    driver_init(&f.driver);
    virtio_block_init(&f.block, &f.disk.block, "disk", QUEUES, &f.driver.mem, f.driver.runner);
    virtio_pci_init(&f.pci, &f.block.device);
    pci_board_init(&f.board, &f.pci, &f.lines);
    f.driver.transport = &driver_pci;
    f.driver.object = &f.board;
    return 0;
}

static int stop(void **state)
{
    struct fixture *f = *state;
    pci_board_release(&f->board);
    virtio_block_release(&f->block);
    driver_release(&f->driver);
    return 0;
}

/* Reads a sector by a queue; true when that came to an end. */
static bool read_sector(struct fixture *f, unsigned queue)
{
    struct driver *d = &f->driver;
    uint32_t header[4] = {0}, head, written;
    uint64_t at = driver_alloc(d, 1024);
    driver_put(d, at, header, sizeof(header));
    struct driver_segment s[] = {{at, 16, false}, {at + 16, 512, true}, {at + 528, 1, true}};
    driver_add(d, &d->queues[queue], s, 3);
    driver_kick(d, &d->queues[queue]);
    if (!driver_used(d, &d->queues[queue], &head, &written))
        return false;
    assert_int_equal(written, 513);
    assert_memory_equal(gmem_slice(&d->mem, at + 16, 512, GMEM_READ), f->disk.data, 512);
    return true;
}

static void it_is_found(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(pci_board_get(&f->board, pci_space(0), 4), 0x10421af4);
    assert_int_equal(pci_board_get(&f->board, pci_space(8), 4), 0x01800001);
    for (unsigned part = PCI_PART_COMMON; part < PCI_PARTS; part++)
        assert_true(f->board.parts[part]);
    assert_int_equal(pci_common_get(&f->driver, 18, 2), QUEUES);
    assert_int_equal(pci_board_get(&f->board, pci_space(f->board.msix + 2), 2), QUEUES);
    assert_int_equal(pci_config(&f->driver, 0, 4), TEST_DISK_LENGTH / 512);
}

static void a_driver_without_msix_uses_the_pin(void **state)
{
    struct fixture *f = *state;
    driver_start(&f->driver, UINT64_MAX, QUEUES, 64);
    assert_true(read_sector(f, 0));
    assert_true(f->lines.level[LINE]);
    assert_true(pci_board_get(&f->board, pci_space(6), 2) & 8);
    assert_int_equal(pci_board_get(&f->board, f->board.parts[PCI_PART_ISR], 1), 1);
    assert_false(f->lines.level[LINE]);
    assert_int_equal(pci_board_get(&f->board, f->board.parts[PCI_PART_ISR], 1), 0);
    assert_int_equal(f->lines.raised[LINE], 1);
}

static void each_queue_has_its_vector(void **state)
{
    struct fixture *f = *state;
    pci_board_msix(&f->board, QUEUES + 1);
    driver_start(&f->driver, UINT64_MAX, QUEUES, 64);
    pci_common_put(&f->driver, 16, 2, 0);
    assert_true(read_sector(f, 1));
    assert_int_equal(f->board.messages[2], 1);
    assert_int_equal(f->board.messages[1], 0);
    assert_true(read_sector(f, 0));
    assert_int_equal(f->board.messages[1], 1);
    assert_false(f->lines.level[LINE]);
    driver_add(&f->driver, &f->driver.queues[0], &(struct driver_segment){0, 1, false}, 1);
    driver_kick(&f->driver, &f->driver.queues[0]);
    assert_true(driver_needs_reset(&f->driver));
    assert_int_equal(f->board.messages[0], 1);
}

static void vectors_that_are_not_there_are_none(void **state)
{
    struct fixture *f = *state;
    pci_board_msix(&f->board, QUEUES + 1);
    driver_start(&f->driver, UINT64_MAX, QUEUES, 64);
    pci_common_put(&f->driver, 22, 2, 0);
    pci_common_put(&f->driver, 26, 2, QUEUES + 1);
    assert_int_equal(pci_common_get(&f->driver, 26, 2), 0xffff);
    assert_int_equal(pci_common_get(&f->driver, 16, 2), 0xffff);
    assert_true(read_sector(f, 0));
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(f->board.messages[i], 0);
}

static void fields_have_their_width(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(pci_common_get(&f->driver, 20, 2), 0);
    assert_int_equal(pci_common_get(&f->driver, 24, 4), 0);
    pci_common_put(&f->driver, 20, 4, 1);
    assert_int_equal(pci_get_status(&f->driver), 0);
    pci_common_put(&f->driver, 22, 2, QUEUES);
    assert_int_equal(pci_common_get(&f->driver, 24, 2), 0);
    pci_common_put(&f->driver, 24, 2, 16);
    pci_common_put(&f->driver, 28, 2, 1);
    assert_int_equal(pci_common_get(&f->driver, 28, 2), 0);
    pci_common_put(&f->driver, 22, 2, 1);
    pci_common_put(&f->driver, 40, 4, 0x12345678);
    pci_common_put(&f->driver, 44, 4, 0x9abcdef0);
    assert_int_equal(pci_common_get(&f->driver, 40, 4), 0x12345678);
    assert_int_equal(pci_common_get(&f->driver, 44, 4), 0x9abcdef0);
    assert_int_equal(f->block.queues[1].avail, 0x9abcdef012345678);
}

static void a_function_that_is_no_master_touches_no_memory(void **state)
{
    struct fixture *f = *state;
    driver_start(&f->driver, UINT64_MAX, QUEUES, 64);
    pci_board_put(&f->board, pci_space(PCI_COMMAND), 2, PCI_MEMORY);
    assert_false(read_sector(f, 0));
    pci_board_put(&f->board, pci_space(PCI_COMMAND), 2, PCI_MEMORY | PCI_MASTER);
    assert_true(read_sector(f, 0));
}

/* ---- The window in configuration space ---- */

static uint32_t window(struct fixture *f, uint64_t part, unsigned offset, unsigned size, bool write,
                       uint32_t value)
{
    struct pci_board *b = &f->board;
    uint64_t at = pci_space((unsigned)b->parts[PCI_PART_WINDOW]);
    pci_board_put(b, at + 4, 1, 4);
    pci_board_put(b, at + 8, 4, part - PCI_HIGH + offset);
    pci_board_put(b, at + 12, 4, size);
    if (write)
        pci_board_put(b, at + 16, 4, value);
    return write ? 0 : pci_board_get(b, at + 16, 4);
}

static void registers_are_reached_through_configuration_space(void **state)
{
    struct fixture *f = *state;
    struct pci_board *b = &f->board;
    uint32_t head, written;
    driver_start(&f->driver, UINT64_MAX, QUEUES, 64);
    assert_int_equal(window(f, b->parts[PCI_PART_COMMON], 20, 1, false, 0), 15);
    assert_int_equal(window(f, b->parts[PCI_PART_SPACE], 0, 4, false, 0), TEST_DISK_LENGTH / 512);
    uint64_t at = driver_alloc(&f->driver, 32);
    driver_put(&f->driver, at, (uint32_t[4]){4}, 16);
    struct driver_segment s[] = {{at, 16, false}, {at + 16, 1, true}};
    driver_add(&f->driver, &f->driver.queues[1], s, 2);
    window(f, b->parts[PCI_PART_NOTIFY], b->stride, 2, true, 1);
    test_tasks_run(&f->driver.tasks, 1);
    assert_true(driver_used(&f->driver, &f->driver.queues[1], &head, &written));
    assert_int_equal(f->disk.flushes, 1);
    window(f, b->parts[PCI_PART_COMMON], 20, 1, true, 0);
    assert_int_equal(pci_get_status(&f->driver), 0);
    assert_int_equal(window(f, b->parts[PCI_PART_COMMON], 0x4000, 4, false, 0), 0);
    assert_int_equal(window(f, b->parts[PCI_PART_COMMON], 21, 2, false, 0), 0);
}

/* A reset by way of configuration space waits for the backend, too. */
static void a_reset_waits_for_what_is_under_way(void **state)
{
    struct fixture *f = *state;
    f->disk.keeps = true;
    driver_start(&f->driver, UINT64_MAX, QUEUES, 64);
    assert_false(read_sector(f, 0));
    assert_int_equal(f->disk.count, 1);
    window(f, f->board.parts[PCI_PART_COMMON], 20, 1, true, 0);
    assert_int_equal(f->disk.count, 0);
    f->disk.keeps = false;
    driver_start(&f->driver, UINT64_MAX, QUEUES, 64);
    assert_true(read_sector(f, 0));
}

/* ---- Reset and state ---- */

static void a_reset_of_the_machine_clears_all(void **state)
{
    struct fixture *f = *state;
    driver_start(&f->driver, UINT64_MAX, QUEUES, 64);
    assert_true(read_sector(f, 0));
    virtio_pci_reset(&f->pci);
    assert_false(f->lines.level[LINE]);
    assert_int_equal(f->block.device.status, 0);
    assert_null(bus_find(&f->board.bus, PCI_HIGH, NULL)->lock);
    assert_ptr_not_equal(bus_find(&f->board.bus, PCI_HIGH, NULL)->device, &f->pci);
    pci_board_place(&f->board);
    driver_start(&f->driver, UINT64_MAX, QUEUES, 64);
    assert_true(read_sector(f, 0));
}

static void a_machine_goes_on_from_saved_state(void **state)
{
    struct fixture *f = *state;
    struct buf device = {0}, pci = {0};
    assert_state_covers(struct virtio_pci, &virtio_pci_state);
    driver_start(&f->driver, UINT64_MAX, QUEUES, 64);
    assert_true(read_sector(f, 0));
    state_save(&virtio_block_state, &f->block, &device);
    state_save(&virtio_pci_state, &f->pci, &pci);
    virtio_pci_reset(&f->pci);
    assert_false(f->lines.level[LINE]);
    assert_int_equal(state_load(&virtio_block_state, &f->block, device.data, device.length, NULL, NULL), 0);
    assert_int_equal(state_load(&virtio_pci_state, &f->pci, pci.data, pci.length, NULL, NULL), 0);
    assert_true(f->lines.level[LINE]);
    assert_int_equal(pci_board_get(&f->board, f->board.parts[PCI_PART_ISR], 1), 1);
    assert_true(read_sector(f, 0));
    state_check_hostile(&virtio_pci_state, &f->pci, NULL);
    buf_release(&device);
    buf_release(&pci);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(it_is_found),
        TEST(a_driver_without_msix_uses_the_pin),
        TEST(each_queue_has_its_vector),
        TEST(vectors_that_are_not_there_are_none),
        TEST(fields_have_their_width),
        TEST(a_function_that_is_no_master_touches_no_memory),
        TEST(registers_are_reached_through_configuration_space),
        TEST(a_reset_waits_for_what_is_under_way),
        TEST(a_reset_of_the_machine_clears_all),
        TEST(a_machine_goes_on_from_saved_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
