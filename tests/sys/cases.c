#include "maker.h"

#include "base/util.h"
#include "cpu/riscv/sys_bits.h"

struct sys_case *add(struct maker *m, const struct sys_case *c)
{
    m->cases[m->count] = *c;
    return &m->cases[m->count++];
}

unsigned random_mode(struct maker *m)
{
    static const uint8_t modes[] = {PRIV_M, PRIV_M, PRIV_S, PRIV_S, PRIV_U};
    return PICK(m, modes);
}

void write_csr(struct maker *m, unsigned number, uint64_t value)
{
    add(m, &(struct sys_case){.word = INSN(CSRRW, .rs1 = A0, .imm = (int)number),
                              .mode = PRIV_M,
                              .a0 = value,
                              .clear = MSTATUS_MPRV | MSTATUS_MIE});
}

void write_memory(struct maker *m, uint64_t address, uint64_t value)
{
    add(m, &(struct sys_case){.word = INSN(SD, .rs1 = A1, .rs2 = A0),
                              .mode = PRIV_M,
                              .a0 = value,
                              .a1 = address,
                              .clear = MSTATUS_MPRV | MSTATUS_MIE});
}

/* ---- CSR instructions ---- */

/* Guise has one endianness and one width of registers. */
#define ENDIANNESS (BIT(6) | BIT(36) | BIT(37))

/* The table is memory without a valid entry. */
#define SATP(mode, asid) \
    ((UINT64_C(mode) << SATP_MODE_SHIFT) | (UINT64_C(asid) << SATP_ASID_SHIFT) | EMPTY_TABLE >> 12)

