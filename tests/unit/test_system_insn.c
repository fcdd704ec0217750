/* Instructions with effects beyond registers and memory, as engines execute them: CSRs against sys_csr() itself, returns from traps
 * and return addresses across modes, cache blocks, SC. Each piece of code runs often enough to be translated. */
#include "system_fixture.h"

#include "cpu/riscv/system_internal.h"

enum { ROUNDS = 24 };

/* Where user code is mapped: near enough for LUI. */
#define FAR_USER UINT64_C(0x40000000)
#define RET_INSN JALR(0, X_RA, 0)

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

/* xorshift64* */
static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 0x2545f4914f6cdd1du;
}

/* ---- CSRs ---- */

#define SUPERVISOR (BIT(IRQ_SSI) | BIT(IRQ_STI) | BIT(IRQ_SEI))

/* What the hart was before the instruction, and is to be after it. */
struct model {
    struct hart_sys sys;
    uint64_t pc, result;
};

static void trap(struct model *e, uint64_t cause, uint64_t value)
{
    e->pc = sys_trap(&e->sys, cause, value, e->pc);
}

static bool take_interrupt(struct model *e)
{
    uint64_t cause = sys_interrupt(&e->sys);
    if (cause)
        trap(e, cause, 0);
    return cause;
}

/* The instruction, and an ECALL that U-mode takes to HANDLER. */
static void expect_csr(struct model *e, const struct rv_insn *insn, uint64_t operand)
{
    enum sys_csr_op op = SYS_CSR_WRITE;
    if (insn->op == RV_CSRRS || insn->op == RV_CSRRSI)
        op = insn->rs1 ? SYS_CSR_SET : SYS_CSR_READ;
    if (insn->op == RV_CSRRC || insn->op == RV_CSRRCI)
        op = insn->rs1 ? SYS_CSR_CLEAR : SYS_CSR_READ;
    if (take_interrupt(e))
        return;
    uint64_t old;
    if (sys_csr(&e->sys, (unsigned)insn->imm, op, operand, &old) & SYS_ILLEGAL) {
        trap(e, CAUSE_ILLEGAL, rv_encode(insn));
        return;
    }
    if (insn->rd)
        e->result = old;
    e->pc += 4;
    if (!take_interrupt(e) && e->sys.mode == PRIV_U)
        trap(e, CAUSE_ECALL_U, 0);
}

/* The supervisor's software interrupt may be one of machine level's making, which mip and mie say nothing of. */
static void randomize_virtual(struct system_hart *h, uint64_t random)
{
    bool virtual = random % 4 == 0;
    h->sys.mvien = virtual ? BIT(IRQ_SSI) : 0;
    h->sys.mideleg = virtual ? SUPERVISOR & ~BIT(IRQ_SSI) : SUPERVISOR;
    h->sys.mvip = random & BIT(IRQ_SSI) << 8 ? BIT(IRQ_SSI) : 0;
    h->sys.vsie = random & BIT(IRQ_SSI) << 9 ? BIT(IRQ_SSI) : 0;
    if (virtual)
        h->sys.mip = 0;
}

static void randomize(struct system_hart *h, uint64_t *seed)
{
    const uint64_t bits = MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_FS | MSTATUS_SUM | MSTATUS_MXR;
    uint64_t rare = next_random(seed);
    h->sys.mstatus = next_random(seed) & bits;
    h->sys.mode = rare % 8 ? PRIV_S : PRIV_U;
    h->sys.mie = next_random(seed) & SUPERVISOR;
    h->sys.mip = rare >> 8 & 1 ? next_random(seed) & BIT(IRQ_SSI) : 0;
    h->sys.lines = rare >> 9 & 1 ? next_random(seed) & BIT(IRQ_SEI) : 0;
    h->sys.timer = rare >> 10 & 1;
    randomize_virtual(h, next_random(seed));
    h->sys.sscratch = next_random(seed);
    h->sys.sepc = next_random(seed) & ~UINT64_C(1);
    h->sys.scause = next_random(seed);
    h->sys.stval = next_random(seed);
    h->hart.x[A0] = 7;
    system_set_context(h);
}

