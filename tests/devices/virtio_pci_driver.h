/* The driver's side of virtio's PCI transport: finds the registers through configuration space, as drivers do. Include
 * after virtio_driver.h. */
#ifndef TESTS_VIRTIO_PCI_DRIVER_H
#define TESTS_VIRTIO_PCI_DRIVER_H

#include "devices/pci_host.h"
#include "devices/virtio/pci.h"

#define PCI_ECAM 0x30000000ull
#define PCI_LOW  0x40000000ull
#define PCI_HIGH 0x400000000ull
#define PCI_SIZE 0x10000000ull

enum { PCI_SLOT = 3, PCI_COMMAND = 4, PCI_MEMORY = 2, PCI_MASTER = 4, PCI_MSIX_ENABLE = 0x8000 };
enum { PCI_PART_COMMON = 1, PCI_PART_NOTIFY, PCI_PART_ISR, PCI_PART_SPACE, PCI_PART_WINDOW, PCI_PARTS };

struct pci_board {
    struct bus bus;
    struct pci_host host;
    uint64_t parts[PCI_PARTS]; /* gpa; of the window: offset in configuration space */
    uint32_t stride;           /* of notifications */
    unsigned msix;             /* offset in configuration space */
    unsigned messages[64];     /* by data */
    struct driver *driver;
};

static inline uint32_t pci_board_get(struct pci_board *b, uint64_t address, unsigned size)
{
    uint64_t value;
    assert_int_equal(bus_read(&b->bus, address, size, &value), BUS_OK);
    return (uint32_t)value;
}

static inline void pci_board_put(struct pci_board *b, uint64_t address, unsigned size, uint64_t value)
{
    assert_int_equal(bus_write(&b->bus, address, size, value), BUS_OK);
}

static inline uint64_t pci_space(unsigned offset)
{
    return PCI_ECAM + PCI_SLOT * 0x8000 + offset;
}

static inline void pci_board_message(void *object, uint64_t address, uint32_t data)
{
    struct pci_board *b = object;
    assert_int_equal(address, 0x28000000);
    b->messages[data % 64]++;
}

/* Finds each part by its capability. */
static inline void pci_board_find(struct pci_board *b)
{
    unsigned at = pci_board_get(b, pci_space(0x34), 1);
    for (unsigned i = 0; at && i < 16; i++, at = pci_board_get(b, pci_space(at + 1), 1)) {
        uint32_t id = pci_board_get(b, pci_space(at), 1), type = pci_board_get(b, pci_space(at + 3), 1);
        if (id == 0x11)
            b->msix = at;
        if (id != 9 || type >= PCI_PARTS)
            continue;
        assert_int_equal(at % 4, 0);
        b->parts[type] = type == PCI_PART_WINDOW ? at : PCI_HIGH + pci_board_get(b, pci_space(at + 8), 4);
        if (type == PCI_PART_NOTIFY)
            b->stride = pci_board_get(b, pci_space(at + 16), 4);
    }
}

/* BAR 4 at PCI_HIGH, BAR 1 at PCI_LOW. */
static inline void pci_board_place(struct pci_board *b)
{
    pci_board_put(b, pci_space(0x14), 4, PCI_LOW);
    pci_board_put(b, pci_space(0x20), 4, (uint32_t)PCI_HIGH);
    pci_board_put(b, pci_space(0x24), 4, PCI_HIGH >> 32);
    pci_board_put(b, pci_space(PCI_COMMAND), 2, PCI_MEMORY | PCI_MASTER);
}

/* Switches MSI-X on: vector i sends message i. */
static inline void pci_board_msix(struct pci_board *b, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        pci_board_put(b, PCI_LOW + 16 * i, 4, 0x28000000);
        pci_board_put(b, PCI_LOW + 16 * i + 8, 4, i);
        pci_board_put(b, PCI_LOW + 16 * i + 12, 4, 0);
    }
    pci_board_put(b, pci_space(b->msix + 2), 2, PCI_MSIX_ENABLE);
}

