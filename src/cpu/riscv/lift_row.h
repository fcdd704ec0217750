/* What the files of the lifter share: a unit in the making, and how one row of riscv.isa is lifted. Private to lift*.c.
 *
 * lift.def says for each row which function lifts it and what the function must know. */
#ifndef CPU_RISCV_LIFT_ROW_H
#define CPU_RISCV_LIFT_ROW_H

#include "cpu/riscv/lift.h"
#include "cpu/riscv/window.h"
#include "isa/riscv/isa.h"

enum { LIFT_RA = 1 }; /* the link register */
enum { LIFT_MAX_INSIDE = 16 };

/* Slots beside those of the registers. */
enum lift_slot {
    LIFT_RESERVE_ADDRESS = 31 + 32,
    LIFT_RESERVE_VALUE,
    LIFT_ROUNDING,  /* frm in the low half */
    LIFT_FLAGS,     /* fflags that were raised in software */
    LIFT_CODE_BIAS, /* paged code: addresses less places */
    LIFT_STATUS,    /* paged code: mstatus */
    LIFT_MODE,      /* paged code: enum priv */
    LIFT_MENVCFG,
    LIFT_SENVCFG,
    LIFT_SSCRATCH,
    LIFT_SEPC,
    LIFT_SCAUSE,
    LIFT_STVAL,
    LIFT_MIP, /* this and the next four: paged code, whether an interrupt is pending */
    LIFT_LINES,
    LIFT_MIE,
    LIFT_TIMER,
    LIFT_MVIEN,
    LIFT_WINDOW_LIMIT, /* direct code: addresses are below this */
    LIFT_SLOT_COUNT
};

/* Bytes that are fetched at once, and some because a word may be read at the very end. */
enum { LIFT_AHEAD = 64, LIFT_AHEAD_ROOM = LIFT_AHEAD + 4 };

struct lifter {
    struct ir *ir;
    const struct lift_source *source;
    const struct lift_limits *limits;
    struct lift_result *result;
    const uint8_t *x_slot, *f_slot; /* by register */
    struct lift_loop *loop;         /* the unit is to be one; or NULL */
    uint64_t path;                  /* what is left of it */
    bool shaped;                    /* the loop has its final form: a head, slots of its own */
    uint64_t missing;               /* extensions */
    uint64_t start;                 /* the unit's pc */
    uint64_t pc;                    /* of the instruction */
    uint64_t next; /* of the one after it in memory; of the one to go on with where a jump is followed */
    bool ended;
    struct lift_piece *piece; /* the latest */
    uint64_t bound;           /* where a piece behind it begins */
    bool nearest;             /* the unit has looked whether the dynamic rounding mode is to nearest even */
    ir_ref inside[LIFT_MAX_INSIDE]; /* direct code: values that the unit has found to be in the window */
    unsigned inside_count;
    uint32_t accessed;    /* in a loop: x registers of loop->inside that an access has been made by, bits */
    bool fp_on, fp_dirty; /* paged code: it has looked whether floating point is on, and its state dirty */
    bool zeroes, supervisor; /* the same: whether CBO.ZERO is legal, whether the mode is not U */

    /* Guest code read ahead. */
    uint64_t window_pc;
    unsigned window_size, window_whole; /* bytes; where whole words begin */
    uint8_t *window;                    /* of LIFT_AHEAD_ROOM bytes */

    uint32_t boxed; /* floating-point registers that are known to hold a boxed single, bits */
    uint32_t asked; /* those that had to be looked at for it */
};

struct lift_row {
    void (*lift)(struct lifter *l, const struct rv_insn *insn, const struct lift_row *row);
    uint8_t op;     /* enum ir_op */
    uint8_t type;   /* enum ir_type */
    uint8_t detail; /* for the function */
};

/* Several rows may name the same function. */
#define ROW(row, function, op, type, detail) \
    void lift_##function(struct lifter *l, const struct rv_insn *insn, const struct lift_row *row);
