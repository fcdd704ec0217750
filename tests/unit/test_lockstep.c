/* Lockstep finds what is wrong. The lifter's result is spoiled before it is assembled (the linker puts __wrap_lift_unit() in its
 * place); the engine has to stop there and to say what differs, of a program and of a computer. Unspoiled, the same code runs
 * to its end. TEST_ENGINE is lockstep. */
#include "cpu/riscv/lift_row.h" /* first: insns.h has macros with rows' names */

#include "system_fixture.h"

#include "cpu/riscv/code.h"
#include "host/copy.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#define LD(d, s, i) INSN(LD, .rd = d, .rs1 = s, .imm = i)
#define SD(v, s, i) INSN(SD, .rs1 = s, .rs2 = v, .imm = i)

typedef void spoil(struct ir *ir);
static spoil *spoiler;
static uint64_t spoilt; /* pc of the unit */

bool __real_lift_unit(struct ir *, const struct lift_source *, const struct lift_limits *, uint64_t,
                      struct lift_result *);
bool __wrap_lift_unit(struct ir *, const struct lift_source *, const struct lift_limits *, uint64_t,
                      struct lift_result *);

bool __wrap_lift_unit(struct ir *ir, const struct lift_source *source, const struct lift_limits *limits,
                      uint64_t pc, struct lift_result *result)
{
    bool lifted = __real_lift_unit(ir, source, limits, pc, result);
    if (lifted && spoiler && pc == spoilt)
        spoiler(ir);
    return lifted;
}

/* The same of quick units. */
typedef void spoil_quick(struct jit_quick_ins *ins);
static spoil_quick *quick_spoiler;

bool __real_lift_quick(struct jit_quick_code *, const struct lift_source *, const struct lift_limits *,
                       uint64_t, struct lift_result *);
bool __wrap_lift_quick(struct jit_quick_code *, const struct lift_source *, const struct lift_limits *,
                       uint64_t, struct lift_result *);

bool __wrap_lift_quick(struct jit_quick_code *code, const struct lift_source *source,
                       const struct lift_limits *limits, uint64_t pc, struct lift_result *result)
{
    bool lifted = __real_lift_quick(code, source, limits, pc, result);
    if (lifted && quick_spoiler && pc == spoilt)
        quick_spoiler(code->ins);
    return lifted;
}

/* The first instruction with this operation. */
static struct ir_ins *find(struct ir *ir, enum ir_op op)
{
    for (unsigned i = 0; i < ir->count; i++)
        if (ir->ins[i].op == op)
            return &ir->ins[i];
    fail_msg("the unit has no such operation");
    return NULL;
}

static void spoil_xor(struct ir *ir)
{
    find(ir, IR_XOR)->op = IR_OR;
}

static void invert_branch(struct ir *ir)
{
    find(ir, IR_EQ)->op = IR_NE;
}

static void extend_sign(struct ir *ir)
{
    find(ir, IR_LDU8)->op = IR_LDS8;
}

static void store_half(struct ir *ir)
{
    find(ir, IR_ST64)->op = IR_ST32;
}

static void leave_out_store(struct ir *ir)
{
    *find(ir, IR_ST64) = (struct ir_ins){.op = IR_NOP};
}

static void leave_out_load(struct ir *ir)
{
    find(ir, IR_LDU32)->op = IR_LDU8;
}

static void exchange(struct ir *ir)
{
    find(ir, IR_AADD)->op = IR_AXCHG;
}

static void load_beyond(struct ir *ir)
{
    find(ir, IR_LD64)->a = find(ir, IR_ST64)->b;
}

static void write_elsewhere(struct ir *ir)
{
    for (unsigned i = 0; i < ir->count; i++)
        if (ir->ins[i].op == IR_SET && ir->ins[i].a == LIFT_SSCRATCH)
            ir->ins[i].a = LIFT_STVAL;
}

static void go_elsewhere(struct ir *ir)
{
    ir->exits[ir->exit_count - 1].pc += 4;
}

/* ---- What is said ---- */

static char said[1 << 16];

