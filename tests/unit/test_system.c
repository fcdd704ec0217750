/* One hart of a computer: memory by way of page tables, devices, traps inside instructions, code that changes. */
#include "system_fixture.h"

#include "cpu/riscv/code.h"
#include "cpu/riscv/system_internal.h"
#include "cpu/riscv/translate.h"

static int setup(void **state)
{
    struct machine *m = malloc(sizeof(*m));
    *state = m;
    return machine_init(m, 1);
}

static int teardown(void **state)
{
    machine_release(*state);
    free(*state);
    return 0;
}

#define LD(d, s, i)  INSN(LD, .rd = d, .rs1 = s, .imm = i)
#define SD(v, s, i)  INSN(SD, .rs1 = s, .rs2 = v, .imm = i)
#define RET          JALR(0, X_RA, 0)
#define SFENCE(a, b) INSN(SFENCE_VMA, .rs1 = a, .rs2 = b)

/* A function that returns a small number. */
static void put_function(const struct machine *m, uint64_t gpa, int number)
{
    PUT(m, gpa, ADDI(A0, 0, number), RET);
}

/* Calls what T0 points to and comes back to the test. */
static void put_call(const struct machine *m)
{
    PUT(m, PROGRAM, JALR(X_RA, T0, 0), ECALL, INSN(FENCE_I, .rd = 0), JALR(X_RA, T0, 0), ECALL);
}
enum { CALL = 0, FENCE_AND_CALL = 8 };

static uint64_t call(struct system_hart *h, uint64_t function, unsigned how)
{
    h->hart.x[T0] = function;
    run_from(h, PROGRAM + how);
    return h->hart.x[A0];
}

/* ---- Memory ---- */

#define FAR   \
    UINT64_C( \
        0x3000000000) /* a part of the address space for mappings; its negative half-brother is the kernel's */

static void test_crossing(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    start(m, h, PROGRAM, true);
    PUT(m, PROGRAM, LD(A0, T0, 0), ECALL, SD(A1, T0, 0), ECALL);
    map(m, FAR, DATA + 4 * PAGE, LEAF);
    map(m, FAR + PAGE, DATA, LEAF);
    poke(m, DATA + 5 * PAGE - 8, UINT64_C(0x1122334455667788));
    poke(m, DATA, UINT64_C(0x99aabbccddeeff00));
    h->hart.x[T0] = FAR + PAGE - 3;
    run_from(h, PROGRAM);
    assert_int_equal(h->hart.x[A0], UINT64_C(0xccddeeff00112233));
    h->hart.x[A1] = UINT64_C(0x0807060504030201);
    run_from(h, PROGRAM + 8);
    assert_int_equal(peek(m, DATA + 5 * PAGE - 8), UINT64_C(0x0302014455667788));
    assert_int_equal(peek(m, DATA), UINT64_C(0x99aabb0807060504));
}

/* Nothing is stored when the second page may not be written to, and the trap's value lies there. */
static void test_crossing_fault(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    start(m, h, PROGRAM, true);
    PUT(m, PROGRAM, SD(A1, T0, 0), ECALL, LD(A1, T0, 0), ECALL);
    map(m, FAR, DATA, LEAF);
    map(m, FAR + PAGE, DATA + PAGE, LEAF & ~(uint64_t)PTE_D);
    h->hart.x[T0] = FAR + PAGE - 6;
    h->hart.x[A1] = UINT64_MAX;
    run_from(h, PROGRAM);
    assert_trapped(h, CAUSE_STORE_PAGE, PROGRAM, FAR + PAGE);
    assert_int_equal(peek(m, DATA + PAGE - 8), 0);
    run_from(h, PROGRAM + 8);
    assert_int_equal(h->hart.pc, PROGRAM + 12);
    assert_int_equal(h->hart.x[A1], 0);
    map(m, FAR + PAGE, DATA + PAGE, 0);
    PUT(m, PROGRAM + 16, SFENCE(0, 0), LD(A1, T0, 0), ECALL);
    run_from(h, PROGRAM + 16);
    assert_trapped(h, CAUSE_LOAD_PAGE, PROGRAM + 20, FAR + PAGE);
}

