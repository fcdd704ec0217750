/* Cases of profile `aia`: registers behind miselect and siselect, claims, messages that arrive. */
#include "base/util.h"
#include "cpu/riscv/sys_bits.h"
#include "maker.h"

#define ALL_IRQS        UINT64_C(0x2aaa)
#define SUPERVISOR_IRQS UINT64_C(0x2222)

/* Of eip and eie, those of identities that are not there: QEMU has none. */
#define UNKNOWN_REGISTERS UINT64_C(0x38)

static const struct csr_choice choices[] = {
    {RV_CSR_MISELECT, 2, false, UNKNOWN_REGISTERS, {0x80, 0xc0, 0xc2, 0xc7}},
    {RV_CSR_SISELECT, 2, false, UNKNOWN_REGISTERS, {0x82, 0xc0, 0xc6, 0x40}},
    {RV_CSR_MIREG, 2, false, UINT64_MAX, {0}},
    {RV_CSR_SIREG, 2, false, UINT64_MAX, {0}},
    {RV_CSR_MTOPEI, 6, false, 0, {1, 2, 3, 4}},
    {RV_CSR_STOPEI, 8, false, 0, {1, 2, 3, 4}},
    {RV_CSR_MTOPI, 8, false, 0, {0}},
    {RV_CSR_STOPI, 8, false, 0, {0}},
    {RV_CSR_MVIP, 8, true, ~SUPERVISOR_IRQS, {0x200, 2, 0x2000, 0x20}},
    {RV_CSR_SIE, 6, false, ~ALL_IRQS, {0x222, 0x2222, 2, 0x200}},
    {RV_CSR_SIP, 6, false, ~ALL_IRQS, {2, 0x2000, 0x222}},
    {RV_CSR_MIE, 6, false, ~ALL_IRQS, {0xaaa, 0x2aaa, 0x2222}},
    {RV_CSR_MIP, 6, false, ~ALL_IRQS, {2, 0x20, 0x2000}},
    {RV_CSR_MIDELEG, 4, false, ~SUPERVISOR_IRQS, {0x2222, 0x222, 0x2022}},
};

static const uint16_t selections[] = {
    0,    0x2f, 0x30, 0x31, 0x32, 0x34, 0x36, 0x3e, 0x3f, 0x40, 0x6f, 0x70, 0x72,  0x80,  0x80, 0x81,
    0x82, 0x84, 0x86, 0x87, 0x82, 0x84, 0xbf, 0xc0, 0xc0, 0xc1, 0xc2, 0xc4, 0xc6,  0xc4,  0xc6, 0xff,
    0x70, 0x70, 0x72, 0x80, 0xc0, 0xc2, 0x30, 0x32, 0x30, 0x32, 0x70, 0xc0, 0x100, 0x1ff, 0xc4, 0xc6,
};

/* Bytes of the priorities that there are at a level, in the register selected. */
static uint64_t priorities(bool machine, uint16_t selection)
{
    static const uint64_t bytes[2][2] = {{0x0000ff000000ff00, 0},                   /* SSI STI */
                                         {0xff00ff00ff00ff00, 0x0000ff000000ff00}}; /* all but MEI */
    return selection == 0x30 || selection == 0x32 ? bytes[machine][selection / 2 % 2] : 0;
}

static uint64_t window_value(struct maker *m, bool machine, uint16_t selection)
{
    uint64_t random = rng_next(&m->rng), sparse = random & rng_next(&m->rng) & rng_next(&m->rng);
    if (selection >= 0x30 && selection < 0x40)
        return random & priorities(machine, selection);
    if (selection == 0x70)
        return rng_percent(&m->rng, 80);
    if (selection == 0x72)
        return rng_percent(&m->rng, 50) ? 0 : random & 0xff;
    return selection < 0xc0 ? sparse : random;
}

/* The supervisor's priorities are of interrupts that it may enable. None is kept: QEMU orders by others. */
static void add_window(struct maker *m)
{
    static const uint16_t ops[] = {RV_CSRRW, RV_CSRRW, RV_CSRRS, RV_CSRRC};
    bool machine = rng_percent(&m->rng, 40);
    uint16_t selection = PICK(m, selections);
    bool priority = selection >= 0x30 && selection < 0x40;
    if (!machine && priority)
        write_csr(m, RV_CSR_MIDELEG, SUPERVISOR_IRQS);
    write_csr(m, machine ? RV_CSR_MISELECT : RV_CSR_SISELECT, selection);
    struct rv_insn insn = {.op = PICK(m, ops),
                           .rd = A0,
                           .rs1 = rng_percent(&m->rng, 80) ? A1 : 0,
                           .imm = machine ? RV_CSR_MIREG : RV_CSR_SIREG};
    add(m, &(struct sys_case){.word = encode(insn),
                              .mode = random_mode(m),
                              .a0 = 0x1111,
                              .a1 = window_value(m, machine, selection)});
    if (priority)
        write_csr(m, machine ? RV_CSR_MIREG : RV_CSR_SIREG, 0);
}

/* To an identity that is there, mostly; interrupts are off, for when the hart hears of it is not said. */
static void add_message(struct maker *m)
{
    uint64_t random = rng_next(&m->rng);
    add(m, &(struct sys_case){.word = INSN(SW, .rs1 = A1, .rs2 = A0),
                              .mode = PRIV_M,
                              .a0 = rng_percent(&m->rng, 90) ? random & 0xff : random & 0xffffffff,
                              .a1 = rng_percent(&m->rng, 50) ? IMSIC_M : IMSIC_S,
                              .clear = MSTATUS_MPRV | MSTATUS_MIE});
}

/* What reset leaves in them is not said. */
static void clear_priorities(struct maker *m)
{
    write_csr(m, RV_CSR_MIDELEG, SUPERVISOR_IRQS);
    for (unsigned selection = 0x30; selection < 0x40; selection += 2) {
        write_csr(m, RV_CSR_MISELECT, selection);
        write_csr(m, RV_CSR_MIREG, 0);
        write_csr(m, RV_CSR_SISELECT, selection);
        write_csr(m, RV_CSR_SIREG, 0);
    }
}

/* The bits of mstateen0 together: QEMU looks at CSRIND alone for what is behind siselect. */
static void set_access(struct maker *m)
{
    const uint64_t all = STATEEN_CSRIND | STATEEN_AIA | STATEEN_IMSIC;
    write_csr(m, RV_CSR_MSTATEEN0, STATEEN_SE | (rng_percent(&m->rng, 80) ? all : 0));
}

/* Without virtual interrupts, and without STI, which QEMU takes before SSI. */
void make_aia(struct maker *m)
{
    struct case_limits limits = *m->limits;
    limits.csr[RV_CSR_MIP] |= BIT(IRQ_STI);
    limits.csr[RV_CSR_MVIP] |= BIT(IRQ_STI);
    limits.csr[RV_CSR_MSTATEEN0] = UINT64_MAX;
    m->limits = &limits;
    clear_priorities(m);
    set_access(m);
    while (m->count < 1500) {
        unsigned kind = rng_below(&m->rng, 100);
        if (kind < 35)
            add_window(m);
        else if (kind < 70)
            add_one_csr(m, choices, ARRAY_SIZE(choices));
        else if (kind < 80)
            add_message(m);
        else if (kind < 85)
            write_csr(m, RV_CSR_MIE, 0);
        else if (kind < 87)
            set_access(m);
        else
            add_csr(m);
    }
}