/* Runs with standard error in `said`. */
static void listen(void (*work)(void *), void *object)
{
    FILE *file = tmpfile();
    int before = dup(STDERR_FILENO);
    fflush(stderr);
    dup2(fileno(file), STDERR_FILENO);
    work(object);
    fflush(stderr);
    dup2(before, STDERR_FILENO);
    close(before);
    rewind(file);
    said[fread(said, 1, sizeof(said) - 1, file)] = '\0';
    fclose(file);
}

static void assert_said(const char *text)
{
    if (!strstr(said, text))
        fail_msg("not said: %s\n%s", text, said);
}

/* ---- A computer ---- */

static void run_hart(void *object)
{
    struct system_hart *h = object;
    system_enter_thread(h);
    system_hart_run(h);
    system_leave_thread(h);
}

/* A load from memory and one from a device, a store, an atomic, a branch that is not taken, an exclusive or; then out. */
static void put_program(const struct machine *m)
{
    PUT(m, PROGRAM, INSN(LBU, .rd = A0, .rs1 = T0), SD(A1, T0, 8), LD(A2, T0, 8),
        INSN(LWU, .rd = A3, .rs1 = T1), INSN(AMOADD_D, .rd = 0, .rs1 = T2, .rs2 = A1), BEQ(T0, T1, 64),
        INSN(XOR, .rd = S0, .rs1 = A0, .rs2 = A1), JAL(0, 4), ECALL);
}

static void run_program(struct machine *m, spoil *how)
{
    struct system_hart *h = m->hart;
    start(m, h, PROGRAM, true);
    put_program(m);
    poke(m, DATA, 0xf0);
    poke(m, DATA + 16, 1);
    m->device_value = UINT64_C(0x1234567890);
    m->device_accesses = 0;
    h->hart.x[T0] = DATA;
    h->hart.x[T1] = DEVICE;
    h->hart.x[T2] = DATA + 16;
    h->hart.x[A1] = UINT64_C(0x1111111122222222);
    spoilt = PROGRAM;
    spoiler = how;
    listen(run_hart, h);
    spoiler = NULL;
}

static void test_nothing(void **state)
{
    struct machine *m = *state;
    run_program(m, NULL);
    assert_int_equal(m->hart->hart.exit.kind, EXIT_ECALL);
    assert_string_equal(said, "");
    assert_int_equal(m->hart->hart.x[S0], UINT64_C(0x11111111222222d2));
    assert_int_equal(m->hart->hart.x[A3], 0x34567890);
    assert_int_equal(peek(m, DATA + 8), UINT64_C(0x1111111122222222));
    assert_int_equal(peek(m, DATA + 16), UINT64_C(0x1111111122222223));
    assert_int_equal(m->device_accesses, 1);
}

static void assert_found(struct machine *m, spoil *how, const char *difference)
{
    run_program(m, how);
    assert_int_equal(m->hart->hart.exit.kind, EXIT_WRONG);
    assert_said("guise: lockstep: hart 0 at 0x80002000: ");
    assert_said("\nunit 0x80002000\nguest: ");
    assert_said("\nhost: entry ");
    assert_said("\nregisters at the start:\n  x0  0000000000000000  f0 ");
    assert_said(difference);
}

#define FINDS(name, difference)                   \
    static void test_##name(void **state)         \
    {                                             \
        assert_found(*state, name, (difference)); \
    }
FINDS(spoil_xor, "  x8   interpreter 0x11111111222222d2  translation 0x11111111222222f2\n")
FINDS(invert_branch, "  pc0   interpreter 0x0000000080002020  translation 0x0000000080002054\n")
FINDS(extend_sign, "  x10  interpreter 0x00000000000000f0  translation 0xfffffffffffffff0\n")
FINDS(store_half, "  memory at 0x8020000c  interpreter 0x11  translation 0xee\n")
FINDS(leave_out_store, "  memory at 0x80200008  interpreter 0x22  translation 0xdd\n")
FINDS(leave_out_load, "  access of 1 bytes at 0x10000000 by the translation alone\n")
FINDS(exchange, "  memory at 0x80200010  interpreter 0x23  translation 0x22\n")
FINDS(load_beyond, "  access of 8 bytes at 0x1111111122222222 by the translation alone\n")
FINDS(go_elsewhere, "  pc0   interpreter 0x0000000080002020  translation 0x0000000080002024\n")