static void test_device(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    start(m, h, PROGRAM, true);
    PUT(m, PROGRAM, SW(A0, T0, 0), INSN(LBU, .rd = A1, .rs1 = T0), LW(A2, T0, 4), ECALL);
    h->hart.x[T0] = DEVICE;
    h->hart.x[A0] = UINT64_C(0xfedcba9876543210);
    run_from(h, PROGRAM);
    assert_int_equal(m->device_value, 0x76543210);
    assert_int_equal(h->hart.x[A1], 0x10);
    assert_int_equal(h->hart.x[A2], 0x76543210);
    assert_int_equal(m->device_accesses, 3);
    /* Not there; misaligned; atomics; code. */
    static const struct {
        struct rv_insn insn;
        uint64_t address, cause;
    } faults[] = {
        {INSN(LD, .rd = A1, .rs1 = T0), DEVICE + 8, CAUSE_LOAD_ACCESS},
        {INSN(SW, .rs1 = T0, .rs2 = A0), DEVICE + 2, CAUSE_STORE_ACCESS},
        {INSN(LR_W, .rd = A1, .rs1 = T0), DEVICE, CAUSE_LOAD_ACCESS},
        {INSN(SC_W, .rd = A1, .rs1 = T0, .rs2 = A0), DEVICE, CAUSE_STORE_ACCESS},
        {INSN(AMOADD_W, .rd = A1, .rs1 = T0, .rs2 = A0), DEVICE, CAUSE_STORE_ACCESS},
        {INSN(CBO_ZERO, .rs1 = T0), DEVICE, CAUSE_STORE_ACCESS},
    };
    h->sys.menvcfg |= ENVCFG_CBZE;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        uint64_t at = PROGRAM + 0x100 + 16 * i;
        put_insns(m, at, &faults[i].insn, 1);
        h->hart.x[T0] = faults[i].address;
        run_from(h, at);
        assert_trapped(h, faults[i].cause, at, faults[i].address);
    }
    run_from(h, DEVICE);
    assert_trapped(h, CAUSE_FETCH_ACCESS, DEVICE, DEVICE);
    assert_int_equal(m->device_accesses, 3);
}

static void test_misaligned_atomics(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    static const struct {
        struct rv_insn insn;
        unsigned off;
        uint64_t cause;
    } cases[] = {
        {INSN(LR_W, .rd = A1, .rs1 = T0), 2, CAUSE_LOAD_MISALIGNED},
        {INSN(SC_D, .rd = A1, .rs1 = T0, .rs2 = A0), 4, CAUSE_STORE_MISALIGNED},
        {INSN(AMOSWAP_D, .rd = A1, .rs1 = T0, .rs2 = A0), 4, CAUSE_STORE_MISALIGNED},
        {INSN(AMOCAS_Q, .rd = A2, .rs1 = T0, .rs2 = A0), 8, CAUSE_STORE_MISALIGNED},
    };
    start(m, h, PROGRAM, false);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t at = PROGRAM + 16 * i;
        put_insns(m, at, &cases[i].insn, 1);
        h->hart.x[T0] = DATA + cases[i].off;
        run_from(h, at);
        assert_trapped(h, cases[i].cause, at, DATA + cases[i].off);
    }
}

/* A reservation is of an address as the hart sees it, and a trap ends it. */
static void test_reservation(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    start(m, h, PROGRAM, true);
    PUT(m, PROGRAM, LR_W(A0, T0), SC_W(A1, A2, T0), LR_W(A0, T0), ECALL, SC_W(A3, A2, T0), ECALL);
    h->hart.x[T0] = DATA + 16;
    h->hart.x[A2] = 7;
    run_from(h, PROGRAM);
    assert_int_equal(h->hart.x[A1], 0);
    assert_int_equal(peek(m, DATA + 16), 7);
    assert_int_equal(h->hart.x[A0], 7);
    system_hart_trap(h, CAUSE_BREAKPOINT, 0); /* a trap ends it */
    run_from(h, PROGRAM + 16);
    assert_int_equal(h->hart.x[A3], 1);
}

/* ---- Fences ---- */

/* The store finds the new page after a fence of each kind that names it, not necessarily before. */
static void test_sfence(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    static const struct {
        bool address, asid, large;
    } kinds[] = {{0, 0, 0}, {1, 0, 0}, {0, 1, 0}, {1, 1, 0}, {0, 0, 1}, {1, 0, 1}, {0, 1, 1}, {1, 1, 1}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        unsigned level = kinds[i].large;
        uint64_t first = RAM + 0x400000, then = RAM + 0x600000, offset = kinds[i].large ? 0x12340 : 0x340;
        start(m, h, PROGRAM, true);
        h->sys.satp = satp_of(5);
        map_at(m, FAR + (i << 30), first, LEAF, level);
        poke(m, first + offset, 1);
        poke(m, then + offset, 2);
        PUT(m, PROGRAM, LD(A0, T0, 0), ECALL, SFENCE(kinds[i].address ? T1 : 0, kinds[i].asid ? T2 : 0),
            LD(A0, T0, 0), ECALL);
        PUT(m, PROGRAM + 32, INSN(FENCE_I, .rd = 0), ECALL);
        run_from(h, PROGRAM + 32);
        h->hart.x[T0] = FAR + (i << 30) + offset;
        h->hart.x[T1] = FAR + (i << 30) + (kinds[i].large ? 0x1f0000 : 0); /* anywhere in the mapping */
        h->hart.x[T2] = 5;
        system_hart_trap(h, CAUSE_BREAKPOINT, 0);
        run_from(h, PROGRAM);
        assert_int_equal(h->hart.x[A0], 1);
        map_at(m, FAR + (i << 30), then, LEAF, level);
        run_from(h, PROGRAM + 8);
        assert_int_equal(h->hart.x[A0], 2);
    }
}

