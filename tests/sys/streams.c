/* Streams: pieces of code in all modes, behind page tables, that compute, access memory, jump and change themselves.
 *
 *   code pages    streams, across pages, too; at EPILOGUE of each page, code that folds all registers into a0
 *   data pages    what streams load and store
 *
 * Both are mapped more than once, at random places and with random rights: once for S-mode, once for U-mode. A stream
 * ends at the epilogue of the page that its mapping leads to, or in a trap. */
#include "base/util.h"
#include "cpu/riscv/sys_bits.h"
#include "isa/riscv/tables.h"
#include "maker.h"

enum {
    CODE_PAGES = 8,
    DATA_PAGES = 8,
    PAGE = 4096,
    EPILOGUE = 0xc00, /* offset in a page */
    STREAMS = CODE_PAGES - 1,
    RUNS = 20, /* of each stream */
    BODY = 44, /* instructions, at most */
};

#define CODE_GPA      DATA
#define DATA_GPA      (DATA + CODE_PAGES * PAGE)
#define ROOT          TABLES
#define SUPERVISOR_VA UINT64_C(0x40000000) /* an entry of the root each */
#define USER_VA       UINT64_C(0x80000000)

/* What the driver keeps in registers is not touched. a1 is an address of data, X_ALIGNED the same with alignment; X_BASE is one that
 * moves on. */
enum { RA = 1, X_FIRST = 5, X_LAST = 31, X_ALIGNED = 21, X_SCRATCH = 22, X_BASE = 24 };
#define KEPT                                                                                       \
    (BIT(0) | BIT(2) | BIT(3) | BIT(4) | BIT(8) | BIT(9) | BIT(A1) | BIT(18) | BIT(19) | BIT(20) | \
     BIT(X_ALIGNED) | BIT(X_BASE))

/* Code in the making: halves of instructions. */
struct stream {
    struct maker *m;
    uint16_t halves[2 * BODY + 256];
    unsigned count;
};

static void put16(struct stream *s, uint16_t half)
{
    s->halves[s->count++] = half;
}

static void put(struct stream *s, uint32_t word)
{
    put16(s, (uint16_t)word);
    put16(s, (uint16_t)(word >> 16));
}

static uint8_t any_register(struct stream *s)
{
    return (uint8_t)rng_below(&s->m->rng, 32);
}

static uint8_t free_register(struct stream *s)
{
    uint8_t x = any_register(s);
    while (KEPT >> x & 1)
        x = any_register(s);
    return x;
}

/* ---- Instructions ---- */

static const enum rv_ext integer_extensions[] = {RV_EXT_I,   RV_EXT_M,   RV_EXT_ZBA,
                                                 RV_EXT_ZBB, RV_EXT_ZBC, RV_EXT_ZBS};

static bool is_of(enum rv_ext ext, const enum rv_ext *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == ext)
            return true;
    return false;
}

/* A row without memory, control flow or traps; with floating point, those of F and D that need no mode of their own. */
static unsigned random_row(struct stream *s, bool fp)
{
    static const enum rv_ext fp_extensions[] = {RV_EXT_F, RV_EXT_D};
    const unsigned not_these = RV_BRANCH | RV_JUMP | RV_LOAD | RV_STORE | RV_END;
    for (;;) {
        unsigned row = 1 + rng_below(&s->m->rng, RV_OP_COUNT - 1), flags = rv_op_flags(row);
        bool wanted = fp ? is_of(rv_op_ext(row), fp_extensions, ARRAY_SIZE(fp_extensions))
                         : is_of(rv_op_ext(row), integer_extensions, ARRAY_SIZE(integer_extensions)) &&
                               !(flags & RV_TRAP);
        if (wanted && !(flags & not_these) && row != RV_FENCE_TSO)
            return row;
    }
}

static void put_computation(struct stream *s, bool fp)
{
    unsigned row = random_row(s, fp);
    bool to_float = rv_op_flags(row) & RV_FRD;
    put(s, rv_encode(&(struct rv_insn){
               .op = (uint16_t)row,
               .row = (uint16_t)row,
               .rd = to_float ? any_register(s) : free_register(s),
               .rs1 = any_register(s),
               .rs2 = any_register(s),
               .rm = (uint8_t)(rng_percent(&s->m->rng, 50) ? 7 : rng_below(&s->m->rng, 5)),
               .imm = row == RV_LUI || row == RV_AUIPC
                          ? (int32_t)(rng_next(&s->m->rng) & 0xfffff000)
                          : (int32_t)rng_below(&s->m->rng, 4096) - 2048, /* or rs3 */
           }));
}

