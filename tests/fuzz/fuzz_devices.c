/* Register accesses at random, as a hostile guest would make them, with time passing, characters coming, and states saved
 * and loaded in between. Sanitizers watch; and whatever the guest did, a state that was saved is one that loads, is saved
 * again as it was, and leaves each line as it is.
 *
 * With libFuzzer (-DGUISE_LIBFUZZER -fsanitize=fuzzer) LLVMFuzzerTestOneInput() is all. Without it the program makes its
 * own input from a seed: fuzz_devices [RUNS [SEED]]. */
#include "devices/aclint.h"
#include "devices/finisher.h"
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

#include "fixture.h"
#include "test_clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HARTS = 4, CONTEXTS = 8, UART_SOURCE = 10, RTC_SOURCE = 11, MSIP = 64, MTIP = 96, SSIP = 128 };

static struct board {
    struct bus bus;
    struct test_clock time;
    struct clock_ticks ticks;
    struct test_console console;
    struct test_lines lines;
    struct plic plic;
    struct aclint aclint;
    struct uart uart;
    struct rtc rtc;
    struct finisher finisher;
} board;

static const struct {
    const struct state_table *table;
    void *object;
} saved[] = {{&uart_state, &board.uart},
             {&rtc_state, &board.rtc},
             {&aclint_state, &board.aclint},
             {&plic_state, &board.plic}};

/* Where there is something to access: `count` registers, `stride` bytes apart. */
static const struct {
    uint64_t base;
    uint32_t stride, count;
} spots[] = {
    {0x10000000, 1, 9},
    {0x10000000, 1, 9},
    {0x101000, 4, 9},
    {0x2000000, 4, HARTS + 1},
    {0x2004000, 4, 9},
    {0x200bff8, 4, 2},
    {0x2f00000, 4, HARTS + 1},
    {0xc000000, 4, PLIC_SOURCES + 1},
    {0xc001000, 4, 4},
    {0xc002000, 4, 260},
    {0xc200000, 4096, CONTEXTS},
    {0xc200004, 4096, CONTEXTS},
    {0x100000, 4, 2},
};

static void on_request(void *machine, enum finisher_request request, unsigned status)
{
    (void)machine;
    assert(request <= FINISHER_REQUEST_REBOOT && status <= 0xffff);
}

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
    test_clock_init(&b->time, 1ull << 60);
    test_console_init(&b->console, 16);
    clock_ticks_init(&b->ticks, &b->time.clock, 10000000);
    plic_init(&b->plic, CONTEXTS, contexts);
    aclint_init(&b->aclint, HARTS, harts, &b->time.clock, &b->ticks);
    uart_init(&b->uart, plic_line(&b->plic, UART_SOURCE), &b->time.clock, &b->console.console);
    rtc_init(&b->rtc, plic_line(&b->plic, RTC_SOURCE), &b->time.clock);
    finisher_init(&b->finisher, on_request, b);
}

static void devices_release(struct board *b)
{
    rtc_release(&b->rtc);
    uart_release(&b->uart);
    aclint_release(&b->aclint);
    plic_release(&b->plic);
    clock_release(&b->time.clock);
}

static void map(struct board *b, struct bus_region *region, uint64_t base)
{
    assert_int_equal(bus_map(&b->bus, region, base, NULL), 0);
}

/* Regions stay mapped from run to run: initializing a device again fills them as they were. */
static void board_start(struct board *b)
{
    devices_init(b);
    assert_int_equal(bus_init(&b->bus, NULL), 0);
    map(b, &b->uart.region, 0x10000000);
    map(b, &b->rtc.region, 0x101000);
    map(b, &b->finisher.region, 0x100000);
    map(b, &b->aclint.mswi, 0x2000000);
    map(b, &b->aclint.mtimer, 0x2004000);
    map(b, &b->aclint.sswi, 0x2f00000);
    map(b, &b->plic.region, 0xc000000);
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
    assert(!memcmp(&before, &b->lines, sizeof(before)));
}

/* ---- Steps ---- */

struct step {
    uint8_t what, spot, size, shift;
    uint16_t index;
    uint8_t pad[2];
    uint64_t value;
};

static void access_at(struct board *b, const struct step *s)
{
    size_t spot = s->spot % (sizeof(spots) / sizeof(spots[0]));
    unsigned size = 1u << s->size % 4;
    uint64_t value = s->value >> s->shift % 64,
             address = spots[spot].base + (uint64_t)(s->index % spots[spot].count) * spots[spot].stride;
    if (s->shift & 0x40)
        address += s->shift >> 7 ? 4 : value; /* wild */
    if (s->what & 1) {
        bus_write(&b->bus, address, size, value);
        return;
    }
    if (bus_read(&b->bus, address, size, &value) == BUS_OK && size < 8)
        assert(value >> 8 * size == 0);
}

static void step(struct board *b, const struct step *s)
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
    default: access_at(b, s); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct step s;
    if (!board.bus.tables[0])
        board_start(&board);
    devices_init(&board);
    for (; size >= sizeof(s); data += sizeof(s), size -= sizeof(s)) {
        memcpy(&s, data, sizeof(s));
        step(&board, &s);
    }
    check_states(&board);
    devices_release(&board);
    return 0;
}

#ifndef GUISE_LIBFUZZER

static uint64_t random_next(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15;
    uint64_t z = *state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

int main(int argc, char **argv)
{
    uint64_t runs = argc > 1 ? strtoull(argv[1], NULL, 0) : 1000000,
             seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    for (uint64_t run = 0; run < runs; run++) {
        uint64_t state = seed + run, words[2 * 64];
        size_t steps = 1 + random_next(&state) % 64;
        for (size_t i = 0; i < 2 * steps; i++)
            words[i] = random_next(&state);
        LLVMFuzzerTestOneInput((const uint8_t *)words, steps * sizeof(struct step));
    }
    printf("fuzz_devices: %llu runs from seed %llu\n", (unsigned long long)runs, (unsigned long long)seed);
    if (board.bus.tables[0])
        bus_release(&board.bus);
    return 0;
}

#endif
