/* The serial port, register by register, as the data sheet has it. */
#include "devices/uart.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "fixture.h"
#include "state_check.h"
#include "test_clock.h"

enum {
    RBR = 0,
    THR = 0,
    DLL = 0,
    IER = 1,
    DLM = 1,
    IIR = 2,
    FCR = 2,
    LCR = 3,
    MCR = 4,
    LSR = 5,
    MSR = 6,
    SCR = 7
};

#define CHARACTER (10 * CLOCK_PER_SECOND / 115200) /* 8 bits, no parity, one stop bit */

struct fixture {
    struct uart uart;
    struct test_clock time;
    struct test_console console;
    struct test_lines lines;
};

static int start(void **state)
{
    static struct fixture f;
    *state = &f;
    memset(&f.lines, 0, sizeof(f.lines));
    test_clock_init(&f.time, 0);
    test_console_init(&f.console, SIZE_MAX);
    uart_init(&f.uart, test_line(&f.lines, 0), &f.time.clock, &f.console.console);
    return 0;
}

static int stop(void **state)
{
    struct fixture *f = *state;
    uart_release(&f->uart);
    clock_release(&f->time.clock);
    return 0;
}

static uint8_t get(struct fixture *f, unsigned reg)
{
    return (uint8_t)test_read(&f->uart.region, reg, 1);
}

static void put(struct fixture *f, unsigned reg, uint8_t value)
{
    test_write(&f->uart.region, reg, 1, value);
}

static void set_rate(struct fixture *f)
{
    put(f, LCR, 0x83);
    put(f, DLL, 2);
    put(f, DLM, 0);
    put(f, LCR, 0x03);
}

static void registers_after_reset(void **state)
{
    struct fixture *f = *state;
    static const uint8_t expected[] = {0, 0, 0x01, 0, 0, 0x60, 0xb0, 0};
    for (unsigned reg = 0; reg < 8; reg++)
        assert_int_equal(get(f, reg), expected[reg]);
    assert_int_equal(get(f, 8), 0);
    assert_false(f->lines.level[0]);
}

static void registers_keep_their_bits(void **state)
{
    struct fixture *f = *state;
    put(f, SCR, 0xa5);
    put(f, LCR, 0x7f);
    put(f, IER, 0xfe);
    put(f, MCR, 0xef);
    assert_int_equal(get(f, SCR), 0xa5);
    assert_int_equal(get(f, LCR), 0x7f);
    assert_int_equal(get(f, IER), 0x0e);
    assert_int_equal(get(f, MCR), 0x0f);
    put(f, LCR, 0x80);
    put(f, DLL, 0x34);
    put(f, DLM, 0x12);
    assert_int_equal(get(f, DLL), 0x34);
    assert_int_equal(get(f, DLM), 0x12);
    put(f, LCR, 0);
    assert_int_equal(get(f, IER), 0x0e);
    assert_int_equal(f->uart.divisor, 0x1234);
    assert_int_equal(f->console.length, 0);
}

static void wide_accesses_are_one_register(void **state)
{
    struct fixture *f = *state;
    test_write(&f->uart.region, THR, 4, 0x44434241);
    assert_int_equal(f->console.length, 1);
    assert_int_equal(f->console.output[0], 'A');
    assert_int_equal(test_read(&f->uart.region, 4, 4), 0);
}

static void sending_interrupts(void **state)
{
    struct fixture *f = *state;
    put(f, IER, 2);
    assert_true(f->lines.level[0]);
    assert_int_equal(get(f, IIR), 0x02);
    assert_int_equal(get(f, IIR), 0x01);
    assert_false(f->lines.level[0]);
    put(f, THR, 'x');
    assert_true(f->lines.level[0]);
    assert_int_equal(get(f, LSR), 0x60);
    put(f, IER, 0);
    assert_false(f->lines.level[0]);
    assert_int_equal(get(f, IIR), 0x01);
    assert_int_equal(f->console.output[0], 'x');
}

static void a_console_without_room_is_waited_for(void **state)
{
    struct fixture *f = *state;
    f->console.room = 2;
    put(f, FCR, 1);
    put(f, IER, 2);
    for (char c = 'a'; c < 'a' + 18; c++)
        put(f, THR, (uint8_t)c);
    assert_int_equal(f->console.length, 2);
    assert_int_equal(get(f, LSR), 0);
    assert_false(f->lines.level[0]);
    test_console_make_room(&f->console, 10);
    assert_int_equal(f->console.length, 12);
    assert_int_equal(get(f, LSR), 0);
    test_console_make_room(&f->console, 100);
    assert_memory_equal(f->console.output, "abcdefghijklmnopqr", 18);
    assert_int_equal(get(f, LSR), 0x60);
    assert_true(f->lines.level[0]);

    f->console.room = 0;
    for (int i = 0; i < 20; i++)
        put(f, THR, 'z');
    put(f, FCR, 5);
    assert_int_equal(get(f, LSR), 0x60);
    test_console_make_room(&f->console, 100);
    assert_int_equal(f->console.length, 18);
}