static const struct csr_choice csr_choices[] = {
    {RV_CSR_MSTATUS,
     12,
     false,
     MSTATUS_MPRV | ENDIANNESS | UINT64_C(3) << 32 | UINT64_C(3) << 34,
     {MSTATUS_MPP, MSTATUS_FS, MSTATUS_TVM, MSTATUS_MIE}},
    {RV_CSR_SSTATUS,
     8,
     false,
     ENDIANNESS | UINT64_C(3) << 32,
     {MSTATUS_SIE, MSTATUS_SUM, MSTATUS_SPP, MSTATUS_FS}},
    /* What brings the driver back is not delegated; what cannot happen is not looked at. */
    {RV_CSR_MEDELEG,
     5,
     false,
     ~UINT64_C(0xa1fc) | BIT(CAUSE_ECALL_S),
     {BIT(CAUSE_ILLEGAL), BIT(CAUSE_ECALL_U)}},
    {RV_CSR_MIDELEG, 5, false, 0, {0x222, 0x2222, 2}},
    {RV_CSR_MIE, 5, false, 0, {0xaaa, 0x222, 0x2aaa}},
    {RV_CSR_MIP, 6, false, 0, {2, 0x20, 0x200, 0x2000}},
    {RV_CSR_SIE, 4, false, 0, {0x222, 0x2222}},
    {RV_CSR_SIP, 5, false, 0, {2, 0x2000, 0x222}},
    {RV_CSR_MTVEC, 3, false, 0, {1, 2, 3}},
    {RV_CSR_STVEC, 5, false, 0, {DATA, DATA + 1, DATA + 0x1000, DATA + 2}},
    {RV_CSR_MSCRATCH, 1, false, 0, {0}},
    {RV_CSR_SSCRATCH, 1, false, 0, {0}},
    {RV_CSR_MEPC, 3, false, 0, {3, DATA + 1, DATA + 8}},
    {RV_CSR_SEPC, 3, false, 0, {3, DATA + 2, DATA + 8}},
    {RV_CSR_MCAUSE, 1, false, 0, {BIT(63) | 5}},
    {RV_CSR_SCAUSE, 1, false, 0, {BIT(63) | 5}},
    {RV_CSR_MTVAL, 1, false, 0, {0}},
    {RV_CSR_STVAL, 1, false, 0, {0}},
    {RV_CSR_MCOUNTEREN, 4, false, 0, {7, 2, 0xffffffff}},
    {RV_CSR_SCOUNTEREN, 4, false, 0, {7, 2, 0xffffffff}},
    {RV_CSR_MENVCFG, 4, true, 0, {ENVCFG_STCE, ENVCFG_PBMTE, 0xf1, 0x31}},
    {RV_CSR_SENVCFG, 3, false, 0, {0xf1, 0x21, 0x11}},
    {RV_CSR_MSTATEEN0, 2, false, 0, {STATEEN_SE, STATEEN_ENVCFG}},
    {RV_CSR_MSTATEEN1, 1, false, 0, {STATEEN_SE}},
    {RV_CSR_SSTATEEN0, 2, false, 0, {0}},
    {RV_CSR_SSTATEEN3, 1, false, 0, {0}},
    {RV_CSR_STIMECMP, 4, false, 0, {UINT64_MAX, 0, 1, BIT(62)}},
    {RV_CSR_SATP, 4, false, 0, {SATP(8, 0), SATP(9, 0xffff), SATP(10, 7), SATP(7, 1)}},
    {RV_CSR_MISA, 1, true, 0, {0}},
    {RV_CSR_MHARTID, 1, false, 0, {0}},
    {RV_CSR_MCONFIGPTR, 1, false, 0, {0}},
    {RV_CSR_MVENDORID, 1, true, 0, {0}},
    {RV_CSR_MIMPID, 1, true, 0, {0}},
    {RV_CSR_FFLAGS, 2, false, 0, {0x15}},
    {RV_CSR_FRM, 2, false, 0, {3}},
    {RV_CSR_FCSR, 2, false, 0, {0xff}},
    {RV_CSR_CYCLE, 2, true, 0, {0}},
    {RV_CSR_TIME, 2, true, 0, {0}},
    {RV_CSR_INSTRET, 2, true, 0, {0}},
    {RV_CSR_HPMCOUNTER3, 2, true, 0, {0}},
    {RV_CSR_MCYCLE, 1, true, 0, {0}},
    {RV_CSR_MINSTRET, 1, true, 0, {0}},
    {RV_CSR_MCOUNTINHIBIT, 2, false, 0, {7, 2}},
    {RV_CSR_SCOUNTOVF, 2, false, 0, {0}},
    {RV_CSR_SEED, 4, true, 0, {0}},
    {RV_CSR_MSECCFG, 3, false, 7, {MSECCFG_SSEED, MSECCFG_USEED}},
    {RV_CSR_PMPCFG0, 1, true, 0xe2e2e2e2e2e2e2e2, {0}},
    {RV_CSR_PMPCFG0 + 1, 1, false, 0, {0}},
    {RV_CSR_DCSR, 1, false, 0, {0}},
    {RV_CSR_VSTART, 1, false, 0, {0}},
    {RV_CSR_HSTATUS, 1, false, 0, {0}},
    {RV_CSR_VSSTATUS, 1, false, 0, {0}},
    {0x5ff, 1, false, 0, {0}}, /* none */
    {0xcff, 1, false, 0, {0}},
    {0xfff, 1, false, 0, {0}},
};

static const struct csr_choice *choose_csr(struct maker *m, const struct csr_choice *choices, size_t count)
{
    unsigned total = 0;
    for (size_t i = 0; i < count; i++)
        total += choices[i].weight;
    unsigned at = rng_below(&m->rng, total);
    const struct csr_choice *choice = choices;
    for (; at >= choice->weight; choice++)
        at -= choice->weight;
    return choice;
}

static uint64_t never(const struct maker *m, const struct csr_choice *choice)
{
    return choice->never | m->limits->csr[choice->number];
}

/* What they point at is executed or walked, or happens at an unknown moment: they get typical values alone. */
static bool is_whole(const struct csr_choice *choice)
{
    return choice->number == RV_CSR_STVEC || choice->number == RV_CSR_SATP ||
           choice->number == RV_CSR_STIMECMP;
}

/* Setting or clearing no bit of fflags, frm, fcsr, though a bit could have been: see README.md. */
static bool sets_no_flag(const struct rv_insn *insn, uint64_t value)
{
    return insn->imm >= RV_CSR_FFLAGS && insn->imm <= RV_CSR_FCSR && !value &&
           (insn->op == RV_CSRRS || insn->op == RV_CSRRC);
}