/* The same for code: what was executed by way of the old mapping is not any more. */
static void test_sfence_code(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    start(m, h, PROGRAM, true);
    put_function(m, DATA, 1);
    put_function(m, DATA + PAGE, 2);
    map(m, FAR, DATA, LEAF);
    put_call(m);
    PUT(m, PROGRAM + 0x40, SFENCE(T0, 0), JALR(X_RA, T0, 0), ECALL);
    assert_int_equal(call(h, FAR, CALL), 1);
    map(m, FAR, DATA + PAGE, LEAF);
    assert_int_equal(call(h, FAR, 0x40), 2);
    assert_int_equal(call(h, FAR, CALL), 2);
    map(m, FAR, 0, 0);
    call(h, FAR, 0x40);
    assert_trapped(h, CAUSE_FETCH_PAGE, FAR, FAR);
}

/* Address spaces keep their translations, each its own, without a fence. */
static void test_asids(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    start(m, h, PROGRAM, true);
    PUT(m, PROGRAM, CSRRW(0, RV_CSR_SATP, T1), LD(A0, T0, 0), ECALL);
    uint64_t pte = map(m, FAR, DATA, LEAF);
    poke(m, DATA, 1);
    poke(m, DATA + PAGE, 2);
    h->hart.x[T0] = FAR;
    h->hart.x[T1] = satp_of(1);
    run_from(h, PROGRAM);
    assert_int_equal(h->hart.x[A0], 1);
    poke(m, pte, (DATA + PAGE) >> 12 << PTE_PPN_SHIFT | LEAF);
    h->hart.x[T1] = satp_of(2);
    run_from(h, PROGRAM);
    assert_int_equal(h->hart.x[A0], 2);
    h->hart.x[T1] = satp_of(1);
    run_from(h, PROGRAM);
    assert_int_equal(h->hart.x[A0], 1);
}

/* SUM and MXR count from the next instruction on. */
static void test_sum_mxr(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    start(m, h, PROGRAM, true);
    map(m, FAR, DATA, LEAF | PTE_U);
    map(m, FAR + PAGE, DATA + PAGE, PTE_V | PTE_X | PTE_A);
    PUT(m, PROGRAM, INSN(CSRRS, .rd = 0, .rs1 = T1, .imm = RV_CSR_SSTATUS), LD(A0, T0, 0),
        INSN(CSRRC, .rd = 0, .rs1 = T1, .imm = RV_CSR_SSTATUS), LD(A0, T0, 0), ECALL);
    h->hart.x[T0] = FAR;
    h->hart.x[T1] = MSTATUS_SUM;
    run_from(h, PROGRAM);
    assert_trapped(h, CAUSE_LOAD_PAGE, PROGRAM + 12, FAR);
    h->hart.x[T0] = FAR + PAGE;
    h->hart.x[T1] = MSTATUS_MXR;
    run_from(h, PROGRAM);
    assert_trapped(h, CAUSE_LOAD_PAGE, PROGRAM + 12, FAR + PAGE);
}

/* ---- Instructions ---- */

static void test_illegal_words(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    start(m, h, PROGRAM, false);
    struct rv_insn add = INSN(FADD_D, .rd = 1, .rs1 = 2, .rs2 = 3);
    PUT(m, PROGRAM, ADDI(A0, 0, 1), add);
    run_from(h, PROGRAM); /* FS is off */
    assert_trapped(h, CAUSE_ILLEGAL, PROGRAM + 4, rv_encode(&add));
    poke16(m, PROGRAM + 0x102, 0x9ffd); /* reserved, two bytes */
    poke16(m, PROGRAM + 0x104, 0xffff);
    poke16(m, PROGRAM + 0x100, 0x0001);
    run_from(h, PROGRAM + 0x100);
    assert_trapped(h, CAUSE_ILLEGAL, PROGRAM + 0x102, 0x9ffd);
    struct rv_insn mret = INSN(MRET, .rd = 0);
    PUT(m, PROGRAM + 0x200, mret);
    run_from(h, PROGRAM + 0x200);
    assert_trapped(h, CAUSE_ILLEGAL, PROGRAM + 0x200, rv_encode(&mret));
}

static void test_fp_dirty(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    start(m, h, PROGRAM, false);
    PUT(m, PROGRAM, INSN(FSD, .rs1 = T0, .rs2 = 1), ECALL, INSN(FLD, .rd = 1, .rs1 = T0), ECALL);
    h->hart.x[T0] = DATA;
    h->sys.mstatus |= MSTATUS_FS & -MSTATUS_FS; /* Initial */
    run_from(h, PROGRAM);
    assert_int_equal(h->sys.mstatus & MSTATUS_FS, MSTATUS_FS & -MSTATUS_FS);
    run_from(h, PROGRAM + 8);
    assert_int_equal(h->sys.mstatus & MSTATUS_FS, MSTATUS_FS);
}