/* What the interpreter does is real; the translation's mistakes are not. */
static void test_harmless(void **state)
{
    struct machine *m = *state;
    run_program(m, leave_out_store);
    assert_int_equal(peek(m, DATA + 8), UINT64_C(0x1111111122222222));
    assert_int_equal(m->device_accesses, 1);
}

/* Privileged state that units write. */
static void test_privileged(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    start(m, h, PROGRAM, true);
    PUT(m, PROGRAM, CSRRW(0, RV_CSR_SSCRATCH, A1), ADDI(A0, A0, 1), ECALL);
    h->hart.x[A1] = 0x5555;
    spoilt = PROGRAM;
    spoiler = write_elsewhere;
    listen(run_hart, h);
    spoiler = NULL;
    assert_int_equal(h->hart.exit.kind, EXIT_WRONG);
    assert_said("  sscratch0   interpreter 0x0000000000005555  translation 000000000000000000\n");
    assert_int_equal(h->sys.sscratch, 0x5555);
}

/* What follows an instruction of the unit that the interpreter executes: the first that makes floating-point state dirty. */
static void test_rest(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    start(m, h, PROGRAM, true);
    PUT(m, PROGRAM, SD(A1, T0, 0), INSN(FMV_D_X, .rd = 1, .rs1 = A1),
        INSN(XOR, .rd = S0, .rs1 = A0, .rs2 = A1), LD(A2, T0, 0), ECALL);
    h->sys.mstatus |= MSTATUS_FS & -MSTATUS_FS;
    h->hart.x[T0] = DATA;
    h->hart.x[A0] = 5;
    h->hart.x[A1] = 3;
    spoilt = PROGRAM + 8;
    spoiler = spoil_xor;
    listen(run_hart, h);
    spoiler = NULL;
    assert_int_equal(h->hart.exit.kind, EXIT_WRONG);
    assert_said("guise: lockstep: hart 0 at 0x80002008: the engines differ\n");
    assert_said("  x8   interpreter 0x0000000000000006  translation 0x0000000000000007\n");
}

/* Of an atomic of a word the register's lower half counts, whatever is above it. */
static void test_word(void **state)
{
    struct machine *m = *state;
    struct system_hart *h = m->hart;
    start(m, h, PROGRAM, true);
    PUT(m, PROGRAM, INSN(AMOMAX_W, .rd = A2, .rs1 = T0, .rs2 = A1), ECALL);
    poke(m, DATA, 0x73);
    h->hart.x[T0] = DATA;
    h->hart.x[A1] = UINT64_C(0x0000000180044758);
    listen(run_hart, h);
    assert_string_equal(said, "");
    assert_int_equal(h->hart.exit.kind, EXIT_ECALL);
    assert_int_equal(h->hart.x[A2], 0x73);
    assert_int_equal(peek(m, DATA), 0x73);
}

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

/* ---- A program ---- */

struct guest {
    struct engine_options options;
    struct code *code;
    struct hart hart;
};

static struct hart *running;

static void on_fault(int number, siginfo_t *info, void *ucontext)
{
    if (!host_copy_fault(ucontext) && !engine_fault(running, number, (uint64_t)info->si_addr, ucontext))
        signal(number, SIG_DFL);
}

static bool executable(void *context, uint64_t address, uint64_t *end, bool *changeable)
{
    (void)context;
    *end = PROGRAM + PAGE;
    *changeable = false;
    return address - PROGRAM < PAGE;
}

static void run_guest(void *object)
{
    struct guest *g = object;
    engine_enter_thread(&g->hart);
    hart_fpu_enter(&g->hart);
    engine_run(&g->hart);
    hart_fpu_leave(&g->hart);
    engine_leave_thread(&g->hart);
}

