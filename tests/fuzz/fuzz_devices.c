/* Register accesses at random, as a hostile guest would make them, with time passing, characters coming, and states
 * saved and loaded in between. Sanitizers watch; and whatever the guest did, a state that was saved is one that loads,
 * is saved again as it was, and leaves each line as it is.
 *
 * With libFuzzer (-DGUISE_LIBFUZZER -fsanitize=fuzzer) LLVMFuzzerTestOneInput() is all. Without it the program makes
 * its own input from a seed: fuzz_devices [RUNS [SEED]]. */
#include "devices/aclint.h"
#include "devices/aplic.h"
#include "devices/finisher.h"
#include "devices/imsic.h"
#include "devices/msix.h"
#include "devices/pci_host.h"
#include "devices/plic.h"
#include "devices/rtc.h"
#include "devices/uart.h"

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
#define assert_int_equal(a, b) assert((a) == (b))

#include "driver.h"
#include "fixture.h"
#include "test_clock.h"

enum {
    HARTS = 4,
    CONTEXTS = 8,
    UART_SOURCE = 10,
    RTC_SOURCE = 11,
    MSIP = 64,
    MTIP = 96,
    SSIP = 128,
    DIRECT = 160, /* lines of the APLIC that has them; then of the IMSIC */
    FILES = 176,
    FUNCTIONS = 2,
    VECTORS = 5
};

#define ECAM          0x30000000ull
#define PCI_REGISTERS 0x401000000ull /* where the first function's BARs are to begin with */
#define PCI_MSIX      0x40000000ull

#define APLIC_DIRECT  0xd000000ull /* both domains, one after the other */
#define APLIC_SENDS   0xe000000ull
#define DOMAIN        0x10000
#define IMSIC         0x28000000ull

struct function {
    struct pci_function function;
    struct msix msix;
    pthread_mutex_t lock;
};

static struct board {
    struct bus bus;
    struct test_clock time;
    struct clock_ticks ticks;
    struct test_console console;
    struct test_lines lines;
    struct plic plic;
    struct aplic direct, sends;
    struct imsic imsic;
    struct aclint aclint;
    struct uart uart;
    struct rtc rtc;
    struct finisher finisher;
    struct pci_host host;
    struct function functions[FUNCTIONS]; /* devices 1 and 2 */
} board;

static const struct {
    const struct state_table *table;
    void *object;
} saved[] = {{&uart_state, &board.uart},
             {&rtc_state, &board.rtc},
             {&aclint_state, &board.aclint},
             {&plic_state, &board.plic},
             {&aplic_state, &board.direct},
             {&aplic_state, &board.sends},
             {&imsic_state, &board.imsic},
             {&pci_function_state, &board.functions[0].function},
             {&msix_state, &board.functions[0].msix},
             {&pci_function_state, &board.functions[1].function},
             {&msix_state, &board.functions[1].msix}};

/* Where there is something to access: `count` registers, `stride` bytes apart. */
static const struct {
    uint64_t base;
    uint32_t stride, count;
} spots[] = {
    {0x10000000, 1, 8},
    {0x101000, 4, 9},
    {0x100000, 4, 2},
    {0x2000000, 4, HARTS + 1},
    {0x2004000, 4, 9},
    {0x200bff8, 4, 2},
    {0x2f00000, 4, HARTS + 1},
    {0xc000000, 4, 10},
    {0xc001000, 4, 4},
    {0xc002000, 0x80, CONTEXTS},
    {0xc200000, 4096, CONTEXTS},
    {0xc200004, 4096, CONTEXTS},
    {ECAM + 0x8000, 2, 64},
    {ECAM + 0x10000, 4, 32},
    {ECAM + 0x8010, 4, 6},
    {ECAM, 4096, 256},
    {PCI_REGISTERS, 4, 4},
    {PCI_MSIX, 4, 4 * VECTORS},
    {PCI_MSIX + 0x800, 4, 2},
    {APLIC_DIRECT, 4, 16},
    {APLIC_DIRECT + DOMAIN, 4, 16},
    {APLIC_DIRECT + 0x1bc0, 4, 0x140},
    {APLIC_DIRECT + DOMAIN + 0x1bc0, 4, 0x140},
    {APLIC_DIRECT + 0x3000, 4, 16},
    {APLIC_DIRECT + DOMAIN + 0x3000, 4, 16},
    {APLIC_DIRECT + 0x4000, 4, 8 * HARTS + 8},
    {APLIC_DIRECT + DOMAIN + 0x4000, 4, 8 * HARTS + 8},
    {APLIC_SENDS, 4, 16},
    {APLIC_SENDS + DOMAIN, 4, 16},
    {APLIC_SENDS + DOMAIN + 0x1bc0, 4, 0x140},
    {APLIC_SENDS + DOMAIN + 0x3000, 4, 16},
    {IMSIC, 4, 4},
    {IMSIC, IMSIC_PAGE, HARTS},
};