/* An instruction of four bytes at the end of a page, which goes on in a page that is elsewhere. */
static void test_across_pages(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    start(m, h, PROGRAM, true);
    put_call(m);
    PUT(m, PROGRAM + 0x40, SFENCE(0, 0), JALR(X_RA, T0, 0), ECALL);
    map(m, FAR, DATA + 8 * PAGE, LEAF);
    map(m, FAR + PAGE, DATA, LEAF);
    uint64_t last = DATA + 9 * PAGE - 2, function = FAR + PAGE - 6;
    struct rv_insn one = ADDI(A0, A0, 1), far = ADDI(A0, A0, 100);
    PUT(m, last - 4, ADDI(A0, 0, 0));
    poke16(m, last, (uint16_t)rv_encode(&one));
    poke16(m, DATA, (uint16_t)(rv_encode(&one) >> 16));
    poke32(m, DATA + 2, rv_encode(&RET));
    assert_int_equal(call(h, function, CALL), 1);
    /* Another second page, another instruction. */
    poke16(m, DATA + PAGE, (uint16_t)(rv_encode(&far) >> 16));
    poke32(m, DATA + PAGE + 2, rv_encode(&RET));
    map(m, FAR + PAGE, DATA + PAGE, LEAF);
    assert_int_equal(call(h, function, 0x40), 100);
    /* None: the trap's value is where the second half would be. */
    map(m, FAR + PAGE, 0, 0);
    call(h, function, 0x40);
    assert_trapped(h, CAUSE_FETCH_PAGE, FAR + PAGE - 2, FAR + PAGE);
    /* A jump there, too. */
    map(m, FAR + PAGE, DATA, LEAF);
    h->hart.x[A0] = 41;
    assert_int_equal(call(h, FAR + PAGE - 2, 0x40), 42);
}

/* PMP divides a page: only a part of it may be executed, or stored to. */
static void test_divided_page(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    start(m, h, PROGRAM, false);
    put_function(m, DATA, 3);
    put_function(m, DATA + 16, 4);
    put_call(m);
    PUT(m, PROGRAM + 0x80, SD(A0, T0, 0), ECALL);
    uint64_t rest = h->sys.pmpaddr[0];
    h->sys.pmpaddr[0] = (DATA + 16) >> 2 | 1; /* NAPOT, 16 bytes: nothing */
    h->sys.pmpcfg[0] = PMP_A_NAPOT;
    h->sys.pmpaddr[1] = rest;
    h->sys.pmpcfg[1] = PMP_A_NAPOT | PMP_R | PMP_W | PMP_X;
    assert_int_equal(call(h, DATA, CALL), 3);
    call(h, DATA + 16, CALL);
    assert_trapped(h, CAUSE_FETCH_ACCESS, DATA + 16, DATA + 16);
    h->hart.x[T0] = DATA + 8;
    run_from(h, PROGRAM + 0x80);
    assert_int_equal(h->hart.pc, PROGRAM + 0x84);
    h->hart.x[T0] = DATA + 12; /* a part of it is not allowed */
    run_from(h, PROGRAM + 0x80);
    assert_trapped(h, CAUSE_STORE_ACCESS, PROGRAM + 0x80, DATA + 12);
}

/* The counter is right in the middle of a unit, and after a trap. */
static void test_instret(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    start(m, h, PROGRAM, false);
    PUT(m, PROGRAM, CSRRS(A0, RV_CSR_INSTRET, 0), ADDI(T1, 0, 0), ADDI(T1, 0, 0),
        CSRRS(A1, RV_CSR_INSTRET, 0), BEQ(0, 0, 8), ADDI(T1, 0, 0), CSRRS(A2, RV_CSR_INSTRET, 0),
        LD(A3, 0, 0));
    run_from(h, PROGRAM);
    assert_trapped(h, CAUSE_LOAD_ACCESS, PROGRAM + 28, 0);
    assert_int_equal(h->hart.x[A1] - h->hart.x[A0], 3);
    assert_int_equal(h->hart.x[A2] - h->hart.x[A1], 2);
    assert_int_equal(h->hart.instret - h->hart.x[A2], 1); /* the load did not retire */
}

/* ---- Loops ---- */

enum { S4 = 20, S5 = 21, F0 = 0, F1 = 1 }; /* S4 and S5 are in memory between units */

static uint64_t loops_made(const struct machine *m)
{
    return code_engine_stats(m->hart->hart.code).loops;
}

/* Where all code is direct, the loops of what was run since then are units of their own. */
static void assert_loop_since(const struct machine *m, uint64_t before)
{
    if (m->engine.hot == 1)
        assert_true(loops_made(m) > before);
}