static void receiving_without_fifos(void **state)
{
    struct fixture *f = *state;
    put(f, IER, 1);
    assert_int_equal(test_console_type(&f->console, "hi"), 1);
    assert_true(f->lines.level[0]);
    assert_int_equal(get(f, IIR), 0x04);
    assert_int_equal(get(f, LSR), 0x61);
    unsigned resumed = f->console.resumed;
    assert_int_equal(get(f, RBR), 'h');
    assert_int_equal(f->console.resumed, resumed + 1);
    assert_false(f->lines.level[0]);
    assert_int_equal(get(f, LSR), 0x60);
    assert_int_equal(get(f, RBR), 0);
}

static void receiving_with_trigger_levels(void **state)
{
    struct fixture *f = *state;
    static const unsigned levels[] = {1, 4, 8, 14};
    put(f, IER, 1);
    for (unsigned i = 0; i < 4; i++) {
        put(f, FCR, (uint8_t)(i << 6 | 3));
        for (unsigned n = 1; n <= 16; n++) {
            assert_int_equal(test_console_type(&f->console, "c"), 1);
            assert_int_equal(f->lines.level[0], n >= levels[i]);
            assert_int_equal(get(f, IIR), n >= levels[i] ? 0xc4 : 0xc1);
        }
        assert_int_equal(test_console_type(&f->console, "c"), 0);
        for (unsigned n = 15; n; n--) {
            assert_int_equal(get(f, RBR), 'c');
            assert_int_equal(f->lines.level[0], n >= levels[i]);
        }
    }
}

static void characters_below_the_trigger_time_out(void **state)
{
    struct fixture *f = *state;
    set_rate(f);
    put(f, FCR, 0x81);
    put(f, IER, 1);
    test_console_type(&f->console, "ab");
    test_clock_pass(&f->time, 4 * CHARACTER - 10);
    assert_false(f->lines.level[0]);
    test_console_type(&f->console, "c");
    test_clock_pass(&f->time, 4 * CHARACTER - 10);
    assert_false(f->lines.level[0]);
    test_clock_pass(&f->time, 20);
    assert_true(f->lines.level[0]);
    assert_int_equal(get(f, IIR), 0xcc);
    assert_int_equal(get(f, IIR), 0xcc);
    assert_int_equal(get(f, RBR), 'a');
    assert_false(f->lines.level[0]);
    test_clock_pass(&f->time, 5 * CHARACTER);
    assert_true(f->lines.level[0]);
    get(f, RBR);
    get(f, RBR);
    test_clock_pass(&f->time, 100 * CHARACTER);
    assert_false(f->lines.level[0]);
    assert_int_equal(clock_deadline(&f->time.clock), CLOCK_NEVER);
}

static void fifos_are_emptied(void **state)
{
    struct fixture *f = *state;
    put(f, FCR, 1);
    test_console_type(&f->console, "abc");
    put(f, FCR, 1);
    assert_int_equal(get(f, LSR), 0x61);
    put(f, FCR, 3);
    assert_int_equal(get(f, LSR), 0x60);
    test_console_type(&f->console, "abc");
    put(f, FCR, 0xc0);
    assert_int_equal(get(f, LSR), 0x60);
    assert_int_equal(get(f, IIR), 1);
    assert_int_equal(test_console_type(&f->console, "abc"), 1);
    put(f, FCR, 1);
    assert_int_equal(get(f, LSR), 0x60);
}

static void loopback(void **state)
{
    struct fixture *f = *state;
    put(f, FCR, 1);
    put(f, MCR, 0x10);
    assert_int_equal(test_console_type(&f->console, "no"), 0);
    for (int i = 0; i < 16; i++)
        put(f, THR, (uint8_t)('A' + i));
    assert_int_equal(get(f, LSR), 0x61);
    put(f, IER, 4);
    put(f, THR, '!');
    assert_true(f->lines.level[0]);
    assert_int_equal(get(f, IIR), 0xc6);
    assert_int_equal(get(f, LSR), 0x63);
    assert_int_equal(get(f, LSR), 0x61);
    assert_false(f->lines.level[0]);
    for (int i = 0; i < 16; i++)
        assert_int_equal(get(f, RBR), 'A' + i);
    assert_int_equal(f->console.length, 0);
    unsigned resumed = f->console.resumed;
    put(f, MCR, 0);
    assert_int_equal(f->console.resumed, resumed + 1);
    assert_int_equal(test_console_type(&f->console, "yes"), 3);
}