/* A run has to do with all of them or with some, so that it gets deep into those. */
static const struct {
    uint8_t first, count;
} focuses[] = {{0, 33}, {0, 1}, {1, 2}, {3, 4}, {7, 5}, {12, 7}, {19, 8}, {27, 6}};

/* Values that mean something somewhere. */
static const uint32_t telling[] = {0x5555, 0x3333,     0x7777, 0x80000000, 0x40000, 6,
                                   0x406,  0xffffffff, 0x80,   0x1f,       0x10,    0xc1};

static void on_request(void *machine, enum finisher_request request, unsigned status)
{
    (void)machine;
    assert(request <= FINISHER_REQUEST_REBOOT && status <= 0xffff);
}

/* ---- Messages ---- */

static void on_aplic_message(void *object, uint64_t address, uint32_t data)
{
    struct board *b = object;
    assert(imsic_send(&b->imsic, address, data));
}

static void message_controllers_init(struct board *b)
{
    struct irq_line lines[HARTS];
    struct aplic_outputs to[APLIC_DOMAINS];
    for (unsigned i = 0; i < APLIC_DOMAINS; i++)
        to[i] = (struct aplic_outputs){.msi = {.send = on_aplic_message, .object = b}, .base = IMSIC};
    for (unsigned i = 0; i < HARTS; i++) {
        lines[i] = test_line(&b->lines, FILES + i);
        to[APLIC_MACHINE].lines[i] = test_line(&b->lines, DIRECT + i);
        to[APLIC_SUPERVISOR].lines[i] = test_line(&b->lines, DIRECT + HARTS + i);
    }
    imsic_init(&b->imsic, IMSIC, HARTS, lines);
    aplic_init(&b->direct, HARTS, false, to);
    aplic_init(&b->sends, HARTS, true, to);
    aplic_delegate(&b->sends);
}

/* As a hart's CSRs do it. */
static void use_file(struct board *b, unsigned index, uint64_t value)
{
    struct interrupt_file *file = &b->imsic.files[index % HARTS];
    unsigned top = interrupt_file_top(file);
    assert(top < INTERRUPT_FILE_IDENTITIES);
    if (index & 8)
        interrupt_file_clear(file, top);
    else
        interrupt_file_write(file, 0x70 + (index >> 4) % 0x90, value, UINT64_MAX);
    assert(interrupt_file_read(file, 0x70 + (index >> 4) % 0x90) <= value || index & 8);
}

/* ---- PCI ---- */

static void on_message(void *object, uint64_t address, uint32_t data)
{
    (void)data;
    (void)object;
    assert(address % 4 == 0);
}

/* The device uses its pin or its messages at each access. */
static enum bus_result function_access(void *object, struct bus_access *a)
{
    struct function *f = object;
    assert(a->address + a->size <= f->function.bars[4].region.length);
    if (msix_enabled(&f->msix))
        msix_notify(&f->msix, (unsigned)a->address % 8);
    else
        pci_intx_set(&f->function, a->is_write);
    return BUS_OK;
}

static void function_init(struct board *b, unsigned i)
{
    static const struct bus_ops ops = {.access = function_access, .sizes = 15};
    static const struct pci_identity identity = {.vendor = 0x1af4, .device = 0x1042, .class_code = 0x018000};
    struct function *f = &b->functions[i];
    struct bus_region region = {
        .name = "registers", .length = 0x1000000, .ops = &ops, .device = f, .lock = &f->lock};
    pthread_mutex_init(&f->lock, NULL);
    pci_function_init(&f->function, &identity, NULL, &f->lock);
    pci_bar_add(&f->function, 4, PCI_BAR_64, &region);
    msix_init(&f->msix, &f->function, 0, VECTORS);
    assert_int_equal(pci_host_plug(&b->host, &f->function, 1 + i, NULL), 0);
}