#include "cpu/riscv/lift.def"
#undef ROW

/* Functions of CALL: X(name, what it gives for a and b). */
#define LIFT_CALLS(X)                                                \
    X(CLMUL, carryless(a, b))                                        \
    X(CLMULH, carryless(a, b) >> 64)                                 \
    X(CLMULR, carryless(a, b) >> 63)                                 \
    X(PAUSE, (host_pause(), 0))                                      \
    X(FCLASS_S, fp_class_s(a))                                       \
    X(FCLASS_D, fp_class_d(a))                                       \
    X(FLTQ_S, fp_ltq_s(a, b))                                        \
    X(FLTQ_D, fp_ltq_d(a, b))                                        \
    X(FLEQ_S, fp_leq_s(a, b))                                        \
    X(FLEQ_D, fp_leq_d(a, b))                                        \
    /* Of a register in rounding mode b, 0 to 4. */                  \
    X(TO_W_S, to_int(&softfp_s, b, fp_unbox_s(a), 32, true))         \
    X(TO_WU_S, to_int(&softfp_s, b, fp_unbox_s(a), 32, false))       \
    X(TO_L_S, to_int(&softfp_s, b, fp_unbox_s(a), 64, true))         \
    X(TO_LU_S, to_int(&softfp_s, b, fp_unbox_s(a), 64, false))       \
    X(TO_W_D, to_int(&softfp_d, b, a, 32, true))                     \
    X(TO_WU_D, to_int(&softfp_d, b, a, 32, false))                   \
    X(TO_L_D, to_int(&softfp_d, b, a, 64, true))                     \
    X(TO_LU_D, to_int(&softfp_d, b, a, 64, false))                   \
    X(FROUND_S, round_to_whole(&softfp_s, b, fp_unbox_s(a), false))  \
    X(FROUND_D, round_to_whole(&softfp_d, b, a, false))              \
    X(FROUNDNX_S, round_to_whole(&softfp_s, b, fp_unbox_s(a), true)) \
    X(FROUNDNX_D, round_to_whole(&softfp_d, b, a, true))
#define LIFT_CALL_ENUM(name, value) LIFT_CALL_##name,
enum lift_call { LIFT_CALLS(LIFT_CALL_ENUM) };
#undef LIFT_CALL_ENUM

/* Lifts from l->pc to the unit's end. */
void lift_trace(struct lifter *l);

/* Steps of it. What is lifted next is at `pc`, up to where another piece begins. */
void lift_begin_piece(struct lifter *l, uint64_t pc);

/* The word at l->pc; how many of its bytes are there. */
unsigned lift_next_word(struct lifter *l, uint32_t *word);

/* The result has the instruction. */
void lift_record(struct lifter *l, uint32_t word, unsigned length);

/* An unconditional jump: its target belongs to the unit unless it is there already. */
bool lift_follows(struct lifter *l, uint64_t target);

/* Does another unit begin at l->pc? */
bool lift_is_known(const struct lifter *l);

/* The instructions that follow the current one in memory, as far as the unit has room for them; how many they are. */
unsigned lift_peek(struct lifter *l, struct rv_insn *insns, unsigned count);

/* Takes the next of them into the current row's hands. */
void lift_take(struct lifter *l, const struct rv_insn *insn);

/* In a loop: the bit of the x register that holds the value at the head and is taken to be in the window then; 0: none does. */
uint32_t lift_loop_inside(const struct lifter *l, ir_ref value);

/* In a loop: before and after a branch to its head. Between them registers are as the head wants them. */
void lift_loop_loosen(struct lifter *l);
void lift_loop_tighten(struct lifter *l);

/* Ends the unit: the instruction is not executed here. */
void lift_leave_stop(struct lifter *l, enum lift_stop reason);

/* Of a computer's code (lift_paged.c). */

/* What the guest calls the place in its code. */
ir_ref lift_code_address(struct lifter *l, uint64_t pc);