static uint64_t choose_value(struct maker *m, const struct csr_choice *choice)
{
    uint64_t random = rng_next(&m->rng), value;
    switch (rng_below(&m->rng, 6)) {
    case 0: value = random; break;
    case 1: value = UINT64_MAX; break;
    case 2: value = BIT(random & 63); break;
    case 3: value = random & rng_next(&m->rng) & rng_next(&m->rng); break;
    default: value = PICK(m, choice->typical);
    }
    return is_whole(choice) ? PICK(m, choice->typical) : value & ~never(m, choice);
}

void add_one_csr(struct maker *m, const struct csr_choice *choices, size_t count)
{
    static const uint16_t ops[] = {RV_CSRRW, RV_CSRRW, RV_CSRRS, RV_CSRRC, RV_CSRRWI, RV_CSRRSI, RV_CSRRCI};
    const struct csr_choice *choice = choose_csr(m, choices, count);
    while (m->limits->csr[choice->number] == UINT64_MAX)
        choice = choose_csr(m, choices, count);
    struct rv_insn insn = {.op = PICK(m, ops), .rd = choice->varies ? 0 : A0, .imm = choice->number};
    if (is_whole(choice))
        insn.op = RV_CSRRW;
    bool immediate = insn.op >= RV_CSRRWI;
    insn.rs1 = immediate                  ? (uint8_t)(rng_below(&m->rng, 32) & ~never(m, choice))
               : rng_percent(&m->rng, 80) ? A1
                                          : 0;
    uint64_t value = choose_value(m, choice);
    if ((!value && m->limits->zero) || sets_no_flag(&insn, value))
        return;
    add(m, &(struct sys_case){.word = encode(insn),
                              .mode = random_mode(m),
                              .a0 = 0x1111,
                              .a1 = value,
                              .set = rng_percent(&m->rng, 30) ? MSTATUS_FS : 0});
}

void add_csr(struct maker *m)
{
    add_one_csr(m, csr_choices, ARRAY_SIZE(csr_choices));
}

/* Does not come back by itself where nothing is pending. */
static void add_wfi(struct maker *m)
{
    add(m, &(struct sys_case){.word = INSN(WFI), .mode = rng_below(&m->rng, 2), .set = MSTATUS_TW});
}

/* Returns lead where the registers say: to a place that is known first. */
static void add_return(struct maker *m, bool machine)
{
    static const uint64_t places[] = {DATA, DATA + 8, DATA + 0x1002, 0x10};
    write_csr(m, machine ? RV_CSR_MEPC : RV_CSR_SEPC, PICK(m, places));
    uint64_t random = rng_next(&m->rng) & (MSTATUS_SPP | MSTATUS_SPIE | MSTATUS_TSR | MSTATUS_MPRV);
    bool from_machine = rng_percent(&m->rng, 40);
    /* MRET to machine mode would need a way back that SRET has not: none of both ends there. */
    add(m,
        &(struct sys_case){.word = machine ? INSN(MRET) : INSN(SRET),
                           .mode = from_machine ? PRIV_M : random_mode(m),
                           .set = random | (machine && rng_percent(&m->rng, 50) ? BIT(MSTATUS_MPP_SHIFT) : 0),
                           .clear = MSTATUS_SPP | MSTATUS_TSR | MSTATUS_MPP});
}

static void add_privileged(struct maker *m)
{
    static const uint16_t rows[] = {RV_SFENCE_VMA,      RV_SINVAL_VMA, RV_SFENCE_W_INVAL,
                                    RV_SFENCE_INVAL_IR, RV_ECALL,      RV_EBREAK,
                                    RV_CBO_CLEAN,       RV_CBO_FLUSH,  RV_CBO_INVAL};
    uint16_t row = PICK(m, rows);
    if (m->limits->row[row])
        return;
    uint8_t rs1 = row == RV_CBO_CLEAN || row == RV_CBO_FLUSH || row == RV_CBO_INVAL ? A1 : 0;
    add(m, &(struct sys_case){.word = encode((struct rv_insn){.op = row, .rs1 = rs1}),
                              .mode = random_mode(m),
                              .a1 = DATA,
                              .set = rng_next(&m->rng) & (MSTATUS_TVM | MSTATUS_TSR),
                              .clear = MSTATUS_TVM | MSTATUS_TSR});
}

