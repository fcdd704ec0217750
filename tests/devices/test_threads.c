/* Harts, devices and the clock on threads of their own. An interrupt is served by one hart at a time, timers keep
 * their time, a port's output is whole, and a BAR that moves does not disturb the others. With ThreadSanitizer this is
 * the test of the bus's threading rule. */
#include "devices/aclint.h"
#include "devices/msix.h"
#include "devices/pci_host.h"
#include "devices/plic.h"
#include "devices/uart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

enum { HARTS = 3, SOURCES = 8, ROUNDS = 10000 };

#define UART 0x10000000ull
#define PLIC 0xc000000ull
#define TIME 0x2004000ull
#define ECAM 0x30000000ull
#define MSIX 0x40000000ull

struct hart {
    struct board *board;
    pthread_t thread;
    unsigned number;
    _Atomic bool external, timer;
    _Atomic unsigned served, ticks;
};

struct board {
    struct bus bus;
    struct clock clock;
    struct clock_ticks time;
    struct plic plic;
    struct aclint aclint;
    struct uart uart;
    struct pci_host host;
    struct pci_function function;
    struct msix msix;
    pthread_mutex_t lock; /* the function's */
    struct console console;
    struct hart harts[HARTS];
    _Atomic unsigned output, messages, doubly_served;
    _Atomic bool in_service[SOURCES + 1], done;
};

/* ---- What the devices lead to ---- */

static void set_external(void *board, unsigned hart, bool level)
{
    ((struct board *)board)->harts[hart].external = level;
}

static void set_timer(void *board, unsigned hart, bool level)
{
    ((struct board *)board)->harts[hart].timer = level;
}

static void on_message(void *board, uint64_t address, uint32_t data)
{
    (void)address;
    ((struct board *)board)->messages += data;
}

static struct board *board_of(struct console *console)
{
    return (struct board *)((char *)console - offsetof(struct board, console));
}

static size_t on_write(struct console *console, const uint8_t *data, size_t length)
{
    struct board *b = board_of(console);
    for (size_t i = 0; i < length; i++)
        b->output += data[i];
    return length;
}

static void on_resume(struct console *console)
{
    (void)console;
}

static const struct console_ops console_ops = {.write = on_write, .resume = on_resume};

static void board_init(struct board *b)
{
    struct irq_line contexts[HARTS];
    struct aclint_lines lines[HARTS] = {0};
    struct pci_host_config config = {.bus = &b->bus, .msi = {on_message, b}, .low = {MSIX, 0x10000000}};
    static const struct pci_identity identity = {.vendor = 0x1af4, .device = 0x1041};
    *b = (struct board){.console.ops = &console_ops};
    for (unsigned i = 0; i < HARTS; i++) {
        b->harts[i] = (struct hart){.board = b, .number = i};
        contexts[i] = (struct irq_line){set_external, b, i};
        lines[i].mtip = (struct irq_line){set_timer, b, i};
    }
    pthread_mutex_init(&b->lock, NULL);
    clock_init(&b->clock, NULL);
    clock_ticks_init(&b->time, &b->clock, 10000000);
    plic_init(&b->plic, HARTS, contexts);
    aclint_init(&b->aclint, HARTS, lines, &b->clock, &b->time);
    uart_init(&b->uart, plic_line(&b->plic, 10), &b->clock, &b->console);
    pci_function_init(&b->function, &identity, NULL, &b->lock);
    msix_init(&b->msix, &b->function, 0, 1);
    assert_int_equal(bus_init(&b->bus, NULL), 0);
    assert_int_equal(pci_host_init(&b->host, &config, NULL), 0);
    assert_int_equal(pci_host_plug(&b->host, &b->function, 0, NULL), 0);
    assert_int_equal(bus_map(&b->bus, &b->uart.region, UART, NULL), 0);
    assert_int_equal(bus_map(&b->bus, &b->plic.region, PLIC, NULL), 0);
    assert_int_equal(bus_map(&b->bus, &b->aclint.mtimer, TIME, NULL), 0);
    assert_int_equal(bus_map(&b->bus, &b->host.ecam, ECAM, NULL), 0);
    clock_start(&b->clock);
}

static void board_release(struct board *b)
{
    pci_host_release(&b->host);
    uart_release(&b->uart);
    aclint_release(&b->aclint);
    plic_release(&b->plic);
    clock_release(&b->clock);
    bus_release(&b->bus);
}