static void put_guest(struct guest *g, uint8_t *memory)
{
    const struct rv_insn insns[] = {SD(A1, T0, 8), INSN(XOR, .rd = S0, .rs1 = A0, .rs2 = A1), JALR(0, T1, 0),
                                    ECALL};
    for (unsigned i = 0; i < 4; i++) {
        uint32_t word = rv_encode(&insns[i]);
        memcpy(memory + PROGRAM + 4 * i, &word, sizeof(word));
    }
    g->hart.pc = PROGRAM;
    g->hart.x[T0] = PROGRAM + 2 * PAGE;
    g->hart.x[T1] = PROGRAM + 12;
    g->hart.x[A0] = 5;
    g->hart.x[A1] = 3;
}

/* The guest's addresses are so high that its memory is reserved up to there. */
static void run_spoiled(struct guest *g, spoil *how, spoil_quick *quick)
{
    static const struct code_ops ops = {.executable = executable};
    const uint64_t size = PROGRAM + 4 * PAGE;
    uint8_t *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    *g = (struct guest){.options = ENGINE_DEFAULTS};
    g->options.kind = ENGINE_LOCKSTEP;
    if (how)
        g->options.quick = 0;
    assert_int_equal(code_new(&g->code, &ops, g, (uint64_t)memory, ~UINT64_C(0), NULL), 0);
    assert_int_equal(code_set_engine(g->code, &g->options, NULL), 0);
    assert_int_equal(hart_init(&g->hart, g->code, (uint64_t)memory, size, NULL), 0);
    put_guest(g, memory);
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigfillset(&action.sa_mask);
    sigaction(SIGSEGV, &action, NULL);
    running = &g->hart;
    spoilt = PROGRAM;
    spoiler = how;
    quick_spoiler = quick;
    listen(run_guest, g);
    spoiler = NULL;
    quick_spoiler = NULL;
    hart_release(&g->hart);
    code_free(g->code);
    munmap(memory, size);
}

static void spoil_quick_xor(struct jit_quick_ins *ins)
{
    assert_int_equal(ins[1].op, IR_XOR);
    ins[1].op = IR_OR;
}

static void store_no_value(struct jit_quick_ins *ins)
{
    assert_int_equal(ins[0].op, IR_ST64);
    ins[0].b = JIT_QUICK_ZERO;
}

static void test_program(void **state)
{
    struct guest *g = calloc(1, sizeof(*g));
    (void)state;
    run_spoiled(g, NULL, NULL);
    assert_string_equal(said, "");
    assert_int_equal(g->hart.exit.kind, EXIT_ECALL);
    assert_int_equal(g->hart.x[S0], 6);
    run_spoiled(g, spoil_xor, NULL);
    assert_int_equal(g->hart.exit.kind, EXIT_WRONG);
    assert_said("guise: lockstep: the engines differ\n");
    assert_said("  x8   interpreter 0x0000000000000006  translation 0x0000000000000007\n");
    run_spoiled(g, leave_out_store, NULL);
    assert_int_equal(g->hart.exit.kind, EXIT_WRONG);
    assert_said("  memory at 0x80004008  interpreter 0x03  translation 0000\n");
    run_spoiled(g, NULL, spoil_quick_xor);
    assert_int_equal(g->hart.exit.kind, EXIT_WRONG);
    assert_said("guest: 3 instructions, quick\n");
    assert_said("  x8   interpreter 0x0000000000000006  translation 0x0000000000000007\n");
    run_spoiled(g, NULL, store_no_value);
    assert_int_equal(g->hart.exit.kind, EXIT_WRONG);
    assert_said("  memory at 0x80004008  interpreter 0x03  translation 0000\n");
    free(g);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing),        TEST(test_spoil_xor),  TEST(test_invert_branch),
        TEST(test_extend_sign),    TEST(test_store_half), TEST(test_leave_out_store),
        TEST(test_leave_out_load), TEST(test_exchange),   TEST(test_load_beyond),
        TEST(test_go_elsewhere),   TEST(test_harmless),   TEST(test_privileged),
        TEST(test_rest),           TEST(test_word),       cmocka_unit_test(test_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
