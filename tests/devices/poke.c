/* Devices where QEMU's "virt" machine has them, for qemu.py: reads commands of QEMU's test protocol and answers as it
 * does.
 *   read{b,w,l,q} ADDRESS      write{b,w,l,q} ADDRESS VALUE      line SOURCE LEVEL (of the interrupt controller)
 * With the argument `aplic` that controller is an APLIC, with direct delivery. */
#include "devices/aclint.h"
#include "devices/aplic.h"
#include "devices/plic.h"
#include "devices/rtc.h"
#include "devices/uart.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HARTS = 8 };

struct board {
    struct bus bus;
    struct clock clock, stopped;
    struct clock_ticks time;
    struct plic plic;
    struct aplic aplic;
    bool has_aplic;
    struct aclint aclint;
    struct uart uart;
    struct rtc rtc;
    struct console console;
};

static size_t on_write(struct console *console, const uint8_t *data, size_t length)
{
    (void)console;
    (void)data;
    return length;
}

static void on_resume(struct console *console)
{
    (void)console;
}

static void map(struct board *b, struct bus_region *region, uint64_t base)
{
    if (bus_map(&b->bus, region, base, NULL))
        abort();
}

static struct irq_line line_of(struct board *b, unsigned source)
{
    return b->has_aplic ? aplic_line(&b->aplic, source) : plic_line(&b->plic, source);
}

/* The real-time clock alone goes: QEMU's machine is stopped too. */
static void board_init(struct board *b)
{
    static const struct console_ops ops = {.write = on_write, .resume = on_resume};
    const struct irq_line contexts[2 * HARTS] = {0};
    const struct aplic_outputs outputs[APLIC_DOMAINS] = {0};
    const struct aclint_lines lines[HARTS] = {0};
    b->console.ops = &ops;
    clock_init(&b->clock, NULL);
    clock_init(&b->stopped, NULL);
    clock_start(&b->clock);
    clock_ticks_init(&b->time, &b->stopped, 10000000);
    plic_init(&b->plic, 2 * HARTS, contexts);
    aplic_init(&b->aplic, HARTS, false, outputs);
    aclint_init(&b->aclint, HARTS, lines, &b->stopped, &b->time);
    uart_init(&b->uart, line_of(b, 10), &b->stopped, &b->console);
    rtc_init(&b->rtc, line_of(b, 11), &b->clock);
    if (bus_init(&b->bus, NULL))
        abort();
    map(b, &b->rtc.region, 0x101000);
    map(b, &b->aclint.mswi, 0x2000000);
    map(b, &b->aclint.mtimer, 0x2004000);
    map(b, b->has_aplic ? &b->aplic.domains[APLIC_MACHINE].region : &b->plic.region, 0xc000000);
    if (b->has_aplic)
        map(b, &b->aplic.domains[APLIC_SUPERVISOR].region, 0xd000000);
    map(b, &b->uart.region, 0x10000000);
}

static unsigned size_of(char letter)
{
    static const char letters[] = "bwlq";
    const char *at = strchr(letters, letter);
    return at && *at ? 1u << (at - letters) : 0;
}

static void run(struct board *b, const char *line)
{
    char letter;
    unsigned source, level;
    uint64_t address, value;
    if (sscanf(line, "read%c %" SCNx64, &letter, &address) == 2) {
        bool ok = bus_read(&b->bus, address, size_of(letter), &value) == BUS_OK;
        printf(ok ? "OK 0x%016" PRIx64 "\n" : "FAULT\n", value);
    } else if (sscanf(line, "write%c %" SCNx64 " %" SCNx64, &letter, &address, &value) == 3) {
        puts(bus_write(&b->bus, address, size_of(letter), value) == BUS_OK ? "OK" : "FAULT");
    } else if (sscanf(line, "line %u %u", &source, &level) == 2) {
        struct irq_line to = line_of(b, source);
        irq_set(&to, level);
        puts("OK");
    }
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static struct board board;
    char line[256];
    board.has_aplic = argc > 1 && strcmp(argv[1], "aplic") == 0;
    board_init(&board);
    while (fgets(line, sizeof(line), stdin))
        run(&board, line);
    return 0;
}