static uint64_t operand_of(uint64_t *seed)
{
    static const uint64_t values[] = {MSTATUS_SIE,
                                      MSTATUS_SUM,
                                      MSTATUS_SUM | MSTATUS_FS | MSTATUS_VS,
                                      0,
                                      UINT64_MAX,
                                      MSTATUS_SPP,
                                      MSTATUS_FS | MSTATUS_SPIE};
    uint64_t random = next_random(seed);
    return random & 8 ? values[random >> 8 & 7 ? (random >> 8 & 7) - 1 : 0] : next_random(seed);
}

static void assert_same(const struct system_hart *h, const struct model *e)
{
    assert_int_equal(h->hart.pc, e->pc);
    assert_int_equal(h->hart.x[A0], e->result);
    assert_int_equal(h->sys.mode, e->sys.mode);
    assert_int_equal(h->sys.mstatus, e->sys.mstatus);
    assert_int_equal(h->sys.sscratch, e->sys.sscratch);
    assert_int_equal(h->sys.sepc, e->sys.sepc);
    assert_int_equal(h->sys.scause, e->sys.scause);
    assert_int_equal(h->sys.stval, e->sys.stval);
    assert_int_equal(h->hart.tlb, h->tlb.data->entries);
    assert_int_equal(h->tlb.data->key.sum, e->sys.mode == PRIV_S && (e->sys.mstatus & MSTATUS_SUM));
}

static void try_csr(struct machine *m, uint64_t at, struct rv_insn insn, uint64_t *seed)
{
    struct system_hart *h = m->hart;
    put_insns(m, at, (const struct rv_insn[]){insn, ECALL}, 2);
    for (unsigned i = 0; i < ROUNDS; i++) {
        bool immediate = insn.op == RV_CSRRWI || insn.op == RV_CSRRSI || insn.op == RV_CSRRCI;
        randomize(h, seed);
        h->hart.x[A1] = operand_of(seed);
        uint64_t pc = h->sys.mode == PRIV_U ? at - PROGRAM + FAR_USER : at;
        struct model e = {.pc = pc, .result = h->hart.x[A0]};
        memcpy(&e.sys, &h->sys, sizeof(e.sys));
        expect_csr(&e, &insn, immediate ? insn.rs1 : insn.rs1 ? h->hart.x[A1] : 0);
        run_from(h, pc);
        assert_same(h, &e);
    }
}

/* Everything that a register may be asked for, with interrupts that wait for a chance. */
static void test_csrs(void **state)
{
    struct machine *m = *state;
    static const uint16_t numbers[] = {RV_CSR_SSTATUS, RV_CSR_SSCRATCH, RV_CSR_SEPC, RV_CSR_SCAUSE,
                                       RV_CSR_STVAL};
    static const uint16_t rows[] = {RV_CSRRW, RV_CSRRS, RV_CSRRC, RV_CSRRWI, RV_CSRRSI, RV_CSRRCI};
    uint64_t seed = 12345, at = PROGRAM;
    start(m, m->hart, PROGRAM, true);
    map(m, FAR_USER, PROGRAM, LEAF | PTE_U);
    for (unsigned i = 0; i < 5 * 6 * 4; i++, at += 8) {
        bool immediate = rows[i / 4 % 6] >= RV_CSRRWI;
        struct rv_insn insn = {.op = rows[i / 4 % 6], .row = rows[i / 4 % 6], .imm = numbers[i / 24]};
        insn.rd = i & 1 ? A0 : 0;
        insn.rs1 = (uint8_t)(i & 2 ? (immediate ? 2 | (i & 4) : A1) : 0);
        try_csr(m, at, insn, &seed);
    }
}