static void make_csr(struct maker *m)
{
    while (m->count < 1000) {
        unsigned kind = rng_below(&m->rng, 100);
        if (kind < 80)
            add_csr(m);
        else if (kind < 83)
            write_csr(m, RV_CSR_SATP, 0);
        else if (kind < 85)
            add_wfi(m);
        else if (kind < 92)
            add_return(m, kind & 1);
        else
            add_privileged(m);
    }
}

static void make_timer(struct maker *m)
{
    struct case_limits limits = *m->limits;
    limits.csr[RV_CSR_MENVCFG] = UINT64_MAX;
    limits.csr[RV_CSR_STIMECMP] = 0;
    m->limits = &limits;
    write_csr(m, RV_CSR_MENVCFG, ENVCFG_STCE);
    write_csr(m, RV_CSR_STIMECMP, UINT64_MAX);
    make_csr(m);
}

/* ---- Page tables ---- */

enum { LEVELS = 5, INDICES = 8 };

/* Indices that are used at each level. No page that they lead to has a device or the driver. */
static const uint16_t indices[LEVELS][INDICES] = {
    {0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x22, 0x23},
    {0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x22, 0x23},
    {2, 3, 0x20, 0x102, 2, 3, 0x103, 0x1ff},
    {0, 1, 0x100, 0x1ff, 0, 1, 2, 0x101},
    {0, 1, 0x100, 0x1ff, 0, 1, 2, 0x101},
};

/* Level of the entries in a table. */
static unsigned table_level(unsigned table)
{
    static const uint8_t levels[TABLE_COUNT] = {4, 3, 2, 2, 1, 1, 0, 0};
    return levels[table];
}

/* A table for entries of this level, sometimes of any. */
static uint64_t random_table(struct maker *m, unsigned level)
{
    unsigned table = rng_below(&m->rng, TABLE_COUNT);
    while (table_level(table) != level && rng_percent(&m->rng, 97))
        table = rng_below(&m->rng, TABLE_COUNT);
    return TABLES + ((uint64_t)table << 12);
}

static uint64_t random_leaf_address(struct maker *m, unsigned level)
{
    static const uint64_t nowhere = UINT64_C(0x4000000000); /* 256 GiB */
    unsigned page = rng_below(&m->rng, 16);
    uint64_t misaligned =
        rng_percent(&m->rng, 10) ? UINT64_C(0x1000) << rng_below(&m->rng, 9 * (level ? level : 1)) : 0;
    if (rng_percent(&m->rng, 3))
        return nowhere;
    switch (level) {
    case 0: return rng_percent(&m->rng, 15) ? random_table(m, 0) : DATA + ((uint64_t)page << 12);
    case 1:
    case 2: return RAM + misaligned;
    default: return misaligned;
    }
}

static uint64_t random_flags(struct maker *m, bool leaf)
{
    static const uint8_t rights[] = {PTE_R,         PTE_R | PTE_W,         PTE_X,
                                     PTE_R | PTE_X, PTE_R | PTE_W | PTE_X, PTE_R | PTE_W | PTE_X};
    uint64_t flags = rng_percent(&m->rng, 97) ? PTE_V : 0;
    if (leaf)
        flags |= PICK(m, rights) | (rng_next(&m->rng) & (PTE_U | PTE_G | PTE_A | PTE_D));
    else
        flags |= rng_percent(&m->rng, 3) ? rng_next(&m->rng) & (PTE_U | PTE_A | PTE_D | PTE_W) : 0;
    if (rng_percent(&m->rng, 10))
        flags |= rng_next(&m->rng) & (PTE_W | BIT(8) | BIT(9));
    if (rng_percent(&m->rng, 6))
        flags |= BIT(54 + rng_below(&m->rng, 9));
    return flags;
}