static void put_access_at(struct stream *s, uint8_t base, int32_t offset)
{
    static const uint16_t rows[] = {RV_LB, RV_LH, RV_LW, RV_LD, RV_LBU, RV_LHU, RV_LWU, RV_SB,
                                    RV_SH, RV_SW, RV_SD, RV_SD, RV_FLD, RV_FSD, RV_FLW, RV_FSW};
    struct rv_insn insn = {
        .op = PICK(s->m, rows), .rd = free_register(s), .rs1 = base, .rs2 = any_register(s), .imm = offset};
    put(s, encode(insn));
}

/* Anywhere around a1, aligned or not, in this page or the next. */
static void put_access(struct stream *s)
{
    put_access_at(s, A1, (int32_t)rng_below(&s->m->rng, 4096) - 2048);
}

/* As to a frame or a structure: some around one address, which may move on, and be loaded over at last. */
static void put_accesses(struct stream *s)
{
    bool frame = rng_percent(&s->m->rng, 50);
    unsigned count = 2 + rng_below(&s->m->rng, 6);
    uint8_t base = A1;
    if (frame) {
        base = X_BASE;
        put(s, INSN(ADDI, .rd = base, .rs1 = A1, .imm = (int32_t)rng_below(&s->m->rng, 256) - 128));
    }
    for (unsigned i = 0; i < count; i++) {
        put_access_at(s, base, (int32_t)rng_below(&s->m->rng, 96) - 32);
        if (frame && rng_percent(&s->m->rng, 20))
            put(s, INSN(ADDI, .rd = base, .rs1 = base, .imm = (int32_t)rng_below(&s->m->rng, 64) - 16));
        if (rng_percent(&s->m->rng, 15))
            put_computation(s, false);
    }
    if (frame && rng_percent(&s->m->rng, 30))
        put(s, INSN(LD, .rd = base, .rs1 = base, .imm = 8));
}

static void put_atomic(struct stream *s)
{
    static const uint16_t rows[] = {RV_AMOADD_D, RV_AMOSWAP_W, RV_AMOXOR_D, RV_AMOOR_W, RV_AMOAND_D,
                                    RV_AMOMAX_W, RV_AMOMINU_D, RV_LR_D,     RV_SC_D,    RV_LR_W};
    struct rv_insn insn = {
        .op = PICK(s->m, rows), .rd = free_register(s), .rs1 = X_ALIGNED, .rs2 = any_register(s)};
    if (s->m->limits->row[insn.op])
        return;
    put(s, encode(insn));
    if (insn.op == RV_LR_W && !s->m->limits->row[RV_SC_W]) { /* no other SC may meet it: see README.md */
        put_computation(s, false);
        put(s, INSN(SC_W, .rd = free_register(s), .rs1 = X_ALIGNED, .rs2 = any_register(s)));
    }
}

/* Jumps over the next instruction: a conditional branch, a jump, or one by way of a register. */
static void put_jump(struct stream *s)
{
    static const uint16_t branches[] = {RV_BEQ, RV_BNE, RV_BLT, RV_BGEU};
    switch (rng_below(&s->m->rng, 3)) {
    case 0:
        put(s, encode((struct rv_insn){
                   .op = PICK(s->m, branches), .rs1 = any_register(s), .rs2 = any_register(s), .imm = 8}));
        break;
    case 1: put(s, INSN(JAL, .rd = free_register(s), .imm = 8)); break;
    default:
        put(s, INSN(AUIPC, .rd = X_SCRATCH));
        put(s, INSN(JALR, .rd = free_register(s), .rs1 = X_SCRATCH, .imm = 12));
        break;
    }
    put_computation(s, false);
}

static void put_csr(struct stream *s)
{
    static const uint16_t numbers[] = {RV_CSR_SSCRATCH, RV_CSR_FRM, RV_CSR_FFLAGS, RV_CSR_FCSR,
                                       RV_CSR_SSCRATCH};
    static const uint16_t rows[] = {RV_CSRRW, RV_CSRRS, RV_CSRRWI, RV_CSRRCI};
    put(s, encode((struct rv_insn){.op = PICK(s->m, rows),
                                   .rd = free_register(s),
                                   .rs1 = (uint8_t)(1 + rng_below(&s->m->rng, 3)), /* not x0, no zero */
                                   .imm = PICK(s->m, numbers)}));
}