/* A constant that is known when the code is translated. */
static void test_known_operands(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    static const struct {
        uint16_t row;
        int upper; /* of the operand */
    } cases[] = {{RV_CSRRS, 0x40000}, {RV_CSRRC, 0x40000}, {RV_CSRRC, 0x46000}, {RV_CSRRS, 0x6000}};
    uint64_t seed = 99;
    start(m, h, PROGRAM, true);
    for (unsigned i = 0; i < 4 * ROUNDS; i++) {
        unsigned number = i / ROUNDS;
        uint64_t at = PROGRAM + 16 * number;
        struct rv_insn insn = {
            .op = cases[number].row, .row = cases[number].row, .rd = A0, .rs1 = A1, .imm = RV_CSR_SSTATUS};
        put_insns(m, at, (const struct rv_insn[]){LUI(A1, cases[number].upper), insn, ECALL}, 3);
        randomize(h, &seed);
        h->sys.mode = PRIV_S;
        h->sys.mie = h->sys.mvien = 0;
        system_set_context(h);
        struct model e = {.pc = at + 4};
        memcpy(&e.sys, &h->sys, sizeof(e.sys));
        expect_csr(&e, &insn, (uint64_t)cases[number].upper);
        run_from(h, at);
        assert_same(h, &e);
    }
}

/* ---- Who may ---- */

static void test_illegal(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    static const struct {
        struct rv_insn insn;
        enum priv mode;
        uint64_t status;
        uint32_t enabled; /* scounteren */
        bool legal;
    } cases[] = {
        {INSN(SRET), PRIV_U, 0, 0, false},
        {INSN(SRET), PRIV_S, MSTATUS_TSR, 0, false},
        {INSN(MRET), PRIV_S, 0, 0, false},
        {INSN(SFENCE_VMA), PRIV_U, 0, 0, false},
        {INSN(SFENCE_VMA), PRIV_S, MSTATUS_TVM, 0, false},
        {INSN(SFENCE_VMA), PRIV_S, 0, 0, true},
        {INSN(WFI), PRIV_U, 0, 0, false},
        {INSN(WFI), PRIV_S, MSTATUS_TW, 0, false},
        {CSRRS(A0, RV_CSR_SATP, 0), PRIV_S, MSTATUS_TVM, 0, false},
        {CSRRS(A0, RV_CSR_SATP, 0), PRIV_S, 0, 0, true},
        {CSRRS(A0, RV_CSR_TIME, 0), PRIV_U, 0, BIT(COUNTER_TM), true},
        {CSRRS(A0, RV_CSR_TIME, 0), PRIV_U, 0, BIT(COUNTER_IR), false},
        {CSRRS(A0, RV_CSR_INSTRET, 0), PRIV_U, 0, BIT(COUNTER_IR), true},
        {CSRRW(A0, RV_CSR_TIME, 0), PRIV_S, 0, 0, false},
        {CSRRS(A0, RV_CSR_MSTATUS, 0), PRIV_S, 0, 0, false},
    };
    start(m, h, PROGRAM, true);
    map(m, FAR_USER, PROGRAM, LEAF | PTE_U);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t offset = 0x100 + 16 * i, at = (cases[i].mode == PRIV_U ? FAR_USER : PROGRAM) + offset;
        put_insns(m, PROGRAM + offset, (const struct rv_insn[]){cases[i].insn, ECALL}, 2);
        for (unsigned round = 0; round < ROUNDS; round++) {
            h->sys.mode = cases[i].mode;
            h->sys.mstatus = cases[i].status;
            h->sys.scounteren = cases[i].enabled;
            system_set_context(h);
            run_from(h, at);
            if (!cases[i].legal)
                assert_trapped(h, CAUSE_ILLEGAL, at, rv_encode(&cases[i].insn));
            else if (cases[i].mode == PRIV_U)
                assert_trapped(h, CAUSE_ECALL_U, at + 4, 0);
            else
                assert_int_equal(h->hart.pc, at + 4);
        }
    }
}

/* ---- Traps and returns ---- */

/* A U-mode function in another page calls the kernel, which calls a function of its own, and goes back. */
enum { CALLEE = 0x400, KERNEL = 0x3000, KERNEL_CALLEE = 0x4000 };