/* Adds the words from S4 to S5 to A0, and puts the sum so far behind each. */
static void put_sums(const struct machine *m)
{
    PUT(m, PROGRAM, LD(A1, S4, 0), INSN(ADD, .rd = A0, .rs1 = A0, .rs2 = A1), ADDI(S4, S4, 16),
        SD(A0, S4, -8), BNE(S4, S5, -16), ECALL);
}

enum { WORDS_IN_PAGE = 256 };

static void run_sums(struct machine *m, uint64_t from, uint64_t to)
{
    struct system_hart *h = m->hart;
    h->hart.x[A0] = 0;
    h->hart.x[S4] = from;
    h->hart.x[S5] = to;
    run_from(h, PROGRAM);
}

/* A loop comes to page after page, to one that is read-only, to one that is not there, and to a device. */
static void test_loop_memory(void **state)
{
    enum { PAGES = 6 };
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    const uint64_t flags[PAGES] = {LEAF, LEAF, LEAF, LEAF, LEAF & ~(uint64_t)(PTE_W | PTE_D), 0};
    start(m, h, PROGRAM, true);
    put_sums(m);
    for (unsigned i = 0; i < PAGES; i++) {
        map(m, FAR + i * PAGE, DATA + (PAGES - i) * PAGE, flags[i]);
        for (unsigned k = 0; k < WORDS_IN_PAGE; k++)
            poke(m, DATA + (PAGES - i) * PAGE + 16 * k, i * WORDS_IN_PAGE + k + 1);
    }
    uint64_t before = loops_made(m);
    for (unsigned i = 0; i < 3; i++) {
        run_sums(m, FAR, FAR + 4 * PAGE);
        assert_int_equal(h->hart.pc, PROGRAM + 20);
        assert_int_equal(h->hart.x[A0], 4 * WORDS_IN_PAGE * (4 * WORDS_IN_PAGE + 1) / 2);
        assert_int_equal(peek(m, DATA + PAGES * PAGE + 16 * 9 + 8), 55);
    }
    assert_loop_since(m, before);
    uint64_t sum = h->hart.x[A0];
    run_sums(m, FAR, FAR + 6 * PAGE);
    assert_trapped(h, CAUSE_STORE_PAGE, PROGRAM + 12, FAR + 4 * PAGE + 8);
    assert_int_equal(h->hart.x[A0], sum + 4 * WORDS_IN_PAGE + 1);
    assert_int_equal(h->hart.x[S4], FAR + 4 * PAGE + 16);
    run_sums(m, FAR + 5 * PAGE, FAR + 6 * PAGE);
    assert_trapped(h, CAUSE_LOAD_PAGE, PROGRAM, FAR + 5 * PAGE);
    map(m, FAR + 4 * PAGE, DEVICE & ~(PAGE - 1), LEAF);
    PUT(m, PROGRAM + 0x40, SFENCE(0, 0), ECALL);
    run_from(h, PROGRAM + 0x40);
    m->device_value = 5;
    run_sums(m, FAR + 3 * PAGE, FAR + 5 * PAGE);
    assert_trapped(h, CAUSE_STORE_ACCESS, PROGRAM + 12, FAR + 4 * PAGE + 8);
    assert_int_equal(h->hart.x[A1], 5);
}

/* Pointers that walk out of the user's half of the address space, in small steps and in large ones. */
static void test_loop_end(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    const uint64_t end = UINT64_C(1) << 38, stride = 0x3f000;
    start(m, h, PROGRAM, true);
    PUT(m, PROGRAM, LD(A1, S4, -16), INSN(ADD, .rd = A0, .rs1 = A0, .rs2 = A1), ADDI(S4, S4, 8),
        BNE(S4, S5, -12), ECALL);
    PUT(m, PROGRAM + 0x40, LUI(T1, (int32_t)stride), LD(A1, S4, -16), LD(A2, S4, 8), ADDI(A0, A0, 1),
        INSN(ADD, .rd = S4, .rs1 = S4, .rs2 = T1), BNE(S4, S5, -20), ECALL);
    map(m, end - PAGE, DATA, LEAF);
    for (uint64_t at = end - 8 * stride; at < end - PAGE; at += stride)
        map(m, at, DATA + PAGE, LEAF);
    for (unsigned i = 0; i < PAGE / 8; i++)
        poke(m, DATA + 8 * i, 1);
    uint64_t before = loops_made(m);
    for (unsigned i = 0; i < 3; i++) {
        h->hart.x[A0] = h->hart.x[S5] = 0;
        h->hart.x[S4] = end - PAGE + 16;
        run_from(h, PROGRAM);
        assert_trapped(h, CAUSE_LOAD_PAGE, PROGRAM, end);
        assert_int_equal(h->hart.x[A0], PAGE / 8);
        assert_int_equal(h->hart.x[S4], end + 16);
        h->hart.x[A0] = 0;
        h->hart.x[S4] = end - 8 * stride + 16;
        run_from(h, PROGRAM + 0x40);
        assert_trapped(h, CAUSE_LOAD_PAGE, PROGRAM + 0x44, end);
        assert_int_equal(h->hart.x[A0], 8);
        assert_int_equal(h->hart.x[S4], end + 16);
    }
    assert_loop_since(m, before);
}