static void pci_init(struct board *b)
{
    struct pci_host_config config = {.bus = &b->bus,
                                     .msi = {.send = on_message, .object = b},
                                     .low = {0x40000000, 0x40000000},
                                     .high = {0x400000000, 0x400000000}};
    for (unsigned i = 0; i < PCI_PINS; i++)
        config.lines[i] = plic_line(&b->plic, 32 + i);
    b->bus.behind_count = 0; /* of the run before */
    assert_int_equal(pci_host_init(&b->host, &config, NULL), 0);
    for (unsigned i = 0; i < FUNCTIONS; i++)
        function_init(b, i);
}

static void pci_release(struct board *b)
{
    for (unsigned i = 0; i < FUNCTIONS; i++)
        pci_function_reset(&b->functions[i].function);
    for (unsigned i = 0; i < PCI_PINS; i++)
        assert_int_equal(b->host.asserting[i], 0);
    pci_host_release(&b->host);
}

/* A BAR is seen exactly where the bridge says it is. */
static void check_bars(struct board *b)
{
    for (unsigned i = 0; i < FUNCTIONS * PCI_BARS; i++) {
        struct pci_bar *bar = &b->functions[i / PCI_BARS].function.bars[i % PCI_BARS];
        uint64_t base;
        if (bar->mapped)
            assert(bus_find(&b->bus, bar->base + bar->region.length - 1, &base) == &bar->region &&
                   base == bar->base);
        else
            assert(!bus_unmap(&b->bus, &bar->region));
    }
}

/* ---- The board ---- */

static void devices_init(struct board *b)
{
    struct irq_line contexts[CONTEXTS];
    struct aclint_lines harts[HARTS];
    for (unsigned i = 0; i < CONTEXTS; i++)
        contexts[i] = test_line(&b->lines, i);
    for (unsigned i = 0; i < HARTS; i++)
        harts[i] = (struct aclint_lines){test_line(&b->lines, MSIP + i), test_line(&b->lines, MTIP + i),
                                         test_line(&b->lines, SSIP + i)};
    memset(&b->lines, 0, sizeof(b->lines));
    test_clock_init(&b->time, 1000);
    test_console_init(&b->console, 16);
    clock_ticks_init(&b->ticks, &b->time.clock, 10000000);
    plic_init(&b->plic, CONTEXTS, contexts);
    message_controllers_init(b);
    aclint_init(&b->aclint, HARTS, harts, &b->time.clock, &b->ticks);
    uart_init(&b->uart, plic_line(&b->plic, UART_SOURCE), &b->time.clock, &b->console.console);
    rtc_init(&b->rtc, plic_line(&b->plic, RTC_SOURCE), &b->time.clock);
    finisher_init(&b->finisher, on_request, b);
    pci_init(b);
}

static void devices_release(struct board *b)
{
    pci_release(b);
    rtc_release(&b->rtc);
    uart_release(&b->uart);
    aclint_release(&b->aclint);
    plic_release(&b->plic);
    aplic_release(&b->direct);
    aplic_release(&b->sends);
    imsic_release(&b->imsic);
    clock_release(&b->time.clock);
}

static void map(struct board *b, struct bus_region *region, uint64_t base)
{
    assert_int_equal(bus_map(&b->bus, region, base, NULL), 0);
}

