/* A hostile driver: virtio devices behind both transports, with registers, rings, descriptors and their contents at
 * random, backends that fail or are slow, and states saved and loaded in between. Sanitizers watch; whatever the guest
 * did, a saved state is one that loads and is saved again as it was, and after a reset the device works.
 *
 * With libFuzzer (-DGUISE_LIBFUZZER -fsanitize=fuzzer) LLVMFuzzerTestOneInput() is all. Without it the program makes
 * its own input from a seed: fuzz_virtio [RUNS [SEED]]. */
#include "devices/virtio/block.h"
#include "devices/virtio/console.h"
#include "devices/virtio/entropy.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/net.h"
#include "devices/virtio/pci.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef assert
#define assert(x)                             \
    do {                                      \
        if (!(x)) {                           \
            fprintf(stderr, "not: %s\n", #x); \
            abort();                          \
        }                                     \
    } while (0)
#define assert_true(x)               assert(x)
#define assert_false(x)              assert(!(x))
#define assert_int_equal(a, b)       assert((a) == (b))
#define assert_int_not_equal(a, b)   assert((a) != (b))
#define assert_memory_equal(a, b, n) assert(!memcmp(a, b, n))

#include "driver.h"
#include "fixture.h"
#include "test_disk.h"
#include "test_net.h"
#include "virtio_driver.h"
#include "virtio_pci_driver.h"

/* Of memory the guest uses the first pages; behind it lie a block of ROM and nothing. */
enum {
    USED = 0x8000,
    ROM_LENGTH = 0x1000,
    QUEUE_SIZE = 16,
    QUEUE_BYTES = 0x400,
    DATA = 0x3000,
};

enum kind { BLOCK, NET, CONSOLE, ENTROPY, KINDS };

static struct world {
    struct driver driver;
    struct pci_board board;
    struct test_lines lines;
    struct test_disk disk;
    struct test_net net;
    struct test_console console;
    struct virtio_block block;
    struct virtio_net vn;
    struct virtio_console vc;
    struct virtio_entropy entropy;
    struct virtio_mmio mmio;
    struct virtio_pci pci;

    enum kind kind;
    bool on_pci;
    bool polite; /* most of what the driver does is well-formed, so that a run gets far */
    struct virtio_device *device;
} world;

static const struct {
    const struct state_table *table;
    void *object;
} devices[KINDS] = {
    [BLOCK] = {&virtio_block_state, &world.block},
    [NET] = {&virtio_net_state, &world.vn},
    [CONSOLE] = {&virtio_console_state, &world.vc},
    [ENTROPY] = {&virtio_entropy_state, &world.entropy},
};

/* ---- The world ---- */

static ssize_t no_entropy(void *to, size_t length, unsigned flags)
{
    memset(to, 0x5a, length);
    return length % 64 == 63 ? -1 : (ssize_t)(length / (1 + flags));
}

static void world_start(struct world *w)
{
    driver_init(&w->driver);
    assert_int_equal(gmem_add(&w->driver.mem, GMEM_ROM, DRIVER_RAM + DRIVER_RAM_LENGTH, ROM_LENGTH, NULL), 0);
    assert_int_equal(bus_init(&w->board.bus, NULL), 0);
}

static void device_init(struct world *w)
{
    static const uint8_t mac[VIRTIO_NET_MAC] = {2};
    const struct gmem *mem = &w->driver.mem;
    struct task_runner runner = w->driver.runner;
    struct virtio_device *const all[KINDS] = {&w->block.device, &w->vn.device, &w->vc.device,
                                              &w->entropy.device};
    switch (w->kind) {
    case BLOCK: virtio_block_init(&w->block, &w->disk.block, "disk", 2, mem, runner); break;
    case NET: virtio_net_init(&w->vn, &w->net.net, mac, 2, mem, runner); break;
    case CONSOLE: virtio_console_init(&w->vc, &w->console.console, mem, runner); break;
    default: virtio_entropy_init(&w->entropy, no_entropy, mem, runner); break;
    }
    w->device = all[w->kind];
}

static void on_message(void *object, uint64_t address, uint32_t data)
{
    (void)data;
    (void)object;
    assert(address % 4 == 0);
}

static void pci_start(struct world *w)
{
    struct pci_board *b = &w->board;
    struct pci_host_config config = {.bus = &b->bus,
                                     .msi = {.send = on_message},
                                     .low = {PCI_LOW, PCI_SIZE},
                                     .high = {PCI_HIGH, PCI_SIZE}};
    b->bus.behind_count = 0; /* of the run before */
    for (unsigned i = 0; i < PCI_PINS; i++)
        config.lines[i] = test_line(&w->lines, i);
    virtio_pci_init(&w->pci, w->device);
    assert_int_equal(pci_host_init(&b->host, &config, NULL), 0);
    assert_int_equal(pci_host_plug(&b->host, &w->pci.function, PCI_SLOT, NULL), 0);
    assert_int_equal(bus_map(&b->bus, &b->host.ecam, PCI_ECAM, NULL), 0);
    pci_board_place(b);
    pci_board_find(b);
}

static void run_start(struct world *w, unsigned what)
{
    w->kind = what % KINDS;
    w->on_pci = what / KINDS % 2;
    w->polite = what / KINDS / 2 % 2;
    memset(gmem_slice(&w->driver.mem, DRIVER_RAM, USED, GMEM_WRITE), 0, USED);
    memset(&w->lines, 0, sizeof(w->lines));
    w->driver.runner = test_tasks_init(&w->driver.tasks);
    test_disk_init(&w->disk);
    test_net_init(&w->net, 1);
    test_console_init(&w->console, 64);
    w->disk.block.read_only = what / KINDS / 4 % 8 == 7;
    device_init(w);
    w->driver.transport = w->on_pci ? &driver_pci : &driver_mmio;
    w->driver.object = w->on_pci ? (void *)&w->board : (void *)&w->mmio;
    if (w->on_pci)
        pci_start(w);
    else
        virtio_mmio_init(&w->mmio, w->device, test_line(&w->lines, 0));
}

static void run_stop(struct world *w)
{
    if (w->on_pci) {
        virtio_pci_reset(&w->pci);
        bus_unmap(&w->board.bus, &w->board.host.ecam);
        pci_host_release(&w->board.host);
    } else {
        virtio_mmio_reset(&w->mmio);
    }
    test_tasks_run(&w->driver.tasks, 4);
    switch (w->kind) {
    case BLOCK: virtio_block_release(&w->block); break;
    case NET: virtio_net_release(&w->vn); break;
    case CONSOLE: virtio_console_release(&w->vc); break;
    default: virtio_entropy_release(&w->entropy); break;
    }
}

/* ---- What must hold ---- */

static void check_state(const struct state_table *table, void *object)
{
    struct buf first = {0}, second = {0};
    state_save(table, object, &first);
    assert_int_equal(state_load(table, object, first.data, first.length, NULL, NULL), 0);
    state_save(table, object, &second);
    assert(first.length == second.length && !memcmp(first.data, second.data, first.length));
    buf_release(&first);
    buf_release(&second);
}

static void check_states(struct world *w)
{
    test_disk_drain(&w->disk.block);
    struct test_lines before = w->lines;
    check_state(devices[w->kind].table, devices[w->kind].object);
    if (w->on_pci)
        check_state(&virtio_pci_state, &w->pci);
    else
        check_state(&virtio_mmio_state, &w->mmio);
    assert(!memcmp(before.level, w->lines.level, sizeof(before.level)));
}

static struct driver_segment segment(struct world *w, uint32_t length, bool writable)
{
    return (struct driver_segment){driver_alloc(&w->driver, length), length, writable};
}

/* After a reset the device does what it is there for. */
static void check_works(struct world *w)
{
    struct driver *d = &w->driver;
    unsigned queue = w->kind == CONSOLE || w->kind == NET;
    uint32_t head, written;
    w->disk.keeps = false;
    w->disk.result = 0;
    w->net.room = 1000;
    w->console.room = 1000;
    if (w->on_pci)
        pci_board_place(&w->board);
    driver_start(d, UINT64_MAX, queue + 1, QUEUE_SIZE);
    struct driver_segment s[] = {segment(w, 32, false), segment(w, 512, true), segment(w, 1, true)};
    memset(gmem_slice(&d->mem, s[0].gpa, 32, GMEM_WRITE), 0, 32);
    s[0].length = w->kind == BLOCK ? 16 : 32;
    unsigned first = w->kind == ENTROPY, count = w->kind == BLOCK ? 3 : 1;
    driver_add(d, &d->queues[queue], s + first, count);
    driver_kick(d, &d->queues[queue]);
    assert(driver_used(d, &d->queues[queue], &head, &written));
    assert_false(driver_needs_reset(d));
    assert_int_equal(written, w->kind == BLOCK ? 513 : w->kind == ENTROPY ? 512 : 0);
}

/* ---- Steps ---- */

struct step {
    uint8_t what, a;
    uint16_t b;
    uint32_t c;
    uint64_t value;
};

/* Numbers that mean something somewhere. */
static const uint32_t telling[] = {0,    1,     2,     4,      8,      11,       12,         13,
                                   16,   20,    32,    512,    513,    1024,     4096,       0x8000,
                                   0xff, 0x100, 0xfff, 0x7fff, 0xffff, 0x200000, 0x7fffffff, 0xffffffff};

static uint32_t tell(uint64_t random)
{
    return random % 4 ? telling[random / 4 % ARRAY_SIZE(telling)] : (uint32_t)(random >> 8);
}

static uint64_t somewhere(uint64_t random)
{
    switch (random % 16) {
    case 0: return DRIVER_RAM + DRIVER_RAM_LENGTH - tell(random >> 4) % 64;
    case 1: return DRIVER_RAM - tell(random >> 4) % 64;
    case 2: return random << (random >> 58);
    case 3: return DRIVER_RAM + DRIVER_RAM_LENGTH + (random >> 8) % ROM_LENGTH;
    default: return DRIVER_RAM + (random >> 8) % USED;
    }
}

static uint64_t queue_at(unsigned queue)
{
    return DRIVER_RAM + QUEUE_BYTES * queue;
}

/* A driver that behaves, as far as here: queues at queue_at(). */
static void start(struct world *w, const struct step *s)
{
    struct driver *d = &w->driver;
    uint64_t features = s->a % 4 ? UINT64_MAX : s->value | VIRTIO_F_VERSION_1;
    unsigned count = MIN(w->device->config.queue_count, (unsigned)DRIVER_QUEUES);
    if (w->on_pci)
        pci_board_place(&w->board);
    if (w->on_pci && s->b % 2)
        pci_board_msix(&w->board, 2);
    driver_negotiate(d, driver_offered(d) & features);
    for (unsigned i = 0; i < count; i++) {
        struct driver_queue *q = &d->queues[i];
        *q = (struct driver_queue){.index = i, .size = QUEUE_SIZE};
        q->desc = queue_at(i);
        q->avail = q->desc + 16 * QUEUE_SIZE;
        q->used = q->avail + 8 + 2 * QUEUE_SIZE;
        driver_put16(d, q->avail + 2, 0);
        d->transport->setup(d, i, QUEUE_SIZE, q->desc, q->avail, q->used);
    }
    d->transport->set_status(d, 15);
}

static struct driver_queue *queue(struct world *w, const struct step *s)
{
    struct driver_queue *q =
        &w->driver.queues[s->a % MIN(w->device->config.queue_count, (unsigned)DRIVER_QUEUES)];
    q->size = QUEUE_SIZE;
    if (!q->desc)
        q->desc = queue_at(0), q->avail = q->desc + 16 * QUEUE_SIZE;
    return q;
}

/* A chain that might be a request of the device's: what is read, then what is written. */
static void offer(struct world *w, const struct step *s)
{
    struct driver *d = &w->driver;
    struct driver_segment segments[6];
    unsigned count = 1 + s->b % 6, readable = s->b / 8 % (count + 1);
    uint64_t random = s->value;
    uint64_t table = DRIVER_RAM + DATA + (s->c % 16) * 0x100;
    for (unsigned i = 0; i < count; i++, random = random * 0x9e3779b97f4a7c15 + 1) {
        uint32_t length = s->b & 0x4000 ? tell(random >> 20) : telling[8 + (random >> 20) % 6];
        uint64_t gpa = s->b & 0x8000 ? somewhere(random) : DRIVER_RAM + DATA + (random >> 12) % 0x3000;
        segments[i] = (struct driver_segment){gpa, length, i >= readable};
    }
    if (count > 1 && readable && s->b & 0x2000) { /* a header and a status of the right size */
        uint32_t header[4] = {tell(random >> 30) % 16, 0, (uint32_t)(random >> 40) % 140, 0};
        if (w->kind == NET) /* class, command and number of pairs, or flags and kind of segmentation */
            header[0] |= (uint32_t)((random >> 50 & 1) << 8 | (random >> 52 & 3) << 16);
        segments[0] = (struct driver_segment){table + 0x80, w->kind == NET ? 12 : 16, false};
        segments[count - 1].length = 1;
        driver_put(d, table + 0x80, header, sizeof(header));
    }
    if (s->b & 0x1000) {
        driver_lay(d, table, 0, segments, count);
        driver_desc(d, queue(w, s)->desc, 0, (struct virtq_desc){table, 16 * count, DESC_INDIRECT, 0});
        driver_avail(d, queue(w, s), 0);
    } else {
        driver_add(d, queue(w, s), segments, count);
    }
}

static void access_mmio(struct world *w, const struct step *s)
{
    struct bus_access a = {.address = s->b % (s->a & 0x80 ? 0x140u : 0xb0u),
                           .value = s->c % 2 ? tell(s->value) : somewhere(s->value) >> (s->c % 4 / 2 * 32),
                           .size = (uint8_t)(1 << (s->a % 8 ? 2 : s->a / 8 % 4)),
                           .is_write = s->c & 4};
    a.address &= ~(uint64_t)(a.size - 1);
    bus_region_access(&w->mmio.region, &a);
}

static void access_pci(struct world *w, const struct step *s)
{
    const struct pci_board *b = &w->board;
    const uint64_t bases[] = {b->parts[PCI_PART_COMMON],
                              b->parts[PCI_PART_COMMON],
                              b->parts[PCI_PART_NOTIFY],
                              b->parts[PCI_PART_ISR],
                              b->parts[PCI_PART_SPACE],
                              pci_space(0x40),
                              pci_space(0),
                              PCI_LOW};
    uint64_t base = bases[s->a % 8],
             value = s->c % 2 ? tell(s->value) : somewhere(s->value) >> (s->c % 4 / 2 * 32);
    unsigned size = 1u << s->c / 8 % 3;
    uint64_t address = (base + s->b % (s->a % 8 < 5 ? 64u : 192u)) & ~(uint64_t)(size - 1);
    if (s->c & 4)
        bus_write(&w->board.bus, address, size, value);
    else
        bus_read(&w->board.bus, address, size, &value);
}

static void backend_event(struct world *w, const struct step *s)
{
    static const uint8_t frame[3000] = {[12] = 8, [26] = 1};
    size_t length = NET_MIN_FRAME + s->b % (sizeof(frame) - NET_MIN_FRAME);
    switch (w->kind) {
    case BLOCK:
        w->disk.keeps = s->a & 1;
        w->disk.result = s->a % 16 == 15 ? -EIO : 0;
        if (w->disk.count)
            test_disk_finish(&w->disk, s->b % w->disk.count, s->a % 8 == 7 ? -EIO : 0);
        break;
    case NET:
        if (s->a & 1)
            test_net_deliver(&w->net, frame, length);
        else
            test_net_make_room(&w->net, s->b % 4);
        break;
    case CONSOLE:
        if (s->a % 4 == 0)
            test_console_make_room(&w->console, s->b % 64);
        else if (s->a % 4 == 1)
            w->console.console.client_ops->resized(&w->vc, s->b, s->c);
        else
            test_console_type(&w->console, &"0123456789abcdefghij"[s->b % 20]);
        break;
    default: break;
    }
}

/* Of a polite driver the headers and addresses are good, and it writes no descriptors but for requests. */
static struct step made_polite(const struct step *s)
{
    struct step polite = *s;
    polite.b = (s->b & 0x3fff) | 0x2000;
    if (s->what % 16 == 5 || s->what % 16 == 6 || s->what % 16 == 11)
        polite.what = 1;
    return polite;
}

static void step(struct world *w, const struct step *s)
{
    struct driver *d = &w->driver;
    switch (s->what % 16) {
    case 0: start(w, s); break;
    case 1:
    case 2:
    case 3:
    case 4: offer(w, s); break;
    case 5:
        driver_desc(d, queue(w, s)->desc, s->b % QUEUE_SIZE,
                    (struct virtq_desc){somewhere(s->value), tell(s->c), s->b >> 8 & 7, s->b >> 11 & 31});
        break;
    case 6: driver_avail(d, queue(w, s), (uint16_t)(s->b % (QUEUE_SIZE + (s->b >> 15)))); break;
    case 7:
    case 8:
    case 9:
    case 10:
        virtio_kick(w->device, s->a % 8);
        test_tasks_run(&d->tasks, 2);
        break;
    case 11:
        if (s->b % 4 == 0)
            gmem_write(&d->mem, somewhere(s->value), &s->c, sizeof(s->c));
        break;
    case 12:
    case 13: backend_event(w, s); break;
    case 14:
        if (s->b % 8 == 0)
            check_states(w);
        break;
    default: w->on_pci ? access_pci(w, s) : access_mmio(w, s); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct step s = {0};
    if (!world.driver.mem.count)
        world_start(&world);
    run_start(&world, size ? data[0] : 0);
    start(&world, &s);
    for (; size >= sizeof(s); data += sizeof(s), size -= sizeof(s)) {
        memcpy(&s, data, sizeof(s));
        if (world.polite && s.what < 240)
            s = made_polite(&s);
        step(&world, &s);
    }
    check_states(&world);
    check_works(&world);
    run_stop(&world);
    return 0;
}

#ifndef GUISE_LIBFUZZER

int main(int argc, char **argv)
{
    fuzz_drive("fuzz_virtio", argc, argv, fuzz_steps, NULL);
    if (world.driver.mem.count) {
        bus_release(&world.board.bus);
        driver_release(&world.driver);
    }
    return 0;
}

#endif