/* The same where nobody wants what is loaded, downwards, and where the first access of a round is far behind the pointer and the second
 * far ahead of it. */
static void test_loop_beyond(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    const uint64_t end = UINT64_C(1) << 38, far = 0x3f000;
    start(m, h, PROGRAM, true);
    poke(m, TABLES, 0);
    PUT(m, PROGRAM, LD(0, S4, 0), ADDI(A0, A0, 1), ADDI(S4, S4, -8), BNE(S4, S5, -12), ECALL);
    PUT(m, PROGRAM + 0x40, LUI(T1, -(int32_t)far), LUI(T2, (int32_t)far),
        INSN(ADD, .rd = S1, .rs1 = S4, .rs2 = T1), INSN(ADD, .rd = S0, .rs1 = S4, .rs2 = T2), LD(0, S1, 0),
        ADDI(A0, A0, 1), BNE(A0, A1, 8), LD(A2, S0, 0), INSN(ADD, .rd = S4, .rs1 = S4, .rs2 = T2),
        BNE(S4, S5, -36), ECALL);
    map(m, 0, DATA, LEAF);
    map(m, PAGE, DATA, LEAF);
    for (uint64_t at = end - 8 * far; at < end; at += far)
        map(m, at, DATA, LEAF);
    uint64_t before = loops_made(m);
    for (unsigned i = 0; i < 3; i++) {
        h->hart.x[A0] = h->hart.x[S5] = 0;
        h->hart.x[S5] = 1;
        h->hart.x[S4] = 2 * PAGE - 8;
        run_from(h, PROGRAM);
        assert_trapped(h, CAUSE_LOAD_PAGE, PROGRAM, (uint64_t)-8);
        assert_int_equal(h->hart.x[A0], 2 * PAGE / 8);
        h->hart.x[A0] = 0;
        h->hart.x[A1] = i ? 8 : 0; /* the second access: in the last round, or never */
        h->hart.x[S4] = end - 7 * far;
        run_from(h, PROGRAM + 0x40);
        if (i)
            assert_trapped(h, CAUSE_LOAD_PAGE, PROGRAM + 0x5c, end + far);
        else
            assert_trapped(h, CAUSE_LOAD_PAGE, PROGRAM + 0x50, end);
        assert_int_equal(h->hart.x[A0], 8);
    }
    assert_loop_since(m, before);
}

/* A list, whose nodes are now where a window would have them, now in the other half of the address space. */
static void test_loop_addresses(void **state)
{
    enum { NODES = 500 };
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    const uint64_t high = FAR - (UINT64_C(1) << 38);
    start(m, h, PROGRAM, true);
    PUT(m, PROGRAM, ADDI(S5, S5, 1), LD(S4, S4, 8), BNE(S4, 0, -8), ECALL);
    map(m, FAR, DATA, LEAF);
    map(m, FAR + PAGE, DATA + PAGE, LEAF);
    map(m, high, DATA, LEAF);
    map(m, high + PAGE, DATA + PAGE, LEAF);
    uint64_t before = loops_made(m);
    for (unsigned every = 1; every < 200; every = 3 * every + 1) {
        for (unsigned i = 0; i < NODES; i++) {
            uint64_t next = ((i + 1) % every ? FAR : high) + (i + 1) * 16;
            poke(m, DATA + 16 * i + 8, i == NODES - 1 ? 0 : next);
        }
        h->hart.x[S5] = 0;
        h->hart.x[S4] = high;
        run_from(h, PROGRAM);
        assert_int_equal(h->hart.x[S5], NODES);
    }
    assert_loop_since(m, before);
}

/* Whether floating point is on is found out before a loop of it, and its state becomes dirty. */
static void test_loop_fp(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    const uint64_t initial = MSTATUS_FS & -MSTATUS_FS;
    start(m, h, PROGRAM, true);
    struct rv_insn add = INSN(FADD_D, .rd = F0, .rs1 = F0, .rs2 = F1, .rm = 7);
    PUT(m, PROGRAM, ADDI(S4, S4, -1), add, BNE(S4, 0, -8), ECALL);
    uint64_t before = loops_made(m);
    const uint64_t states[] = {initial, MSTATUS_FS, 0, initial};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        h->sys.mstatus = (h->sys.mstatus & ~MSTATUS_FS) | states[i];
        h->hart.f[F0] = 0;
        h->hart.f[F1] = UINT64_C(0x3ff0000000000000); /* 1 */
        h->hart.x[S4] = 1024;
        run_from(h, PROGRAM);
        if (!states[i]) {
            assert_trapped(h, CAUSE_ILLEGAL, PROGRAM + 4, rv_encode(&add));
            continue;
        }
        assert_int_equal(h->hart.f[F0], UINT64_C(0x4090000000000000)); /* 1024 */
        assert_int_equal(h->sys.mstatus & MSTATUS_FS, MSTATUS_FS);
    }
    assert_loop_since(m, before);
}