static uint64_t random_pte(struct maker *m, unsigned level)
{
    bool leaf = rng_percent(&m->rng, level == 0 ? 95 : level < 3 ? 30 : 8);
    uint64_t address = leaf ? random_leaf_address(m, level) : random_table(m, level ? level - 1 : 0);
    uint64_t pte = random_flags(m, leaf) | address >> 12 << PTE_PPN_SHIFT;
    if (leaf && address >= TABLES && address < DATA)
        pte = (pte & ~PTE_X) | PTE_R;
    if (rng_percent(&m->rng, leaf && !level ? 20 : 1)) { /* Svnapot, mostly well formed */
        pte |= PTE_N;
        if (m->limits->napot || rng_percent(&m->rng, 80))
            pte = (pte & ~(UINT64_C(15) << PTE_PPN_SHIFT)) | UINT64_C(8) << PTE_PPN_SHIFT;
    }
    return pte;
}

static void fill_tables(struct maker *m)
{
    for (unsigned table = 0; table < TABLE_COUNT; table++)
        for (unsigned i = 0; i < INDICES; i++) {
            unsigned level = table_level(table);
            write_memory(m, TABLES + 0x1000 * table + 8 * indices[level][i], random_pte(m, level));
        }
}

static uint64_t random_virtual(struct maker *m, unsigned levels)
{
    uint64_t address = rng_below(&m->rng, 512) * 8;
    for (unsigned level = 0; level < levels; level++)
        address |= (uint64_t)PICK(m, indices[level]) << (12 + 9 * level);
    unsigned unused = 64 - 12 - 9 * levels;
    address = (uint64_t)((int64_t)(address << unused) >> unused);
    return rng_percent(&m->rng, 3) ? address ^ BIT(38 + rng_below(&m->rng, 26)) : address;
}

/* The value is an ecall, where it may be executed. */
static void add_access(struct maker *m, uint64_t address, uint64_t status)
{
    const uint32_t words[] = {
        INSN(LD, .rd = A0, .rs1 = A1),  INSN(LW, .rd = A0, .rs1 = A1),
        INSN(LD, .rd = A0, .rs1 = A1),  INSN(SD, .rs1 = A1, .rs2 = A0),
        INSN(SW, .rs1 = A1, .rs2 = A0), INSN(LBU, .rd = A0, .rs1 = A1),
        INSN(SD, .rs1 = A1, .rs2 = A0), INSN(AMOSWAP_D, .rd = A0, .rs1 = A1, .rs2 = A0)};
    uint32_t word = PICK(m, words);
    struct rv_insn insn;
    rv_decode(word, &insn);
    if (m->limits->row[insn.op])
        return;
    add(m, &(struct sys_case){.word = word,
                              .mode = PRIV_M,
                              .a0 = ECALL | (rng_next(&m->rng) << 40),
                              .a1 = address,
                              .set = status | MSTATUS_MPRV,
                              .clear = MSTATUS_MPP | MSTATUS_SUM | MSTATUS_MXR});
}

/* Not into page tables: what an entry means as an instruction is of no interest. */
static void add_jump(struct maker *m, uint64_t address, uint64_t status)
{
    const uint64_t apart = TABLES ^ DATA;
    address = (address & ~apart) | (DATA & apart);
    add(m, &(struct sys_case){.word = INSN(ADDI),
                              .mode = rng_percent(&m->rng, 50) ? PRIV_S : PRIV_U,
                              .pc = address,
                              .set = status,
                              .clear = MSTATUS_MPRV | MSTATUS_SUM | MSTATUS_MXR});
}

static uint64_t random_status(struct maker *m)
{
    uint64_t mode = rng_percent(&m->rng, 50) ? PRIV_S : PRIV_U;
    return mode << MSTATUS_MPP_SHIFT | (rng_next(&m->rng) & (MSTATUS_SUM | MSTATUS_MXR));
}

