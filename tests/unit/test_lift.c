/* The lifter against the interpreter: random instructions are executed by interp_run() on one hart and, lifted, by ir_run() on
 * another; registers, flags, memory and the way out must agree. What is left to the interpreter is executed there alone, one
 * instruction at a time. */
#include "cpu/riscv/code.h"
#include "cpu/riscv/hart.h"
#include "cpu/riscv/lift.h"
#include "cpu/riscv/system.h"
#include "host/fpu.h"
#include "insns.h"
#include "isa/riscv/tables.h"
#include "jit/evaluate.h"
#include "jit/verify.h"

#include "../diff/rows.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

enum {
    MEMORY_SIZE = 0x10000,
    BEYOND = 0x1000, /* an access that begins below the limit may end here */
    CODE = 0x1000,
    SCRATCH = 0x3000, /* code of one instruction */
    DATA = 0x8000,
    DATA_SIZE = 0x1000,
    SEQUENCE = 12,
    MAX_UNITS = 64,
};

/* Registers that hold addresses, and are not written. */
enum { BASE_A = 8, BASE_B = 28, END_ADDRESS = 29 };

struct side {
    uint8_t *memory;
    struct code *code;
    union {
        struct hart hart;
        struct system_hart computer; /* units name slots of its, too */
    };
};

struct fixture {
    struct side interpreted, lifted;
    struct ir *ir, *again;
    struct lift_limits limits;
    uint64_t lifted_insns, interpreted_insns;
};

static bool executable(void *context, uint64_t address, uint64_t *end, bool *changeable)
{
    (void)context;
    *end = DATA;
    *changeable = true;
    return address >= CODE && address < DATA;
}

static const struct code_ops ops = {.executable = executable};