/* Direct code has come to a head that still looks its pages up: that becomes direct, whatever way the hart goes there. */
static void test_loop_of_paged(void **state)
{
    struct machine *m = *state;
    struct hart *hart = &m->hart->hart;
    if (m->engine.kind != ENGINE_JIT || m->engine.hot == 1)
        return;
    PUT(m, PROGRAM, LD(A1, S4, 0), ADDI(S4, S4, 8), BNE(S4, S5, -8), ECALL);
    const struct translation *t = code_translation(hart->code, PROGRAM, true);
    assert_true(t && t->kind == TRANSLATION_COUNTING && !t->direct);
    for (unsigned i = 0; i < 3; i++)
        code_heat(hart, PROGRAM, NULL);
    t = code_translation(hart->code, PROGRAM, true);
    assert_true(t && t->direct);
}

/* What a loop is made of changes, and so does what it writes to. */
static void test_loop_changes(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    start(m, h, PROGRAM, true);
    PUT(m, PROGRAM, SW(A1, T1, 0), SFENCE(0, 0), INSN(FENCE_I, .rd = 0), ADDI(S4, S4, -1), ADDI(A0, A0, 0),
        SD(A0, T0, 0), BNE(S4, 0, -12), ECALL);
    uint64_t before = loops_made(m);
    for (int step = 1; step < 20; step++) {
        struct rv_insn add = ADDI(A0, A0, step);
        map(m, FAR, DATA + (uint64_t)step * PAGE, LEAF);
        h->hart.x[A0] = 0;
        h->hart.x[A1] = rv_encode(&add);
        h->hart.x[T0] = FAR;
        h->hart.x[T1] = PROGRAM + 16;
        h->hart.x[S4] = 100;
        run_from(h, PROGRAM);
        assert_int_equal(h->hart.x[A0], 100 * step);
        assert_int_equal(peek(m, DATA + (uint64_t)step * PAGE), 100 * step);
    }
    assert_loop_since(m, before);
}

/* ---- Code that changes ---- */

static void test_two_mappings(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    start(m, h, PROGRAM, true);
    put_call(m);
    PUT(m, PROGRAM + 0x40, SW(A1, T1, 0), ECALL);
    PUT(m, DATA, AUIPC(A0, 0), RET);
    map(m, FAR, DATA, LEAF);
    map(m, FAR + 5 * PAGE, DATA, LEAF);
    assert_int_equal(call(h, FAR, CALL), FAR);
    uint64_t units = code_stats(h->hart.code).units;
    assert_int_equal(call(h, FAR + 5 * PAGE, CALL), FAR + 5 * PAGE);
    if (m->engine.kind == ENGINE_INTERP)
        assert_int_equal(code_stats(h->hart.code).units, units); /* one unit for both */
    for (int i = 1; i < 20; i++) {
        struct rv_insn insn = ADDI(A0, 0, i);
        h->hart.x[A1] = rv_encode(&insn);
        h->hart.x[T1] = i % 3 ? FAR + 5 * PAGE : DATA;
        run_from(h, PROGRAM + 0x40);
        assert_int_equal(call(h, FAR, FENCE_AND_CALL), i);
        assert_int_equal(call(h, FAR + 5 * PAGE, CALL), i);
    }
}

/* Many pages of code that has been written to, over and over: some are changed each time, and all are right after a
 * fence. */
static void test_many_pages(void **state)
{
    enum { PAGES = 60, ROUNDS = 30 };
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    int now[PAGES];
    start(m, h, PROGRAM, true);
    put_call(m);
    PUT(m, PROGRAM + 0x40, SW(A1, T1, 0), ECALL);
    for (unsigned i = 0; i < PAGES; i++)
        put_function(m, DATA + i * PAGE, now[i] = (int)i);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = round % 3; i < PAGES; i += 1 + round % 7) {
            struct rv_insn insn = ADDI(A0, 0, now[i] = (int)(round * 50 + i));
            h->hart.x[A1] = rv_encode(&insn);
            h->hart.x[T1] = DATA + i * PAGE;
            run_from(h, PROGRAM + 0x40);
        }
        for (unsigned i = 0; i < PAGES; i++)
            assert_int_equal(call(h, DATA + i * PAGE, i ? CALL : FENCE_AND_CALL), now[i]);
    }
    for (unsigned i = 0; i < 8; i++)
        call(h, DATA, FENCE_AND_CALL);
    assert_int_not_equal(code_stats(h->hart.code).watched,
                         0); /* fences need not compare what nobody writes to */
}