/* Found by comparison with QEMU: the old character stayed. */
static void an_overrun_without_fifos_destroys_the_old_character(void **state)
{
    struct fixture *f = *state;
    put(f, MCR, 0x10);
    put(f, THR, 'a');
    put(f, THR, 'b');
    assert_int_equal(get(f, LSR), 0x63);
    assert_int_equal(get(f, RBR), 'b');
    assert_int_equal(get(f, LSR), 0x60);
}

static void modem_lines_in_loopback(void **state)
{
    struct fixture *f = *state;
    put(f, MCR, 0x10);
    assert_int_equal(get(f, MSR), 0x0b);
    assert_int_equal(get(f, MSR), 0x00);
    put(f, IER, 8);
    static const struct {
        uint8_t mcr, msr;
    } steps[] = {{0x12, 0x11}, {0x13, 0x32}, {0x17, 0x70}, {0x1f, 0xf8}, {0x1b, 0xb4}, {0x10, 0x0b}};
    for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        put(f, MCR, steps[i].mcr);
        bool told = steps[i].msr & 15;
        assert_int_equal(f->lines.level[0], told);
        assert_int_equal(get(f, IIR), told ? 0 : 1);
        assert_int_equal(get(f, MSR), steps[i].msr);
        assert_false(f->lines.level[0]);
    }
}

static void the_most_important_interrupt_is_told(void **state)
{
    struct fixture *f = *state;
    put(f, IER, 15);
    put(f, MCR, 0x10);
    put(f, THR, 'a');
    put(f, THR, 'b');
    assert_int_equal(get(f, IIR), 6);
    assert_int_equal(get(f, LSR), 0x63);
    assert_int_equal(get(f, IIR), 4);
    assert_int_equal(get(f, RBR), 'b');
    assert_int_equal(get(f, IIR), 2);
    assert_int_equal(get(f, IIR), 0);
    get(f, MSR);
    assert_int_equal(get(f, IIR), 1);
    assert_false(f->lines.level[0]);
}

/* ---- State ---- */

static void the_state_is_described(void **state)
{
    (void)state;
    assert_state_covers(struct uart, &uart_state);
    assert_state_covers(struct uart_fifo, &uart_fifo_state);
}

static void random_states_round_trip(void **state)
{
    struct fixture *f = *state;
    uint64_t seed = 1;
    unsigned loaded = 0;
    f->console.room = 0;
    for (int i = 0; i < 20000; i++) {
        struct uart random = f->uart;
        state_randomize(&uart_state, &random, &seed);
        if (i % 2)
            random.fcr = 0x81;
        loaded += state_check_round_trip(&uart_state, &random, &f->uart);
    }
    assert_true(loaded > 1000);
}

static void a_restored_port_goes_on(void **state)
{
    struct fixture *f = *state;
    struct buf out = {0};
    set_rate(f);
    put(f, FCR, 0x81);
    put(f, IER, 1);
    f->console.room = 0;
    put(f, THR, 'o');
    test_console_type(&f->console, "in");
    state_save(&uart_state, &f->uart, &out);
    uart_reset(&f->uart);
    f->console.room = 10;
    assert_int_equal(state_load(&uart_state, &f->uart, out.data, out.length, NULL, NULL), 0);
    buf_release(&out);
    assert_int_equal(f->console.output[0], 'o');
    test_clock_pass(&f->time, 5 * CHARACTER);
    assert_true(f->lines.level[0]);
    assert_int_equal(get(f, RBR), 'i');
}

static void use(void *uart)
{
    for (unsigned reg = 0; reg < 8; reg++)
        test_read(&((struct uart *)uart)->region, reg, 1);
}

static void hostile_states_are_refused(void **state)
{
    state_check_hostile(&uart_state, &((struct fixture *)*state)->uart, use);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(registers_after_reset),
        TEST(registers_keep_their_bits),
        TEST(wide_accesses_are_one_register),
        TEST(sending_interrupts),
        TEST(a_console_without_room_is_waited_for),
        TEST(receiving_without_fifos),
        TEST(receiving_with_trigger_levels),
        TEST(characters_below_the_trigger_time_out),
        TEST(fifos_are_emptied),
        TEST(loopback),
        TEST(an_overrun_without_fifos_destroys_the_old_character),
        TEST(modem_lines_in_loopback),
        TEST(the_most_important_interrupt_is_told),
        TEST(the_state_is_described),
        TEST(random_states_round_trip),
        TEST(a_restored_port_goes_on),
        TEST(hostile_states_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