/* Plugs a device whose lines are 0 to 3 of `lines`. */
static inline void pci_board_init(struct pci_board *b, struct virtio_pci *pci, struct test_lines *lines)
{
    struct pci_host_config config = {.bus = &b->bus,
                                     .msi = {.send = pci_board_message, .object = b},
                                     .low = {PCI_LOW, PCI_SIZE},
                                     .high = {PCI_HIGH, PCI_SIZE}};
    for (unsigned i = 0; i < PCI_PINS; i++)
        config.lines[i] = test_line(lines, i);
    memset(b, 0, sizeof(*b));
    assert_int_equal(bus_init(&b->bus, NULL), 0);
    assert_int_equal(pci_host_init(&b->host, &config, NULL), 0);
    assert_int_equal(pci_host_plug(&b->host, &pci->function, PCI_SLOT, NULL), 0);
    assert_int_equal(bus_map(&b->bus, &b->host.ecam, PCI_ECAM, NULL), 0);
    pci_board_place(b);
    pci_board_find(b);
}

static inline void pci_board_release(struct pci_board *b)
{
    pci_host_release(&b->host);
    bus_release(&b->bus);
}

/* ---- As a transport ---- */

static inline uint32_t pci_common_get(struct driver *d, unsigned offset, unsigned size)
{
    struct pci_board *b = d->object;
    return pci_board_get(b, b->parts[PCI_PART_COMMON] + offset, size);
}

static inline void pci_common_put(struct driver *d, unsigned offset, unsigned size, uint32_t value)
{
    struct pci_board *b = d->object;
    pci_board_put(b, b->parts[PCI_PART_COMMON] + offset, size, value);
}

static inline uint8_t pci_get_status(struct driver *d)
{
    return (uint8_t)pci_common_get(d, 20, 1);
}

static inline void pci_set_status(struct driver *d, uint8_t status)
{
    pci_common_put(d, 20, 1, status);
}

static inline uint32_t pci_offered(struct driver *d, uint32_t select)
{
    pci_common_put(d, 0, 4, select);
    return pci_common_get(d, 4, 4);
}

static inline void pci_accept(struct driver *d, uint32_t select, uint32_t features)
{
    pci_common_put(d, 8, 4, select);
    pci_common_put(d, 12, 4, features);
}

/* Queue i has vector i + 1, where there is MSI-X. */
static inline void pci_setup(struct driver *d, unsigned queue, unsigned size, uint64_t desc, uint64_t avail,
                             uint64_t used)
{
    const uint64_t addresses[] = {desc, avail, used};
    pci_common_put(d, 22, 2, queue);
    pci_common_put(d, 24, 2, size);
    pci_common_put(d, 26, 2, queue + 1);
    for (unsigned i = 0; i < 3; i++) {
        pci_common_put(d, 32 + 8 * i, 4, (uint32_t)addresses[i]);
        pci_common_put(d, 36 + 8 * i, 4, (uint32_t)(addresses[i] >> 32));
    }
    pci_common_put(d, 28, 2, 1);
}

static inline void pci_notify(struct driver *d, unsigned queue)
{
    struct pci_board *b = d->object;
    pci_common_put(d, 22, 2, queue);
    uint32_t offset = pci_common_get(d, 30, 2) * b->stride;
    pci_board_put(b, b->parts[PCI_PART_NOTIFY] + offset, 2, queue);
}

static inline uint64_t pci_config(struct driver *d, unsigned offset, unsigned size)
{
    struct pci_board *b = d->object;
    return pci_board_get(b, b->parts[PCI_PART_SPACE] + offset, size);
}

static const struct driver_transport driver_pci = {pci_get_status, pci_set_status, pci_offered, pci_accept,
                                                   pci_setup,      pci_notify,     pci_config};

#endif