static void put_compressed(struct stream *s)
{
    uint8_t rd = free_register(s);
    const uint16_t halves[] = {
        (uint16_t)INSN(C_LI, .rd = rd, .imm = (int32_t)rng_below(&s->m->rng, 64) - 32),
        (uint16_t)INSN(C_MV, .rd = rd, .rs1 = 0, .rs2 = 10),
        (uint16_t)INSN(C_NOP, .rd = 0),
    };
    put16(s, PICK(s->m, halves));
}

/* The instruction after the FENCE.I is another one than was there: stored by way of this mapping, if that may be
 * written to. */
static void put_change(struct stream *s)
{
    uint32_t word = INSN(ADDI, .rd = X_SCRATCH, .rs1 = X_SCRATCH, .imm = (int)rng_below(&s->m->rng, 2048));
    int32_t low = (int32_t)(word << 20) >> 20;
    put(s, INSN(LUI, .rd = X_SCRATCH, .imm = (int32_t)(word - (uint32_t)low)));
    put(s, INSN(ADDI, .rd = X_SCRATCH, .rs1 = X_SCRATCH, .imm = low));
    put(s, INSN(AUIPC, .rd = 23));
    put(s, INSN(SW, .rs1 = 23, .rs2 = X_SCRATCH, .imm = 12));
    put(s, INSN(FENCE_I, .rd = 0));
    put(s, INSN(ADDI, .rd = X_SCRATCH, .rs1 = X_SCRATCH, .imm = 1));
}

static void put_any(struct stream *s)
{
    unsigned kind = rng_below(&s->m->rng, 100);
    if (kind < 35)
        put_computation(s, false);
    else if (kind < 45)
        put_computation(s, true);
    else if (kind < 57)
        put_access(s);
    else if (kind < 65)
        put_accesses(s);
    else if (kind < 71)
        put_atomic(s);
    else if (kind < 83)
        put_jump(s);
    else if (kind < 87)
        put_csr(s);
    else if (kind < 97)
        put_compressed(s);
    else if (kind < 99)
        put_change(s);
    else
        put(s, (uint32_t)rng_next(&s->m->rng) | 0x7f); /* no instruction */
}

/* ---- Memory ---- */

/* Puts the halves at a guest-physical address, a multiple of 8. */
static void write_code(struct stream *s, uint64_t gpa)
{
    while (s->count % 4)
        put16(s, 1); /* c.nop */
    for (unsigned i = 0; i < s->count; i += 4, gpa += 8) {
        uint64_t value = 0;
        for (unsigned k = 0; k < 4; k++)
            value |= (uint64_t)s->halves[i + k] << 16 * k;
        write_memory(s->m, gpa, value);
    }
}

/* Folds the registers that streams write to into a0. */
static void write_epilogue(struct maker *m, uint64_t gpa)
{
    struct stream s = {.m = m};
    for (uint8_t x = RA; x <= X_LAST; x++) {
        if (KEPT >> x & 1 || x == A0)
            continue;
        put(&s, INSN(RORI, .rd = A0, .rs1 = A0, .imm = 7));
        put(&s, INSN(XOR, .rd = A0, .rs1 = A0, .rs2 = x));
    }
    for (uint8_t f = 0; f < 32; f += 3) {
        put(&s, INSN(FMV_X_D, .rd = X_SCRATCH, .rs1 = f));
        put(&s, INSN(RORI, .rd = A0, .rs1 = A0, .imm = 5));
        put(&s, INSN(XOR, .rd = A0, .rs1 = A0, .rs2 = X_SCRATCH));
    }
    put(&s, ECALL);
    write_code(&s, gpa);
}

/* Begins in the middle of page `index`, or so late that it goes on in the next one; ends with a jump to the epilogue.
 * Returns the offset of its start in CODE_GPA. */
static uint64_t write_stream(struct maker *m, unsigned index)
{
    struct stream s = {.m = m};
    bool across = rng_percent(&m->rng, 50);
    uint64_t start = (uint64_t)index * PAGE + (across ? PAGE - 8 * (1 + rng_below(&m->rng, 12)) : 0x100);
    if (rng_percent(&m->rng, 50))
        put16(&s, 1);
    put(&s, INSN(ANDI, .rd = X_ALIGNED, .rs1 = A1, .imm = -8));
    while (s.count < 2 * BODY)
        put_any(&s);
    uint64_t here = start + 2 * s.count;
    put(&s, INSN(JAL, .rd = 0, .imm = (int32_t)((here & ~UINT64_C(0xfff)) + EPILOGUE - here)));
    write_code(&s, CODE_GPA + start);
    return start;
}

/* ---- Page tables: a leaf table for each mode ---- */