static uint64_t get(struct board *b, uint64_t address, unsigned size)
{
    uint64_t value = 0;
    assert_int_equal(bus_read(&b->bus, address, size, &value), BUS_OK);
    return value;
}

static void set(struct board *b, uint64_t address, unsigned size, uint64_t value)
{
    assert_int_equal(bus_write(&b->bus, address, size, value), BUS_OK);
}

/* ---- The threads ---- */

static void serve_external(struct hart *h)
{
    struct board *b = h->board;
    uint64_t claim = PLIC + 0x200004 + 0x1000 * h->number, source = get(b, claim, 4);
    if (!source)
        return; /* another hart was faster */
    b->doubly_served += atomic_exchange(&b->in_service[source], true);
    struct irq_line line = plic_line(&b->plic, (unsigned)source);
    irq_set(&line, false);
    h->served++;
    b->in_service[source] = false;
    set(b, claim, 4, source);
}

static void serve_timer(struct hart *h)
{
    struct board *b = h->board;
    uint64_t compare = TIME + 8 * h->number;
    assert_true(get(b, TIME + 0x7ff8, 8) >= get(b, compare, 8));
    h->ticks++;
    set(b, compare, 8, get(b, TIME + 0x7ff8, 8) + 100);
}

static void *hart_run(void *object)
{
    struct hart *h = object;
    struct board *b = h->board;
    set(b, TIME + 8 * h->number, 8, 0);
    for (unsigned i = 0; !b->done; i++) {
        if (h->external)
            serve_external(h);
        if (h->timer)
            serve_timer(h);
        if (i < ROUNDS)
            set(b, UART, 1, 1);
    }
    return NULL;
}

static void *clock_thread(void *object)
{
    struct board *b = object;
    while (!b->done)
        clock_run(&b->clock);
    return NULL;
}

/* Asks for service of each source again as soon as it was served. */
static void *device_thread(void *object)
{
    struct board *b = object;
    for (unsigned i = 0; i < ROUNDS; i++) {
        for (unsigned source = 1; source <= SOURCES; source++) {
            struct irq_line line = plic_line(&b->plic, source);
            irq_set(&line, true);
        }
        pthread_mutex_lock(&b->lock);
        msix_notify(&b->msix, 0);
        pthread_mutex_unlock(&b->lock);
    }
    return NULL;
}

/* Moves the BAR about and finds it where it was put. */
static void move_bar(struct board *b)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t at = MSIX + 0x1000 * (i % 16);
        set(b, ECAM + 0x10, 4, at);
        set(b, at + 8, 4, 1);
        set(b, at + 12, 4, i & 1);
        assert_int_equal(get(b, at + 12, 4), i & 1);
        assert_int_equal(get(b, at + 0x1000, 4), UINT32_MAX);
    }
    set(b, MSIX + 0x1000 * ((ROUNDS - 1) % 16) + 12, 4, 0);
}

static void a_machine_on_many_threads(void **state)
{
    static struct board board;
    struct board *b = &board;
    pthread_t clock, device;
    (void)state;
    board_init(b);
    for (unsigned source = 1; source <= SOURCES; source++)
        set(b, PLIC + 4 * source, 4, 1);
    for (unsigned i = 0; i < HARTS; i++)
        set(b, PLIC + 0x2000 + 0x80 * i, 4, ~0u);
    set(b, ECAM + 4, 2, 6);
    set(b, ECAM + 0x42, 2, 0x8000);
    for (unsigned i = 0; i < HARTS; i++)
        assert_int_equal(pthread_create(&b->harts[i].thread, NULL, hart_run, &b->harts[i]), 0);
    assert_int_equal(pthread_create(&clock, NULL, clock_thread, b), 0);
    assert_int_equal(pthread_create(&device, NULL, device_thread, b), 0);
    move_bar(b);
    pthread_join(device, NULL);
    for (unsigned i = 0; i < HARTS; i++)
        while (!b->harts[i].ticks || b->output < HARTS * ROUNDS)
            usleep(1000);
    while (b->harts[0].external || b->harts[1].external || b->harts[2].external)
        usleep(1000);
    b->done = true;
    for (unsigned i = 0; i < HARTS; i++)
        pthread_join(b->harts[i].thread, NULL);
    pthread_join(clock, NULL);
    assert_int_equal(b->doubly_served, 0);
    assert_int_equal(b->output, HARTS * ROUNDS);
    assert_true(b->harts[0].served + b->harts[1].served + b->harts[2].served >= SOURCES);
    assert_true(b->messages > 0);
    board_release(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_machine_on_many_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