/* Is the value the address of a known place in the unit's code or around it? */
bool lift_is_code_address(struct lifter *l, ir_ref value, uint64_t *pc);

/* Is the place in another page than the unit? */
bool lift_is_far(const struct lifter *l, uint64_t pc);

/* Every way round that does not leave the page goes by a place that looks whether the hart is to stop. */
bool lift_polls(const struct lifter *l, uint64_t target);

/* Is it the unit's entries that are counted? */
static inline bool lift_counts_entries(const struct lifter *l)
{
    return l->limits->paged && !l->limits->direct;
}

/* A CSR instruction. False: it is not lifted. */
bool lift_system_csr(struct lifter *l, const struct rv_insn *insn);

/* Before a CBO.ZERO: it must be legal. */
void lift_require_zero_blocks(struct lifter *l);

/* Before the instruction: floating point must be on; and its state dirty if the instruction changes it, for else it becomes so. */
void lift_require_fp(struct lifter *l, const struct rv_insn *insn);
void lift_require_fp_state(struct lifter *l, bool dirty);

/* lift_place() where there are spans. */
ir_ref lift_reach(struct lifter *l, const struct rv_insn *insn, const struct lift_row *row);

/* Leaves the instruction to the interpreter if the condition is not zero. Comes before all effects of the instruction. */
void lift_guard(struct lifter *l, ir_ref condition);

static inline ir_ref lift_constant(struct lifter *l, uint64_t value)
{
    return ir_constant(l->ir, (int64_t)value);
}

static inline ir_ref lift_op(struct lifter *l, enum ir_op op, enum ir_type type, ir_ref a, ir_ref b)
{
    return ir_emit(l->ir, op, type, a, b);
}

/* With a constant operand. */
static inline ir_ref lift_op_k(struct lifter *l, enum ir_op op, enum ir_type type, ir_ref a, uint64_t b)
{
    return ir_emit(l->ir, op, type, a, lift_constant(l, b));
}

static inline ir_ref lift_pair(struct lifter *l, ir_ref first, ir_ref second)
{
    return ir_emit(l->ir, IR_PAIR, IR_I64, first, second);
}

static inline ir_ref lift_x(struct lifter *l, unsigned number)
{
    return number ? ir_get(l->ir, l->x_slot[number]) : lift_constant(l, 0);
}

static inline void lift_set_x(struct lifter *l, unsigned number, ir_ref value)
{
    if (number)
        ir_set(l->ir, l->x_slot[number], value);
}

/* A function of lift_calls of up to two values. */
static inline ir_ref lift_call(struct lifter *l, enum lift_call function, ir_ref a, ir_ref b)
{
    ir_ref arguments = lift_pair(l, a, lift_pair(l, b, lift_constant(l, 0)));
    return ir_emit(l->ir, IR_CALL, IR_I64, (ir_ref)function, arguments);
}

/* What is added to a base that is in the window, at most. A base that moves by no more in each round of a loop, and by which each
 * round accesses something, is no farther from the window than twice that before an access faults; so all of its accesses are
 * within three times that, where there is nothing on either side. */
enum { LIFT_INSIDE_REACH = WINDOW_GUARD / 4 };

/* Direct code: leaves the instruction to the interpreter if the address is not in the window. */
void lift_require_inside(struct lifter *l, ir_ref address);

/* rs1 + imm */
static inline ir_ref lift_address(struct lifter *l, const struct rv_insn *insn)
{
    return ir_sum(l->ir, lift_x(l, insn->rs1), insn->imm);
}

/* The same for the load or store of the row, which is made next: what it is by way of a span or a window, perhaps. */
static inline ir_ref lift_place(struct lifter *l, const struct rv_insn *insn, const struct lift_row *row)
{
    if (l->limits->spans)
        return lift_reach(l, insn, row);
    ir_ref address = lift_address(l, insn);
    if (l->limits->direct)
        lift_require_inside(l, address);
    return address;
}

#endif