static void put_round_trip(struct machine *m)
{
    PUT(m, PROGRAM, ADDI(S0, 0, ROUNDS), LUI(T0, (int)(FAR_USER + PAGE)), JALR(X_RA, T0, 0), ADDI(S0, S0, -1),
        BNE(S0, 0, -12), ADDI(A7, 0, 1), ECALL);
    PUT(m, DATA, ADDI(T1, X_RA, 0), JAL(X_RA, CALLEE - 4), ADDI(A1, A1, 1), JALR(0, T1, 0));
    PUT(m, DATA + CALLEE, ADDI(A7, 0, 0), ECALL, RET_INSN);
    PUT(m, RAM + KERNEL, BNE(A7, 0, 40), ADDI(S1, X_RA, 0), LUI(T2, (int)(RAM + KERNEL_CALLEE)),
        INSN(SLLI, .rd = T2, .rs1 = T2, .imm = 32), INSN(SRLI, .rd = T2, .rs1 = T2, .imm = 32),
        JALR(X_RA, T2, 0), CSRRS(T2, RV_CSR_SEPC, 0), ADDI(T2, T2, 4), CSRRW(0, RV_CSR_SEPC, T2),
        ADDI(X_RA, S1, 0), BNE(A7, 0, 8), INSN(SRET), ECALL);
    PUT(m, RAM + KERNEL_CALLEE, ADDI(A0, A0, 1), RET_INSN);
}

static void start_user(struct machine *m, struct system_hart *h)
{
    start(m, h, PROGRAM, true);
    map(m, FAR_USER, PROGRAM, LEAF | PTE_U);
    map(m, FAR_USER + PAGE, DATA, LEAF | PTE_U);
    h->sys.stvec = RAM + KERNEL;
    h->sys.mode = PRIV_U;
    system_set_context(h);
}

static void test_round_trips(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    put_round_trip(m);
    start_user(m, h);
    run_from(h, FAR_USER);
    assert_int_equal(h->hart.x[A0], ROUNDS);
    assert_int_equal(h->hart.x[A1], ROUNDS);
    assert_int_equal(h->hart.x[S0], 0);
    assert_int_equal(h->sys.sepc, FAR_USER + 24);
}

/* While the kernel is asked, the page that is to be returned to becomes another one. */
static void test_other_code_behind_call(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    start_user(m, h);
    h->sys.stvec = HANDLER;
    PUT(m, PROGRAM, LUI(T0, (int)(FAR_USER + PAGE)), JALR(X_RA, T0, 0), ADDI(A0, A0, 1), ECALL);
    PUT(m, PROGRAM + 2 * PAGE, LUI(T0, (int)(FAR_USER + PAGE)), JALR(X_RA, T0, 0), ADDI(A0, A0, 100), ECALL);
    PUT(m, DATA, ECALL, RET_INSN);
    PUT(m, RAM + KERNEL, INSN(SFENCE_VMA), INSN(SRET));
    for (unsigned i = 0; i < ROUNDS; i++) {
        map(m, FAR_USER, PROGRAM, LEAF | PTE_U);
        h->sys.mode = PRIV_S;
        h->sys.mstatus = 0;
        h->sys.sepc = FAR_USER;
        system_set_context(h);
        h->hart.x[A0] = 0;
        run_from(h, RAM + KERNEL);
        assert_trapped(h, CAUSE_ECALL_U, FAR_USER + PAGE, 0);
        bool moves = i > ROUNDS / 2;
        map(m, FAR_USER, moves ? PROGRAM + 2 * PAGE : PROGRAM, LEAF | PTE_U);
        h->sys.sepc += 4;
        run_from(h, RAM + KERNEL);
        assert_trapped(h, CAUSE_ECALL_U, FAR_USER + 12, 0);
        assert_int_equal(h->hart.x[A0], moves ? 100 : 1);
    }
}

/* ---- Cache blocks ---- */