static void side_init(struct side *side)
{
    side->memory =
        mmap(NULL, MEMORY_SIZE + BEYOND, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t base = (uint64_t)side->memory;
    assert_int_equal(code_new(&side->code, &ops, NULL, base, ~UINT64_C(0), NULL), 0);
    assert_int_equal(hart_init(&side->hart, side->code, base, MEMORY_SIZE, NULL), 0);
}

static void side_release(struct side *side)
{
    hart_release(&side->hart);
    code_free(side->code);
    munmap(side->memory, MEMORY_SIZE + BEYOND);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    side_init(&f->interpreted);
    side_init(&f->lifted);
    f->ir = malloc(sizeof(*f->ir));
    f->again = malloc(sizeof(*f->again));
    f->ir->no_fold = f->again->no_fold = false;
    f->limits = (struct lift_limits){.extensions = ~UINT64_C(0), .max_insns = 64, .has_fma = fpu_has_fma()};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    side_release(&f->interpreted);
    side_release(&f->lifted);
    free(f->ir);
    free(f->again);
    free(f);
    return 0;
}

/* ---- Lifting ---- */

static unsigned fetch_memory(void *context, uint64_t pc, uint8_t *bytes, unsigned size)
{
    struct side *side = context;
    if (pc < CODE || pc >= DATA)
        return 0;
    if (size > DATA - pc)
        size = (unsigned)(DATA - pc);
    memcpy(bytes, side->memory + pc, size);
    return size;
}

/* The pieces of an earlier result. */
static unsigned fetch_pieces(void *context, uint64_t pc, uint8_t *bytes, unsigned size)
{
    const struct lift_result *from = context;
    const uint8_t *at = from->bytes;
    for (unsigned i = 0; i < from->piece_count; at += from->pieces[i++].bytes) {
        uint64_t offset = pc - from->pieces[i].pc;
        if (offset >= from->pieces[i].bytes)
            continue;
        if (size > from->pieces[i].bytes - offset)
            size = (unsigned)(from->pieces[i].bytes - offset);
        memcpy(bytes, at + offset, size);
        return size;
    }
    return 0;
}

/* Recovery after a fault lifts the unit again from its own bytes. */
static void assert_same_again(struct fixture *f, uint64_t pc, struct lift_result *first)
{
    const struct lift_source source = {.fetch = fetch_pieces, .context = first};
    struct lift_result second;
    assert_true(lift_unit(f->again, &source, &f->limits, pc, &second));
    assert_int_equal(second.insns, first->insns);
    assert_int_equal(f->again->count, f->ir->count);
    assert_memory_equal(f->again->ins, f->ir->ins, f->ir->count * sizeof(f->ir->ins[0]));
    assert_int_equal(f->again->constant_count, f->ir->constant_count);
    assert_memory_equal(f->again->constants + 1, f->ir->constants + 1,
                        f->ir->constant_count * sizeof(int64_t));
    assert_int_equal(f->again->exit_count, f->ir->exit_count);
}

/* False: there is no code at the pc. */
static bool lift(struct fixture *f, uint64_t pc, struct lift_result *result)
{
    const struct lift_source source = {.fetch = fetch_memory, .context = &f->lifted};
    if (!lift_unit(f->ir, &source, &f->limits, pc, result))
        return false;
    struct guise_error err;
    if (ir_verify(f->ir, &err))
        fail_msg("%s", err.text);
    assert_same_again(f, pc, result);
    return true;
}

/* ---- Executing what was lifted ---- */

static bool world_load(void *context, uint64_t address, unsigned size, uint64_t *value)
{
    struct side *side = context;
    if (address >= MEMORY_SIZE)
        return false;
    *value = 0;
    memcpy(value, side->memory + address, size);
    return true;
}

static bool world_store(void *context, uint64_t address, unsigned size, uint64_t value)
{
    struct side *side = context;
    if (address >= MEMORY_SIZE)
        return false;
    memcpy(side->memory + address, &value, size);
    return true;
}

static uint64_t *slot_home(struct hart *hart, unsigned slot)
{
    return (uint64_t *)((char *)&hart->x[LIFT_BIAS] + lift_machine.slots[slot].offset);
}

static struct ir_ending run_ir(struct fixture *f)
{
    struct hart *hart = &f->lifted.hart;
    const struct ir_world world = {world_load, world_store, &f->lifted, lift_calls, 0xdeadbeef, false, NULL};
    uint64_t slots[IR_MAX_SLOTS];
    for (unsigned i = 0; i < lift_machine.slot_count; i++)
        slots[i] = *slot_home(hart, i);
    struct ir_ending ending = ir_run(f->ir, &world, slots);
    for (unsigned i = 0; i < lift_machine.slot_count; i++)
        *slot_home(hart, i) = slots[i];
    return ending;
}

/* Until there is more than a request to leave, which the code of the hart makes when it drops its units. */
static void interpret(struct hart *hart)
{
    do {
        atomic_store(&hart->pending, 0);
        interp_run(hart);
    } while (hart->exit.kind == EXIT_PENDING);
}

/* The interpreter executes the instruction at hart->pc: what leaves only if it traps. */
static bool interpret_one(struct fixture *f)
{
    struct hart *hart = &f->lifted.hart;
    uint64_t pc = hart->pc;
    struct rv_insn insn, end = ECALL;
    uint32_t word, ecall = rv_encode(&end);
    memcpy(&word, f->lifted.memory + pc, 4);
    assert_int_not_equal(rv_decode(word, &insn), 0);
    memcpy(f->lifted.memory + SCRATCH, &word, insn.length);
    memcpy(f->lifted.memory + SCRATCH + insn.length, &ecall, 4);
    code_invalidate(f->lifted.code, SCRATCH, SCRATCH + 8);
    hart->pc = SCRATCH;
    uint64_t reserve_address = hart->reserve_address;
    interpret(hart);
    if (row_class(insn.row) != ROW_RESERVE)
        hart->reserve_address = reserve_address; /* interp_run() has dropped it */
    bool trapped = hart->pc == SCRATCH;
    hart->pc = trapped ? pc : pc + insn.length;
    f->interpreted_insns++;
    return !trapped;
}

static const enum exit_kind kind_of_stop[LIFT_STOP_COUNT] = {
    [LIFT_ECALL] = EXIT_ECALL,
    [LIFT_EBREAK] = EXIT_EBREAK,
    [LIFT_ILLEGAL] = EXIT_ILLEGAL,
    [LIFT_FETCH] = EXIT_FETCH,
};

/* One unit; false when the hart has come to its end. */
static bool run_unit(struct fixture *f)
{
    struct hart *hart = &f->lifted.hart;
    struct lift_result result;
    if (!hart_rounds_as_host(hart)) { /* the engine runs no units then */
        code_invalidate(f->lifted.code, CODE, CODE + 4 * SEQUENCE + 8);
        interpret(hart);
        return false;
    }
    if (!lift(f, hart->pc, &result)) {
        hart->exit.kind = EXIT_FETCH;
        return false;
    }
    f->lifted_insns += result.insns;
    struct ir_ending ending = run_ir(f);
    assert_int_not_equal(ending.kind, IR_UNABLE);
    hart->pc = ending.pc;
    if (ending.kind == IR_FAULTED) {
        hart->exit = (struct hart_exit){EXIT_FAULT, ending.address, SIGSEGV};
        return false;
    }
    const struct ir_exit *exit = &f->ir->exits[ending.exit];
    hart->pc &= ~UINT64_C(1);
    if (exit->kind != IR_EXIT_STOP)
        return true;
    if (exit->reason == LIFT_INTERPRET)
        return interpret_one(f);
    hart->exit.kind = kind_of_stop[exit->reason];
    return false;
}

static void run_lifted(struct fixture *f)
{
    hart_fpu_enter(&f->lifted.hart);
    for (unsigned units = 0; run_unit(f); units++)
        assert_true(units < MAX_UNITS);
    hart_fpu_leave(&f->lifted.hart);
}

static void run_interpreted(struct fixture *f)
{
    hart_fpu_enter(&f->interpreted.hart);
    interpret(&f->interpreted.hart);
    hart_fpu_leave(&f->interpreted.hart);
}

/* ---- Random programs ---- */

static bool is_left_out(unsigned row)
{
    return row_class(row) == ROW_ECALL || row_class(row) == ROW_EBREAK;
}

static bool is_base(unsigned number)
{
    return number == BASE_A || number == BASE_B || number == END_ADDRESS;
}

/* 0 stays: what the row has not is 0. */
static uint8_t one_of_four(uint8_t number)
{
    return number ? 12 + number % 4 : 0;
}

static void round_dynamically(struct rv_insn *insn)
{
    struct rv_insn dynamic = *insn;
    dynamic.rm = 7;
    if (rv_op_flags(insn->op) & RV_FP && row_adjust(&dynamic))
        *insn = dynamic;
}

/* Few registers, so that nearly every instruction reads what another one has made. */
static void crowd(struct rv_insn *insn)
{
    struct rv_insn crowded = *insn;
    crowded.rd = one_of_four(insn->rd);
    crowded.rs1 = one_of_four(insn->rs1);
    crowded.rs2 = one_of_four(insn->rs2);
    if (row_reads_f(insn->row, RV_SLOT_RS3))
        crowded.rs3 = one_of_four((uint8_t)insn->rs3);
    if (rv_op_ext(insn->op) != RV_EXT_ZICSR && row_adjust(&crowded))
        *insn = crowded;
}

/* Operands that lead somewhere: addresses into the data, jumps forward. */
static void tame(struct rng *rng, struct rv_insn *insn, unsigned space)
{
    struct rv_insn tamed = *insn;
    unsigned flags = rv_op_flags(insn->op);
    enum row_class class = row_class(insn->row);
    if (row_writes_x(insn->row) && is_base(insn->rd))
        tamed.rd = 12;
    if (flags & RV_STORE) /* never into the code */
        tamed.rs1 = rng_percent(rng, 3) ? 0 : rng_percent(rng, 50) ? BASE_A : BASE_B;
    else if (flags & RV_LOAD && rng_percent(rng, 97))
        tamed.rs1 = rng_percent(rng, 50) ? BASE_A : BASE_B;
    if (class == ROW_BRANCH || class == ROW_JUMP)
        tamed.imm = (int32_t)(4 + 4 * rng_below(rng, space));
    if (class == ROW_INDIRECT) {
        tamed.rs1 = END_ADDRESS;
        tamed.imm = (int32_t)rng_below(rng, 2);
    }
    if (class == ROW_CSR) /* others tell time and retired instructions */
        tamed.imm = (int32_t)(RV_CSR_FFLAGS + rng_below(rng, 3));
    if (!row_adjust(&tamed))
        tamed = (struct rv_insn)ADDI(0, 0, 0);
    *insn = tamed;
}

/* Every instruction takes four bytes, a short one with a nop. */
static void put_insn(uint8_t *at, const struct rv_insn *insn)
{
    const uint16_t c_nop = 1;
    uint32_t word = rv_encode(insn);
    memcpy(at, &word, insn->length);
    if (insn->length == 2)
        memcpy(at + 2, &c_nop, 2);
}

static unsigned random_row(struct rng *rng, bool fp_alone)
{
    for (;;) {
        unsigned row = 1 + rng_below(rng, RV_ROW_COUNT - 1);
        if (!fp_alone || rv_op_flags(row) & RV_FP)
            return row;
    }
}

static void make_program(struct rng *rng, uint8_t *code, unsigned row)
{
    struct rv_insn end = ECALL;
    bool crowded = rng_percent(rng, 60), fp_alone = rng_percent(rng, 40);
    for (unsigned i = 0; i < SEQUENCE; i++) {
        struct rv_insn insn;
        unsigned chosen = i == SEQUENCE / 2 ? row : random_row(rng, fp_alone);
        row_random(is_left_out(chosen) ? RV_ADDI : chosen, rng, &insn);
        if (crowded)
            crowd(&insn);
        if (rng_percent(rng, 80))
            round_dynamically(&insn);
        tame(rng, &insn, SEQUENCE - i);
        put_insn(code + 4 * i, &insn);
    }
    end.length = 4;
    put_insn(code + 4 * SEQUENCE, &end);
}

static void make_state(struct rng *rng, struct hart *hart)
{
    for (unsigned i = 1; i < 32; i++)
        hart->x[i] = value_random(rng, VALUE_INT);
    for (unsigned i = 0; i < 32; i++)
        hart->f[i] = value_random(rng, VALUE_DOUBLE + (enum value_kind)rng_below(rng, 3));
    hart->x[BASE_A] = DATA + 0x800;
    hart->x[BASE_B] = DATA + 0x800 + (rng_percent(rng, 20) ? rng_below(rng, 64) : 64);
    hart->x[END_ADDRESS] = CODE + 4 * SEQUENCE;
    hart->frm = rng_percent(rng, 80) ? rng_below(rng, 4) : rng_below(rng, 8);
    hart->fflags = 0;
    hart->pc = CODE;
}

static void start(struct fixture *f, struct rng *rng, unsigned row)
{
    struct hart *a = &f->interpreted.hart, *b = &f->lifted.hart;
    make_program(rng, f->interpreted.memory + CODE, row);
    code_invalidate(f->interpreted.code, CODE, CODE + 4 * SEQUENCE + 4);
    for (unsigned i = 0; i < DATA_SIZE; i += 8) {
        uint64_t value = value_random(rng, (enum value_kind)rng_below(rng, VALUE_KINDS));
        memcpy(f->interpreted.memory + DATA + i, &value, 8);
    }
    memcpy(f->lifted.memory, f->interpreted.memory, MEMORY_SIZE);
    make_state(rng, a);
    f->limits.max_insns = rng_percent(rng, 70) ? 64 : 1 + rng_below(rng, SEQUENCE);
    f->limits.has_fma = fpu_has_fma() && rng_percent(rng, 80);
    f->ir->no_fold = f->again->no_fold = rng_percent(rng, 10);
    memcpy(b->x, a->x, sizeof(a->x));
    memcpy(b->f, a->f, sizeof(a->f));
    b->pc = a->pc;
    b->frm = a->frm;
    b->fflags = a->fflags;
    b->reserve_address = HART_NO_RESERVE;
}

static void print_program(const struct fixture *f)
{
    for (uint64_t pc = CODE; pc < CODE + 4 * SEQUENCE;) {
        struct rv_insn insn;
        uint32_t word;
        char text[64];
        memcpy(&word, f->interpreted.memory + pc, 4);
        rv_decode(word, &insn);
        rv_disasm(&insn, pc, text, sizeof(text));
        print_error("%6lx  %s\n", pc, text);
        pc += insn.length;
    }
}

static bool agree(const struct fixture *f)
{
    const struct hart *a = &f->interpreted.hart, *b = &f->lifted.hart;
    bool same = a->exit.kind == b->exit.kind && a->pc == b->pc && a->frm == b->frm && a->fflags == b->fflags;
    for (unsigned i = 1; i < 32; i++)
        if (a->x[i] != b->x[i]) {
            print_error("x%u: interpreted %016lx, lifted %016lx\n", i, a->x[i], b->x[i]);
            same = false;
        }
    for (unsigned i = 0; i < 32; i++)
        if (a->f[i] != b->f[i]) {
            print_error("f%u: interpreted %016lx, lifted %016lx\n", i, a->f[i], b->f[i]);
            same = false;
        }
    if (a->exit.kind == EXIT_FAULT || a->exit.kind == EXIT_MISALIGNED)
        same &= a->exit.address == b->exit.address;
    same &= !memcmp(f->interpreted.memory + DATA, f->lifted.memory + DATA, DATA_SIZE);
    if (!same)
        print_error("interpreted: exit %d at %lx, fflags %x; lifted: exit %d at %lx, fflags %x\n",
                    a->exit.kind, a->pc, a->fflags, b->exit.kind, b->pc, b->fflags);
    return same;
}

static void compare(struct fixture *f, uint64_t seed, unsigned row)
{
    struct rng rng = rng_make(seed, row);
    start(f, &rng, row);
    run_interpreted(f);
    run_lifted(f);
    if (agree(f))
        return;
    print_program(f);
    fail_msg("seed %lu, row %s", seed, rv_op_name(row));
}

static void does_what_the_interpreter_does(void **state)
{
    struct fixture *f = *state;
    const char *asked = getenv("LIFT_SEEDS");
    uint64_t seeds = asked ? strtoull(asked, NULL, 0) : 60;
    for (uint64_t seed = 1; seed <= seeds; seed++)
        for (unsigned row = 1; row < RV_ROW_COUNT; row++)
            compare(f, seed, row);
    print_message("%lu instructions lifted, %lu left to the interpreter\n", f->lifted_insns,
                  f->interpreted_insns);
}

/* ---- The shape of units ---- */

/* Whatever the bytes are, the unit is well-formed and the same again; many of them jump to and fro. */
static void lifts_any_bytes(void **state)
{
    struct fixture *f = *state;
    struct rng rng = rng_make(1, 0);
    struct lift_result result;
    for (unsigned round = 0; round < 3000; round++) {
        for (unsigned i = 0; i < 256; i += 4) {
            struct rv_insn insn;
            unsigned rows[] = {RV_JAL, RV_C_J, RV_BEQ, RV_C_BNEZ, 1 + rng_below(&rng, RV_ROW_COUNT - 1)};
            row_random(rows[rng_below(&rng, 5)], &rng, &insn);
            insn.imm = rv_op_flags(insn.op) & (RV_JUMP | RV_BRANCH) ? (int32_t)rng_below(&rng, 128) * 2 - 128
                                                                    : insn.imm;
            put_insn(f->lifted.memory + CODE + i, &insn);
        }
        f->limits.max_insns = 1 + rng_below(&rng, LIFT_MAX_INSNS);
        if (!lift(f, CODE + 2 * rng_below(&rng, 128), &result))
            fail_msg("round %u: nothing was lifted", round);
        assert_true(result.insns <= f->limits.max_insns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lifts_any_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(does_what_the_interpreter_does, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
