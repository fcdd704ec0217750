#include "machine.h"

#include "isa/riscv/isa.h"

#include <string.h>
#include <unistd.h>

enum { TIMEOUT = 60 }; /* seconds */

/* ---- Devices ---- */

static enum bus_result access_uart(void *device, struct bus_access *a)
{
    struct machine *m = device;
    if (a->is_write && a->address == 0)
        fputc((int)a->value, m->output);
    a->value = a->address == UART_LSR ? UART_READY : 0;
    return BUS_OK;
}

static enum bus_result access_exit(void *device, struct bus_access *a)
{
    struct machine *m = device;
    if (a->is_write && a->value == EXIT_PASS) {
        m->ended = true;
        system_hart_kick(m->hart);
    }
    return BUS_OK;
}

/* So much that no small comparand is ahead, and not so much that a large one is behind. */
static uint64_t get_time(void *owner)
{
    const struct machine *m = owner;
    return (UINT64_C(1) << 32) + m->hart->hart.instret;
}

static enum bus_result access_mtimecmp(void *device, struct bus_access *a)
{
    struct machine *m = device;
    if (a->is_write)
        system_hart_set_line(m->hart, BIT(IRQ_MTI), get_time(m) >= a->value);
    return BUS_OK;
}

static const struct bus_ops uart_ops = {access_uart, 1}, exit_ops = {access_exit, 4},
                            mtimecmp_ops = {access_mtimecmp, 8};

static bool get_entropy(void *owner, uint16_t *bits)
{
    (void)owner;
    *bits = 0x1234;
    return true;
}

static const struct system_ops system_ops = {.time = get_time, .entropy = get_entropy};

/* ---- The machine ---- */

static int map_devices(struct machine *m, struct guise_error *err)
{
    m->uart = (struct bus_region){"uart", 8, &uart_ops, m, NULL};
    m->exit = (struct bus_region){"exit", 4, &exit_ops, m, NULL};
    m->mtimecmp = (struct bus_region){"mtimecmp", 8, &mtimecmp_ops, m, NULL};
    return bus_map(&m->bus, &m->uart, UART, err) || bus_map(&m->bus, &m->exit, EXIT_DEVICE, err) ||
           bus_map(&m->bus, &m->mtimecmp, MTIMECMP, err);
}

static void set_line(void *hart, unsigned irq, bool level)
{
    system_hart_set_line(hart, BIT(irq), level);
}

static int add_imsic(struct machine *m, enum sys_level level, uint64_t base, unsigned irq,
                     struct guise_error *err)
{
    const struct irq_line line = {.set = set_line, .controller = m->hart, .number = irq};
    imsic_init(&m->imsic[level], base, 1, &line);
    return bus_map(&m->bus, &m->imsic[level].region, base, err);
}

static int add_imsics(struct machine *m, struct guise_error *err)
{
    m->has_imsic = true;
    sys_connect_files(&m->hart->sys, &m->imsic[SYS_MACHINE].files[0], &m->imsic[SYS_SUPERVISOR].files[0]);
    return add_imsic(m, SYS_MACHINE, IMSIC_M, IRQ_MEI, err) ||
           add_imsic(m, SYS_SUPERVISOR, IMSIC_S, IRQ_SEI, err);
}

static uint64_t extensions_of(const struct sys_config *config)
{
    uint64_t all = (UINT64_C(1) << RV_EXT_COUNT) - 1;
    return config->features & SYS_ZICBOM ? all : all & ~(UINT64_C(1) << RV_EXT_ZICBOM);
}

int machine_init(struct machine *m, const struct sys_config *config, const struct engine_options *engine,
                 FILE *output)
{
    struct guise_error err = {0};
    memset(m, 0, sizeof(*m));
    m->output = output;
    gmem_init(&m->memory);
    const struct system_config system = {
        .memory = &m->memory,
        .bus = &m->bus,
        .engine = engine,
        .harts = 1,
        .extensions = extensions_of(config),
        .hart = *config,
        .ops = &system_ops,
        .owner = m,
    };
    if (bus_init(&m->bus, &err) || map_devices(m, &err) ||
        gmem_add(&m->memory, GMEM_RAM, RAM, RAM_SIZE, &err) || system_new(&m->system, &system, &err)) {
        fprintf(stderr, "sysdiff: %s\n", err.text);
        return -1;
    }
    m->hart = system_hart(m->system, 0);
    return config->features & SYS_SMAIA ? add_imsics(m, &err) : 0;
}

void machine_release(struct machine *m)
{
    system_free(m->system);
    for (unsigned i = 0; i < SYS_LEVELS && m->has_imsic; i++)
        imsic_release(&m->imsic[i]);
    bus_release(&m->bus);
    gmem_release(&m->memory);
}

/* Where a WFI would wait for ever, the machine goes on: that is legal, and what QEMU does when it is told to. */
int machine_run(struct machine *m)
{
    alarm(TIMEOUT);
    system_enter_thread(m->hart);
    system_hart_reset(m->hart, PRIV_M, RAM, 0, 0);
    do
        system_hart_run(m->hart);
    while (!m->ended && m->hart->hart.exit.kind == EXIT_WFI);
    system_leave_thread(m->hart);
    return m->ended ? 0 : -1;
}