static void read_back(struct maker *m)
{
    for (unsigned table = 0; table < TABLE_COUNT; table++)
        for (unsigned i = 0; i < INDICES; i++)
            add(m, &(struct sys_case){.word = INSN(LD, .rd = A0, .rs1 = A1),
                                      .mode = PRIV_M,
                                      .a1 = TABLES + 0x1000 * table + 8 * indices[table_level(table)][i],
                                      .clear = MSTATUS_MPRV});
}

static void make_pages(struct maker *m)
{
    write_csr(m, RV_CSR_MENVCFG, rng_percent(&m->rng, 60) ? ENVCFG_PBMTE : 0);
    fill_tables(m);
    while (m->count < 1000) {
        unsigned levels = 3 + rng_below(&m->rng, 3);
        uint64_t root = random_table(m, levels - 1) >> 12;
        write_csr(m, RV_CSR_SATP, (uint64_t)(SATP_SV39 + levels - 3) << SATP_MODE_SHIFT | root);
        for (unsigned i = 0; i < 12; i++) {
            uint64_t address = random_virtual(m, levels), status = random_status(m);
            if (rng_percent(&m->rng, 70))
                add_access(m, address, status);
            else
                add_jump(m, address, status);
        }
    }
    read_back(m);
}

/* ---- Physical memory protection ---- */

/* Around here are all bounds and all accesses, so that a locked entry does not lock the driver out. */
static uint64_t random_bound(struct maker *m)
{
    uint64_t offset = rng_below(&m->rng, 0x400);
    switch (rng_below(&m->rng, 4)) {
    case 0: offset &= ~UINT64_C(0x3f); break;
    case 1: offset |= BIT(rng_below(&m->rng, 8)) - 1; break; /* NAPOT of up to 1 KiB */
    default: break;
    }
    return (DATA + 0x1000) / 4 + offset;
}

static void set_entries(struct maker *m)
{
    static const uint8_t kinds[] = {PMP_A_OFF, PMP_A_TOR, PMP_A_TOR, PMP_A_NA4, PMP_A_NAPOT, PMP_A_NAPOT};
    uint64_t configuration = 0;
    for (unsigned i = 0; i < 8; i++) {
        uint64_t entry = PICK(m, kinds) | rng_below(&m->rng, 8);
        bool from_zero = i == 0 && (entry & PMP_A) == PMP_A_TOR; /* with the driver in it */
        if (!from_zero && rng_percent(&m->rng, 4))
            entry |= PMP_L;
        if ((entry & (PMP_R | PMP_W)) == PMP_W) /* reserved: any legal value may be kept */
            entry |= PMP_R;
        configuration |= entry << 8 * i;
    }
    for (unsigned i = 0; i < 8; i++)
        write_csr(m, RV_CSR_PMPADDR0 + i, random_bound(m));
    write_csr(m, RV_CSR_PMPCFG0, configuration);
    for (unsigned i = 0; i < 8; i++)
        add(m, &(struct sys_case){.word = INSN(CSRRS, .rd = A0, .imm = (int)(RV_CSR_PMPADDR0 + i)),
                                  .mode = PRIV_M});
}

static void make_pmp(struct maker *m)
{
    while (m->count < 1000) {
        set_entries(m);
        for (unsigned i = 0; i < 40; i++) {
            uint64_t address = DATA + 0x1000 + rng_below(&m->rng, 0x200) * 8;
            uint64_t mode = random_mode(m);
            if (rng_percent(&m->rng, 70))
                add_access(m, address, mode << MSTATUS_MPP_SHIFT);
            else
                add_jump(m, address, 0);
        }
    }
}

unsigned cases_make(enum sys_profile profile, uint64_t seed, const struct case_limits *limits,
                    struct sys_case cases[CASES_MAX])
{
    static void (*const make[])(struct maker *) = {
        [PROFILE_CSR] = make_csr, [PROFILE_TIMER] = make_timer,     [PROFILE_PAGES] = make_pages,
        [PROFILE_PMP] = make_pmp, [PROFILE_STREAMS] = make_streams, [PROFILE_AIA] = make_aia,
    };
    struct maker m = {.rng = rng_make(seed, profile), .limits = limits, .cases = cases};
    make[profile](&m);
    return m.count;
}
