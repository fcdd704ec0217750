/* Interrupt controllers of a board: a PLIC, or an APLIC with or without IMSICs before the harts. */
#include "machine/board.h"

/* ---- Harts ---- */

static void set_hart_line(void *hart, unsigned irq, bool level)
{
    system_hart_set_line(hart, BIT(irq), level);
}

struct irq_line board_hart_line(const struct board *b, unsigned hart, unsigned irq)
{
    return (struct irq_line){.set = set_hart_line, .controller = system_hart(b->system, hart), .number = irq};
}

static unsigned external_of(enum sys_level level)
{
    return level == SYS_MACHINE ? IRQ_MEI : IRQ_SEI;
}

/* The first level that the guest has. */
static enum sys_level first_level(const struct board *b)
{
    return b->config.firmware ? SYS_SUPERVISOR : SYS_MACHINE;
}

/* ---- PLIC ---- */

/* A context for M-mode and one for S-mode of each hart, or the latter alone. */
static int add_plic(struct board *b, struct guise_error *err)
{
    struct irq_line lines[PLIC_MAX_CONTEXTS];
    unsigned count = 0;
    for (unsigned i = 0; i < b->config.harts; i++)
        for (enum sys_level level = first_level(b); level < SYS_LEVELS; level++)
            lines[count++] = board_hart_line(b, i, external_of(level));
    plic_init(&b->plic, count, lines);
    return bus_map(&b->bus, &b->plic.region, LAYOUT_PLIC, err);
}

/* ---- IMSIC ---- */

static const uint64_t imsic_bases[SYS_LEVELS] = {LAYOUT_IMSIC_M, LAYOUT_IMSIC_S};

static int add_imsic(struct board *b, enum sys_level level, struct guise_error *err)
{
    struct irq_line lines[IMSIC_MAX_HARTS];
    for (unsigned i = 0; i < b->config.harts; i++)
        lines[i] = board_hart_line(b, i, external_of(level));
    imsic_init(&b->imsic[level], imsic_bases[level], b->config.harts, lines);
    return bus_map(&b->bus, &b->imsic[level].region, imsic_bases[level], err);
}

static int add_imsics(struct board *b, struct guise_error *err)
{
    int r = 0;
    for (enum sys_level level = first_level(b); level < SYS_LEVELS && r == 0; level++)
        r = add_imsic(b, level, err);
    for (unsigned i = 0; i < b->config.harts; i++)
        sys_connect_files(&system_hart(b->system, i)->sys,
                          b->config.firmware ? NULL : &b->imsic[SYS_MACHINE].files[i],
                          &b->imsic[SYS_SUPERVISOR].files[i]);
    return r;
}

static void send(void *board, uint64_t address, uint32_t data)
{
    struct board *b = board;
    if (!imsic_send(&b->imsic[SYS_SUPERVISOR], address, data))
        imsic_send(&b->imsic[SYS_MACHINE], address, data);
}

/* Messages reach the IMSICs and nothing else: a guest chooses their addresses, and on the bus they could lead back to
 * the device that sends them with its lock held. */
struct msi_target board_messages(struct board *b)
{
    return b->config.interrupts == BOARD_IMSIC ? (struct msi_target){.send = send, .object = b}
                                               : (struct msi_target){0};
}

/* ---- APLIC ---- */

static void connect_domain(struct board *b, enum sys_level level, struct aplic_outputs *to)
{
    *to = (struct aplic_outputs){.msi = board_messages(b), .base = imsic_bases[level]};
    for (unsigned i = 0; i < b->config.harts; i++)
        to->lines[i] = board_hart_line(b, i, external_of(level));
}

static int map_domain(struct board *b, enum aplic_level level, uint64_t base, struct guise_error *err)
{
    return bus_map(&b->bus, &b->aplic.domains[level].region, base, err);
}

/* The firmware that is built in has delegated everything. */
static int add_aplic(struct board *b, struct guise_error *err)
{
    struct aplic_outputs outputs[APLIC_DOMAINS];
    connect_domain(b, SYS_MACHINE, &outputs[APLIC_MACHINE]);
    connect_domain(b, SYS_SUPERVISOR, &outputs[APLIC_SUPERVISOR]);
    aplic_init(&b->aplic, b->config.harts, b->config.interrupts == BOARD_IMSIC, outputs);
    if (b->config.firmware)
        aplic_delegate(&b->aplic);
    int r = b->config.firmware ? 0 : map_domain(b, APLIC_MACHINE, LAYOUT_APLIC_M, err);
    return r ? r : map_domain(b, APLIC_SUPERVISOR, LAYOUT_APLIC_S, err);
}

/* ---- The one that the board has ---- */

struct irq_line board_line(struct board *b, unsigned source)
{
    return b->config.interrupts == BOARD_PLIC ? plic_line(&b->plic, source) : aplic_line(&b->aplic, source);
}

int board_add_interrupts(struct board *b, struct guise_error *err)
{
    if (b->config.interrupts == BOARD_PLIC)
        return add_plic(b, err);
    int r = b->config.interrupts == BOARD_IMSIC ? add_imsics(b, err) : 0;
    return r ? r : add_aplic(b, err);
}

void board_remove_interrupts(struct board *b)
{
    if (b->config.interrupts == BOARD_PLIC) {
        plic_release(&b->plic);
        return;
    }
    aplic_release(&b->aplic);
    for (unsigned i = 0; i < SYS_LEVELS; i++)
        imsic_release(&b->imsic[i]);
}