static uint64_t random_leaf(struct maker *m, uint64_t gpa, bool code)
{
    static const uint8_t code_rights[] = {PTE_R | PTE_X, PTE_R | PTE_X, PTE_R | PTE_W | PTE_X, PTE_X};
    static const uint8_t data_rights[] = {PTE_R | PTE_W, PTE_R | PTE_W, PTE_R | PTE_W, PTE_R};
    uint64_t flags = PTE_V | PTE_A | PTE_D | (code ? PICK(m, code_rights) : PICK(m, data_rights));
    if (rng_percent(&m->rng, 4))
        flags &= ~(BIT(rng_below(&m->rng, 8)) & (PTE_V | PTE_A | PTE_D));
    return flags | (rng_next(&m->rng) & PTE_G) | gpa >> 12 << PTE_PPN_SHIFT;
}

/* Code at the first pages of 2 MiB, in their order, so that streams go on; data, in any order, behind. */
static void map_mode(struct maker *m, uint64_t va, uint64_t user, unsigned tables)
{
    uint64_t middle = TABLES + tables * UINT64_C(0x1000), last = middle + 0x1000;
    write_memory(m, ROOT + (va >> 30 & 511) * 8, middle >> 12 << PTE_PPN_SHIFT | PTE_V);
    write_memory(m, middle, last >> 12 << PTE_PPN_SHIFT | PTE_V);
    for (unsigned i = 0; i < CODE_PAGES; i++)
        write_memory(m, last + 8 * i, user | random_leaf(m, CODE_GPA + i * UINT64_C(0x1000), true));
    for (unsigned i = 0; i < DATA_PAGES; i++) {
        uint64_t gpa = DATA_GPA + (uint64_t)rng_below(&m->rng, DATA_PAGES) * PAGE;
        write_memory(m, last + 8 * (64 + i), user | random_leaf(m, gpa, false));
    }
}

/* An offset in a page: that of a1. Half of all are near the page's ends. */
static uint64_t data_offset(struct maker *m)
{
    enum { NEAR = 80 };
    uint64_t offset = rng_below(&m->rng, PAGE);
    return rng_percent(&m->rng, 50) ? (offset % (2 * NEAR) - NEAR) & (PAGE - 1) : offset;
}

static void run_stream(struct maker *m, uint64_t start)
{
    static const uint8_t modes[] = {PRIV_M, PRIV_S, PRIV_S, PRIV_U, PRIV_U};
    uint8_t mode = PICK(m, modes);
    uint64_t va = mode == PRIV_S ? SUPERVISOR_VA : USER_VA;
    uint64_t page = 1 + rng_below(&m->rng, DATA_PAGES - 2), offset = data_offset(m);
    add(m, &(struct sys_case){.word = INSN(ADDI),
                              .mode = mode,
                              .pc = mode == PRIV_M ? CODE_GPA + start : va + start,
                              .a0 = rng_next(&m->rng),
                              .a1 = (mode == PRIV_M ? DATA_GPA : va + 64 * PAGE) + page * PAGE + offset,
                              .set = MSTATUS_FS,
                              .clear = MSTATUS_MPRV | MSTATUS_SUM | MSTATUS_MXR | MSTATUS_SIE});
}

void make_streams(struct maker *m)
{
    uint64_t starts[STREAMS];
    write_csr(m, RV_CSR_MENVCFG, 0);
    for (unsigned i = 0; i < CODE_PAGES; i++)
        write_epilogue(m, CODE_GPA + i * UINT64_C(0x1000) + EPILOGUE);
    for (unsigned i = 0; i < STREAMS; i++)
        starts[i] = write_stream(m, i);
    map_mode(m, SUPERVISOR_VA, 0, 1);
    map_mode(m, USER_VA, PTE_U, 3);
    write_csr(m, RV_CSR_SATP, (uint64_t)SATP_SV39 << SATP_MODE_SHIFT | ROOT >> 12);
    for (unsigned i = 0; i < STREAMS * RUNS; i++) {
        run_stream(m, PICK(m, starts));
        if (i % 32 == 31) { /* other mappings, and a fence, which the driver does */
            map_mode(m, SUPERVISOR_VA, 0, 1);
            map_mode(m, USER_VA, PTE_U, 3);
        }
    }
    for (unsigned i = 0; i < 256; i++) /* what is in memory at the end */
        add(m, &(struct sys_case){.word = INSN(LD, .rd = A0, .rs1 = A1),
                                  .mode = PRIV_M,
                                  .a1 = DATA_GPA + (rng_next(&m->rng) & 0x7ff8),
                                  .clear = MSTATUS_MPRV});
}