/* Regions stay mapped from run to run: initializing a device again fills them as they were. */
static void board_start(struct board *b)
{
    assert_int_equal(bus_init(&b->bus, NULL), 0);
    devices_init(b);
    map(b, &b->uart.region, 0x10000000);
    map(b, &b->rtc.region, 0x101000);
    map(b, &b->finisher.region, 0x100000);
    map(b, &b->aclint.mswi, 0x2000000);
    map(b, &b->aclint.mtimer, 0x2004000);
    map(b, &b->aclint.sswi, 0x2f00000);
    map(b, &b->plic.region, 0xc000000);
    map(b, &b->direct.domains[APLIC_MACHINE].region, APLIC_DIRECT);
    map(b, &b->direct.domains[APLIC_SUPERVISOR].region, APLIC_DIRECT + DOMAIN);
    map(b, &b->sends.domains[APLIC_MACHINE].region, APLIC_SENDS);
    map(b, &b->sends.domains[APLIC_SUPERVISOR].region, APLIC_SENDS + DOMAIN);
    map(b, &b->imsic.region, IMSIC);
    map(b, &b->host.ecam, ECAM);
    devices_release(b);
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

static void check_states(struct board *b)
{
    struct test_lines before = b->lines;
    size_t room = b->console.room;
    b->console.room = 0; /* for loading tries to send what waits */
    for (size_t i = 0; i < sizeof(saved) / sizeof(saved[0]); i++)
        check_state(saved[i].table, saved[i].object);
    b->console.room = room;
    for (unsigned i = 0; i < FUNCTIONS; i++)
        pci_function_loaded(&b->functions[i].function);
    check_bars(b);
    assert(!memcmp(&before, &b->lines, sizeof(before)));
}

/* ---- Steps ---- */

struct step {
    uint8_t what, spot, size, shift;
    uint16_t index;
    uint8_t focus; /* the first step's counts */
    uint8_t value_kind;
    uint64_t value;
};

static uint64_t step_value(const struct step *s)
{
    if (s->value_kind & 1)
        return s->value % 16;
    if (s->value_kind & 2)
        return telling[s->value % (sizeof(telling) / sizeof(telling[0]))];
    return s->value >> s->shift % 64;
}

static uint64_t step_address(const struct step *s, unsigned focus)
{
    unsigned spot = focuses[focus].first + s->spot % focuses[focus].count;
    uint64_t address = spots[spot].base + (uint64_t)(s->index % spots[spot].count) * spots[spot].stride;
    if (s->value_kind > 240)
        address += s->shift & 1 ? 4 : s->value >> s->shift % 64; /* wild */
    return address;
}

static void access_at(struct board *b, const struct step *s, unsigned focus)
{
    unsigned size = s->size & 4 ? 4 : 1u << s->size % 4;
    uint64_t value = step_value(s), address = step_address(s, focus);
    if (s->what & 1) {
        bus_write(&b->bus, address, size, value);
        return;
    }
    if (bus_read(&b->bus, address, size, &value) == BUS_OK && size < 8)
        assert(value >> 8 * size == 0);
}

/* As a driver does it. */
static void place_bars(struct board *b, bool messages)
{
    bus_write(&b->bus, ECAM + 0x8010, 4, PCI_MSIX);
    bus_write(&b->bus, ECAM + 0x8020, 4, (uint32_t)PCI_REGISTERS);
    bus_write(&b->bus, ECAM + 0x8024, 4, PCI_REGISTERS >> 32);
    bus_write(&b->bus, ECAM + 0x8004, 4, 6);
    bus_write(&b->bus, ECAM + 0x8042, 2, messages ? 0x8000 : 0);
}

/* Of a device that is not there. */
static void set_line(struct board *b, unsigned source, bool level)
{
    const struct irq_line lines[] = {plic_line(&b->plic, source), aplic_line(&b->direct, source),
                                     aplic_line(&b->sends, source)};
    for (unsigned i = 0; i < 3; i++)
        irq_set(&lines[i], level);
}

static void step(struct board *b, const struct step *s, unsigned focus)
{
    switch (s->what >> 1 & 15) {
    case 0: test_clock_pass(&b->time, s->value >> (24 + s->shift % 40)); break;
    case 1: test_console_type(&b->console, &"0123456789abcdefghij"[s->index % 20]); break;
    case 2: test_console_make_room(&b->console, s->index % 32); break;
    case 3: b->console.room = s->index % 4; break;
    case 4:
        if (s->index % 8 == 0)
            check_states(b);
        break;
    case 6: use_file(b, s->index, s->value); break;
    case 5: set_line(b, 1 + s->index % 9, s->shift & 1); break;
    default: access_at(b, s, focus); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct step s;
    unsigned focus = 0;
    size_t steps = size / sizeof(s);
    if (!board.bus.tables[0])
        board_start(&board);
    devices_init(&board);
    if (size >= sizeof(s)) {
        memcpy(&s, data, sizeof(s));
        focus = s.focus % (sizeof(focuses) / sizeof(focuses[0]));
        if (s.focus & 0x80)
            place_bars(&board, s.focus & 0x40);
    }
    for (; size >= sizeof(s); data += sizeof(s), size -= sizeof(s)) {
        memcpy(&s, data, sizeof(s));
        step(&board, &s, focus);
    }
    check_bars(&board);
    if (steps % 8 == 0)
        check_states(&board);
    devices_release(&board);
    return 0;
}

#ifndef GUISE_LIBFUZZER

int main(int argc, char **argv)
{
    fuzz_drive("fuzz_devices", argc, argv, fuzz_steps, NULL);
    if (board.bus.tables[0])
        bus_release(&board.bus);
    return 0;
}

#endif