static void test_zero_blocks(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    const struct rv_insn zero = INSN(CBO_ZERO, .rs1 = A1);
    start(m, h, PROGRAM, true);
    map(m, FAR_USER, PROGRAM, LEAF | PTE_U);
    map(m, FAR_USER + PAGE, DATA, LEAF | PTE_U);
    PUT(m, PROGRAM, zero, ECALL);
    for (unsigned i = 0; i < 16 * ROUNDS; i++) {
        bool user = i & 1, menvcfg = i & 2, senvcfg = i & 4, odd = i & 8;
        bool legal = menvcfg && (senvcfg || !user);
        h->sys.mode = user ? PRIV_U : PRIV_S;
        h->sys.mstatus = MSTATUS_SUM;
        h->sys.menvcfg = menvcfg ? ENVCFG_CBZE : 0;
        h->sys.senvcfg = senvcfg ? ENVCFG_CBZE : 0;
        system_set_context(h);
        for (unsigned at = 0; at < 192; at += 8)
            poke(m, DATA + at, UINT64_MAX);
        uint64_t pc = user ? FAR_USER : PROGRAM;
        h->hart.x[A1] = FAR_USER + PAGE + 64 + (odd ? 13 : 0);
        run_from(h, pc);
        for (unsigned at = 0; at < 192; at += 8)
            assert_int_equal(peek(m, DATA + at), legal && at / 64 == 1 ? 0 : UINT64_MAX);
        if (!legal)
            assert_trapped(h, CAUSE_ILLEGAL, pc, rv_encode(&zero));
        else if (user)
            assert_trapped(h, CAUSE_ECALL_U, pc + 4, 0);
        else
            assert_int_equal(h->hart.pc, pc + 4);
    }
    /* The trap's value is the register's. */
    for (unsigned i = 0; i < ROUNDS; i++) {
        h->sys.mode = PRIV_S;
        system_set_context(h);
        h->hart.x[A1] = FAR_USER + 2 * PAGE + (i & 1 ? 5 : 0);
        h->sys.menvcfg = ENVCFG_CBZE;
        run_from(h, PROGRAM);
        assert_trapped(h, CAUSE_STORE_PAGE, PROGRAM, h->hart.x[A1]);
    }
}

/* ---- SC without a reservation ---- */

static void test_lonely_sc(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    start(m, h, PROGRAM, true);
    map(m, FAR_USER, DATA, LEAF);
    map(m, FAR_USER + PAGE, DATA + PAGE, LEAF & ~(uint64_t)PTE_W);
    PUT(m, PROGRAM, INSN(SC_D, .rd = A0, .rs1 = T0, .rs2 = A1), ECALL);
    PUT(m, PROGRAM + 16, INSN(LR_D, .rd = A2, .rs1 = T1), INSN(SC_D, .rd = A0, .rs1 = T0, .rs2 = A1),
        INSN(SC_D, .rd = A3, .rs1 = T0, .rs2 = A1), ECALL);
    h->hart.x[A1] = 5;
    for (unsigned i = 0; i < ROUNDS; i++) {
        poke(m, DATA, i % 3); /* 0: what a reservation's value may be by chance */
        h->hart.x[T0] = FAR_USER;
        run_from(h, PROGRAM);
        assert_int_equal(h->hart.x[A0], 1);
        assert_int_equal(peek(m, DATA), i % 3);
        h->hart.x[T0] = FAR_USER + PAGE;
        run_from(h, PROGRAM);
        assert_trapped(h, CAUSE_STORE_PAGE, PROGRAM, FAR_USER + PAGE);
        h->hart.x[T0] = FAR_USER;
        h->hart.x[T1] = FAR_USER + (i & 1 ? 8 : 0);
        poke(m, DATA + 8, i % 3);
        run_from(h, PROGRAM + 16);
        assert_int_equal(h->hart.x[A0], i & 1);
        assert_int_equal(h->hart.x[A3], 1);
        assert_int_equal(peek(m, DATA), i & 1 ? i % 3 : 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_csrs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_known_operands, setup, teardown),
        cmocka_unit_test_setup_teardown(test_illegal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_round_trips, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_code_behind_call, setup, teardown),
        cmocka_unit_test_setup_teardown(test_zero_blocks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lonely_sc, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