/* A device writes code: a fence sees it. */
static void test_dma(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    start(m, h, PROGRAM, false);
    put_call(m);
    put_function(m, DATA, 1);
    assert_int_equal(call(h, DATA, FENCE_AND_CALL), 1);
    for (int i = 2; i < 10; i++) {
        struct rv_insn insn = ADDI(A0, 0, i);
        uint32_t word = rv_encode(&insn);
        assert_true(gmem_write(&m->memory, DATA, &word, sizeof(word)));
        assert_int_equal(call(h, DATA, FENCE_AND_CALL), i);
        if (i % 2)
            call(h, DATA, FENCE_AND_CALL);
    }
}

/* A page table in a page of code: A and D bits that the hart sets are stores, too. */
static void test_pte_in_code(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    start(m, h, PROGRAM, true);
    h->sys.menvcfg |= ENVCFG_ADUE;
    put_call(m);
    uint64_t pte = map(m, FAR, DATA, LEAF & ~(uint64_t)PTE_A & ~(uint64_t)PTE_D);
    map(m, FAR + PAGE, pte & ~(PAGE - 1), LEAF);
    uint64_t in_pte = FAR + PAGE + (pte & (PAGE - 1));
    call(h, in_pte, CALL); /* the entry is an illegal instruction: its word is the trap's value */
    assert_int_equal(h->sys.scause, CAUSE_ILLEGAL);
    uint64_t before = h->sys.stval;
    PUT(m, PROGRAM + 0x40, SD(0, T1, 8), ECALL);
    h->hart.x[T1] = FAR;
    run_from(h, PROGRAM + 0x40);
    call(h, in_pte, FENCE_AND_CALL);
    assert_int_equal(h->sys.scause, CAUSE_ILLEGAL);
    assert_int_not_equal(h->sys.stval, before);
}

/* ---- Interrupts ---- */

static void test_timer(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    start(m, h, PROGRAM, false);
    PUT(m, PROGRAM, CSRRW(0, RV_CSR_STIMECMP, T0), CSRRW(0, RV_CSR_SIE, T1), CSRRS(0, RV_CSR_SSTATUS, T2),
        ADDI(A0, A0, 1), BNE(T0, 0, -4));
    h->hart.x[T0] = 1000;
    h->hart.x[T1] = BIT(IRQ_STI);
    h->hart.x[T2] = MSTATUS_SIE;
    m->time = 1000;
    run_from(h, PROGRAM); /* it is due when it is set: taken as soon as SIE allows it */
    assert_trapped(h, CAUSE_INTERRUPT | IRQ_STI, PROGRAM + 12, 0);
    assert_int_equal(h->hart.x[A0], 0);
}

static void test_wfi(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    start(m, h, PROGRAM, false);
    PUT(m, PROGRAM, INSN(WFI, .rd = 0), ADDI(A0, A0, 1), ECALL);
    h->sys.mie = BIT(IRQ_SSI);
    h->hart.pc = PROGRAM;
    system_enter_thread(h);
    system_hart_run(h);
    assert_int_equal(h->hart.exit.kind, EXIT_WFI);
    assert_int_equal(h->hart.pc, PROGRAM + 4);
    system_hart_raise_ssi(h); /* before the sleep: not lost */
    assert_false(system_hart_sleep(h, false));
    system_hart_kick(h);
    assert_true(system_hart_sleep(h, true));
    system_hart_kick(h);
    system_hart_run(h);
    assert_int_equal(h->hart.exit.kind, EXIT_PENDING);
    system_hart_run(h);
    assert_int_equal(h->hart.exit.kind, EXIT_ECALL);
    assert_int_equal(h->hart.x[A0], 1);
    h->hart.pc = PROGRAM;
    system_hart_run(h); /* one is pending, though no mode takes it: no wait */
    assert_int_equal(h->hart.exit.kind, EXIT_ECALL);
    system_leave_thread(h);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_crossing),     TEST(test_crossing_fault),
        TEST(test_device),       TEST(test_misaligned_atomics),
        TEST(test_reservation),  TEST(test_sfence),
        TEST(test_sfence_code),  TEST(test_asids),
        TEST(test_sum_mxr),      TEST(test_illegal_words),
        TEST(test_fp_dirty),     TEST(test_across_pages),
        TEST(test_divided_page), TEST(test_instret),
        TEST(test_loop_memory),  TEST(test_loop_end),
        TEST(test_loop_beyond),  TEST(test_loop_addresses),
        TEST(test_loop_fp),      TEST(test_loop_of_paged),
        TEST(test_loop_changes), TEST(test_two_mappings),
        TEST(test_many_pages),   TEST(test_dma),
        TEST(test_pte_in_code),  TEST(test_timer),
        TEST(test_wfi),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
